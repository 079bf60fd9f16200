import FoundationEssentials
import HTTPTypes
import StrictJSON
import Testing

/// A plan is applied once, as it was made, in its time, or not at all.
@Suite(.timeLimit(.minutes(2)))
struct ApplyTests {
    @Test(arguments: [2, 20])
    func `of many applies at once exactly one executes`(count: Int) async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.stop)
            let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                for _ in 0..<count { group.addTask { try await agent.apply(id, approvedBy: "alice") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let winners = replies.filter { $0.status == 200 }
            #expect(winners.count == 1)
            let operation = try #require(winners.first?["operation"]?["operation_id"])
            for reply in replies where reply.status != 200 {
                expectProblem(reply, 409, "plan_consumed")
                #expect(reply["operation_id"] == operation)
            }
            #expect(agent.executed.count == 1)
            let kinds = try agent.kinds(of: id)
            #expect(kinds.count { $0 == "apply_intent" } == 1)
            #expect(kinds.count { $0 == "apply" } == 1)
            #expect(kinds.count { $0 == "approve" } == 1)
            #expect(kinds.count { $0 == "refuse" } == count - 1)
        }
    }

    @Test func `an applied plan stays consumed, by id and by request`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.start)
            let first = try await agent.apply(id)
            let again = try await agent.apply(id)
            expectProblem(again, 409, "plan_consumed")
            #expect(again["operation_id"] == first["operation"]?["operation_id"])
            expectProblem(try await agent.post("/v1/actions/apply", PlanRequest.start.json), 409, "plan_required")
            let cancel = try await agent.send(.delete, "/v1/plans/\(id)")
            expectProblem(cancel, 409, "plan_consumed")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `the whole request applies the plan that was made for it`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.start)
            // The same wish with its defaults spelt out, and other words around it.
            let wish = PlanRequest.start.with("dry_run", false).with("params", [:]).with("reason", "because")
            let reply = try await agent.post("/v1/actions/apply", wish.json, wait: 15)
            #expect(reply["plan_id"]?.string == id, "\(reply)")
            #expect(reply["result"]?["status"] == "succeeded")
        }
    }

    @Test func `the whole request with plan_id must be the planned one`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.start)
            let others = [
                PlanRequest.start.with("params", ["timeout": 5]), PlanRequest.start.with("dry_run", true),
                PlanRequest("start_vm", "vm/100"),
                PlanRequest("stop_vm", "vm/136"),
            ]
            for other in others {
                let reply = try await agent.post("/v1/actions/apply", other.with("plan_id", .string(id)).json)
                expectProblem(reply, 409, "request_hash_mismatch")
            }
            #expect(agent.executed.isEmpty)
            let reply = try await agent.post(
                "/v1/actions/apply", PlanRequest.start.with("plan_id", .string(id)).json, wait: 15)
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        }
    }

    @Test(arguments: PlanRequest.changes)
    func `a change without a plan is refused`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let reply = try await agent.post("/v1/actions/apply", wish.with("approved_by", "alice").json)
            expectProblem(reply, 409, "plan_required")
            #expect(reply["detail"]?.string?.contains("POST /v1/actions/plan") == true)
            #expect(agent.executed.isEmpty)
            #expect(try agent.records().map { $0["kind"] } == ["refuse"])
        }
    }

    @Test func `the newest approved plan wins, then the newest live one`() async throws {
        try await withAgent { agent in
            let old = try await agent.planID(.start)
            let new = try await agent.planID(.start)
            let reply = try await agent.post("/v1/actions/apply", PlanRequest.start.json, wait: 15)
            #expect(reply["plan_id"]?.string == new)
            #expect(try await agent.planState(old) == "approved")
        }
    }

    @Test func `an expired plan cannot be applied`() async throws {
        try await withAgent { agent in
            let start = try await agent.planID(.start)
            let stop = try await agent.planID(.stop)
            let delete = try await agent.planID(.delete)
            agent.clock.advance(seconds: 15 * 60)
            expectProblem(try await agent.apply(delete, approvedBy: "alice"), 410, "plan_expired")
            #expect(try await agent.planState(delete) == "expired", "high risk: 15 minutes")
            #expect(try await agent.planState(start) == "approved", "else 60")
            agent.clock.advance(seconds: 45 * 60)
            expectProblem(try await agent.apply(stop, approvedBy: "alice"), 410, "plan_expired")
            expectProblem(try await agent.post("/v1/actions/apply", PlanRequest.start.json), 409, "plan_required")
            expectProblem(try await agent.apply(start), 410, "plan_expired")
            let listed = try await agent.get("/v1/plans?state=expired")
            #expect(listed["plans"]?.array?.count == 3)
            #expect(agent.executed.isEmpty)
            #expect(try agent.kinds(of: stop) == ["plan", "expire", "refuse"])
        }
    }

    @Test func `a request may shorten a plan's life, not lengthen it`() async throws {
        try await withAgent { agent in
            let soon = agent.clock.now.addingTimeInterval(60)
            let id = try await agent.planID(PlanRequest.start.with("expires_at", .string(Self.text(soon))))
            agent.clock.advance(seconds: 61)
            expectProblem(try await agent.apply(id), 410, "plan_expired")
            for seconds in [-1.0, 3700] {
                let time = agent.clock.now.addingTimeInterval(seconds)
                let reply = try await agent.plan(PlanRequest.start.with("expires_at", .string(Self.text(time))))
                expectProblem(reply, 400, "invalid_request")
                #expect(reply["errors"]?.array?.first?["pointer"] == "/expires_at")
            }
            #expect(agent.executed.isEmpty)
        }
    }

    private static func text(_ date: Date) -> String { date.formatted(.iso8601) }

    @Test func `a cancelled plan cannot be applied, or cancelled again`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.start)
            let reply = try await agent.send(.delete, "/v1/plans/\(id)")
            #expect(reply.status == 200)
            #expect(reply["state"] == "cancelled")
            expectProblem(try await agent.apply(id), 409, "plan_cancelled")
            expectProblem(try await agent.send(.delete, "/v1/plans/\(id)"), 409, "plan_cancelled")
            #expect(agent.executed.isEmpty)
            #expect(try agent.kinds(of: id) == ["plan", "cancel", "refuse", "refuse"])
        }
    }

    @Test func `plans are listed newest first, page by page`() async throws {
        try await withAgent { agent in
            var ids: [String] = []
            for _ in 0..<5 { ids.append(try await agent.planID(.start)) }
            var found: [String] = []
            var next: String? = ""
            while let before = next {
                let more = before.isEmpty ? "" : "&before=\(before)"
                let page = try await agent.get("/v1/plans?limit=2&state=approved&environment=cloud\(more)")
                found += page["plans"]?.array?.compactMap { $0["plan_id"]?.string } ?? []
                next = page["next"]?.string
            }
            #expect(found == ids.reversed())
            #expect(try await agent.get("/v1/plans?state=denied")["plans"] == [])
        }
    }

    @Test func `the live plans of one principal are bounded, whatever its labels`() async throws {
        let setup = Setup(.simulated("cloud"), settings: ["plans": ["live_per_caller": 2]])
        try await withAgent(setup) { agent in
            let first = try await agent.planID(.start)
            _ = try await agent.planID(.start)
            expectProblem(try await agent.plan(.start), 429, "rate_limited")
            expectProblem(try await agent.plan(.start, as: "other-agent"), 429, "rate_limited")
            _ = try await agent.send(.delete, "/v1/plans/\(first)")
            _ = try await agent.planID(.start)
        }
    }
}
