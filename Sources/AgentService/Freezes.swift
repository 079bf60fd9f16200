import AgentModel
import FoundationEssentials
import Synchronization

/// The freezes in force, as the store has them; kept beside it so that looking costs nothing.
///
/// One with an end holds until the clock on the wall and the time that passes agree that it is over: a clock that is
/// set forward lifts nothing.
final class Freezes: Sendable {
    private struct Entry {
        let freeze: Freeze
        let end: ContinuousClock.Instant?
    }

    private let entries = Mutex<[Entry]>([])

    /// Takes over what the store holds, at the time `now` by the wall and `instant` by what has passed.
    func replace(_ freezes: [Freeze], at now: Date, _ instant: ContinuousClock.Instant) {
        entries.withLock { entries in
            let before = entries
            entries = freezes.map { freeze in
                if let same = before.first(where: { $0.freeze == freeze }) { return same }
                let left = freeze.endsAt.map {
                    Duration.milliseconds(Int((max(0, $0.timeIntervalSince(now)) * 1000).rounded(.up)))
                }
                return Entry(freeze: freeze, end: left.map { instant + $0 })
            }
        }
    }

    func inForce(at now: Date, _ instant: ContinuousClock.Instant) -> [Freeze] {
        entries.withLock { entries in
            entries.filter { entry in
                guard let endsAt = entry.freeze.endsAt, let end = entry.end else { return true }
                return endsAt > now || end > instant
            }.map(\.freeze)
        }
    }
}
