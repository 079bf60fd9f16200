import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import StrictJSON

/// Settles what an earlier process left behind. Never sends a call again.
struct Recovery: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    private let workflow: PlanWorkflow
    private let runner: OperationRunner

    init(_ workflow: PlanWorkflow, _ runner: OperationRunner) {
        (audited, access, self.workflow, self.runner) = (workflow.audited, workflow.access, workflow, runner)
    }

    var ports: Ports { audited.ports }

    /// Brings store, audit log and PVE into agreement. Run it once, before any request is served.
    ///
    /// The state is brought up to the log (``replay(behind:)``). Queued operations end as not executed. Calls that were
    /// sent are followed, or looked for at PVE, in separate tasks that hold their guests' locks meanwhile. Approvals by
    /// keys that were taken out meanwhile are void.
    ///
    /// - Throws: if the log or the store does not work. Serve no requests then.
    func run() async throws(ServiceError) {
        try await replay(behind: try await audited.read { $0.mark })
        try await runner.freezes.load()
        if ports.leases == nil {
            for operation in try await audited.read({ $0.operations(OperationFilter(state: .queued)) }) {
                try await endUnexecuted(operation)
            }
            for operation in try await audited.read({ $0.operations(OperationFilter(state: .running)) }) {
                if let lease = runner.leases.leads(operation.environment) { try await resume(operation, under: lease) }
            }
            for managed in access.managedEnvironments {
                try await runner.lost.resumeSearches(in: managed.settings.name)
            }
        }
        // Among several agents, once it is known whether this one's configuration is theirs.
        try await runner.approvals.withdrawSignatures()
        try await arm()
    }

    /// Resumes what an earlier process left under way in the environment, or another agent that led there. What it
    /// left has its locks when this returns.
    func takeOver(under lease: Lease) async throws(ServiceError) {
        let running = OperationFilter(environments: [lease.environment], state: .running)
        for operation in try await audited.read({ $0.operations(running) }) {
            try await resume(operation, under: lease)
        }
        // It may have been lost meanwhile.
        if !runner.leases.has(lease) { runner.registry.cancel(under: lease) }
    }

    /// Sets the deadlines of live plans to the time that they have left.
    private func arm() async throws(ServiceError) {
        let (now, instant) = (ports.now(), ports.uptime())
        for plan in try await audited.read({ $0.plans(PlanFilter(isLive: true)) }) {
            let left = min(plan.expiresAt.timeIntervalSince(now), plan.expiresAt.timeIntervalSince(plan.createdAt))
            workflow.deadlines.set(plan.id, instant + .milliseconds(Int(max(0, left) * 1000)))
        }
    }

    // MARK: Operations

    /// Ends an operation that was still queued when the process ended: nothing was sent, and its plan can be applied
    /// again.
    private func endUnexecuted(_ queued: Operation) async throws(ServiceError) {
        var ended = queued
        let now = ports.now()
        ended.code = Self.notExecuted
        ended.message = "the agent restarted before it began; nothing was sent, and its plan can be applied again"
        guard ended.move(to: .failed, at: now) else { return }
        let final = ended
        let event = AuditEvent(
            .apply, .agent(continuing: final), environment: final.environment, plan: final.planID, operation: final.id,
            result: final.auditOutcome)
        _ = try await audited.commit(event) { records -> Bool? in
            records.end(final)
            if var plan = records.plan(final.planID), plan.operationID == final.id {
                plan.release()
                records.put(plan)
            }
            return true
        }
        ports.observed(.ended(final))
    }

    /// The code of operations that ended before anything was sent.
    static let notExecuted = "not_executed"

    /// Resumes an operation that was under way, however long PVE is unreachable. Its locks are taken before anything
    /// else begins, so they are free.
    private func resume(_ operation: Operation, under lease: Lease) async throws(ServiceError) {
        let plan = try await audited.read { $0.plan(operation.planID) }
        let registry = runner.registry
        guard let ticket = registry.enter(operation.id, for: plan, under: lease) else { return }
        let isStarted = registry.start(operation) {
            guard await registry.locks.wait(for: ticket) else { return }
            // Its agent may have ended it since, when it started anew.
            if let stored = try? await audited.read({ $0.operation(operation.id) }), stored.state.isEnded {
                registry.locks.leave(ticket)
                return
            }
            await settle(operation, plan)
            registry.locks.leave(ticket)
            registry.hub.publish(operation.id)
        }
        if !isStarted { registry.leave(operation.id, ticket) }
    }

    private func settle(_ left: Operation, _ plan: Plan?) async {
        var operation = left
        // A stop was sent, or will not be.
        if let actor = left.cancelRequestedBy { runner.registry.noteStop(of: left.id, by: actor) }
        let was = left.executor == ports.agent ? "the agent was interrupted" : "agent \(left.executor ?? "?") stopped"
        if operation.executor != ports.agent {
            operation.executor = ports.agent
            guard await runner.outcomes.keep(operation) else { return }
        }
        guard let plan else { return await end(operation, .unknown, "its plan \(operation.planID) is gone") }
        guard let managed = try? access.managedEnvironment(operation.environment),
            plan.environmentIdentity == managed.settings.identity
        else {
            return await end(
                operation, .unknown,
                "environment \(operation.environment) is not the one any more where it was carried out")
        }
        guard let step = operation.steps.last else {
            var ended = operation
            ended.code = Self.notExecuted
            return await end(ended, .failed, "\(was) before anything was sent; plan again")
        }
        guard !step.isDone else { return await end(operation, operation.steps.count, of: plan, was) }
        var followed = operation
        if step.upid == nil, plan.request.definition.answer == .process, operation.data?["pid"] != nil {
            guard let state = await runner.follower.followCommand(&followed, plan, at: managed) else { return }
            return await runner.end(followed, state, of: plan, at: managed, .agent(continuing: followed))
        }
        if step.upid == nil {
            guard let found = await runner.lost.find(operation, plan, at: managed) else { return }
            guard let upid = found.upid else {
                let index = operation.steps.count - 1
                let hasTask = plan.preview.calls.indices.contains(index) && plan.preview.calls[index].startsTask
                let traces = hasTask ? "" : await runner.lost.traces(of: operation, plan, at: managed)
                guard !Task.isCancelled else { return }
                return await end(
                    operation, .unknown,
                    "\(was) after the call was sent and before PVE's answer was stored, and PVE shows "
                        + "no task that must be its own; it is not sent again" + traces)
            }
            followed.steps[followed.steps.count - 1].upid = upid
            guard await runner.outcomes.keep(followed) else { return }
        }
        guard let upid = followed.steps.last?.upid,
            let state = await runner.follower.conclude(upid, &followed, plan, at: managed)
        else { return }
        guard state == .succeeded || state == .succeededWithWarnings else {
            return await runner.end(followed, state, of: plan, at: managed, .agent(continuing: followed))
        }
        await end(followed, followed.steps.count, of: plan, was)
    }

    /// Ends an operation whose first `count` calls succeeded.
    private func end(_ operation: Operation, _ count: Int, of plan: Plan, _ was: String) async {
        guard count == plan.preview.calls.count else {
            return await end(
                operation, .unknown,
                "\(was) after call \(count) of \(plan.preview.calls.count); the rest is not sent")
        }
        await runner.finish(
            operation, operation.hasWarnings ? .succeededWithWarnings : .succeeded, of: plan,
            .agent(continuing: operation))
    }

    private func end(_ operation: Operation, _ state: OperationState, _ message: String) async {
        var ended = operation
        ended.message = message
        await runner.finish(ended, state, of: nil, .agent(continuing: ended))
    }
}
