import AgentTestSupport
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// Passing a window, a limit or a freeze in an emergency, and its review, over HTTP and on the command line.
@Suite(.timeLimit(.minutes(2)))
struct BreakGlassRouteTests {
    private static let rules: JSON = [
        [
            "id": "nights", "match": ["actions": ["start_vm"]],
            "effect": [
                "windows": ["zone": "UTC", "open": [["from": "2090-01-01T00:00", "to": "2090-01-01T01:00"]]]
            ],
        ]
    ]
    private static let wish = PlanRequest.start

    private static func apply(
        _ plan: JSON, _ reason: JSON?, by person: Person, at agent: RunningAgent
    ) async throws -> Reply {
        let body: JSON = ["plan_id": plan["plan_id"], "break_glass": reason]
        return try await agent.send(.post, "/v1/actions/apply", body: body.bytes, as: nil, token: person.token)
    }

    private static func close(
        _ id: String, _ body: JSON, by person: Person, at agent: RunningAgent
    ) async throws -> Reply {
        try await agent.send(.post, "/v1/reviews/\(id)", body: body.bytes, as: nil, token: person.token)
    }

    @Test func `the glass is broken, everything says so, and somebody else reviews it`() async throws {
        try await withAgent(Person.setup(rules: Self.rules)) { agent in
            let plan = try await Person.fire.plan(Self.wish, at: agent)
            expectProblem(try await Self.apply(plan, nil, by: .fire, at: agent), 409, "window_closed")
            for reason in ["", " \n", 7, ["a"]] as [JSON] {
                expectProblem(try await Self.apply(plan, reason, by: .fire, at: agent), 400, "invalid_request")
            }
            let shown = try await Person.fire.run(
                "apply", plan["plan_id"]?.string ?? "", "--break-glass", "the site is\ndown", at: agent)
            #expect(shown.status == 0, "\(shown)")

            let listed = try await Person.alice.get("/v1/reviews?state=open", at: agent)
            let review = try #require(listed["reviews"]?.array?.first, "\(listed)")
            let id = try #require(review["operation_id"]?.string)
            #expect(review["requester"] == "fire" && review["break_glass"]?["windows"] == ["nights"])
            #expect(review["verdict"] == nil && review["action"] == "start_vm" && review["plan_id"] == plan["plan_id"])
            #expect(try await Person.fire.get("/v1/reviews/\(id)", at: agent) == review)
            let operation = try await Person.fire.get("/v1/operations/\(id)?wait=20", at: agent)
            #expect(operation["state"] == "succeeded", "\(operation)")
            #expect(operation["break_glass"] == review["break_glass"])
            let after = try await Person.fire.get("/v1/plans/\(plan["plan_id"]?.string ?? "")", at: agent)
            #expect(after["break_glass"] == review["break_glass"])
            let metrics = try await agent.send(.get, "/metrics", as: nil, token: nil).text
            #expect(metrics.contains("proxmox_agent_reviews_open 1\n"))

            let lines = try await Person.alice.run("review", "list", "--state", "open", at: agent)
            #expect(
                lines.out.contains("\(id)  start_vm vm/136 on cloud  open")
                    && lines.out.contains(#"fire passed the change window of rule nights"#), "\(lines)")
            let text = try await Person.fire.run("operation", "show", id, at: agent)
            #expect(text.out.contains("emergency"), "\(text)")

            let good: JSON = ["verdict": "justified", "comment": "it was down"]
            expectProblem(try await Self.close(id, good, by: .fire, at: agent), 403, "forbidden")
            expectProblem(try await Self.close(id, good, by: .agent, at: agent), 403, "forbidden")
            expectProblem(try await Self.close("op_x", good, by: .alice, at: agent), 404, "operation_not_found")
            for body in [[:], ["verdict": "yes", "comment": "a"], ["verdict": "justified", "comment": ""]] as [JSON] {
                expectProblem(try await Self.close(id, body, by: .alice, at: agent), 400, "invalid_request")
            }
            let closed = try await Person.bob.run(
                "review", "close", id, "--verdict", "unjustified", "--comment", "it could wait", at: agent)
            #expect(closed.status == 0 && closed.out.contains("unjustified, says bob"), "\(closed)")
            expectProblem(try await Self.close(id, good, by: .alice, at: agent), 404, "not_found")
            let closedReviews = try await Person.alice.get("/v1/reviews?state=closed", at: agent)
            #expect(closedReviews["reviews"]?.array?.first?["verdict"]?["verdict"] == "unjustified")
            #expect(try await Person.alice.get("/v1/reviews?state=open", at: agent)["reviews"] == [])
            #expect(
                try await agent.send(.get, "/metrics", as: nil, token: nil).text
                    .contains("proxmox_agent_reviews_open 0\n"))
            let kinds = try agent.records().compactMap { $0["kind"]?.string }
            #expect(kinds.filter { ["break_glass", "review"].contains($0) } == ["break_glass", "review"])
        }
    }

    @Test func `the same request again breaks nothing again`() async throws {
        try await withAgent(Person.setup(rules: Self.rules)) { agent in
            let plan = try await Person.fire.plan(Self.wish, at: agent)
            #expect(try await Self.apply(plan, "now", by: .agent, at: agent).status == 403)
            #expect([200, 202].contains(try await Self.apply(plan, "now", by: .fire, at: agent).status))
            expectProblem(try await Self.apply(plan, "now", by: .fire, at: agent), 409, "plan_consumed")
            let reviews = try await Person.fire.get("/v1/reviews", at: agent)
            #expect(reviews["reviews"]?.array?.count == 1)
        }
    }
}
