import AgentTestSupport
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// The Model Context Protocol over a real connection, against a simulated PVE.
@Suite(.timeLimit(.minutes(2)))
struct MCPTests {
    /// Calls a tool as `person` does, and gives what it says.
    private static func call(
        _ tool: String, _ arguments: JSON, as person: Person, at agent: RunningAgent
    ) async throws -> (isError: Bool?, content: JSON) {
        let meta: JSON = [
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": [:],
        ]
        let body: JSON = [
            "jsonrpc": "2.0", "id": "é", "method": "tools/call",
            "params": ["name": .string(tool), "arguments": arguments, "_meta": meta],
        ]
        let fields: HTTPFields = [
            .name("MCP-Protocol-Version"): "2026-07-28", .name("Mcp-Method"): "tools/call", .name("Mcp-Name"): tool,
        ]
        let reply = try await agent.send(
            .post, "/mcp", body: body.bytes, as: nil, token: person.token, fields: fields, timeout: .seconds(40))
        #expect(reply.status == 200 && reply["id"] == "é", "\(reply)")
        let text = reply["result"]?["content"]?.array?.first?["text"]?.string ?? ""
        return (reply["result"]?["isError"]?.bool, try JSON.parse(Array(text.utf8)))
    }

    @Test func `an agent reads, plans, is refused, waits for a person, applies and follows to the end`() async throws {
        try await withAgent(Person.setup()) { agent in
            let found = try await Self.call("inventory", ["environment": "cloud"], as: .agent, at: agent).content
            #expect(found["guests"]?.array?.contains { $0["guest"] == "vm/100" } == true, "\(found.text)")
            let plan = try await Self.call(
                "plan_create", ["environment": "cloud", "action": "stop_vm", "target": "vm/100"], as: .agent, at: agent)
            let (id, hash) = (plan.content["plan_id"] ?? .null, plan.content["plan_hash"]?.string ?? "")
            let refused = try await Self.call("plan_apply", ["plan_id": id], as: .agent, at: agent)
            #expect(refused.isError == true && refused.content["code"] == "approval_required", "\(refused)")
            let yes = try await Person.alice.run("approve", id.string ?? "", "--hash", hash, at: agent)
            #expect(yes.status == 0, "\(yes)")
            let applied = try await Self.call("plan_apply", ["plan_id": id], as: .agent, at: agent)
            let operation = applied.content["operation"]?["operation_id"] ?? .null
            let end = try await Self.call(
                "operation_get", ["operation_id": operation, "wait": 30], as: .agent, at: agent)
            #expect(end.content["operation"]?["state"] == "succeeded", "\(end)")
            let upid = end.content["operation"]?["upid"] ?? .null
            let log = try await Self.call("task_log", ["environment": "cloud", "upid": upid], as: .agent, at: agent)
            #expect(log.content["lines"]?.array?.last == "TASK OK", "\(log)")
            #expect(agent.executed.count == 1)
            #expect(try agent.kinds(of: id.string ?? "") == ["plan", "refuse", "approve", "apply_intent", "apply"])
        }
    }

    @Test func `a foreign page reaches nothing, other methods are named, and a giant is refused`() async throws {
        try await withAgent(Person.setup()) { agent in
            let token = Person.agent.token
            let evil: HTTPFields = [.name("Origin"): "http://evil.example"]
            let body = Array(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.utf8)
            let foreign = try await agent.send(.post, "/mcp", body: body, as: nil, token: token, fields: evil)
            #expect(foreign.status == 403 && foreign["error"] != nil && foreign["id"] == nil, "\(foreign)")
            let get = try await agent.send(.get, "/mcp", as: nil, token: token)
            #expect(get.status == 405 && get.fields[.allow]?.contains("POST") == true, "\(get)")
            let giant = [UInt8](repeating: UInt8(ascii: " "), count: 2 << 20)
            #expect(try await agent.send(.post, "/mcp", body: giant, as: nil, token: token).status == 413)
        }
    }

    @Test func `the route can be switched off`() async throws {
        var setup = Person.setup()
        setup.settings["mcp"] = ["enabled": false]
        try await withAgent(setup) { agent in
            let reply = try await agent.send(.post, "/mcp", body: [0x7B, 0x7D], as: nil, token: Person.agent.token)
            expectProblem(reply, 404, "not_found")
        }
    }
}
