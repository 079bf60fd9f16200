import AgentAudit
package import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

extension PlanWorkflow {
    /// The plans that the caller may see and that match `filter`, newest first, up to a page's size.
    package func plans(
        _ filter: PlanFilter, _ context: Context
    ) async throws(ServiceError) -> StoredPage<PlanSummary> {
        try await expireDue()
        var filter = filter
        filter.environments = access.narrowed(filter.environments, to: .view, context)
        let bounded = filter
        var page = try await audited.read { $0.summaries(bounded, bytes: ControlPlane.pageBytes) }
        page.rows = page.rows.map { row in
            let rules = access.currentRules.policy.rulesHidingAnything(
                in: row.plan.request.environment, from: context.caller)
            guard !rules.isEmpty else { return row }
            return PlanSummary(row.plan.hidingSettings(by: rules), calls: row.calls, changes: row.changes)
        }
        return page
    }

    /// The plans of ``plans(_:_:)`` that await the caller: those that the caller could approve now.
    package func plansAwaiting(
        _ filter: PlanFilter, _ context: Context
    ) async throws(ServiceError) -> StoredPage<PlanSummary> {
        var filter = filter
        filter.state = .awaitingApproval
        filter.environments = access.narrowed(filter.environments, to: .approve, context)
        var found = StoredPage<PlanSummary>()
        while true {
            let page = try await plans(filter, context)
            for row in page.rows
            where ApprovalCheck.awaits(context.principal, row.plan)
                && (try? access.checkHelps(context.principal.id, row.plan, row.plan.requires)) != nil
            {
                guard found.rows.count < filter.limit else { return found }
                found.rows.append(row)
            }
            guard page.isCut || page.rows.count == filter.limit, let last = page.rows.last else { return found }
            filter.before = last.plan.id
        }
    }

    /// One plan by its id. A plan that is due expires first.
    package func plan(_ id: RecordID, _ context: Context) async throws(ServiceError) -> Plan {
        let plan = try await visible(id, context)
        return isDue(plan) ? try await expire(plan) : plan
    }

    /// The plan as the caller sees it, without settings that rules hide from them.
    package func shown(_ plan: Plan, to caller: Caller) -> Plan {
        let rules = rulesHiding(plan, from: caller)
        return rules.isEmpty ? plan : plan.hidingSettings(by: rules)
    }

    /// The outline of a dry run no longer has all that the dry run reaches.
    private func rulesHiding(_ plan: Plan, from caller: Caller) -> [String] {
        let isOutline = !plan.request.changes && plan.preview.calls.isEmpty
        return isOutline
            ? access.currentRules.policy.rulesHidingAnything(in: plan.request.environment, from: caller)
            : access.currentRules.policy.rulesHiding(plan.preview.reach, of: plan.request, from: caller)
    }

    /// The operation as the caller sees it, without settings that rules hide from them.
    package func shown(_ operation: Operation, to caller: Caller) async -> Operation {
        guard !access.currentRules.policy.rulesHidingAnything(in: operation.environment, from: caller).isEmpty else {
            return operation
        }
        guard let plan = (try? await audited.read { $0.plan(operation.planID) }) ?? nil else {
            return outlined(operation, to: caller)
        }
        let rules = rulesHiding(plan, from: caller)
        return rules.isEmpty ? operation : operation.hidingSettings(by: rules)
    }

    /// The same in a list, without reading the plans.
    package func outlined(_ operation: Operation, to caller: Caller) -> Operation {
        let rules = access.currentRules.policy.rulesHidingAnything(in: operation.environment, from: caller)
        return rules.isEmpty ? operation : operation.hidingSettings(by: rules)
    }

    /// A refusal as the caller sees it.
    func shown(_ error: ServiceError, about plan: Plan?, to caller: Caller) -> ServiceError {
        guard let plan else { return error }
        let rules = rulesHiding(plan, from: caller)
        return rules.isEmpty ? error : error.hidingSettings(by: rules)
    }

    /// One plan as it is stored, if the caller may see it; else it is reported as unknown.
    func visible(_ id: RecordID, _ context: Context) async throws(ServiceError) -> Plan {
        let plan = try await load(id)
        guard context.principal.may(.view, in: plan.request.environment) else { throw Self.noPlan(id) }
        return plan
    }

    /// One plan as it is stored.
    func load(_ id: RecordID) async throws(ServiceError) -> Plan {
        guard let plan = try await audited.read({ $0.plan(id) }) else { throw Self.noPlan(id) }
        return plan
    }

    private static func noPlan(_ id: RecordID) -> ServiceError {
        ServiceError(.planNotFound, "there is no plan \(id)")
    }

    /// Runs `body` with the plan's lock held: one state change per plan at a time.
    func withPlan<Value: Sendable>(
        _ id: RecordID, _ body: () async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        try await turns.holding([id.description], body)
    }

    /// Cancels a live plan that no operation has claimed. Its requester and approvers may.
    package func cancelPlan(_ id: RecordID, _ context: Context) async throws(ServiceError) -> Plan {
        try await audited.recordingRefusals(of: context) { (subject: inout RefusedSubject) async throws(ServiceError) in
            try await withPlan(id) { () async throws(ServiceError) in
                let plan = try await visible(id, context)
                subject.plan = plan
                try checkMayCancel(plan.requester, in: plan.request.environment, context, planID: id)
                try checkState(of: plan)
                let cancel = AuditEvent(
                    .cancel, context, environment: plan.request.environment, plan: id,
                    result: plan.auditCancel)
                return try await move(plan, to: .cancelled, cancel)
            }
        }
    }

    /// Throws unless the caller is the requester with the right to change, or an approver.
    func checkMayCancel(
        _ requester: Caller, in environment: EnvironmentName, _ context: Context, planID: RecordID
    ) throws(ServiceError) {
        let principal = context.principal
        let isOwn = requester.isSameParty(as: context.caller) && principal.may(.change, in: environment)
        guard isOwn || principal.may(.approve, in: environment) else {
            throw ServiceError(
                .forbidden,
                "plan \(planID) was asked for by \(requester.actor), and only they and approvers may cancel it",
                planID: planID)
        }
    }

    /// Expires every plan that is due. Runs before lists, and regularly by itself.
    ///
    /// An agent whose clock or configuration is not that of the others expires nothing.
    package func expireDue() async throws(ServiceError) {
        guard audited.isFit else { return }
        let now = ports.now()
        let due = try await audited.read { $0.plans(PlanFilter(dueAt: now)) }
        var ids = Set(due.map(\.id))
        ids.formUnion(deadlines.passed(at: ports.uptime()))
        for id in ids {
            guard let plan = try await audited.read({ $0.plan(id) }), plan.state.isLive else {
                deadlines.forget(id)
                continue
            }
            if isDue(plan) { _ = try await expire(plan) }
        }
    }

    /// Whether a live plan that no operation has claimed is past its time: by the wall clock, by the monotonic clock,
    /// or because it was made in the future by the wall clock.
    func isDue(_ plan: Plan) -> Bool {
        guard plan.state.isLive, plan.operationID == nil else { return false }
        return isPast(plan)
    }

    /// As ``isDue(_:)``, whatever state the plan is in.
    func isPast(_ plan: Plan) -> Bool {
        let now = ports.now()
        return plan.expiresAt <= now || plan.createdAt > now.addingTimeInterval(Self.clockTolerance)
            || deadlines.isPassed(plan.id, at: ports.uptime())
    }

    /// Seconds that the clock may be set back before plans count as expired.
    private static let clockTolerance = 60.0

    private func expire(_ due: Plan) async throws(ServiceError) -> Plan {
        try await withPlan(due.id) { () async throws(ServiceError) in
            let plan = try await load(due.id)
            guard isDue(plan) else { return plan }
            let expire = AuditEvent(
                .expire, .agent, environment: plan.request.environment, plan: plan.id,
                result: plan.auditExpiry)
            return try await move(plan, to: .expired, expire)
        }
    }

    /// Records and stores a plan's move to `state`. Call it with the plan's lock held and its state checked.
    func move(
        _ plan: Plan, to state: PlanState, _ event: AuditEvent
    ) async throws(ServiceError) -> Plan {
        let now = ports.now()
        let moved = try await audited.commit(event) { records -> Plan? in
            guard var plan = records.plan(plan.id), plan.operationID == nil, plan.move(to: state, at: now) else {
                return nil
            }
            records.put(plan)
            return plan
        }
        if state.isEnded { deadlines.forget(plan.id) }
        if moved == nil, state == .expired {
            // Another agent was faster.
            let found = try await load(plan.id)
            if found.state.isEnded || found.operationID != nil { return found }
        }
        guard let moved else {
            throw ServiceError(.internalError, "plan \(plan.id) changed in the meantime; look again")
        }
        return moved
    }

    /// Throws if the plan can no longer be applied, with the code that says why.
    func checkState(of plan: Plan) throws(ServiceError) {
        let id = plan.id
        switch plan.state {
        case .awaitingApproval, .approved:
            guard plan.operationID == nil else { throw consumed(plan) }
            guard !isPast(plan) else { fallthrough }
        case .expired:
            throw ServiceError(.planExpired, "plan \(id) expired at \(plan.expiresAt.rfc3339); plan again", planID: id)
        case .denied: throw ServiceError(.policyDenied, plan.decision.reason, planID: id)
        case .rejected:
            let by = plan.standing.rejection.map { " by \($0.approver)" } ?? ""
            throw ServiceError(.planRejected, "plan \(id) was rejected\(by)", planID: id)
        case .cancelled: throw ServiceError(.planCancelled, "plan \(id) was cancelled", planID: id)
        case .stale:
            throw ServiceError(.planStale, "what plan \(id) was made on has changed; plan again", planID: id)
        case .applying, .applied, .failed, .unknown: throw consumed(plan)
        }
    }

    private func consumed(_ plan: Plan) -> ServiceError {
        var error = ServiceError(
            .planConsumed, "plan \(plan.id) has been applied; see operation \(plan.operationID?.description ?? "")",
            planID: plan.id)
        error.operationID = plan.operationID
        return error
    }
}
