import StrictJSON
import Testing

/// The configuration changed while the agent was down: what was looked at before is not what is there now.
@Suite(.timeLimit(.minutes(1)))
struct EnvironmentChangedTests {
    /// Gives the environments' PVEs another name for the same address.
    private static func moved(_ document: inout JSONObject) {
        document["environments"] = .array(
            (document["environments"]?.array ?? []).map { environment in
                var object = environment.object ?? JSONObject()
                let url = object["base_url"]?.string ?? ""
                object["base_url"] = .string(url.replacing("127.0.0.1", with: "localhost"))
                return .object(object)
            })
    }

    @Test func `a plan for another address is stale, and nothing is executed`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        let plans = [try await agent.planID(.start), try await agent.planID(.stop)]
        try await agent.die()
        try agent.configure(Self.moved)
        try await agent.start()
        for (plan, approver) in zip(plans, [nil, "alice"]) {
            #expect(try await agent.planState(plan) == (approver == nil ? "approved" : "awaiting_approval"))
            let reply = try await agent.apply(plan, approvedBy: approver)
            expectProblem(reply, 409, "plan_stale")
            #expect(reply["detail"]?.string?.contains("address") == true, "\(reply)")
            #expect(try await agent.planState(plan) == "stale")
            expectProblem(try await agent.apply(plan, approvedBy: approver), 409, "plan_stale")
        }
        #expect(agent.executed.isEmpty)
        #expect(try agent.kinds(of: plans[0]) == ["plan", "refuse", "refuse"])
        let anew = try await agent.apply(try await agent.planID(.start))
        #expect(anew["result"]?["status"] == "succeeded", "\(anew)")
        try await agent.stop()
    }

    @Test func `a change that was under way ends as unknown, as the new address cannot tell of it`() async throws {
        let agent = try CrashableAgent()
        try await agent.start(dying: "answer.after")
        let plan = try await agent.planID(.start)
        _ = try? await agent.apply(plan)
        try await agent.die(bySelf: true)
        try agent.configure(Self.moved)
        try await agent.start()
        #expect(try await agent.settled()[plan]?["state"] == "unknown")
        let id = try await agent.operation(of: plan)
        #expect(try await agent.get("/v1/operations/\(id)")["state"] == "unknown")
        #expect(agent.executed.count == 1)
        let word: JSON = ["outcome": "succeeded", "reason": "task list of pve2"]
        #expect(try await agent.post("/v1/operations/\(id)/resolve", word, as: "alice")["state"] == "succeeded")
        #expect(try await agent.planState(plan) == "applied")
        try await agent.stop()
    }

    @Test func `an environment that is gone is unknown, and its plans can still be looked at`() async throws {
        let agent = try CrashableAgent(Setup(.simulated("cloud"), .simulated("home")))
        try await agent.start()
        let plan = try await agent.planID(.start)
        try await agent.die()
        try agent.configure { $0["environments"] = .array(Array(($0["environments"]?.array ?? []).dropFirst())) }
        try await agent.start()
        #expect(try await agent.planState(plan) == "approved")
        expectProblem(try await agent.apply(plan), 400, "unknown_environment")
        #expect(agent.executed.isEmpty)
        try await agent.stop()
    }
}
