import AgentModel
import Synchronization

/// When live plans end by the monotonic clock, whatever happens to the wall clock.
final class Deadlines: Sendable {
    private let ends = Mutex<[RecordID: ContinuousClock.Instant]>([:])

    func set(_ id: RecordID, _ end: ContinuousClock.Instant) { ends.withLock { $0[id] = end } }

    func forget(_ id: RecordID) { ends.withLock { $0[id] = nil } }

    func isPassed(_ id: RecordID, at now: ContinuousClock.Instant) -> Bool {
        ends.withLock { $0[id].map { $0 <= now } ?? false }
    }

    /// The plans that are past their time and not forgotten yet.
    func passed(at now: ContinuousClock.Instant) -> [RecordID] {
        ends.withLock { ends in ends.filter { $0.value <= now }.map(\.key) }
    }
}
