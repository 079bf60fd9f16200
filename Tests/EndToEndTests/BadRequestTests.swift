import HTTPTypes
import StrictJSON
import Testing

/// Requests for actions that are no requests: refused by name, recorded once, and nothing comes of them.
@Suite(.timeLimit(.minutes(2)))
struct BadRequestTests {
    private static let routes = ["/v1/actions/plan", "/v1/actions/apply"]

    /// A body, and what it is answered with.
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var body: [UInt8]
        var code = "invalid_request"
        var pointer: String?

        init(_ name: String, _ body: String, _ code: String = "invalid_request", at pointer: String? = nil) {
            self.init(name, Array(body.utf8), code, at: pointer)
        }

        init(_ name: String, _ body: [UInt8], _ code: String = "invalid_request", at pointer: String? = nil) {
            testDescription = name
            self.body = body
            self.code = code
            self.pointer = pointer
        }

        /// A well-formed wish with one field set to something else.
        init(set key: String, _ value: JSON, _ code: String = "invalid_request", at pointer: String? = nil) {
            self.init("\(key): \(value.text)", PlanRequest.start.with(key, value).json.bytes, code, at: pointer)
        }

        /// A wish as it stands.
        init(_ wish: PlanRequest, _ code: String = "invalid_request", at pointer: String? = nil) {
            self.init(wish.json.text, wish.json.bytes, code, at: pointer)
        }
    }

    private static func expect(_ bad: Case) async throws {
        try await withAgent { agent in
            for (number, route) in routes.enumerated() {
                let reply = try await agent.send(.post, route, body: bad.body)
                expectProblem(reply, 400, bad.code)
                if let pointer = bad.pointer {
                    let pointers = reply["errors"]?.array?.compactMap { $0["pointer"]?.string } ?? []
                    #expect(pointers.contains(pointer), "\(reply)")
                }
                let records = try agent.records()
                #expect(records.count == number + 1, "one record a refusal")
                #expect(records.last?["kind"] == "refuse")
                #expect(records.last?["result"]?["code"]?.string == bad.code)
                #expect(records.last?["request_id"] == reply["request_id"])
            }
            #expect(agent.executed.isEmpty)
            #expect(try await agent.get("/v1/plans")["plans"] == [])
            #expect(try await agent.get("/healthz").status == 200)
        }
    }

    @Test(arguments: [
        Case("nothing", ""), Case("cut", "{"), Case("no JSON", "environment=cloud"), Case("an array", "[1]"),
        Case("a text", "\"start\""), Case("null", "null"), Case("trailing data", PlanRequest.start.json.text + " {}"),
        Case("a trailing comma", "{\"environment\":\"cloud\",}"), Case("a comment", "{/* x */}"),
        Case("a duplicate key", "{\"environment\":\"cloud\",\"environment\":\"home\"}", at: "/environment"),
        Case("a duplicate key below", "{\"params\":{\"timeout\":1,\"timeout\":2}}", at: "/params/timeout"),
        Case("nested too deep", String(repeating: "[", count: 65) + String(repeating: "]", count: 65)),
        Case("nested too deep below params", "{\"params\":" + String(repeating: "{\"a\":", count: 100_000)),
        Case("no UTF-8", Array("{\"reason\":\"".utf8) + [0xFF, 0xFE] + Array("\"}".utf8)),
        Case("a lone surrogate", "{\"reason\":\"\\ud800\"}"), Case("a byte order mark", "\u{FEFF}{}"),
        Case("a control character", "{\"reason\":\"a\u{1}b\"}"), Case("a number beyond", "{\"a\":1e999}"),
        Case("no such number", "{\"a\":01}"), Case("NaN", "{\"a\":NaN}"),
    ])
    func `what is no JSON object is refused`(bad: Case) async throws { try await Self.expect(bad) }

    @Test(arguments: [
        Case(set: "environment", 1, at: "/environment"), Case(set: "environment", "../home", at: "/environment"),
        Case(set: "action", .null, at: "/action"), Case(set: "target", [], at: "/target"),
        Case(set: "params", "x", at: "/params"),
        Case(set: "params", [], at: "/params"), Case(set: "dry_run", "yes", at: "/dry_run"),
        Case(set: "dry_run", 1, at: "/dry_run"),
        Case(set: "reason", 5, at: "/reason"), Case(set: "expires_at", "tomorrow", at: "/expires_at"),
        Case(set: "expires_at", 5, at: "/expires_at"), Case(set: "approval_ticket", [:], at: "/approval_ticket"),
        Case(set: "approved_by", "a b", at: "/approved_by"), Case(set: "nonsense", 1, at: "/nonsense"),
        Case(set: "Environment", "cloud", at: "/Environment"),
        Case(set: "reason", .string(String(repeating: "x", count: 4097)), at: "/reason"),
        Case("no environment", #"{"action":"start_vm","target":"vm/136"}"#, at: "/environment"),
        Case("no action", #"{"environment":"cloud","target":"vm/136"}"#, at: "/action"),
        Case("no target", #"{"environment":"cloud","action":"start_vm"}"#, at: "/target"),
        Case(set: "environment", "nowhere", "unknown_environment"),
        Case(set: "environment", "Cloud", "unknown_environment"),
        Case(set: "action", "explode_vm", "unknown_action"), Case(set: "action", "START_VM", "unknown_action"),
        Case(set: "action", "", "unknown_action"),
    ])
    func `a field that is wrong is named`(bad: Case) async throws { try await Self.expect(bad) }

    @Test(arguments: [
        "", "vm", "vm/", "vm/99", "vm/0", "vm/-136", "vm/+136", "vm/0136", "vm/1000000000", "vm/99999999999999999999",
        "vm/1e3", "vm/136/", "vm/136/x", "VM/136", " vm/136", "vm/136 ", "vm/../136", "vm/136;stop", "vm/%31%33%36",
        "vm/136\u{0}", "vm/136\n", "vm/１３６", "lxc/118", "node/pve2", "cluster", "inventory/all",
    ])
    func `a target that the action does not take is refused`(target: String) async throws {
        try await Self.expect(Case(PlanRequest("start_vm", target), "invalid_target"))
    }

    @Test(arguments: [
        "storage/..", "storage/../x", "storage/a%2fb", "storage/a;b", "storage/a/b", "storage/a b", "storage/-ab",
        "storage/nas\u{0}",
    ])
    func `a storage's name can play no tricks`(target: String) async throws {
        let params: JSONObject = ["endpoint": "/storage/nas", "method": "DELETE"]
        try await Self.expect(Case(PlanRequest("storage_edit", target, params), "invalid_target"))
    }

    @Test(
        arguments: [
            ("node", "../pve2"), ("node", "pve2%2f.."), ("node", "pve2;x"), ("node", "pve 2"), ("node", ""),
            ("node", "pve2\r\nX: y"), ("node", 2), ("timeout", -1), ("timeout", 86401), ("timeout", "5"),
            ("timeout", true),
            ("timeout", .number(1.5)), ("timeout", .null), ("skiplock", true), ("vmid", 100),
        ] as [(String, JSON)])
    func `a parameter that is wrong is named`(name: String, value: JSON) async throws {
        try await Self.expect(Case(PlanRequest("start_vm", "vm/136", [name: value]), at: "/params/\(name)"))
    }

    @Test(arguments: [
        "", "storage/nas", "/", "/storage", "/storage/", "/storage/other", "/storage/nas/x", "/storage//nas",
        "/storage/../access/users", "/storage/nas/../../access", "/storage/./nas", "/storage/nas%2f..",
        "/storage/nas?delete=1", "/storage/nas;x", "/storage/nas#x", "/storage/nas\u{0}", "/storage/nas\r\nX: y",
        "/access/users", "/nodes/pve2/storage/nas", "/storage\\nas", "https://evil.example/storage/nas",
    ])
    func `an edit of storage stays at its target's path`(endpoint: String) async throws {
        let params: JSONObject = ["endpoint": .string(endpoint), "method": "PUT", "params": ["content": "iso"]]
        try await Self.expect(Case(PlanRequest("storage_edit", "storage/nas", params), at: "/params/endpoint"))
    }

    @Test(arguments: [
        "/nodes/pve2/qemu/101/firewall/rules", "/nodes/pve2/lxc/100/firewall/rules", "/nodes/pve2/qemu/100/config",
        "/nodes/pve2/qemu/100/firewall/../config", "/nodes/pve2/qemu/100/firewall/rules/..", "/cluster/firewall/rules",
        "/nodes/../qemu/100/firewall/rules", "/nodes/pve2/qemu/100/firewall", "/nodes/pve2;x/qemu/100/firewall/rules",
        "/nodes/pve2/qemu/100/firewall/rules/0/x",
    ])
    func `an edit of a firewall stays below its target's path`(endpoint: String) async throws {
        let params: JSONObject = ["endpoint": .string(endpoint), "method": "POST", "params": ["type": "in"]]
        try await Self.expect(Case(PlanRequest("firewall_edit", "firewall/vm/100", params), at: "/params/endpoint"))
    }

    @Test(
        arguments: [
            (["a b": 1], "/params/params/a b"), (["a;b": 1], "/params/params/a;b"), (["a": [1]], "/params/params/a"),
            (["a": ["b": 1]], "/params/params/a"), (["a": .null], "/params/params/a"),
            (["a": "x\u{0}y"], "/params/params/a"), (["": 1], "/params/params/"),
        ] as [(JSONObject, String)])
    func `what is passed on to PVE is names and plain values`(params: JSONObject, pointer: String) async throws {
        let wish = PlanRequest(
            "storage_edit", "storage/nas", ["endpoint": "/storage/nas", "method": "PUT", "params": .object(params)])
        try await Self.expect(Case(wish, at: pointer))
    }

    @Test(
        arguments: [
            ("plan_id", "pln_1"), ("plan_id", "op_00000000000000000000"), ("plan_id", 1), ("plan_id", .null),
            ("nonsense", 1), ("approved_by", 1),
        ] as [(String, JSON)])
    func `an apply by plan is held to its own fields`(key: String, value: JSON) async throws {
        try await withAgent { agent in
            var body: JSONObject = ["plan_id": "pln_00000000000000000000"]
            body[key] = value
            let reply = try await agent.post("/v1/actions/apply", .object(body))
            expectProblem(reply, 400, "invalid_request")
            #expect(reply["errors"]?.array?.first?["pointer"] == .string("/\(key)"), "\(reply)")
            #expect(try agent.records().map { $0["kind"] } == ["refuse"])
        }
    }

    @Test func `a plan that is not there is not found`() async throws {
        try await withAgent { agent in
            let id = "pln_00000000000000000000"
            expectProblem(try await agent.apply(id), 404, "plan_not_found")
            expectProblem(try await agent.get("/v1/plans/\(id)"), 404, "plan_not_found")
            expectProblem(try await agent.get("/v1/plans/pln_x"), 404, "plan_not_found")
            expectProblem(try await agent.send(.delete, "/v1/plans/\(id)"), 404, "plan_not_found")
            #expect(try agent.records().map { $0["kind"] } == ["refuse", "refuse"])
        }
    }

    @Test(arguments: [
        ("/v1/actions/plan?x=1", "{}"), ("/v1/actions/apply?dry_run=true", "{}"),
        ("/v1/operations/op_00000000000000000000/cancel", ""), ("/v1/operations/op_00000000000000000000/resolve", "{"),
        ("/v1/operations/op_00000000000000000000/resolve", #"{"outcome":"failed"}"#), ("/v1/operations/x/cancel", ""),
    ])
    func `whatever else would change something is recorded once, too`(path: String, body: String) async throws {
        try await withAgent { agent in
            let reply = try await agent.send(.post, path, body: Array(body.utf8))
            #expect([400, 404].contains(reply.status))
            let records = try agent.records()
            #expect(records.map { $0["kind"] } == ["refuse"])
            #expect(records.first?["result"]?["code"]?.string == reply.code)
        }
    }

    @Test func `empty params are fine`() async throws {
        try await withAgent { agent in
            _ = try await agent.planID(PlanRequest.start.with("params", [:]))
        }
    }

    @Test func `64 levels are read, 65 are not`() async throws {
        try await withAgent { agent in
            for levels in [64, 65] {
                let inner = String(repeating: "[", count: levels - 2) + String(repeating: "]", count: levels - 2)
                let body = Array("{\"params\":{\"a\":\(inner)}}".utf8)
                let reply = try await agent.send(.post, "/v1/actions/plan", body: body)
                expectProblem(reply, 400, "invalid_request")
                let pointers = reply["errors"]?.array?.compactMap { $0["pointer"]?.string } ?? []
                #expect(pointers.contains("/environment") == (levels == 64), "\(reply)")
            }
        }
    }
}
