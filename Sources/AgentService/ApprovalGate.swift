import AgentAudit
package import AgentModel
import AgentPolicy
import FoundationEssentials
package import Signatures
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
    /// Of the approval's text, for the plan with this hash.
    package let signature: ApprovalSignature?

    package init(
        _ verdict: Verdict, planHash: String, reason: String? = nil, ticket: String? = nil,
        signature: ApprovalSignature? = nil
    ) {
        self.verdict = verdict
        self.planHash = planHash
        self.reason = reason
        self.ticket = ticket
        self.signature = signature
    }
}

/// Takes approvals, and decides whether a plan has enough of them.
package final class ApprovalGate: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    let workflow: PlanWorkflow
    let passkeys: PasskeyCounters

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ workflow: PlanWorkflow, _ passkeys: PasskeyCounters
    ) {
        self.audited = audited
        self.access = access
        self.workflow = workflow
        self.passkeys = passkeys
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
                let found = try await workflow.visible(id, context)
                subject.plan = found
                try access.check(.approve, in: found.request.environment, context)
                let plan = try await withdrawSignatures(of: found)
                subject.plan = plan
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
                throw wording(of: error, plan, context.principal)
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
        let isYes = approval.verdict == .approve
        let settings = try access.managedEnvironment(plan.request.environment).settings
        let needed = isYes ? access.requirement(of: plan, in: settings, at: ports.now()) : plan.requires
        let (signed, count) = try await checkSignature(of: approval, on: plan, context)
        let word = Approval(
            approver: context.principal.isShared ? context.caller.actor : context.principal.id,
            assurance: signed?.assurance ?? (context.principal.isShared ? .declared : .verified), at: ports.now(),
            reason: approval.reason, ticket: approval.ticket, signed: signed)
        if isYes {
            do throws(ApprovalRefusal) {
                try ApprovalCheck.strength(word.assurance, for: needed)
                try access.checkHelps(word.approver, plan, needed)
            } catch {
                throw wording(of: error, plan, context.principal)
            }
        }
        let event = AuditEvent(
            isYes ? .approve : .reject, context, environment: plan.request.environment, plan: plan.id,
            decision: plan.decision.auditForm,
            result: word.auditVerdict(on: plan, needing: isYes ? needed.approvals : nil))
        let before = plan
        let stored = try await audited.commit(event) { [self] records -> Plan? in
            guard var plan = records.plan(plan.id), plan.operationID == nil else { return nil }
            // The rules may have changed since the signature was checked.
            let isTaken =
                isYes
                ? !isKeyGone(of: word) && plan.approve(word) { access.lack(of: $0, for: before, needed) == nil }
                : plan.reject(word)
            guard isTaken else { return nil }
            // Another request may have come first.
            if let count {
                guard count.isForward(from: records.signatureCount(of: count.key)) else { return nil }
                records.put(count)
            }
            records.put(plan)
            return plan
        }
        guard let stored else {
            // With the same counter, for example.
            if let count { try await passkeys.check(count, planID: plan.id) }
            if isYes, isKeyGone(of: word) { throw invalid(.otherKey, plan, context.principal) }
            throw ServiceError(.internalError, "plan \(plan.id) changed in the meantime; look again")
        }
        if stored.state.isEnded { workflow.deadlines.forget(stored.id) }
        return stored
    }

    /// The error for an approval that does not count; its text says what to do instead.
    func wording(of refusal: ApprovalRefusal, _ plan: Plan, _ approver: Principal? = nil) -> ServiceError {
        let request = plan.request
        let subject = "\(request.action.rawValue) on \(request.target)"
        switch refusal {
        case .missing(let have, let need):
            let cure =
                need.assurance == .declared
                ? "Apply it with approved_by: the name of another person who approved it."
                : "An approver sends POST /v1/plans/\(plan.id)/approvals."
            return ServiceError(
                .approvalRequired,
                "\(subject) needs \(need.phrase) by \(need.approvals == 1 ? "another principal" : "others")"
                    + "; plan \(plan.id) has \(have). \(cure)", planID: plan.id)
        case .missingOf(let clause, let have):
            return ServiceError(
                .approvalRequired,
                "rule \(clause.rule) asks for \(clause.phrase); of these plan \(plan.id) has \(have). One of them "
                    + "sends POST /v1/plans/\(plan.id)/approvals.", planID: plan.id)
        case .notAsked(let name, let clause):
            return ServiceError(
                .forbidden,
                "an approval by \(name) is of no use to plan \(plan.id): rule \(clause.rule) asks for "
                    + "\(clause.phrase)", planID: plan.id)
        case .declaredNotAccepted:
            let settings = try? access.managedEnvironment(request.environment).settings
            let cure =
                access.currentRules.directory.isShared && settings?.acceptsDeclaredApprovals == false
                ? "set accept_declared_approvals in the configuration to change that, or give approvers tokens of "
                    + "their own (principals)"
                : "an approver sends POST /v1/plans/\(plan.id)/approvals under a token of their own, or decides in the "
                    + "console"
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
        case .tooWeak(let needs):
            return ServiceError(
                .signatureRequired, "\(subject) needs \(needs.one); \(cure(of: needs, plan, approver))",
                planID: plan.id)
        }
    }
}
