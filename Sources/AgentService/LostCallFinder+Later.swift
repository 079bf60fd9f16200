import AgentAudit
import AgentModel
import FoundationEssentials
import StrictJSON

/// Looks for a while longer for what became of operations whose outcome is unknown.
extension LostCallFinder {
    /// A node that hung may carry a call out when it goes on: PVE is looked at again for a while after the outcome became
    /// unknown. What is found settles it.
    func lookLater(for operation: Operation) {
        guard operation.state == .unknown, operation.steps.count == operation.calls.count,
            let step = operation.steps.last, step.upid == nil, step.state == .unknown
        else { return }
        registry.search(for: operation.id) { await self.search(for: operation) }
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
            guard let state = await follower.conclude(upid, &found, plan, at: managed) else { return }
            return await settle(found, as: state, found: upid)
        }
    }

    /// The task that must be the operation's own, while no other operation of ours works on the same guest.
    private func lateTrace(of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment) async -> UPID? {
        let ticket = registry.locks.enter(plan.lockNames)
        guard await registry.locks.wait(for: ticket) else { return nil }
        defer { registry.locks.leave(ticket) }
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
        let settled = try? await workflow.withPlan(found.planID) { () async throws(ServiceError) -> Bool? in
            guard try await audited.read({ $0.operation(found.id)?.state }) == .unknown else { return nil }
            let reason = "found at PVE later: \(upid)"
            let resolve = AuditEvent(
                .resolve, .agent, environment: found.environment, plan: found.planID, operation: found.id,
                result: ["status": .string(outcome.rawValue), "reason": .string(reason)])
            let now = ports.now()
            return try await audited.commit(resolve) { records -> Bool? in
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
        }
        if settled == true { registry.hub.publish(found.id) }
    }
}
