import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// A request with an `Idempotency-Key` is carried out once, however often it comes.
@Suite(.timeLimit(.minutes(2)))
struct IdempotencyTests {
    private func isReplayed(_ reply: Reply) -> Bool { reply.fields[.name("Idempotency-Replayed")] == "true" }

    @Test func `the same plan request is answered as before, and another one is not taken`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let first = try await agent.plan(.start, by: .agent, key: "k-1")
            #expect(first.status == 200 && !isReplayed(first), "\(first)")
            let again = try await agent.plan(.start, by: .agent, key: "k-1")
            #expect(again.status == 200 && again.body == first.body && isReplayed(again), "\(again)")
            expectProblem(try await agent.plan(.stop, by: .agent, key: "k-1"), 422, "idempotency_key_reused")
            #expect(try await agent.send(.get, "/v1/plans", by: .agent)["plans"]?.array?.count == 1)
            #expect(try agent.kinds(of: first) == ["plan"])

            let whole = try await agent.apply(first, by: .agent, key: "k-1")
            #expect(whole["result"]?["status"] == "succeeded" && !isReplayed(whole), "a route has its own keys")
            let other = try await agent.plan(.stop, by: .other, key: "k-1")
            #expect(other.status == 200 && !isReplayed(other), "a principal has its own keys: \(other)")
        }
    }

    @Test func `the same apply is answered as before, whatever became of the plan`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            let first = try await agent.apply(plan, by: .agent, key: "k-1")
            #expect(first["result"]?["status"] == "succeeded", "\(first)")
            for _ in 0..<2 {
                let again = try await agent.apply(plan, by: .agent, key: "k-1")
                #expect(again.status == 200 && again.body == first.body && isReplayed(again), "\(again)")
            }
            expectProblem(try await agent.apply(plan, by: .agent), 409, "plan_consumed")
            expectProblem(try await agent.apply(plan, by: .agent, key: "k-2"), 409, "plan_consumed")
            let another = try await agent.plan(.stop, by: .agent)
            expectProblem(try await agent.apply(another, by: .agent, key: "k-1"), 422, "idempotency_key_reused")
            expectProblem(try await agent.apply(plan, by: .other, key: "k-1"), 403, "forbidden")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `an answer that it goes on is kept with its place`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            try agent.pve().holdTasks()
            let body: JSON = ["plan_id": try await agent.plan(.start, by: .agent)["plan_id"] ?? .null]
            let first = try await agent.send(.post, "/v1/actions/apply", body, by: .agent, key: "k-1")
            let again = try await agent.send(.post, "/v1/actions/apply", body, by: .agent, key: "k-1")
            #expect(first.status == 202 && again.status == 202)
            #expect(again.body == first.body && again.fields[.location] == first.fields[.location])
            #expect(first.fields[.location] != nil)
        }
    }

    @Test func `of many at the same time one makes a plan`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                for _ in 0..<12 { group.addTask { try await agent.plan(.start, by: .agent, key: "k-1") } }
                return try await group.reduce(into: [Reply]()) { $0.append($1) }
            }
            let made = replies.filter { $0.status == 200 }
            #expect(Set(made.map { $0["plan_id"] }).count == 1)
            for reply in replies where reply.status != 200 { expectProblem(reply, 409, "idempotency_in_progress") }
            #expect(try agent.records().count { $0["kind"] == "plan" } == 1)
            let again = try await agent.plan(.start, by: .agent, key: "k-1")
            #expect(again.body == made.first?.body && isReplayed(again))
        }
    }

    @Test func `once there is an answer it is given to many at the same time`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let first = try await agent.plan(.start, by: .agent, key: "k-1")
            let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                for _ in 0..<24 { group.addTask { try await agent.plan(.start, by: .agent, key: "k-1") } }
                return try await group.reduce(into: [Reply]()) { $0.append($1) }
            }
            for reply in replies where reply.status == 200 { #expect(reply.body == first.body) }
            #expect(replies.allSatisfy { $0.status == 200 })
        }
    }

    @Test func `a refusal is not kept, so that it can be mended and sent again`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let unknown = PlanRequest("fly_vm", "vm/100")
            expectProblem(try await agent.plan(unknown, by: .agent, key: "k-1"), 400, "unknown_action")
            expectProblem(try await agent.plan(.stop, by: .watcher, key: "k-1"), 403, "forbidden")
            let plan = try await agent.plan(.stop, by: .agent, key: "k-1")
            #expect(plan.status == 200 && !isReplayed(plan), "\(plan)")
            for _ in 0..<2 {
                let early = try await agent.apply(plan, by: .agent, key: "k-1")
                expectProblem(early, 403, "approval_required")
                #expect(!isReplayed(early))
            }
            _ = try await agent.decide("approve", plan, by: .alice)
            let applied = try await agent.apply(plan, by: .agent, key: "k-1")
            #expect(applied["result"]?["status"] == "succeeded" && !isReplayed(applied), "\(applied)")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a failure of an operation is kept`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            try agent.pve().inject(Fault(.status(500, reason: "not today"), method: "POST", path: "/nodes/pve2"))
            let first = try await agent.apply(plan, by: .agent, key: "k-1")
            expectProblem(first, 502, "upstream_refused")
            let again = try await agent.apply(plan, by: .agent, key: "k-1")
            #expect(again.status == 502 && again.body == first.body && isReplayed(again), "\(again)")
            #expect(again.fields[.contentType] == "application/problem+json")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `an answer of the past tells nothing to somebody who may not see it any more`() async throws {
        let agent = try await ServedAgent(TestPrincipals.setup())
        let first = try await agent.plan(.start, by: .agent, key: "k-1")
        #expect(first.status == 200, "\(first)")
        var setup = TestPrincipals.setup()
        var members = setup.settings["principals"]?.array ?? []
        var entry = try #require(members[0].object)
        entry["environments"] = ["home"]
        members[0] = .object(entry)
        setup.settings["principals"] = .array(members)
        try await agent.reload(setup, until: "put in force")
        expectProblem(try await agent.plan(.start, by: .agent, key: "k-1"), 400, "unknown_environment")
        #expect(try await agent.stop().status == 0)
    }

    @Test(arguments: ["", "a b", "ä", String(repeating: "k", count: 256)])
    func `a key has a form`(key: String) async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            expectProblem(try await agent.plan(.start, by: .agent, key: key), 400, "invalid_request")
            #expect(try agent.records().allSatisfy { $0["kind"] != "plan" })
        }
    }

    @Test func `keys live through a kill, and an apply is then answered by its operation as it stands`() async throws {
        let agent = try CrashableAgent(TestPrincipals.setup())
        try await agent.start(dying: "answer.after")
        let plan = try await agent.plan(.start, by: .agent, key: "k-1")
        #expect(plan.status == 200, "\(plan)")
        _ = try? await agent.apply(plan, by: .agent, key: "k-2")
        try await agent.die(bySelf: true)
        try await agent.start()
        let replanned = try await agent.plan(.start, by: .agent, key: "k-1")
        #expect(replanned.body == plan.body && isReplayed(replanned), "\(replanned)")
        let operations = try await agent.send(.get, "/v1/operations", by: .agent)["operations"]?.array
        let id = try #require(operations?.first?["operation_id"]?.string)
        _ = try await agent.send(.get, "/v1/operations/\(id)?wait=20", by: .agent)
        let applied = try await agent.apply(plan, by: .agent, key: "k-2")
        #expect(applied.status == 200 && isReplayed(applied), "\(applied)")
        #expect(applied["operation"]?["operation_id"]?.string == id)
        #expect(applied["result"]?["status"] == "succeeded")
        #expect(agent.executed.count == 1)
        try await agent.stop()
    }
}
