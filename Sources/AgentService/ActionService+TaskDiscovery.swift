import AgentModel
import FoundationEssentials
import StrictJSON

/// Finds the task that a call has started, where its answer was lost.
extension ActionService {
    /// The tasks that look like the call's own. None for a call that starts no task. Throws when PVE cannot be asked.
    func tasks(like call: Call?, at managed: ManagedEnvironment, _ purpose: String) async throws(ServiceError) -> [UPID]
    {
        guard let call else { return [] }
        do throws(HypervisorError) { return try await managed.planning.candidateTasks(for: call) } catch {
            throw ServiceError(error, managed.settings.name, during: "reading the list of tasks \(purpose)")
        }
    }

    /// The one task that the operation's last call can have started, if there is exactly one: it was not there before, is
    /// none of `others`, and began when the call was sent, give or take how far two clocks may differ.
    func trace(
        of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment, besides others: [UPID] = []
    ) async throws(ServiceError) -> UPID? {
        guard let step = operation.steps.last, operation.steps.count <= plan.preview.calls.count else { return nil }
        let call = plan.preview.calls[operation.steps.count - 1]
        let known = Set(operation.knownTasks + operation.steps.compactMap(\.upid) + others)
        let began = step.sentAt.timeIntervalSince1970
        let found = try await tasks(like: call, at: managed, "for the one that the call has started").filter { upid in
            !known.contains(upid)
                && (began - Self.clockDifference...began + Self.clockDifference).contains(Double(upid.startTime))
        }
        return found.count == 1 ? found[0] : nil
    }

    /// Seconds that PVE's clock and ours may lie apart, with the time that a call may take to become a task.
    private static let clockDifference = 300.0
}
