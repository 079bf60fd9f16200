import HTTPTypes
import StrictJSON
import Testing

/// What somebody has no rights in looks like what is not there.
@Suite(.timeLimit(.minutes(1)))
struct HiddenEnvironmentTests {
    private static let unknownPlan = "pln_00000000000000000000"
    private static let unknownOperation = "op_00000000000000000000"

    /// The answer without what differs from one request to the next, and with one name for what was asked for.
    private static func bare(_ reply: Reply, _ name: String) -> String {
        let id = reply["request_id"]?.string ?? ""
        return "\(reply.status) " + reply.text.replacing(id, with: "REQUEST").replacing(name, with: "NAME")
    }

    /// A request about an environment called NAME.
    struct Ask: Sendable, CustomTestStringConvertible {
        let method: HTTPRequest.Method
        let path: String
        var body: JSON?

        init(_ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil) {
            (self.method, self.path, self.body) = (method, path, body)
        }

        var testDescription: String { "\(method) \(path)" }

        static let all = [
            Ask(.get, "/v1/inventory?environment=NAME"), Ask(.get, "/v1/nodes?environment=NAME"),
            Ask(.get, "/v1/tasks?environment=NAME"), Ask(.get, "/v1/plans?environment=NAME"),
            Ask(.get, "/v1/operations?environment=NAME"), Ask(.delete, "/v1/freeze?environment=NAME"),
            Ask(.post, "/v1/freeze", ["environment": "NAME", "reason": "why"]),
            Ask(.post, "/v1/actions/plan", PlanRequest("start_vm", "vm/136", in: "NAME").json),
            Ask(.post, "/v1/actions/plan", PlanRequest("start_vm", "vm/136", in: "NAME").with("dry_run", true).json),
            Ask(.post, "/v1/actions/apply", PlanRequest("start_vm", "vm/136", in: "NAME").json),
            Ask(.post, "/v1/actions/apply", PlanRequest("read_vm", "vm/136", in: "NAME").json),
        ]
    }

    @Test(arguments: Ask.all)
    func `an environment without rights is an unknown one`(ask: Ask) async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            var answers: [String] = []
            for name in ["cloud", "nowhere"] {
                let body = try ask.body.map { try JSON.parse(Array($0.text.replacing("NAME", with: name).utf8)) }
                let reply = try await agent.send(ask.method, ask.path.replacing("NAME", with: name), body, by: .local)
                expectProblem(reply, 400, "unknown_environment")
                answers.append(Self.bare(reply, name))
                let record = try #require(try agent.records().last)
                #expect(record["kind"] == "refuse" && record["principal"] == "local", "\(record)")
            }
            #expect(answers[0] == answers[1])
            #expect(answers[0].contains("there are: home"), "its own are named: \(answers[0])")
        }
    }

    @Test func `plans and operations there are unknown ones, whatever is asked of them`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try #require(try await agent.plan(.start, by: .agent)["plan_id"]?.string)
            let waiting = try #require(try await agent.plan(.stop, by: .agent)["plan_id"]?.string)
            let applied = try await agent.send(
                .post, "/v1/actions/apply", ["plan_id": .string(plan)], by: .agent, wait: 15)
            let operation = try #require(applied["operation"]?["operation_id"]?.string, "\(applied)")
            let word: JSON = ["decision": "approve", "plan_hash": .string(String(repeating: "0", count: 64))]
            let outcome: JSON = ["outcome": "failed", "reason": "why"]
            let asked = [
                Ask(.get, "/v1/plans/PLAN"), Ask(.delete, "/v1/plans/PLAN"),
                Ask(.post, "/v1/plans/PLAN/approvals", word), Ask(.get, "/v1/plans?before=PLAN"),
                Ask(.post, "/v1/actions/apply", ["plan_id": "PLAN"]),
                Ask(.post, "/v1/actions/apply", ["plan_id": "PLAN", "approved_by": "alice"]),
                Ask(.get, "/v1/operations/OPERATION"), Ask(.get, "/v1/operations/OPERATION?wait=1"),
                Ask(.get, "/v1/operations/OPERATION/log"), Ask(.get, "/v1/operations?before=OPERATION"),
                Ask(.post, "/v1/operations/OPERATION/cancel", [:]),
                Ask(.post, "/v1/operations/OPERATION/resolve", outcome),
            ]
            for ask in asked {
                var answers: [String] = []
                for (plan, operation) in [(waiting, operation), (Self.unknownPlan, Self.unknownOperation)] {
                    func named(_ text: String) -> String {
                        text.replacing("PLAN", with: plan).replacing("OPERATION", with: operation)
                    }
                    let body = try ask.body.map { try JSON.parse(Array(named($0.text).utf8)) }
                    let reply = try await agent.send(ask.method, named(ask.path), body, by: .local)
                    #expect(reply.status == 404, "\(ask.testDescription): \(reply)")
                    answers.append(Self.bare(reply, ask.path.contains("OPERATION") ? operation : plan))
                }
                #expect(answers[0] == answers[1], "\(ask.testDescription)")
            }
            for path in ["/v1/plans", "/v1/operations", "/v1/operations?plan_id=\(plan)"] {
                let reply = try await agent.send(.get, path, by: .local)
                #expect((reply["plans"] ?? reply["operations"])?.array == [], "\(path): \(reply)")
            }
            let environments = try await agent.send(.get, "/v1/environments", by: .local)
            #expect(environments["environments"]?.array?.map { $0["name"] } == ["home"], "\(environments)")
            #expect(agent.executed.count == 1)
        }
    }
}
