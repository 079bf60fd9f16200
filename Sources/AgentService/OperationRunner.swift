import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// Runs operations, independently of the requests that started them.
final class OperationRunner: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    let freezes: FreezeService
    let registry: OperationRegistry
    let outcomes: OutcomeRecorder
    let follower: TaskFollower
    let lost: LostCallFinder
    private let workflow: PlanWorkflow
    let approvals: ApprovalGate
    let leases: LeaseKeeper

    init(
        _ workflow: PlanWorkflow, _ approvals: ApprovalGate, _ freezes: FreezeService, _ registry: OperationRegistry,
        _ outcomes: OutcomeRecorder, _ follower: TaskFollower, _ lost: LostCallFinder, _ leases: LeaseKeeper
    ) {
        (audited, access, self.workflow) = (workflow.audited, workflow.access, workflow)
        (self.approvals, self.freezes, self.registry) = (approvals, freezes, registry)
        (self.outcomes, self.follower, self.lost, self.leases) = (outcomes, follower, lost, leases)
    }

    var ports: Ports { audited.ports }

    /// A place in the queue for everything that the plan's calls work on, ahead of the shutdown that it overrules; `nil`
    /// if the operation has one already.
    func enter(for plan: Plan, _ id: RecordID, under lease: Lease) async -> TargetLocks.Ticket? {
        let shutdown = await shutdownUnderWay(overruledBy: plan)
        return registry.enter(id, for: plan, under: lease, overruling: shutdown)
    }

    /// Starts an operation that has entered; it runs to its end whether anyone waits or not. False if the agent is
    /// stopping.
    func start(_ operation: Operation, _ ticket: TargetLocks.Ticket, _ context: Context) -> Bool {
        let isStarted = registry.start(operation) { await self.run(operation, ticket, context) }
        // It may have been lost since the operation entered.
        if let lease = registry.lease(of: operation.id), !leases.has(lease) { registry.cancel(under: lease) }
        return isStarted
    }

    /// Begins what is queued in the environment of the lease and has not entered here: other agents stored it, or a
    /// process that is gone.
    func takeQueued(under lease: Lease) async throws(ServiceError) {
        let queued = OperationFilter(environments: [lease.environment], state: .queued)
        for operation in try await audited.read({ $0.operations(queued) }).reversed()
        where registry.ticket(of: operation.id) == nil && leases.leads(lease.environment) == lease
            && leases.proves(lease)
        {
            guard let plan = try await audited.read({ $0.plan(operation.planID) }), plan.operationID == operation.id,
                let ticket = await enter(for: plan, operation.id, under: lease)
            else { continue }
            let principal = access.currentRules.directory.principal(of: operation.requester) ?? .nobody
            let context = Context(
                caller: operation.requester, principal: principal, requestID: "", trace: operation.trace)
            if !start(operation, ticket, context) { registry.leave(operation.id, ticket) }
        }
    }

    private func run(_ queued: Operation, _ ticket: TargetLocks.Ticket, _ context: Context) async {
        guard await registry.locks.wait(for: ticket) else { return }
        defer {
            registry.locks.leave(ticket)
            // Publish last, so that those who learn of the end find the locks free.
            registry.hub.publish(queued.id)
        }
        do throws(ServiceError) {
            let ready = try await lookAgain(queued, hasWaited: ticket.ahead > 0)
            let operation = try await consume(ready, queued, context)
            await execute(ready, operation, context)
        } catch {
            await outcomes.refuseQueued(queued, error, context)
        }
    }

    /// What was read right before the first call.
    struct Ready {
        var plan: Plan
        var managed: ManagedEnvironment
        var preview: Preview
        var knownTasks: [UPID]
    }

    /// Checks once more everything that may have changed since the plan was made or the operation was queued.
    private func lookAgain(
        _ operation: Operation, hasWaited: Bool
    ) async throws(ServiceError) -> Ready {
        // On shutdown, finish what was under way, but start nothing that waited.
        if Task.isCancelled || (hasWaited && registry.isDraining) {
            throw ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: operation.planID)
        }
        guard let plan = try await audited.read({ $0.plan(operation.planID) }), plan.operationID == operation.id,
            plan.state == .approved
        else { throw ServiceError(.planNotFound, "plan \(operation.planID) is gone", planID: operation.planID) }
        let managed = try access.managedEnvironment(operation.environment)
        try checkRules(of: plan, at: managed)
        let preview = try await freshPreview(of: plan, at: managed)
        try Self.checkUnmoved(plan, plan.preview.observed.moved(to: preview.observed))
        try approvals.checkDecision(of: plan, at: managed, preview.reach, preview.checks)
        let known = try await lost.tasks(like: plan.preview.calls.first, at: managed, "before the call")
        // The rules may have changed meanwhile.
        try checkRules(of: plan, at: managed)
        return Ready(plan: plan, managed: managed, preview: preview, knownTasks: known)
    }

    /// Checks freeze, expiry, roles, approvals, identity and policy as they are now.
    private func checkRules(of plan: Plan, at managed: ManagedEnvironment) throws(ServiceError) {
        try freezes.checkNotFrozen(plan.request.environment, passing: plan.breakGlass)
        try audited.checkSpace()
        guard !workflow.isPast(plan) else {
            throw ServiceError(.planExpired, "plan \(plan.id) expired while it waited; plan again", planID: plan.id)
        }
        let requester = access.currentRules.directory.principal(of: plan.requester)
        guard requester?.may(.change, in: plan.request.environment) == true else {
            throw ServiceError(
                .forbidden,
                "\(plan.requester.actor), who asked for plan \(plan.id), may not change anything in "
                    + "\(plan.request.environment) any more", planID: plan.id)
        }
        if plan.breakGlass != nil { try access.checkMayBreakGlass(requester, in: plan.request.environment) }
        guard plan.environmentIdentity == managed.settings.identity else {
            throw ServiceError(
                .planStale, "environment \(managed.settings.name) has another address, token or trust now; plan again",
                planID: plan.id)
        }
        try approvals.checkDecision(of: plan, at: managed, plan.preview.reach, plan.preview.checks)
    }

    static func checkUnmoved(_ plan: Plan, _ moved: [StateDrift]) throws(ServiceError) {
        guard !moved.isEmpty else { return }
        var error = ServiceError(
            .planStale,
            "\(plan.request.target) is not what was planned: "
                + moved.map { "\($0.field) was \($0.planned.shown) and is \($0.found.shown)" }
                .joined(separator: ", ") + ". Plan again.", planID: plan.id)
        error.moved = moved
        throw error
    }

    /// Makes the plan's preview again from the current state.
    func freshPreview(of plan: Plan, at managed: ManagedEnvironment) async throws(ServiceError) -> Preview {
        var preview = try await managed.planning.look(again: plan, watching: access.currentRules.policy.namedGuests)
        try await workflow.addBackups(to: &preview, of: plan.request, at: managed)
        return preview
    }

    /// Records the intent durably, then consumes the plan. From then on the outcome is always recorded.
    func consume(
        _ ready: Ready, _ operation: Operation, _ context: Context
    ) async throws(ServiceError) -> Operation {
        let plan = ready.plan
        // The rules may change while the intent is written.
        let lease = registry.lease(of: operation.id)
        let isOpen: @Sendable (Plan, any StoreTransaction) -> Bool = { [self] plan, records in
            lease.map { records.holds($0) } == true && freezes.freeze(stopping: operation, in: records) == nil
                && (try? checkRules(of: plan, at: ready.managed)) != nil
        }
        let rules = access.currentRules
        let claims = rules.policy.limitClaims(of: rules.input(plan, in: ready.managed.settings), at: ports.now())
        let intent = AuditEvent(
            .applyIntent, context, environment: operation.environment, plan: plan.id, operation: operation.id,
            request: plan.request.auditForm, decision: plan.decision.auditForm,
            result: plan.auditIntent(taking: claims.map { $0.use(by: operation.id, at: ports.now()) }))
        ports.reached(.intentRecording)
        let started = try await audited.commit(
            intent,
            recorded: {
                ports.reached(.intentRecorded)
                ports.reached(.consuming)
                return !Task.isCancelled
            }
        ) { [ports] records -> Operation? in
            let now = ports.now()
            guard var plan = records.plan(plan.id), isOpen(plan, records),
                var operation = records.operation(operation.id),
                plan.move(to: .applying, at: now), operation.move(to: .running, at: now),
                records.takeAgain(claims, for: operation, at: now)
            else { return nil }
            operation.knownTasks = ready.knownTasks
            operation.executor = ports.agent
            records.put(plan)
            records.put(operation)
            return operation
        }
        guard let started else {
            if let lease, try await !audited.write({ $0.holds(lease) }) { outcomes.lose(lease) }
            try checkRules(of: try await workflow.load(plan.id), at: ready.managed)
            let full = try await audited.read { [ports] in
                $0.firstFull(
                    of: claims, passing: operation.breakGlass, at: ports.now(), besides: operation.id)
            }
            if let (claim, verdict) = full { throw claim.refusal(verdict, plan.id, at: ports.now()) }
            if let freeze = try await audited.read({ self.freezes.freeze(stopping: operation, in: $0) }) {
                throw FreezeService.frozen(freeze)
            }
            throw ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: plan.id)
        }
        ports.reached(.consumed)
        return started
    }
}
