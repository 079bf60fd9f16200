import AgentModel
import FoundationEssentials
import Synchronization

/// The freezes in force, cached from the store so that checks cost nothing.
///
/// A freeze with an end holds until both the wall clock and the monotonic clock are past it. Setting the clock forward
/// lifts nothing.
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
        /// A freeze that is about to be stored. It holds already.
        var announced: Freeze?
    }

    private let state = Mutex(State())

    /// Blocks all that `freeze` covers from now on, until ``replace(_:at:_:)`` or ``withdraw()``.
    func announce(_ freeze: Freeze) { state.withLock { $0.announced = freeze } }

    /// Takes over the stored freezes, at wall-clock time `now` and monotonic time `instant`.
    func replace(_ freezes: [Freeze], at now: Date, _ instant: ContinuousClock.Instant) {
        state.withLock { state in
            let before = state.entries
            state.entries = freezes.map { freeze in
                before.first { $0.freeze == freeze } ?? Entry(freeze, at: now, instant)
            }
            state.announced = nil
        }
    }

    /// Forgets the announced freeze, which could not be stored.
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
