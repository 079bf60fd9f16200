import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization

/// Calls whose answers were lost: what they have started is looked for at PVE. Nothing is ever sent again.
extension ActionService {
    /// Looks at once for what a call has started, as after a restart, and follows it as if PVE had answered. What cannot be
    /// found is unknown; of a call that starts no task PVE's state is told with that. `nil` when the agent stopped meanwhile.
    func findLost(
        _ call: Call, _ operation: inout Operation, _ plan: Plan, at managed: ManagedEnvironment
    ) async -> OperationState? {
        guard call.startsTask else {
            operation.message += await traces(of: operation, plan, at: managed)
            return Task.isCancelled ? nil : .unknown
        }
        guard let found = await find(operation, plan, at: managed, within: .seconds(30)) else { return nil }
        guard let upid = found.upid else { return .unknown }
        operation.steps[operation.steps.count - 1].upid = upid
        operation.code = nil
        operation.message = ""
        operation.upstream = nil
        guard await keep(operation) else { return nil }
        return await conclude(upid, &operation, plan, at: managed)
    }

    /// Looks for the task of the last call until PVE has answered, a few times, since the task may be about to begin.
    /// `nil` when the agent stopped meanwhile.
    ///
    /// A PVE that cannot be asked is waited for, at most as long as `limit` says; who waits for the operation learns that.
    func find(
        _ operation: Operation, _ plan: Plan, at managed: ManagedEnvironment, within limit: Duration? = nil
    ) async -> (upid: UPID?, Void)? {
        let deadline = limit.map { ContinuousClock.now + $0 }
        var looks = 0
        var backoff = Backoff(from: .milliseconds(250), to: .seconds(10))
        while true {
            do throws(ServiceError) {
                if let upid = try await trace(of: operation, plan, at: managed) { return (upid, ()) }
                looks += 1
                if looks >= limits.traceLooks { return (nil, ()) }
            } catch {
                ports.log.warning(
                    "PVE cannot be asked for a task; trying again", metadata: ["error": "\(error.detail)"])
                if let deadline, deadline < .now { return (nil, ()) }
                if limit != nil { guard await keep(operation) else { return nil } }
            }
            guard await backoff.wait() else { return nil }
        }
    }

    // MARK: Later

    /// A node that hung may carry a call out when it goes on: PVE is looked at again for a while after the outcome became
    /// unknown. What is found settles it.
    func lookLater(for operation: Operation) {
        guard operation.state == .unknown, operation.steps.count == operation.calls.count,
            let step = operation.steps.last, step.upid == nil, step.state == .unknown
        else { return }
        runs.withLock { runs in
            guard !runs.draining else { return }
            runs.searches[operation.id] = Task {
                await self.search(for: operation)
                self.runs.withLock { $0.searches[operation.id] = nil }
            }
        }
    }

    /// Goes on with the searches of a process that ended.
    func resumeSearches() async throws(ServiceError) {
        let recent = ports.now().addingTimeInterval(-Double(limits.lateSeconds))
        for operation in try await audited.read({ $0.operations(OperationFilter(state: .unknown)) })
        where operation.endedAt.map({ $0 > recent }) == true { lookLater(for: operation) }
    }

    private func search(for operation: Operation) async {
        let deadline = ContinuousClock.now + .seconds(limits.lateSeconds)
        var backoff = Backoff(from: .seconds(min(5, limits.lateSeconds)), to: .seconds(60))
        while ContinuousClock.now < deadline {
            guard await backoff.wait() else { return }
            guard let now = try? await audited.read({ ($0.operation(operation.id), $0.plan(operation.planID)) }),
                now.0?.state == .unknown, let plan = now.1,
                let managed = try? access.managedEnvironment(operation.environment),
                plan.environmentIdentity == managed.settings.identity,
                plan.preview.calls.last?.startsTask == true
            else { return }
            guard let upid = await lateTrace(of: operation, plan, at: managed) else { continue }
            var found = operation
            found.steps[found.steps.count - 1].upid = upid
            guard let state = await conclude(upid, &found, plan, at: managed) else { return }
            return await settle(found, as: state, found: upid)
        }
    }

    /// The task that must be the operation's own, while no other operation of ours works on the same guest.
    private func lateTrace(of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment) async -> UPID? {
        let ticket = targetLocks.enter(lockNames(of: plan))
        guard await targetLocks.wait(for: ticket) else { return nil }
        defer { targetLocks.leave(ticket) }
        do throws(ServiceError) {
            let own = OperationFilter(environments: [operation.environment])
            let others = try await audited.read { $0.operations(own) }.filter { $0.id != operation.id }
            // Another one's call may have started it as well.
            let isDoubtful = others.contains { other in
                other.target == operation.target && other.action == operation.action
                    && other.steps.contains { $0.upid == nil && $0.state == .unknown }
            }
            guard !isDoubtful else { return nil }
            return try await trace(
                of: operation, plan, at: managed, besides: others.flatMap { $0.steps.compactMap(\.upid) })
        } catch {
            return nil
        }
    }

    /// Records and stores what was found out later, where nobody has settled it by hand meanwhile.
    private func settle(_ found: Operation, as state: OperationState, found upid: UPID) async {
        let outcome: OperationState
        switch state {
        case .succeeded, .succeededWithWarnings: outcome = .succeeded
        case .failed, .cancelled: outcome = .failed
        case .queued, .running, .unknown: return
        }
        let turn = workflow.turns.enter([found.planID.description])
        _ = await workflow.turns.wait(for: turn)
        defer { workflow.turns.leave(turn) }
        guard (try? await audited.read { $0.operation(found.id)?.state }) == .unknown else { return }
        let reason = "found at PVE later: \(upid)"
        let resolve = AuditEvent(
            .resolve, .agent, environment: found.environment, plan: found.planID, operation: found.id,
            result: ["status": .string(outcome.rawValue), "reason": .string(reason)])
        let now = ports.now()
        let settled = try? await audited.commit(resolve) { records -> Bool? in
            guard var operation = records.operation(found.id), operation.state == .unknown else { return nil }
            operation.steps = found.steps
            operation.code = found.partial == nil ? nil : found.code
            operation.partial = found.partial
            operation.message = "\(found.message); \(reason)"
            operation.logTail = found.logTail
            operation.upstream = nil
            guard operation.move(to: outcome, at: now) else { return nil }
            records.put(operation)
            if var plan = records.plan(found.planID), let next = outcome.planState, plan.move(to: next, at: now) {
                records.put(plan)
            }
            return true
        }
        if settled == true { hub.publish(found.id) }
    }
}
