import AgentAPI
import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// What answers show of plans and operations, by itself: the log and the store have forms of their own.
struct PlanViewsTests {
    @Test func `answers show what they always showed`() throws {
        let plan = try Plan.whole(secret: "s3cret")
        let operation = Operation.whole(of: plan)
        let lines = [
            ("plan", Views.plan(plan)), ("summary", Views.summary(PlanSummary(plan))),
            ("operation", Views.operation(operation)), ("partial", Views.partial(operation)),
        ].map { "\($0.0) \($0.1.text)" }
        #expect(!lines.joined().contains("s3cret"))
        try expectGolden(lines, "plan-views.txt")
    }
}
