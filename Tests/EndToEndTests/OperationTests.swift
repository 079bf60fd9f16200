import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Operations on their way: followed, waited for, cancelled, settled.
@Suite(.timeLimit(.minutes(2)))
struct OperationTests {
    @Test func `what PVE has accepted is answered 202 and can be followed`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let id = try await agent.planID(.stop)
            let reply = try await agent.apply(id, approvedBy: "alice", wait: nil)
            #expect(reply.status == 202, "\(reply)")
            let operation = try #require(reply["operation"]?["operation_id"]?.string)
            #expect(reply.fields[.location] == "/v1/operations/\(operation)")
            #expect(reply["result"]?["status"] == "running")
            #expect(try agent.pve().activeTasks.first == reply["operation"]?["upid"]?.string)
            #expect(try await agent.planState(id) == "applying")
            expectProblem(try await agent.apply(id, approvedBy: "alice"), 409, "plan_consumed")
            expectProblem(try await agent.send(.delete, "/v1/plans/\(id)"), 409, "plan_consumed")

            let now = try await agent.get("/v1/operations/\(operation)")
            #expect(now["state"] == "running")
            async let later = agent.get("/v1/operations/\(operation)?wait=20")
            try agent.pve().releaseTasks()
            #expect(try await later["state"] == "succeeded")
            #expect(try await agent.planState(id) == "applied")
        }
    }

    @Test func `Prefer wait bounds the wait and says so`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let start = ContinuousClock.now
            let reply = try await agent.apply(try await agent.planID(.start), wait: 1)
            #expect(reply.status == 202)
            #expect(reply.fields[.name("Preference-Applied")] == "wait=1")
            #expect((.seconds(1)..<(.seconds(10))).contains(ContinuousClock.now - start))
            try agent.pve().releaseTasks()
            #expect(try await agent.end(of: reply)["state"] == "succeeded")
        }
    }

    @Test func `a running operation is cancelled by stopping PVE's task`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let plan = try await agent.planID(.stop)
            let reply = try await agent.apply(plan, approvedBy: "alice", wait: nil)
            let id = try #require(reply["operation"]?["operation_id"]?.string)
            let asked = try await agent.post("/v1/operations/\(id)/cancel", [:], as: "other-agent")
            #expect(asked.status == 202, "\(asked)")
            let ended = try await agent.end(of: reply)
            #expect(ended["state"] == "cancelled")
            #expect(ended["cancel_requested_by"] == "other-agent")
            #expect(try await agent.planState(plan) == "failed")
            #expect(try agent.pve().guest(100)?.status == "running")
            #expect(try agent.pve().activeTasks.isEmpty)
            expectProblem(try await agent.post("/v1/operations/\(id)/cancel", [:]), 409, "not_cancellable")
            #expect(try agent.kinds(of: plan) == ["plan", "approve", "apply_intent", "cancel", "apply", "refuse"])
        }
    }

    @Test func `a task that PVE would not stop, and that failed by itself, was not cancelled`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            try agent.pve().inject(Fault(.taskError("VM quit"), method: "POST"))
            let plan = try await agent.planID(.stop)
            let reply = try await agent.apply(plan, approvedBy: "alice", wait: nil)
            let id = try #require(reply["operation"]?["operation_id"]?.string)
            try agent.pve().inject(Fault(.status(403, reason: "Permission check failed"), method: "DELETE"))
            expectProblem(try await agent.post("/v1/operations/\(id)/cancel", [:]), 502, "upstream_refused")
            try agent.pve().releaseTasks()
            let ended = try await agent.end(of: reply)
            #expect(ended["state"] == "failed")
            #expect(ended["cancel_requested_by"] == nil)
        }
    }

    @Test func `PVE's log of an operation's task is shown page by page`() async throws {
        try await withAgent { agent in
            let reply = try await agent.apply(try await agent.planID(PlanRequest.clone(as: 500)))
            let id = try #require(reply["operation"]?["operation_id"]?.string)
            let log = try await agent.get("/v1/operations/\(id)/log")
            let total = try #require(log["total"]?.integer)
            #expect(log["lines"]?.array?.last == "TASK OK")
            #expect(log["lines"]?.array?.count == Int(total))
            let part = try await agent.get("/v1/operations/\(id)/log?start=1&limit=1")
            #expect(part["start"] == 1)
            #expect(part["lines"]?.array == log["lines"]?.array.map { Array($0[1...1]) })
        }
    }

    @Test func `plans and operations of one target are found, with those that reach it otherwise`() async throws {
        try await withAgent { agent in
            let start = try await agent.planID(.start)
            let bulk = try await agent.planID(PlanRequest("bulk_shutdown", "cluster", ["vms": [100, 136]]))
            let rule = try await agent.planID(.addRule)
            let reply = try await agent.apply(start)
            let operation = try #require(reply["operation"]?["operation_id"])
            func plans(_ query: String) async throws -> [String?]? {
                try await agent.get("/v1/plans?\(query)")["plans"]?.array?.map { $0["plan_id"]?.string }
            }
            #expect(try await plans("environment=cloud&target=vm/136") == [bulk, start])
            #expect(try await plans("target=vm%2F100") == [rule, bulk])
            #expect(try await plans("target=firewall/vm/100") == [rule])
            #expect(try await plans("target=vm/136&state=applied") == [start])
            #expect(try await plans("target=vm/136&limit=1&before=\(bulk)") == [start])
            #expect(try await plans("target=lxc/999") == [])
            let found = try await agent.get("/v1/operations?environment=cloud&target=vm/136")
            #expect(found["operations"]?.array?.map { $0["operation_id"] } == [operation])
            #expect(try await agent.get("/v1/operations?target=vm/100")["operations"] == [])
        }
    }

    @Test func `operations are listed newest first, filtered and page by page`() async throws {
        try await withAgent { agent in
            var ids: [JSON] = []
            for newID in 500..<503 {
                let reply = try await agent.apply(try await agent.planID(PlanRequest.clone(as: newID)))
                ids.append(try #require(reply["operation"]?["operation_id"]))
            }
            let page = try await agent.get("/v1/operations?limit=2&state=succeeded&environment=cloud")
            #expect(page["operations"]?.array?.map { $0["operation_id"] } == [ids[2], ids[1]])
            let next = try #require(page["next"]?.string)
            let rest = try await agent.get("/v1/operations?limit=2&before=\(next)")
            #expect(rest["operations"]?.array?.map { $0["operation_id"] } == [ids[0]])
            #expect(rest["next"] == .null)
            #expect(try await agent.get("/v1/operations?state=failed")["operations"] == [])
        }
    }

    @Test(arguments: [
        ("GET", ""), ("GET", "?wait=1"), ("GET", "/log"), ("POST", "/cancel"), ("POST", "/resolve"),
    ])
    func `an operation that is not there is not found`(method: String, tail: String) async throws {
        try await withAgent { agent in
            for id in ["op_00000000000000000000", "op_1", "pln_00000000000000000000"] {
                let body: JSON = ["outcome": "failed", "reason": "none"]
                let reply =
                    method == "GET"
                    ? try await agent.get("/v1/operations/\(id)\(tail)")
                    : try await agent.post("/v1/operations/\(id)\(tail)", body)
                expectProblem(reply, 404, "operation_not_found")
            }
        }
    }
}
