import AgentAudit
import AgentModel
import StrictJSON
import Synchronization

/// A stop with `overrule-shutdown`: it does not wait for the shutdown that it ends.
extension OperationRunner {
    /// The running operation that shuts the same guest down and already has a task at PVE.
    func shutdownUnderWay(overruledBy plan: Plan) async -> RecordID? {
        let request = plan.request
        guard request.overrulesShutdown, let guest = request.target.guest else { return nil }
        let running = OperationFilter(environments: [request.environment], state: .running)
        let found = try? await audited.read { $0.operations(running) }
        return found?.first { operation in
            operation.target == .guest(guest) && operation.upid != nil
                && ActionCatalog.definition(of: operation.action).canBeOverruled
        }?.id
    }

    /// Records and stores, before the stop is sent, that it is to end the shutdown.
    func overrule(by stop: Operation) async throws(ServiceError) {
        guard let shutdown = registry.shutdown(overruledBy: stop.id),
            let found = try await audited.read({ $0.operation(shutdown) }), found.state == .running
        else { return }
        let ask = AuditEvent(
            .cancel, .agent, environment: found.environment, plan: found.planID, operation: shutdown,
            result: AuditEvent.asked(by: stop.id))
        let actor = stop.requester.actor
        let asked = try await audited.commit(ask) { records -> Bool? in
            guard var operation = records.operation(shutdown), operation.state == .running else { return nil }
            operation.cancelRequestedBy = actor
            records.put(operation)
            return true
        }
        if asked == true { registry.noteStop(of: shutdown, by: actor) }
    }

    /// Forgets the overruling because PVE refused the stop: whatever ends the shutdown now, it is not the stop.
    func forgetOverruling(by stop: RecordID) async {
        guard let shutdown = registry.shutdown(overruledBy: stop) else { return }
        registry.forgetOverruling(of: shutdown)
        try? await outcomes.forgetCancel(of: shutdown)
    }
}
