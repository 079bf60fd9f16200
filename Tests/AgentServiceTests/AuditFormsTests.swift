import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentService

/// What audit records hold, by itself: these forms do not change with those of answers or of the store.
struct AuditFormsTests {
    @Test func `audit records hold what they always held`() throws {
        let plan = try Plan.whole(secret: "s3cret")
        let freeze = Freeze(
            id: .sample(1, .freeze), environment: .sample, reason: "why", by: "dora", party: "principal:dora",
            setAt: .sample, endsAt: .sample)
        var read = ReadResult(message: "no data of it", content: .json([1, 2]))
        read.parts = [
            .init(environment: .sample, fetchedAt: .sample, count: 0, error: ServiceError(.upstreamTimeout, "slow"))
        ]
        let forms: [(String, JSON)] = [
            ("request", plan.request.auditForm), ("decision", plan.decision.auditForm), ("plan", plan.auditResult),
            ("plan decision", plan.auditDecision),
            ("intent", plan.auditIntent(taking: [.sample])), ("cancel", plan.auditCancel), ("expire", plan.auditExpiry),
            ("withdraw", plan.auditWithdrawal(of: plan.approvals)),
            ("freeze", freeze.auditForm), ("unfreeze", freeze.auditLift), ("read", read.auditForm),
            ("outcome", Self.outcome(of: plan).auditOutcome),
        ]
        let lines = forms.map { "\($0.0) \($0.1.text)" }
        #expect(!lines.joined().contains("s3cret"))
        try expectGolden(lines, "audit-forms.txt")
    }

    @Test func `an outcome is read back from its record as it was written`() throws {
        let plan = try Plan.whole(secret: "")
        let written = Self.outcome(of: plan)
        var read = Operation(
            id: written.id, planID: plan.id, environment: .sample, action: plan.request.action,
            target: plan.request.target, requester: plan.requester, approvals: [], createdAt: .sample)
        read.take(outcome: written.auditOutcome, at: .sample)
        #expect(read.calls == written.calls && read.steps.map(\.state) == written.steps.map(\.state))
        #expect(read.upid == written.upid)
        #expect(read.partial == written.partial && read.moved == written.moved)
        #expect(read.code == written.code && read.message == written.message)
        #expect(read.logTail == written.logTail && read.upstream == written.upstream)
    }

    private static func outcome(of plan: Plan) -> AgentModel.Operation {
        var operation = Operation.whole(of: plan)
        operation.data = ["guests": [["guest": "vm/101", "done": false]]]
        operation.partial = PartialOutcome(
            code: operation.partial?.code, detail: "stopped", left: operation.moved, undo: operation.partial?.undo,
            undoLeaves: operation.partial?.undoLeaves ?? [])
        return operation
    }
}

extension LimitUse {
    fileprivate static let sample = LimitUse(
        LimitCounter(rule: "slow", index: 1, counted: .guests, scope: .tag, key: "web"), by: .sample(5, .operation),
        amount: 2, at: .sample)
}
