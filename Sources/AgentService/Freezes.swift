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

        init(_ freeze: Freeze, at now: Date, _ instant: ContinuousClock.Instant) {
            self.freeze = freeze
            end = freeze.endsAt.map {
                instant + .milliseconds(Int((max(0, $0.timeIntervalSince(now)) * 1000).rounded(.up)))
            }
        }
    }

    private struct State {
        var entries: [Entry] = []
        /// One that is about to be stored: it holds already.
        var announced: Freeze?
    }

    private let state = Mutex(State())

    /// From here on nothing passes that `freeze` covers, until ``replace(_:at:_:)`` tells what became of it.
    func announce(_ freeze: Freeze) { state.withLock { $0.announced = freeze } }

    /// Takes over what the store holds, at the time `now` by the wall and `instant` by what has passed.
    func replace(_ freezes: [Freeze], at now: Date, _ instant: ContinuousClock.Instant) {
        state.withLock { state in
            let before = state.entries
            state.entries = freezes.map { freeze in
                before.first { $0.freeze == freeze } ?? Entry(freeze, at: now, instant)
            }
            state.announced = nil
        }
    }

    /// Forgets the announced one: it could not be stored.
    func withdraw() { state.withLock { $0.announced = nil } }

    func inForce(at now: Date, _ instant: ContinuousClock.Instant) -> [Freeze] {
        state.withLock { state in
            let stored = state.entries.filter { entry in
                guard let endsAt = entry.freeze.endsAt, let end = entry.end else { return true }
                return endsAt > now || end > instant
            }.map(\.freeze)
            return stored + (state.announced.map { [$0] } ?? [])
        }
    }
}
