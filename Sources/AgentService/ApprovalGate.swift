import AgentAudit
package import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// An approver's decision on a plan.
package struct ApprovalRequest: Sendable {
    package enum Verdict: String, Sendable {
        case approve, reject
    }

    package let verdict: Verdict
    /// What the approver saw: the whole ``Plan/planHash``.
    package let planHash: String
    package let reason: String?
    package let ticket: String?

    package init(_ verdict: Verdict, planHash: String, reason: String? = nil, ticket: String? = nil) {
        self.verdict = verdict
        self.planHash = planHash
        self.reason = reason
        self.ticket = ticket
    }
}

/// Takes approvals, and decides whether a plan has enough of them.
package final class ApprovalGate: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    private let workflow: PlanWorkflow

    init(_ audited: AuditedStore, _ access: AccessControl, _ workflow: PlanWorkflow) {
        self.audited = audited
        self.access = access
        self.workflow = workflow
    }

    var ports: Ports { audited.ports }

    /// Approves or rejects exactly the plan that the approver saw. This applies nothing.
    ///
    /// - Throws: the code that says why the decision does not count. Each refusal is recorded.
    package func decide(
        _ id: RecordID, _ approval: ApprovalRequest, _ context: Context
    ) async throws(ServiceError) -> Plan {
        try await audited.recordingRefusals(of: context) { (subject: inout RefusedSubject) async throws(ServiceError) in
            // This expires a plan that is due, which takes the plan's lock itself.
            subject.plan = try await workflow.plan(id, context)
            return try await workflow.withPlan(id) { () async throws(ServiceError) in
                let plan = try await workflow.visible(id, context)
                subject.plan = plan
                try access.check(.approve, in: plan.request.environment, context)
                if approval.verdict == .approve { try audited.checkSpace() }
                try checkAwaits(plan, approval, context)
                guard approval.planHash == plan.planHash else {
                    throw ServiceError(
                        .planHashMismatch,
                        "plan \(id) has another plan_hash than the one sent: look at the plan, then send its own",
                        planID: id)
                }
                return try await store(approval, on: plan, context)
            }
        }
    }

    /// Checks that the plan awaits a decision, and that this caller may make it.
    private func checkAwaits(_ plan: Plan, _ approval: ApprovalRequest, _ context: Context) throws(ServiceError) {
        if approval.verdict == .approve {
            do throws(ApprovalRefusal) { try ApprovalCheck.verified(by: context.principal, for: plan) } catch {
                // Report a repeated approval before anything else about the plan.
                if case .again = error, !plan.state.isLive { try workflow.checkState(of: plan) }
                throw wording(of: error, plan)
            }
        }
        try workflow.checkState(of: plan)
        guard plan.state == .awaitingApproval else {
            let why =
                plan.requires.approvals == 0
                    && plan.approvals.isEmpty
                ? "needs no approval" : "has all \(plan.approvals.count) approvals that it needs"
            throw ServiceError(
                .alreadyApproved, "plan \(plan.id) \(why); to stop it, cancel it with DELETE /v1/plans/\(plan.id)",
                planID: plan.id)
        }
    }

    private func store(
        _ approval: ApprovalRequest, on plan: Plan, _ context: Context
    ) async throws(ServiceError) -> Plan {
        let now = ports.now()
        let needed = approval.verdict == .approve ? try approvalsNeeded(by: plan) : 0
        let word = Approval(
            approver: context.principal.isShared ? context.caller.actor : context.principal.id,
            assurance: context.principal.isShared ? .declared : .verified, at: now, reason: approval.reason,
            ticket: approval.ticket)
        let isYes = approval.verdict == .approve
        let event = AuditEvent(
            isYes ? .approve : .reject, context, environment: plan.request.environment, plan: plan.id,
            decision: plan.decision.auditForm, result: word.auditVerdict(on: plan, needing: isYes ? needed : nil))
        let stored = try await audited.commit(event) { records -> Plan? in
            guard var plan = records.plan(plan.id), plan.operationID == nil else { return nil }
            guard approval.verdict == .approve ? plan.approve(word, needing: needed) : plan.reject(word) else {
                return nil
            }
            records.put(plan)
            return plan
        }
        guard let stored else {
            throw ServiceError(.internalError, "plan \(plan.id) changed in the meantime; look again")
        }
        if stored.state.isEnded { workflow.deadlines.forget(stored.id) }
        return stored
    }

    private func approvalsNeeded(by plan: Plan) throws(ServiceError) -> Int {
        let settings = try access.managedEnvironment(plan.request.environment).settings
        let decision = access.currentRules.policy.evaluate(
            plan.request, by: plan.requester, in: settings, reach: plan.preview.reach)
        return approvalsNeeded(by: plan, decision, settings)
    }

    /// The error for an approval that does not count; its text says what to do instead.
    func wording(of refusal: ApprovalRefusal, _ plan: Plan) -> ServiceError {
        let request = plan.request
        let subject = "\(request.action.rawValue) on \(request.target)"
        switch refusal {
        case .missing(let have, let need):
            let cure =
                plan.requires.assurance == .declared
                ? "Apply it with approved_by: the name of another person who approved it."
                : "An approver sends POST /v1/plans/\(plan.id)/approvals."
            return ServiceError(
                .approvalRequired,
                "\(subject) needs \(need) approval\(need == 1 ? "" : "s") by \(need == 1 ? "another principal" : "others")"
                    + "; plan \(plan.id) has \(have). \(cure)", planID: plan.id)
        case .declaredNotAccepted:
            let cure =
                access.currentRules.directory.isShared
                ? "set accept_declared_approvals in the configuration to change that, or give approvers tokens of "
                    + "their own (principals)"
                : "an approver sends POST /v1/plans/\(plan.id)/approvals under a token of their own"
            return ServiceError(
                .approvalRequired,
                "environment \(request.environment) does not take approved_by for an approval of \(subject); \(cure)",
                planID: plan.id)
        case .selfApproval(let name):
            return ServiceError(
                .selfApproval, "\(name) asked for plan \(plan.id) or applies it, and cannot approve it as well",
                planID: plan.id)
        case .notAnApprover(let name):
            return ServiceError(
                .forbidden,
                access.currentRules.directory.isShared
                    ? "an approval under the shared token does not count; name the approver in approved_by at apply, where "
                        + "that is taken, or configure principals"
                    : "\(name) may not approve in \(request.environment): it takes \(AccessControl.roles(for: .approve))",
                planID: plan.id)
        case .again(let name):
            return ServiceError(
                .alreadyApproved, "\(name) has already approved plan \(plan.id); each approver counts once",
                planID: plan.id)
        }
    }
}
