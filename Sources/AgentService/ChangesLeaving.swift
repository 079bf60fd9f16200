import AgentModel
import Synchronization

/// The mutations that have passed their gates and are not answered yet, so that a freeze can wait for them.
final class ChangesLeaving: Sendable {
    private let environments = Mutex<[RecordID: EnvironmentName]>([:])

    /// Lets a call of the operation pass, unless `isFrozen`. The call is counted before `isFrozen` is asked, so a
    /// freeze that is set first and then waits here misses no call.
    func pass(_ operation: RecordID, in environment: EnvironmentName, unless isFrozen: () -> Bool) -> Bool {
        environments.withLock { $0[operation] = environment }
        guard isFrozen() else { return true }
        leave(operation)
        return false
    }

    /// The call was answered, or will not be.
    func leave(_ operation: RecordID) { environments.withLock { $0[operation] = nil } }

    /// Waits at most `limit` until the mutations in these environments are answered.
    func wait(atMost limit: Duration, for isMeant: (EnvironmentName) -> Bool) async {
        let deadline = ContinuousClock.now + limit
        while environments.withLock({ $0.values.contains { isMeant($0) } }), .now < deadline {
            guard (try? await Task.sleep(for: .milliseconds(2))) != nil else { return }
        }
    }
}
