import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// Decides whether an approved plan may be carried out by the current rules.
extension ApprovalGate {
    /// What an approved plan lacks by the current rules; `nil` if it lacks nothing. If it lacks something, withdraws
    /// the approvals that no longer count, records that, and puts the plan back to awaiting approval.
    func withdrawApprovals(
        of plan: Plan, _ decision: Decision, _ settings: EnvironmentSettings, _ context: Context
    ) async throws(ServiceError) -> ServiceError? {
        guard plan.state == .approved, let lack = lack(of: plan, decision, settings) else { return nil }
        let now = ports.now()
        let directory = access.currentRules.directory
        let needed = access.requirement(of: plan, decision, settings)
        let refusal = AuditEvent(
            .refuse, context, environment: settings.name, plan: plan.id, request: plan.request.auditForm,
            decision: plan.decision.auditForm, result: lack.auditForm(leaving: .awaitingApproval))
        _ = try await audited.commit(refusal) { [self] records -> Bool? in
            guard var plan = records.plan(plan.id), plan.state == .approved, plan.operationID == nil else { return nil }
            let before = plan
            plan.withdraw(at: now) {
                // Those whose keys are gone are withdrawn by themselves, with a record.
                isKeyGone(of: $0)
                    || ApprovalCheck.stillCounts($0, for: before, needing: needed, in: settings, among: directory)
            }
            records.put(plan)
            return true
        }
        return lack
    }

    /// What an approved plan lacks by the current rules; `nil` if it lacks nothing.
    func lack(of plan: Plan, _ decision: Decision, _ settings: EnvironmentSettings) -> ServiceError? {
        let needed = access.requirement(of: plan, decision, settings)
        let directory = access.currentRules.directory
        let good = plan.approvals.filter {
            ApprovalCheck.stillCounts($0, for: plan, needing: needed, in: settings, among: directory)
        }
        return access.lack(of: good, for: plan, needed).map { wording(of: $0, plan) }
    }

    /// Records and stores an approval that the applier declares on behalf of the approver.
    func declare(
        _ approver: String?, _ plan: Plan, _ needed: Requirement, _ context: Context
    ) async throws(ServiceError) -> Plan {
        guard let approver else { return plan }
        let approval = Approval(approver: approver, assurance: .declared, at: ports.now())
        let event = AuditEvent(
            .approve, context, environment: plan.request.environment, plan: plan.id,
            result: approval.auditDeclaration(for: plan, needing: needed.approvals))
        let before = plan
        let approved = try await audited.commit(event) { [access] records -> Plan? in
            guard var plan = records.plan(plan.id),
                plan.approve(approval, isEnough: { access.lack(of: $0, for: before, needed) == nil })
            else { return nil }
            records.put(plan)
            return plan
        }
        return approved ?? plan
    }

    /// Checks that policy allows the plan now, and that it has enough approvals; before its first call also that the
    /// change windows are open.
    func checkDecision(
        of plan: Plan, at managed: ManagedEnvironment, _ reach: Reach, _ checks: [Check], isBegun: Bool = false
    ) throws(ServiceError) {
        let rules = access.currentRules
        let now = ports.now()
        let input = rules.input(
            plan.request, by: plan.requester, in: managed.settings, reach: reach, checks: checks)
        let decision = rules.policy.evaluate(input, at: now)
        if !isBegun { try decision.checkWindow(of: plan.id, passing: plan.breakGlass, at: now) }
        guard decision.allowed else { throw ServiceError(.policyDenied, decision.reason, planID: plan.id) }
        if let lack = lack(of: plan, decision, managed.settings) { throw lack }
    }
}
