import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

/// PVE fails in all the ways it can; a change is sent at most once in each.
@Suite(.timeLimit(.minutes(2)))
struct FaultTests {
    private static let startPath = "/nodes/pve2/qemu/136/status/start"

    /// A fault that leaves open whether the change was made.
    struct Doubt: Sendable, CustomTestStringConvertible {
        let effect: Fault.Effect
        let code: String

        init(_ effect: Fault.Effect, _ code: String) { (self.effect, self.code) = (effect, code) }

        var testDescription: String { "\(effect)" }

        static let all = [
            Doubt(.reset, "upstream_invalid"),
            Doubt(.hang, "upstream_timeout"),
            Doubt(.status(502, reason: "Bad Gateway"), "upstream_unreachable"),
            Doubt(.status(504, reason: "Gateway Time-out"), "upstream_unreachable"),
            Doubt(.status(595, reason: "no route to host"), "upstream_unreachable"),
            Doubt(.status(596, reason: "broken pipe"), "upstream_unreachable"),
            Doubt(.status(599, reason: "too many redirections"), "upstream_unreachable"),
        ]
    }

    @Test(arguments: Doubt.all)
    func `in doubt the outcome is unknown, the change was sent once, and a person settles it`(
        doubt: Doubt
    ) async throws {
        let setup = Setup(.simulated("cloud", settings: ["timeout_ms": 1500]))
        try await withAgent(setup) { agent in
            let plan = try await agent.planID(.start)
            try agent.pve().inject(Fault(doubt.effect, method: "POST", path: Self.startPath))
            let reply = try await agent.apply(plan)
            #expect(reply.status == 200, "an outcome like others: \(reply)")
            #expect(reply["result"]?["status"] == "unknown")
            #expect(reply["operation"]?["code"]?.string == doubt.code)
            let id = try #require(reply["operation"]?["operation_id"]?.string)
            let operation = try await agent.get("/v1/operations/\(id)")
            #expect(operation["state"] == "unknown", "\(operation)")
            #expect(operation["message"]?.string?.contains("is not sent again") == true)
            #expect(try await agent.planState(plan) == "unknown")
            #expect(agent.executed.isEmpty)
            expectProblem(try await agent.apply(plan), 409, "plan_consumed")

            let wrong = try await agent.post("/v1/operations/\(id)/resolve", ["outcome": "maybe", "reason": "?"])
            expectProblem(wrong, 400, "invalid_request")
            let resolve: JSON = ["outcome": "succeeded", "reason": "looked at it"]
            let settled = try await agent.post("/v1/operations/\(id)/resolve", resolve, as: "alice")
            #expect(settled["state"] == "succeeded", "\(settled)")
            #expect(try await agent.planState(plan) == "applied")
            expectProblem(try await agent.post("/v1/operations/\(id)/resolve", resolve), 400, "invalid_request")
            #expect(agent.executed.isEmpty)
            let kinds = try agent.kinds(of: plan)
            #expect(kinds == ["plan", "apply_intent", "apply", "refuse", "resolve"])
        }
    }

    @Test(arguments: [Fault.Effect.executeThenReset, .cutBody, .wrongJSON, .html])
    func `an answer that is lost is looked up at once, and nothing is sent again`(effect: Fault.Effect) async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.start)
            try agent.pve().inject(Fault(effect, method: "POST", path: Self.startPath))
            let reply = try await agent.apply(plan)
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
            #expect(reply["operation"]?["upid"] != nil)
            #expect(reply["operation"]?["code"] == nil)
            #expect(agent.executed.count == 1)
            #expect(try agent.kinds(of: plan) == ["plan", "apply_intent", "apply"])
        }
    }

    /// What becomes of a call that starts no task and whose answer is lost, and what PVE shows of it.
    @Test(
        arguments: [
            (.executeThenReset, ["tags": ["new"]], ["everything that was planned is there", "tags is"]),
            (.reset, ["tags": ["new"]], ["PVE shows no trace of it"]),
            (
                .executeThenReset, ["memory": 96, "net0": "name=eth0,bridge=vmbr99"],
                ["part of what was planned is there", "memory is 96"]
            ),
        ] as [(Fault.Effect, JSONObject, [String])])
    func `of a lost answer without a task PVE's state is told, and the outcome stays unknown`(
        effect: Fault.Effect, params: JSONObject, words: [String]
    ) async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.setRunning(118, false)
            pve.setConfig(118, "tags", nil)
            let plan = try await agent.planID(PlanRequest("configure_container", "lxc/118", params))
            let node = try #require(pve.guest(118)?.node)
            pve.inject(Fault(effect, method: "PUT", path: "/nodes/\(node)/lxc/118/config"))
            let operation = try await agent.end(of: try await agent.apply(plan, approvedBy: "alice"))
            #expect(operation["state"] == "unknown", "\(operation)")
            let message = operation["message"]?.string ?? ""
            for word in words + ["is not sent again"] { #expect(message.contains(word), "\(message)") }
            #expect(try agent.records().last?["result"]?["message"] == operation["message"])
            #expect(operation["left"] == nil || operation["left"] == .null)
        }
    }

    @Test(arguments: [400, 401, 403, 500, 501, 503])
    func `what PVE refused failed, with PVE's words`(status: Int) async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.start)
            let fault = Fault.Effect.status(status, reason: "not today")
            try agent.pve().inject(Fault(fault, method: "POST", path: Self.startPath))
            let reply = try await agent.apply(plan)
            // A proxy's 503 is nobody's refusal, but nothing was done either.
            expectProblem(reply, 502, status == 503 ? "upstream_unreachable" : "upstream_refused")
            #expect(reply["upstream"]?["status"] == JSON(status))
            #expect(reply["upstream"]?["reason"]?.string?.contains("not today") == true)
            #expect(reply["detail"]?.string?.contains("not today") == true)
            #expect(try await agent.end(of: reply)["state"] == "failed")
            #expect(try await agent.planState(plan) == "failed")
            #expect(agent.executed.isEmpty)
            #expect(try agent.kinds(of: plan) == ["plan", "apply_intent", "apply"])
        }
    }

    @Test func `a refusal of PVE's own names the parameter`() async throws {
        try await withAgent { agent in
            let wish = PlanRequest(
                "firewall_edit", "firewall/cluster",
                [
                    "endpoint": "/cluster/firewall/rules", "method": "POST",
                    "params": ["type": "sideways", "action": "X"],
                ])
            let reply = try await agent.apply(try await agent.planID(wish), approvedBy: "alice")
            expectProblem(reply, 502, "upstream_refused")
            #expect(reply["upstream"]?["status"] == 400)
            #expect(reply["upstream"]?["errors"]?["type"] != nil, "\(reply)")
        }
    }

    @Test func `a task that fails fails the operation, with the end of its log`() async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.start)
            let fault = Fault.Effect.taskError("start failed: out of memory")
            try agent.pve().inject(Fault(fault, method: "POST", path: Self.startPath))
            let reply = try await agent.apply(plan)
            #expect(reply.status == 200, "the request itself went well: \(reply)")
            #expect(reply["result"]?["status"] == "failed")
            let message = try #require(reply["result"]?["message"]?.string)
            #expect(message.hasPrefix("start failed: out of memory; "), "\(message)")
            #expect(message.contains("nothing was changed"), "looked at again: \(message)")
            #expect(reply["operation"]?["log_tail"]?.array?.last == "TASK ERROR: start failed: out of memory")
            #expect(try await agent.planState(plan) == "failed")
            let outcome = try #require(try agent.records().last)
            #expect(outcome["result"]?["status"] == "failed")
            #expect(outcome["result"]?["upid"] == reply["operation"]?["upid"])
        }
    }

    @Test func `a task with warnings succeeded with warnings`() async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.start)
            try agent.pve().inject(Fault(.taskWarnings(2), method: "POST", path: Self.startPath))
            let reply = try await agent.apply(plan)
            #expect(reply["result"]?["status"] == "succeeded_with_warnings", "\(reply)")
            #expect(reply["result"]?["message"] == "WARNINGS: 2")
            #expect(reply["operation"]?["log_tail"]?.array?.contains("WARN: simulated warning 2") == true)
            #expect(try await agent.planState(plan) == "applied")
        }
    }

    @Test func `a task is followed through failures of reading it`() async throws {
        try await withAgent { agent in
            try agent.pve().inject(Fault(.reset, method: "GET", path: "/nodes/pve2/tasks/UPID", count: 2))
            try agent.pve().inject(Fault(.html, method: "GET", path: "/nodes/pve2/tasks/UPID"))
            let reply = try await agent.apply(try await agent.planID(.start))
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a PVE that is not reached leaves the plan good`() async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.stop)
            try await agent.datacenter.unplug("cloud")
            let reply = try await agent.apply(plan, approvedBy: "alice")
            expectProblem(reply, 502, "upstream_unreachable")
            #expect(try await agent.end(of: reply)["state"] == "failed")
            #expect(try await agent.planState(plan) == "approved")
            #expect(try agent.kinds(of: plan) == ["plan", "approve", "refuse"])
            expectProblem(try await agent.plan(.stop), 502, "upstream_unreachable")
            try agent.datacenter.plug("cloud")
            let again = try await agent.apply(plan)
            #expect(again["result"]?["status"] == "succeeded", "approved already: \(again)")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a PVE that falls silent before the change leaves the plan good`() async throws {
        let setup = Setup(.simulated("cloud", settings: ["timeout_ms": 500]))
        try await withAgent(setup) { agent in
            let plan = try await agent.planID(.start)
            try agent.pve().inject(Fault(.hang, method: "GET", path: "/nodes/pve2/qemu/136", count: 9))
            let reply = try await agent.apply(plan)
            expectProblem(reply, 504, "upstream_timeout")
            #expect(try await agent.end(of: reply)["state"] == "failed")
            #expect(try await agent.planState(plan) == "approved")
            #expect(agent.executed.isEmpty)
            try agent.pve().clearFaults()
            #expect(try await agent.apply(plan)["result"]?["status"] == "succeeded")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a redirect is an error, not a way`() async throws {
        let elsewhere = try RawServer(.request, .answer("200 OK", "{\"data\":[]}"), .again)
        let location = "Location: http://127.0.0.1:\(elsewhere.port)/api2/json/nodes"
        let pve = try RawServer(.request, .answer("302 Found", fields: [location]), .again)
        defer { for server in [elsewhere, pve] { server.stop() } }
        try await withAgent(Setup(.elsewhere("cloud", at: pve.port))) { agent in
            let reply = try await agent.get("/v1/nodes?environment=cloud")
            expectProblem(reply, 502, "upstream_refused")
            #expect(reply["upstream"]?["status"] == 302)
            #expect(elsewhere.connections == 0, "the token went nowhere else")
        }
    }

    @Test(arguments: ["say \"no\"", "<script>alert(1)</script>", "a\u{7}b\u{1B}[31m", "x\ty", "ü\u{202E}"])
    func `PVE's words are data`(reason: String) async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.start)
            try agent.pve().inject(Fault(.status(500, reason: reason), method: "POST", path: Self.startPath))
            let reply = try await agent.apply(plan)
            expectProblem(reply, 502, "upstream_refused")
            #expect(reply["upstream"]?["reason"]?.string?.isEmpty == false)
            #expect(!reply.body.contains { $0 < 0x20 })
            #expect(try agent.records().last?["result"]?["upstream"] == reply["upstream"])
        }
    }

    @Test(arguments: [502, 503, 504, 595, 596])
    func `reads are tried again where PVE's gateway gave up`(status: Int) async throws {
        try await withAgent { agent in
            try agent.pve().inject(Fault(.status(status, reason: "gave up"), method: "GET", count: 2))
            let reply = try await agent.get("/v1/nodes?environment=cloud")
            #expect(reply["result"]?["data"]?.array?.count == 3, "\(reply)")
            try agent.pve().inject(Fault(.status(status, reason: "gave up"), method: "GET", count: 3))
            let failed = try await agent.get("/v1/nodes?environment=cloud")
            expectProblem(failed, 502, "upstream_unreachable")
            #expect(failed["upstream"]?["status"] == JSON(status))
        }
    }

    @Test(arguments: [
        (Fault.Effect.hang, 504, "upstream_timeout"), (.cutBody, 502, "upstream_invalid"),
        (.wrongJSON, 502, "upstream_invalid"), (.html, 502, "upstream_invalid"),
        (.status(500, reason: "no"), 502, "upstream_refused"), (.status(401, reason: "no"), 502, "upstream_refused"),
    ])
    func `a read that fails is a typed error`(effect: Fault.Effect, status: Int, code: String) async throws {
        let setup = Setup(.simulated("cloud", settings: ["timeout_ms": 500]))
        try await withAgent(setup) { agent in
            try agent.pve().inject(Fault(effect, method: "GET", count: 20))
            expectProblem(try await agent.get("/v1/inventory?environment=cloud"), status, code)
            expectProblem(try await agent.get("/v1/nodes?environment=cloud"), status, code)
            expectProblem(try await agent.plan(.start), status, code)
            try agent.pve().clearFaults()
            #expect(try await agent.get("/v1/inventory?environment=cloud").status == 200)
            #expect(try agent.records().map { $0["kind"] } == ["refuse", "refuse", "refuse", "read"])
        }
    }
}
