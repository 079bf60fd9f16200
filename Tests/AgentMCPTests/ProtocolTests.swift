import AgentAPI
import AgentAudit
import AgentMCP
import AgentModel
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

/// What the protocol asks of every request, and what each flaw gets.
struct ProtocolTests {
    @Test(arguments: [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" as JSON, true), ("nonsense", false), (5, false),
    ])
    func `the trace in the metadata of a message is in its audit record`(traceparent: JSON, isTaken: Bool) async throws
    {
        let desk = try Desk()
        var body = Desk.body(
            "tools/call",
            [
                "name": "plan_create",
                "arguments": ["environment": "home", "action": "start_vm", "target": "vm/102"],
            ])
        var params = try #require(body["params"]?.object)
        var meta = try #require(params["_meta"]?.object)
        meta["traceparent"] = traceparent
        params["_meta"] = .object(meta)
        body = ["jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": .object(params)]
        let answer = await desk.send(body.bytes, Desk.fields("tools/call", "plan_create"))
        #expect(answer.isError == false, "\(answer)")
        let traces = desk.audit.events.map { $0.trace?.traceID }
        #expect(!traces.isEmpty)
        #expect(traces.allSatisfy { ($0 == "4bf92f3577b34da6a3ce929d0e0e4736") == isTaken && $0 != nil })
    }

    /// A request, what is done to it, and what it gets.
    struct Flaw: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let status: Int
        let code: Int64
        /// The id that the answer has; `nil` for none.
        let id: JSON?
        let spoil: @Sendable (inout JSON, inout HTTPFields) -> Void

        init(
            _ name: String, _ status: Int, _ code: Int64, id: JSON? = 7,
            _ spoil: @escaping @Sendable (inout JSON, inout HTTPFields) -> Void
        ) {
            (testDescription, self.status, self.code, self.id, self.spoil) = (name, status, code, id, spoil)
        }

        static func envelope(_ name: String, id: JSON? = 7, _ key: String, _ value: JSON?) -> Flaw {
            Flaw(name, 400, -32600, id: id) { body, _ in body.set(key, value) }
        }

        static func meta(_ name: String, _ key: String, _ value: JSON?) -> Flaw {
            Flaw(name, 400, -32602) { body, _ in
                var params = body["params"]?.object ?? [:]
                var meta = params["_meta"]?.object ?? [:]
                meta[key] = value
                params["_meta"] = .object(meta)
                body.set("params", .object(params))
            }
        }

        static func header(_ name: String, _ field: HTTPField.Name, _ values: [String]) -> Flaw {
            Flaw(name, 400, -32020) { _, fields in fields[values: field] = values }
        }
    }

    private static let flaws: [Flaw] = [
        Flaw("an empty batch", 400, -32600, id: nil) { body, _ in body = [] },
        Flaw("a batch", 400, -32600, id: nil) { body, _ in body = [body] },
        Flaw("a number", 400, -32600, id: nil) { body, _ in body = 5 },
        Flaw("a posted result", 400, -32600) { body, _ in body = ["jsonrpc": "2.0", "id": 7, "result": [:]] },
        Flaw("a posted error", 400, -32600) { body, _ in body = ["jsonrpc": "2.0", "id": 7, "error": ["code": 1]] },
        .envelope("a request with a result", "result", [:]),
        .envelope("no version of JSON-RPC", "jsonrpc", nil), .envelope("JSON-RPC 1", "jsonrpc", "1.0"),
        .envelope("no method", "method", nil), .envelope("a method that is a number", "method", 5),
        .envelope("parameters in a list", "params", [1]), .envelope("null parameters", "params", .null),
        .envelope("a null id", id: nil, "id", .null), .envelope("an id that is true", id: nil, "id", true),
        .envelope("a fraction as id", id: nil, "id", .number(1.5)), .envelope("a list as id", id: nil, "id", [7]),
        .envelope("an object as id", id: nil, "id", ["a": 7]),
        Flaw("no parameters at all", 400, -32602) { body, _ in body.set("params", nil) },
        Flaw("no metadata", 400, -32602) { body, _ in body.set("params", ["name": "environment_list"]) },
        .meta("no version", Desk.version, nil), .meta("no capabilities", Desk.capabilities, nil),
        .meta("capabilities in a list", Desk.capabilities, []), .meta("a version that is a number", Desk.version, 2026),
        .header("no version in the header", .protocolVersion, []),
        .header("an older version in the header", .protocolVersion, ["2025-06-18"]),
        .header("the version twice", .protocolVersion, ["2026-07-28", "2026-07-28"]),
        .header("no method in the header", .method, []), .header("another method", .method, ["tools/list"]),
        .header("the method in capitals", .method, ["TOOLS/CALL"]),
        .header("the method twice", .method, ["tools/call", "tools/call"]),
        .header("no name in the header", .name, []), .header("another name", .name, ["plan_apply"]),
        .header("the name twice", .name, ["environment_list", "environment_list"]),
        .header("base64 of another name", .name, ["=?base64?cGxhbl9hcHBseQ==?="]),
        .header("broken base64", .name, ["=?base64?%%%?="]),
        .header("loose base64", .name, ["=?base64?ZW52aXJvbm1lbnRfbGlzdB==?="]),
        Flaw("an unknown tool", 400, -32602) { body, fields in
            body.set("params", (body["params"] ?? .null).setting("name", "rm"))
            fields[.name] = "rm"
        },
        Flaw("no tool", 400, -32602) { body, _ in body.set("params", (body["params"] ?? .null).setting("name", nil)) },
        Flaw("arguments in a list", 400, -32602) { body, _ in
            body.set("params", (body["params"] ?? .null).setting("arguments", []))
        },
        Flaw("a requestState that nobody gave", 400, -32602) { body, _ in
            body.set("params", (body["params"] ?? .null).setting("requestState", "x"))
        },
    ]

    @Test(arguments: flaws)
    func `each flaw of a request has its error`(flaw: Flaw) async throws {
        let desk = try Desk()
        var body = Desk.body("tools/call", ["name": "environment_list"])
        var fields = Desk.fields("tools/call", "environment_list")
        flaw.spoil(&body, &fields)
        let answer = await desk.send(body.bytes, fields)
        #expect(answer.status == flaw.status && answer.code == flaw.code, "\(answer)")
        #expect(answer.json["id"] == flaw.id && answer.json["jsonrpc"] == "2.0", "\(answer)")
        #expect(answer.error?["message"]?.string?.isEmpty == false && answer.fields[.contentType] == "application/json")
        #expect(desk.pve.reads.isEmpty)
    }

    @Test(arguments: ["", "{", "no", "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\"}", "\u{FEFF}{}"])
    func `what is no JSON is told so`(text: String) async throws {
        let answer = await (try Desk()).send(Array(text.utf8), Desk.fields("tools/list"))
        #expect(answer.status == 400 && answer.code == -32700 && answer.json["id"] == nil, "\(answer)")
    }

    @Test(arguments: [7, -1, 0, "", "seven", "é\u{1F600}", .integer(.max)] as [JSON])
    func `an id comes back as it was sent`(id: JSON) async throws {
        var body = Desk.body("tools/list")
        body.set("id", id)
        let answer = await (try Desk()).send(body.bytes, Desk.fields("tools/list"))
        #expect(answer.status == 200 && answer.json["id"] == id, "\(answer)")
    }

    @Test(arguments: [" environment_list\t", "=?base64?ZW52aXJvbm1lbnRfbGlzdA==?="])
    func `the name in the header may have blanks around it and be encoded`(name: String) async throws {
        var fields = Desk.fields("tools/call", name)
        fields[.accept] = "text/plain"
        let answer = await (try Desk()).send(Desk.body("tools/call", ["name": "environment_list"]).bytes, fields)
        #expect(answer.status == 200 && answer.isError == false, "\(answer)")
    }

    @Test(arguments: ["2027-01-01", "2024-11-05", "2025-06-18", "newest"])
    func `a version that is not served is answered with those that are`(version: String) async throws {
        let desk = try Desk()
        var fields = Desk.fields("server/discover")
        fields[.protocolVersion] = version
        let meta: JSON = [
            "io.modelcontextprotocol/protocolVersion": .string(version),
            "io.modelcontextprotocol/clientCapabilities": [:],
        ]
        let body: JSON = ["jsonrpc": "2.0", "id": 7, "method": "server/discover", "params": ["_meta": meta]]
        let answer = await desk.send(body.bytes, fields)
        #expect(answer.status == 400 && answer.code == -32022, "\(answer)")
        #expect(answer.error?["data"]?["requested"]?.string == version)
        #expect(
            answer.error?["data"]?["supported"] == ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"], "\(answer)"
        )
    }

    @Test(
        arguments: [
            "initialize", "ping", "logging/setLevel", "subscriptions/listen", "resources/list", "prompts/get", "x", "",
        ])
    func `methods that the newest revision lacks are not found`(method: String) async throws {
        let answer = await (try Desk()).ask(method)
        #expect(answer.status == 404 && answer.code == -32601 && answer.json["id"] == 7, "\(answer)")
    }

    @Test func `discovery tells what is served, and results carry the server's name`() async throws {
        let desk = try Desk()
        for (method, keys) in [
            ("server/discover", ["supportedVersions", "capabilities", "instructions", "ttlMs", "cacheScope"]),
            ("tools/list", ["tools", "ttlMs", "cacheScope"]),
        ] {
            let answer = await desk.ask(method)
            #expect(answer.result["resultType"] == "complete" && answer.result["cacheScope"] == "private", "\(answer)")
            let server = answer.result["_meta"]?["io.modelcontextprotocol/serverInfo"]
            #expect(server?["name"] == "proxmox-agent" && server?["version"] == "0.0.1")
            for key in keys { #expect(answer.result[key] != nil, "\(key) in \(answer)") }
        }
        let found = await desk.ask("server/discover").result
        #expect(found["capabilities"]?["extensions"]?[Desk.tasks] == [:] && found["capabilities"]?["resources"] == nil)
        let words = try #require(found["instructions"]?.string)
        for tool in ["plan_create", "plan_apply", "operation_get"] { #expect(words.contains(tool)) }
        #expect(await desk.ask("tools/list", ["cursor": "x"]).code == -32602)
    }

    @Test(arguments: ["notifications/initialized", "notifications/cancelled", "tools/call"])
    func `a notification is taken, answered with nothing, and does nothing`(method: String) async throws {
        let desk = try Desk()
        let body: JSON = [
            "jsonrpc": "2.0", "method": .string(method),
            "params": ["name": "inventory", "arguments": ["environment": "home"]],
        ]
        for version in ["2026-07-28", "2025-11-25", nil] {
            var fields = Desk.fields(method)
            fields[.protocolVersion] = version
            let answer = await desk.send(body.bytes, fields)
            #expect(answer.status == 202 && answer.text.isEmpty, "\(answer)")
        }
        #expect(desk.pve.inventories == 0)
    }

    // MARK: Who may ask

    @Test(arguments: [nil, "Bearer no", "Basic b3BlcmF0b3I6"] as [String?])
    func `without a valid token the answer is 401`(authorization: String?) async throws {
        var fields = Desk.fields("tools/list")
        fields[.authorization] = authorization
        let answer = await (try Desk()).send(Desk.body("tools/list").bytes, fields)
        #expect(answer.status == 401 && answer.fields[.wwwAuthenticate] == "Bearer", "\(answer)")
    }

    @Test(
        arguments: [
            ("auditor", "environment_list", [:]), ("auditor", "plan_apply", ["plan_id": "pln_00000000000000000000"]),
            ("viewer", "plan_create", ["environment": "home", "action": "start_vm", "target": "vm/102"]),
            ("approver", "plan_create", ["environment": "home", "action": "start_vm", "target": "vm/102"]),
        ] as [(String, String, JSONObject)])
    func `a role that is too small is 403, and the refusal is recorded`(
        caller: String, tool: String, arguments: JSONObject
    ) async throws {
        let desk = try Desk()
        let answer = await desk.call(tool, arguments, as: caller)
        #expect(answer.status == 403 && answer.json["code"] == "forbidden", "\(answer)")
        #expect(answer.fields[.wwwAuthenticate] == "Bearer error=\"insufficient_scope\"")
        #expect(try await desk.kinds() == ["refuse"])
    }

    @Test(arguments: [HTTPRequest.Method.get, .delete, .put, .head])
    func `only POST is served`(method: HTTPRequest.Method) async throws {
        let answer = await (try Desk()).send([], Desk.fields(""), method)
        #expect(answer.status == 405 && answer.fields[.allow]?.contains("POST") == true, "\(answer)")
    }

    @Test func `a body of another media type is not taken`() async throws {
        var fields = Desk.fields("tools/list")
        fields[.contentType] = "text/plain"
        #expect(await (try Desk()).send(Desk.body("tools/list").bytes, fields).status == 415)
    }

    @Test(
        arguments: [
            ("localhost:8080", nil, 200), ("127.0.0.1", nil, 200), ("127.9.9.9:1", nil, 200), ("[::1]:8080", nil, 200),
            ("[::1]", nil, 200), ("LOCALHOST", nil, 200), ("agent.lan:8443", nil, 200), ("192.0.2.7:8080", nil, 403),
            ("evil.example", nil, 403), ("localhost.evil.example", nil, 403), ("", nil, 403), ("a b", nil, 403),
            ("localhost", "http://localhost:3000", 200), ("localhost", "https://127.0.0.1", 200),
            ("localhost", "http://agent.lan", 200), ("localhost", "https://console.lan:9000", 200),
            ("localhost", "https://console.lan", 403), ("localhost", "http://evil.example", 403),
            ("localhost", "null", 403), ("localhost", "", 403), ("localhost", "file://localhost", 403),
            ("localhost", "http://localhost@evil.example", 403), ("localhost", "http://localhost/path", 403),
        ] as [(String, String?, Int)])
    func `a page of somebody else reaches nothing through a browser`(
        host: String, origin: String?, status: Int
    ) async throws {
        let desk = try Desk(
            surroundings: Surroundings(
                listening: .tcp(host: "127.0.0.1", port: 8080), hosts: ["Agent.lan"],
                origins: ["https://console.lan:9000"]))
        var fields = Desk.fields("tools/list")
        fields[.host] = host
        fields[.originField] = origin
        let answer = await desk.send(Desk.body("tools/list").bytes, fields)
        #expect(answer.status == status, "\(answer)")
        if status == 403 { #expect(answer.error != nil && answer.json["id"] == nil && answer.json["jsonrpc"] == "2.0") }
    }

    @Test func `where the agent listens everywhere, each address is its own and a name is not`() async throws {
        let desk = try Desk(surroundings: Surroundings(listening: .tcp(host: "", port: 8080)))
        for (host, status) in [("192.0.2.7:8080", 200), ("[2001:db8::1]:8080", 200), ("pve.evil.example", 403)] {
            var fields = Desk.fields("tools/list")
            fields[.host] = host
            #expect(await desk.send(Desk.body("tools/list").bytes, fields).status == status, "\(host)")
        }
    }
}

extension JSON {
    mutating func set(_ key: String, _ value: JSON?) { self = setting(key, value) }

    func setting(_ key: String, _ value: JSON?) -> JSON {
        var object = object ?? [:]
        object[key] = value
        return .object(object)
    }
}
