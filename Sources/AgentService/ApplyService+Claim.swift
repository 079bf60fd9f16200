import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON
import Synchronization

/// Turns an approved plan into a queued operation.
extension ApplyService {
    /// Checks everything that can be checked at once, stores the operation and starts it.
    func judgeAndClaim(
        _ plan: Plan, approvedBy: String?, _ kept: PendingIdempotentRequest?, _ context: Context
    ) async throws(ServiceError) -> Beginning {
        try registry.checkOpen()
        try freezes.checkNotFrozen(plan.request.environment)
        try audited.checkSpace()
        return try await workflow.withPlan(plan.id) { () async throws(ServiceError) -> Beginning in
            let fresh = try await workflow.load(plan.id)
            try workflow.checkState(of: fresh)
            let settings = try access.managedEnvironment(fresh.request.environment).settings
            let decision = access.currentRules.policy.evaluate(
                fresh.request, by: fresh.requester, in: settings, reach: fresh.preview.reach)
            guard decision.allowed else { throw ServiceError(.policyDenied, decision.reason, planID: fresh.id) }
            if let lack = try await approvals.withdrawApprovals(of: fresh, decision, settings, context) {
                return .refused(lack)
            }
            let needed = approvals.approvalsNeeded(by: fresh, decision, settings)
            do throws(ApprovalRefusal) {
                try ApprovalCheck.declared(
                    approvedBy, for: fresh, needing: needed, appliedBy: context.caller, in: settings)
            } catch {
                throw approvals.wording(of: error, fresh)
            }
            try registry.checkRoom()
            let declared = fresh.state == .awaitingApproval ? approvedBy : nil
            let approved = try await approvals.declare(declared, fresh, needed, context)
            guard approved.state == .approved else {
                throw approvals.wording(of: .missing(have: approved.approvals.count, need: needed), approved)
            }
            return try await claim(approved, kept, context)
        }
    }

    private func claim(
        _ plan: Plan, _ kept: PendingIdempotentRequest?, _ context: Context
    ) async throws(ServiceError) -> Beginning {
        let id = ports.newID(.operation)
        let now = ports.now()
        let ticket = await runner.enter(for: plan, id)
        do throws(ServiceError) {
            let queue = AuditEvent(
                .queue, context, environment: plan.request.environment, plan: plan.id, operation: id,
                result: ["status": "queued", "ahead": JSON(ticket.ahead)])
            let body = { @Sendable (records: any StoreTransaction) -> Operation? in
                guard var plan = records.plan(plan.id), plan.state == .approved, plan.operationID == nil else {
                    return nil
                }
                plan.claim(by: id)
                let operation = Operation(id: id, plan: plan, approvals: plan.approvals, createdAt: now)
                records.put(plan)
                records.put(operation)
                if let kept { records.put(kept.request(for: id, in: operation.environment, at: now)) }
                return operation
            }
            let operation = ticket.ahead > 0 ? try await audited.commit(queue, body) : try await audited.write(body)
            ports.wrote(context.caller.principal, 4096 + plan.size)
            guard let operation else {
                try workflow.checkState(of: try await workflow.load(plan.id))
                throw ServiceError(.internalError, "plan \(plan.id) could not be claimed; nothing was done")
            }
            guard runner.start(operation, ticket, context) else {
                let error = ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: plan.id)
                await runner.outcomes.refuseQueued(operation, error, context)
                registry.leave(ticket)
                return .refused(error)
            }
            return .queued(operation, plan)
        } catch {
            registry.leave(ticket)
            throw error
        }
    }
}
