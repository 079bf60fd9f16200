import StrictJSON
import Testing

/// What needs an approval does not happen without one.
@Suite(.timeLimit(.minutes(1)))
struct ApprovalTests {
    @Test(arguments: PlanRequest.approved)
    func `without an approval nothing happens`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let id = try await agent.planID(wish)
            let reply = try await agent.apply(id)
            expectProblem(reply, 403, "approval_required")
            #expect(reply["plan_id"]?.string == id)
            #expect(reply["detail"]?.string?.contains("approved_by") == true, "the cure is named")
            expectProblem(try await agent.post("/v1/actions/apply", wish.json), 403, "approval_required")
            #expect(agent.executed.isEmpty)
            #expect(try await agent.planState(id) == "awaiting_approval")
            #expect(try agent.kinds(of: id) == ["plan", "refuse", "refuse"])
        }
    }

    @Test(arguments: ["pi-agent", "PI-Agent", "operator", "Operator"])
    func `nobody approves their own plan, under no name and in no case`(name: String) async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.stop)
            expectProblem(try await agent.apply(id, approvedBy: name), 403, "self_approval")
            #expect(agent.executed.isEmpty)
            let reply = try await agent.apply(id, approvedBy: "alice")
            #expect(reply["result"]?["status"] == "succeeded", "the plan is still good: \(reply)")
        }
    }

    @Test(arguments: [
        "", "al", "alice smith", "alice\n", "älice", String(repeating: "a", count: 129), "proxmox-agent", "Anonymous",
    ])
    func `an approver's name has a form`(name: String) async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.stop)
            let reply = try await agent.apply(id, approvedBy: name)
            expectProblem(reply, 400, "invalid_request")
            #expect(reply["errors"]?.array?.first?["pointer"] == "/approved_by")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `a real PVE takes no declared approval unless it is told to`() async throws {
        try await withAgent(Setup(.simulated("cloud"), settings: [:])) { agent in
            let planned = try await agent.plan(.stop)
            #expect(planned["requires"] == ["approvals": 1, "assurance": "verified"])
            let id = try #require(planned["plan_id"]?.string)
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 403, "approval_required")
            #expect(reply["detail"]?.string?.contains("accept_declared_approvals") == true)
            #expect(agent.executed.isEmpty)
            #expect(try await agent.planState(id) == "awaiting_approval")
        }
    }

    @Test func `a built-in simulator takes one as it is`() async throws {
        let home = Setup.Environment(name: "home", baseURL: "simulator://home")
        try await withAgent(Setup(home, settings: [:])) { agent in
            let id = try await agent.planID(PlanRequest("stop_vm", "vm/100", in: "home"))
            let reply = try await agent.apply(id, approvedBy: "alice")
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
            let one = try await agent.post("/v1/actions/apply", PlanRequest("read_vm", "vm/100", in: "home").json)
            #expect(one["result"]?["data"]?["status"]?["status"] == "stopped")
        }
    }

    @Test func `the approval is in the plan, the operation and the log`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.stop)
            let reply = try await agent.apply(id, approvedBy: "alice")
            #expect(reply["operation"]?["approvals"]?.array?.first?["approver"] == "alice")
            let plan = try await agent.get("/v1/plans/\(id)")
            #expect(plan["approvals"]?.array?.first?["assurance"] == "declared")
            let record = try #require(try agent.records().first { $0["kind"] == "approve" })
            #expect(record["actor"] == "pi-agent")
            #expect(record["result"]?["approver"] == "alice")
            #expect(record["result"]?["plan_hash"] == plan["plan_hash"])
            #expect(record["result"]?["approvals"] == "1/1")
        }
    }

    @Test func `only who asked for a plan applies it`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.start)
            for other in ["other-agent", "PI-AGENT", nil] {
                expectProblem(try await agent.apply(id, as: other), 403, "forbidden")
                expectProblem(
                    try await agent.post("/v1/actions/apply", PlanRequest.start.json, as: other), 409, "plan_required")
            }
            #expect(agent.executed.isEmpty)
            #expect(try await agent.apply(id)["result"]?["status"] == "succeeded")
        }
    }
}
