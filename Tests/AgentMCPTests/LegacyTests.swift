import HTTPTypes
import StrictJSON
import Testing

/// Clients of the three older revisions, on the same URL.
struct LegacyTests {
    @Test(
        arguments: [
            ("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"),
            ("2024-11-05", "2025-11-25"), ("2026-07-28", "2025-11-25"), ("1.0", "2025-11-25"),
        ])
    func `initialize takes a version that is served, else offers the newest older one`(
        asked: String, got: String
    ) async throws {
        let answer = await (try Desk()).askLegacy(
            "initialize",
            ["protocolVersion": .string(asked), "capabilities": [:], "clientInfo": ["name": "t", "version": "1"]])
        #expect(answer.status == 200 && answer.result["protocolVersion"]?.string == got, "\(answer)")
        #expect(answer.json["id"] == "a" && answer.result["capabilities"] == ["tools": [:]])
        #expect(answer.result["serverInfo"]?["name"] == "proxmox-agent" && answer.result["instructions"] != nil)
        #expect(answer.fields.allSatisfy { $0.name.rawName.lowercased() != "mcp-session-id" })
    }

    @Test(arguments: [nil, "2025-03-26", "2025-06-18", "2025-11-25"] as [String?])
    func `ping, the list of tools and a call work in every older revision`(version: String?) async throws {
        let desk = try Desk()
        #expect(await desk.askLegacy("ping", version: version).result == [:])
        let tools = await desk.askLegacy("tools/list", version: version).result
        #expect(tools["tools"] == (await desk.ask("tools/list")).result["tools"] && tools["resultType"] == nil)
        let call = await desk.askLegacy("tools/call", ["name": "environment_list"], version: version)
        #expect(call.isError == false && call.result["structuredContent"] == call.content, "\(call)")
        #expect(call.result["resultType"] == nil && call.result["_meta"] == nil)
    }

    @Test(
        arguments: [
            ("server/discover", [:], -32601), ("tasks/get", ["taskId": "x"], -32601), ("nothing", [:], -32601),
            ("initialize", [:], -32602), ("tools/call", ["name": "rm"], -32602), ("tools/call", [:], -32602),
            ("tools/list", ["cursor": "x"], -32602),
        ] as [(String, JSONObject, Int64)])
    func `errors go out with status 200`(method: String, params: JSONObject, code: Int64) async throws {
        let answer = await (try Desk()).askLegacy(method, params, version: "2025-06-18")
        #expect(answer.status == 200 && answer.code == code && answer.json["id"] == "a", "\(answer)")
    }

    @Test(arguments: [nil, "2025-03-26", "2025-06-18"] as [String?])
    func `batches are refused, for the oldest revision as well`(version: String?) async throws {
        var fields = Desk.fields("")
        fields[.protocolVersion] = version
        let body: JSON = [["jsonrpc": "2.0", "id": 1, "method": "ping"]]
        let answer = await (try Desk()).send(body.bytes, fields)
        #expect(answer.status == 400 && answer.code == -32600 && answer.json["id"] == nil, "\(answer)")
    }

    @Test func `metadata with a version makes a request a modern one, whatever the header lacks`() async throws {
        var fields = Desk.fields("tools/list")
        fields[.protocolVersion] = nil
        let answer = await (try Desk()).send(Desk.body("tools/list").bytes, fields)
        #expect(answer.status == 400 && answer.code == -32020, "\(answer)")
        fields[.protocolVersion] = "2030-01-01"
        let body: JSON = ["jsonrpc": "2.0", "id": 1, "method": "ping"]
        let unknown = await (try Desk()).send(body.bytes, fields)
        #expect(unknown.status == 400 && unknown.code == -32602, "\(unknown)")
    }

    @Test func `an older client that declares tasks gets the plain result`() async throws {
        let desk = try Desk()
        let plan = try await desk.plan("start_vm", on: "vm/102")
        let answer = await desk.askLegacy(
            "tools/call",
            [
                "name": "plan_apply", "arguments": ["plan_id": .string(plan), "wait": 20],
                "_meta": ["io.modelcontextprotocol/clientCapabilities": ["extensions": .object([Desk.tasks: [:]])]],
            ])
        #expect(answer.isError == false && answer.content["status"] == "succeeded", "\(answer)")
    }
}
