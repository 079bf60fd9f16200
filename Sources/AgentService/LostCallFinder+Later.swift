import AgentAudit
import AgentModel
import FoundationEssentials
import StrictJSON

/// Keeps looking for what became of operations whose outcome is unknown.
extension LostCallFinder {
    /// Keeps asking PVE for a while after the outcome became unknown, since a hung node may still carry the call out.
    /// What is found settles the operation.
    func lookLater(for operation: Operation) {
        guard operation.state == .unknown, operation.steps.count == operation.calls.count,
            let step = operation.steps.last, step.upid == nil, step.state == .unknown,
            let lease = leases.leads(operation.environment)
        else { return }
        registry.search(for: operation, under: lease) { await self.search(for: operation) }
    }

    /// Resumes the searches of an earlier process, or of another agent that led before.
    func resumeSearches(in environment: EnvironmentName) async throws(ServiceError) {
        let recent = ports.now().addingTimeInterval(-Double(limits.lateSeconds))
        let unknown = OperationFilter(environments: [environment], state: .unknown)
        for operation in try await audited.read({ $0.operations(unknown) })
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
            guard let state = await follower.conclude(upid, &found, plan, at: managed) else { return }
            return await settle(found, as: state, found: upid)
        }
    }

    /// The task that must be the operation's own. Holds the target's locks, so that no other operation works on it.
    private func lateTrace(of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment) async -> UPID? {
        let ticket = registry.locks.enter(plan.lockNames)
        guard await registry.locks.wait(for: ticket) else { return nil }
        defer { registry.locks.leave(ticket) }
        do throws(ServiceError) {
            let own = OperationFilter(environments: [operation.environment])
            let others = try await audited.read { $0.operations(own) }.filter { $0.id != operation.id }
            // Another operation's lost call may have started it as well.
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

    /// Records and stores the outcome that was found, unless the operation was settled by hand meanwhile.
    private func settle(_ found: Operation, as state: OperationState, found upid: UPID) async {
        let outcome: OperationState
        switch state {
        case .succeeded, .succeededWithWarnings: outcome = .succeeded
        case .failed, .cancelled: outcome = .failed
        case .queued, .running, .unknown: return
        }
        let lease = registry.lease(of: found.id)
        let settled = try? await workflow.withPlan(found.planID) { () async throws(ServiceError) -> Bool? in
            guard try await audited.read({ $0.operation(found.id)?.state }) == .unknown else { return nil }
            let reason = "found at PVE later: \(upid)"
            let resolve = AuditEvent(
                .resolve, .agent(continuing: found), environment: found.environment, plan: found.planID,
                operation: found.id,
                result: AuditEvent.settled(as: outcome, reason))
            let now = ports.now()
            return try await audited.commit(resolve) { records -> Bool? in
                guard lease.map({ records.holds($0) }) == true, var operation = records.operation(found.id),
                    operation.state == .unknown
                else { return nil }
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
        }
        if settled == true { registry.hub.publish(found.id) }
    }
}
