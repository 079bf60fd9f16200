import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials

/// Turns an approved plan into a queued operation.
extension ApplyService {
    /// Checks everything that can be checked at once, stores the operation and starts it.
    func judgeAndClaim(
        _ plan: Plan, _ wanted: ApplyRequest, _ kept: PendingIdempotentRequest?, _ context: Context
    ) async throws(ServiceError) -> Beginning {
        try registry.checkOpen()
        let environment = plan.request.environment
        if wanted.emergency != nil {
            try access.checkMayBreakGlass(context.principal, in: environment)
        } else {
            try freezes.checkNotFrozen(environment)
        }
        try audited.checkSpace()
        return try await workflow.withPlan(plan.id) { () async throws(ServiceError) -> Beginning in
            let found = try await workflow.load(plan.id)
            try workflow.checkState(of: found)
            let fresh = try await approvals.withdrawSignatures(of: found)
            let settings = try access.managedEnvironment(fresh.request.environment).settings
            let decision = access.currentRules.decide(fresh, in: settings, at: ports.now())
            guard decision.allowed else { throw ServiceError(.policyDenied, decision.reason, planID: fresh.id) }
            if wanted.emergency == nil { try decision.checkWindow(of: fresh.id, at: ports.now()) }
            if let lack = try await approvals.withdrawApprovals(of: fresh, decision, settings, context) {
                return .refused(lack)
            }
            let needed = access.requirement(of: fresh, decision, settings)
            do throws(ApprovalRefusal) {
                try ApprovalCheck.declared(
                    wanted.approvedBy, for: fresh, needing: needed, appliedBy: context.caller, in: settings,
                    among: access.currentRules.directory)
            } catch {
                throw approvals.wording(of: error, fresh)
            }
            try registry.checkRoom()
            let declared = fresh.state == .awaitingApproval ? wanted.approvedBy : nil
            let approved = try await approvals.declare(declared, fresh, needed, context)
            guard approved.state == .approved else {
                let lack = access.lack(of: approved.approvals, for: approved, needed)
                throw approvals.wording(of: lack ?? .missing(have: approved.approvals.count, need: needed), approved)
            }
            let claims = try limitClaims(of: approved, at: ports.now())
            let glass = try await glass(wanted.emergency, past: decision.window, claims, environment)
            try freezes.checkNotFrozen(environment, passing: glass)
            return try await claim(approved, claims, passing: glass, kept, context)
        }
    }

    /// What the change passes in an emergency; `nil` if it is none, or nothing is in its way.
    private func glass(
        _ reason: String?, past window: ClosedWindow?, _ claims: [LimitClaim], _ environment: EnvironmentName
    ) async throws(ServiceError) -> BreakGlass? {
        guard let reason else { return nil }
        let now = ports.now()
        return try await audited.read {
            BreakGlass(reason: reason, past: window, claims, in: environment, $0, at: now)
        }
    }

    /// What the operation takes of the limits of policy.
    private func limitClaims(of plan: Plan, at now: Date) throws(ServiceError) -> [LimitClaim] {
        let rules = access.currentRules
        let settings = try access.managedEnvironment(plan.request.environment).settings
        return rules.policy.limitClaims(of: rules.input(plan, in: settings), at: now)
    }

    private func checkLimits(
        _ claims: [LimitClaim], passing glass: BreakGlass?, _ plan: RecordID, at now: Date
    ) async throws(ServiceError) {
        let full = try await audited.read { $0.firstFull(of: claims, passing: glass, at: now) }
        guard let (claim, verdict) = full else { return }
        throw claim.refusal(verdict, plan, at: now)
    }

    private func claim(
        _ plan: Plan, _ claims: [LimitClaim], passing glass: BreakGlass?, _ kept: PendingIdempotentRequest?,
        _ context: Context
    ) async throws(ServiceError) -> Beginning {
        let id = ports.newID(.operation)
        let now = ports.now()
        // Without a ticket, the agent that leads in the environment begins it; this one when it can prove that it does.
        var ticket: TargetLocks.Ticket?
        if let lease = runner.leases.leads(plan.request.environment), runner.leases.proves(lease) {
            ticket = await runner.enter(for: plan, id, under: lease)
        }
        do throws(ServiceError) {
            let queue = AuditEvent(
                .queue, context, environment: plan.request.environment, plan: plan.id, operation: id,
                result: AuditEvent.queued(ahead: ticket?.ahead))
            // Of a lone agent the registry knows it.
            let (isShared, limit) = (ports.leases != nil, registry.limits.operations)
            let isFull = { @Sendable (records: any StoreTransaction) -> Bool in
                isShared
                    && records.operations(OperationFilter(isEnded: false, limit: limit)).count >= limit
            }
            let body = { @Sendable (records: any StoreTransaction) -> Operation? in
                guard var plan = records.plan(plan.id), plan.state == .approved, plan.operationID == nil,
                    kept?.isTaken(in: records, at: now) != true, !isFull(records),
                    records.take(claims, for: id, passing: glass, at: now)
                else { return nil }
                plan.claim(by: id, passing: glass)
                var operation = Operation(id: id, plan: plan, approvals: plan.approvals, createdAt: now)
                operation.trace = context.trace
                records.put(plan)
                records.put(operation)
                if let glass { records.put(Review(of: operation, glass)) }
                if let kept { records.put(kept.request(for: id, in: operation.environment, at: now)) }
                return operation
            }
            let operation: Operation?
            if let glass {
                let event = AuditEvent(
                    .breakGlass, context, environment: plan.request.environment, plan: plan.id, operation: id,
                    request: plan.request.auditForm, result: glass.auditForm)
                operation = try await audited.commit(event, body)
                // The operation is stored by now, and goes on without this record.
                if ticket?.ahead != 0, operation != nil { _ = try? await audited.record(queue) }
            } else if ticket?.ahead != 0 {
                operation = try await audited.commit(queue, body)
            } else {
                operation = try await audited.write(body)
            }
            ports.wrote(context.caller.principal, 4096 + plan.size)
            guard let operation else {
                if let kept, try await audited.read({ kept.isTaken(in: $0, at: now) }) {
                    throw PendingIdempotentRequest.taken
                }
                try workflow.checkState(of: try await workflow.load(plan.id))
                try await checkLimits(claims, passing: glass, plan.id, at: now)
                if isShared { throw OperationRegistry.full(limit) }
                throw ServiceError(.internalError, "plan \(plan.id) could not be claimed; nothing was done")
            }
            if let ticket, !runner.start(operation, ticket, context) {
                let error = ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: plan.id)
                await runner.outcomes.refuseQueued(operation, error, context)
                registry.leave(id, ticket)
                return .refused(error)
            }
            return .queued(operation, plan)
        } catch {
            if let ticket { registry.leave(id, ticket) }
            throw error
        }
    }
}
