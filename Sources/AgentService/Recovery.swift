import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import StrictJSON

/// Settles what a process that ended left behind. Nothing is ever sent again.
struct Recovery: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    private let workflow: PlanWorkflow
    private let runner: OperationRunner

    init(_ workflow: PlanWorkflow, _ runner: OperationRunner) {
        (audited, access, self.workflow, self.runner) = (workflow.audited, workflow.access, workflow, runner)
    }

    var ports: Ports { audited.ports }

    /// Brings store, audit log and PVE to one truth. Runs once, before anybody is served.
    ///
    /// The state is brought to what the log says (``replay(behind:)``); what waited ends as not executed; and what was
    /// sent is followed on, or looked for at PVE, in tasks of its own that hold their guests' locks meanwhile.
    ///
    /// - Throws: when the log or the store does not work. Nothing must be served then.
    func run() async throws(ServiceError) {
        try await replay(behind: try await audited.read { $0.mark })
        try await runner.freezes.load()
        for operation in try await audited.read({ $0.operations(OperationFilter(state: .queued)) }) {
            try await endUnexecuted(operation)
        }
        for operation in try await audited.read({ $0.operations(OperationFilter(state: .running)) }) {
            try await resume(operation)
        }
        try await runner.lost.resumeSearches()
        try await arm()
    }

    /// Gives live plans the time that is left to them.
    private func arm() async throws(ServiceError) {
        let (now, instant) = (ports.now(), ports.uptime())
        for plan in try await audited.read({ $0.plans(PlanFilter(isLive: true)) }) {
            let left = min(plan.expiresAt.timeIntervalSince(now), plan.expiresAt.timeIntervalSince(plan.createdAt))
            workflow.deadlines.set(plan.id, instant + .milliseconds(Int(max(0, left) * 1000)))
        }
    }

    // MARK: Operations

    /// An operation that waited when the process ended: nothing of it was sent, and its plan can be applied again.
    private func endUnexecuted(_ queued: Operation) async throws(ServiceError) {
        var ended = queued
        let now = ports.now()
        ended.code = Self.notExecuted
        ended.message = "the agent restarted before it began; nothing was sent, and its plan can be applied again"
        guard ended.move(to: .failed, at: now) else { return }
        let final = ended
        let event = AuditEvent(
            .apply, .agent, environment: final.environment, plan: final.planID, operation: final.id,
            result: final.auditOutcome)
        _ = try await audited.commit(event) { records -> Bool? in
            records.put(final)
            if var plan = records.plan(final.planID), plan.operationID == final.id {
                plan.release()
                records.put(plan)
            }
            return true
        }
    }

    /// The code of operations that ended without anything having been sent.
    static let notExecuted = "not_executed"

    /// Goes on with an operation that was under way, however long PVE cannot be reached. Its locks are taken before
    /// anybody is served, so nobody holds them yet.
    private func resume(_ operation: Operation) async throws(ServiceError) {
        guard let plan = try await audited.read({ $0.plan(operation.planID) }) else {
            return await end(operation, .unknown, "its plan \(operation.planID) is gone")
        }
        let registry = runner.registry
        let ticket = registry.enter(for: plan)
        _ = registry.start(operation.id, ticket) {
            guard await registry.locks.wait(for: ticket) else { return }
            await settle(operation, plan)
            registry.locks.leave(ticket)
            registry.hub.publish(operation.id)
        }
    }

    private func settle(_ operation: Operation, _ plan: Plan) async {
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
            return await end(ended, .failed, "the agent was restarted before anything was sent; plan again")
        }
        guard !step.isDone else { return await end(operation, operation.steps.count, of: plan) }
        var followed = operation
        if step.upid == nil, plan.request.definition.answer == .process, operation.data?["pid"] != nil {
            guard let state = await runner.follower.followCommand(&followed, plan, at: managed) else { return }
            return await runner.end(followed, state, of: plan, at: managed, .agent)
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
                    "the agent was restarted after the call was sent and before PVE's answer was stored, and PVE shows "
                        + "no task that must be its own; it is not sent again" + traces)
            }
            followed.steps[followed.steps.count - 1].upid = upid
            guard await runner.outcomes.keep(followed) else { return }
        }
        guard let upid = followed.steps.last?.upid,
            let state = await runner.follower.conclude(upid, &followed, plan, at: managed)
        else { return }
        guard state == .succeeded || state == .succeededWithWarnings else {
            return await runner.end(followed, state, of: plan, at: managed, .agent)
        }
        await end(followed, followed.steps.count, of: plan)
    }

    /// Ends an operation whose first `count` calls came to a good end.
    private func end(_ operation: Operation, _ count: Int, of plan: Plan) async {
        guard count == plan.preview.calls.count else {
            return await end(
                operation, .unknown,
                "the agent was restarted after call \(count) of \(plan.preview.calls.count); the rest is not sent")
        }
        await runner.finish(operation, operation.hasWarnings ? .succeededWithWarnings : .succeeded, of: plan, .agent)
    }

    private func end(_ operation: Operation, _ state: OperationState, _ message: String) async {
        var ended = operation
        ended.message = message
        await runner.finish(ended, state, of: nil, .agent)
    }
}
