import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials

/// Makes signed approvals void for good once their keys are taken out of the configuration.
extension ApprovalGate {
    /// Withdraws signed approvals whose keys their approvers no longer have, on every plan that waits.
    ///
    /// Call it at start, and before and after callers and rules are replaced: so no key comes back unnoticed.
    package func withdrawSignatures() async throws(ServiceError) {
        guard audited.isFit else { return }
        let waiting = try await audited.read { records in
            records.summaries(PlanFilter(isLive: true, changes: true), bytes: .max).rows.map(\.plan.id)
        }
        // Look at each with its lock held: an approval may be on its way that was judged by the rules of before.
        for id in waiting {
            try await workflow.withPlan(id) { () async throws(ServiceError) in
                guard let plan = try await audited.read({ $0.plan(id) }) else { return }
                _ = try await withdrawSignatures(of: plan)
            }
        }
    }

    /// The same for one plan, with its lock held. Returns the plan as it is stored then.
    func withdrawSignatures(of plan: Plan) async throws(ServiceError) -> Plan {
        let now = ports.now()
        let gone = plan.approvals.filter { isKeyGone(of: $0) }
        guard plan.state.isLive, !gone.isEmpty, audited.isFit else { return plan }
        let settings = (try? access.managedEnvironment(plan.request.environment))?.settings
        let needed = settings.map { access.requirement(of: plan, in: $0, at: now) } ?? plan.requires
        let withdraw: @Sendable (inout Plan) -> Bool = { [access] stored in
            stored.withdrawSignatures(
                at: now, where: gone.contains, isEnough: { access.lack(of: $0, for: plan, needed) == nil })
        }
        var after = plan
        guard withdraw(&after) else { return plan }
        let event = AuditEvent(
            .withdraw, .agent, environment: plan.request.environment, plan: plan.id, operation: plan.operationID,
            result: after.auditWithdrawal(of: gone))
        let stored = try await audited.commit(event) { records -> Plan? in
            guard var plan = records.plan(plan.id), withdraw(&plan) else { return nil }
            records.put(plan)
            return plan
        }
        if let stored { return stored }
        return try await workflow.load(plan.id)
    }

    func isKeyGone(of approval: Approval) -> Bool { access.currentRules.directory.isKeyGone(of: approval) }
}
