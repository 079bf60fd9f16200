import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// One change of a guest at a time; the others wait their turn.
@Suite(.timeLimit(.minutes(1)))
struct QueueTests {
    @Test func `changes of one guest queue up, in order and one at a time`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            var replies: [Reply] = []
            for newID in 500..<503 {
                replies.append(try await agent.apply(try await agent.planID(PlanRequest.clone(as: newID)), wait: nil))
            }
            #expect(replies.map(\.status) == [202, 202, 202])
            #expect(replies.map { $0["operation"]?["state"] } == ["running", "queued", "queued"])
            #expect(replies.map { $0["operation"]?["queue_position"] } == [nil, 1, 2])
            #expect(replies.allSatisfy { $0.fields[.location] != nil })
            #expect(agent.executed.count == 1)
            let other = try await agent.apply(try await agent.planID(.start), wait: nil)
            #expect(other["operation"]?["state"] == "running", "another guest does not wait")

            try agent.pve().releaseTasks()
            for reply in replies { #expect(try await agent.end(of: reply)["state"] == "succeeded") }
            let clones = agent.executed.filter { $0.path.hasSuffix("/clone") }
            #expect(clones.map { $0.parameters["newid"] } == ["500", "501", "502"])
        }
    }

    @Test func `what was queued looks again before it starts`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let stop = try await agent.planID(.stop)
            let snapshot = try await agent.planID(.snapshot)
            let first = try await agent.apply(stop, approvedBy: "alice", wait: nil)
            let second = try await agent.apply(snapshot, wait: nil)
            #expect(second["result"]?["status"] == "queued", "\(second)")
            try agent.pve().releaseTasks()
            #expect(try await agent.end(of: first)["state"] == "succeeded")
            let ended = try await agent.end(of: second)
            #expect(ended["state"] == "failed")
            #expect(ended["code"] == "plan_stale")
            #expect(ended["moved"]?.array?.first?["field"] == "status")
            #expect(try await agent.planState(snapshot) == "stale")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a queued operation is cancelled before it starts, and its plan with it`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let first = try await agent.apply(try await agent.planID(PlanRequest.clone(as: 500)), wait: nil)
            let plan = try await agent.planID(PlanRequest.clone(as: 501))
            let second = try await agent.apply(plan, wait: nil)
            let third = try await agent.apply(try await agent.planID(PlanRequest.clone(as: 502)), wait: nil)
            let id = try #require(second["operation"]?["operation_id"]?.string)
            let cancelled = try await agent.post("/v1/operations/\(id)/cancel", [:])
            #expect(cancelled.status == 200, "\(cancelled)")
            #expect(cancelled["state"] == "cancelled")
            #expect(cancelled["cancel_requested_by"] == "pi-agent")
            #expect(try await agent.planState(plan) == "cancelled")
            expectProblem(try await agent.apply(plan), 409, "plan_cancelled")
            expectProblem(try await agent.post("/v1/operations/\(id)/cancel", [:]), 409, "not_cancellable")
            try agent.pve().releaseTasks()
            for reply in [first, third] { #expect(try await agent.end(of: reply)["state"] == "succeeded") }
            #expect(agent.executed.map { $0.parameters["newid"] } == ["500", "502"])
            #expect(try agent.kinds(of: plan) == ["plan", "queue", "cancel", "refuse", "refuse"])
        }
    }

    @Test func `who waits for a queued operation hears that it was cancelled`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            _ = try await agent.apply(try await agent.planID(.clone(as: 500)), wait: nil)
            let plan = try await agent.planID(.clone(as: 501))
            async let waiting = agent.apply(plan, wait: 30)
            let id = try await agent.operation(of: plan)
            _ = try await agent.post("/v1/operations/\(id)/cancel", [:], as: "other-agent")
            let reply = try await waiting
            #expect(reply.status == 200)
            #expect(reply["result"]?["status"] == "cancelled", "\(reply)")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a plan that expires while it waits is not carried out`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let first = try await agent.apply(try await agent.planID(.clone(as: 500)), wait: nil)
            let plan = try await agent.planID(.clone(as: 501))
            let second = try await agent.apply(plan, wait: nil)
            agent.clock.advance(seconds: 3601)
            #expect(try await agent.planState(plan) == "approved", "an operation has it")
            try agent.pve().releaseTasks()
            #expect(try await agent.end(of: first)["state"] == "succeeded")
            let ended = try await agent.end(of: second)
            #expect(ended["state"] == "failed")
            #expect(ended["code"] == "plan_expired")
            #expect(try await agent.planState(plan) == "expired")
            #expect(agent.executed.count == 1)
            #expect(try agent.kinds(of: plan) == ["plan", "queue", "refuse"])
        }
    }

    @Test func `guests of the same number in two environments do not wait for each other`() async throws {
        try await withAgent(Setup(.simulated("home"), .simulated("cloud"))) { agent in
            for name in ["home", "cloud"] { try agent.pve(name).holdTasks() }
            for name in ["home", "cloud"] {
                let plan = try await agent.planID(PlanRequest("stop_vm", "vm/100", in: name))
                let reply = try await agent.apply(plan, approvedBy: "alice", wait: nil)
                #expect(reply["result"]?["status"] == "running", "\(reply)")
            }
        }
    }

    @Test func `operations under way are bounded`() async throws {
        let settings: JSONObject = ["accept_declared_approvals": true, "limits": ["max_operations": 1]]
        try await withAgent(Setup(.simulated("cloud"), settings: settings)) { agent in
            try agent.pve().holdTasks()
            let first = try await agent.apply(try await agent.planID(.start), wait: nil)
            let stop = try await agent.planID(.stop)
            let reply = try await agent.apply(stop, approvedBy: "alice", wait: nil)
            expectProblem(reply, 503, "overloaded")
            #expect(try await agent.planState(stop) == "awaiting_approval")
            try agent.pve().releaseTasks()
            _ = try await agent.end(of: first)
            #expect(try agent.kinds(of: stop) == ["plan", "refuse"])
        }
    }

    @Test func `an agent that is stopping begins nothing`() async throws {
        try await withAgent { agent in
            let plan = try await agent.planID(.start)
            await agent.drain()
            expectProblem(try await agent.apply(plan), 503, "shutting_down")
            let ready = try await agent.get("/readyz")
            #expect(ready.status == 503)
            #expect(ready["missing"]?.array?.first?["code"] == "shutting_down")
            #expect(agent.executed.isEmpty)
            #expect(try await agent.planState(plan) == "approved")
        }
    }
}
