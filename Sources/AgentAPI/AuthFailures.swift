package import AgentAudit
package import FoundationEssentials
import Synchronization

/// Counts failed authentications, with one record for each source and minute, and delays the answers: the more failures
/// of one source, the longer. Requests with a valid token are never delayed.
package final class AuthFailures: Sendable {
    private struct State {
        var tally = AuthFailureTally()
        var waits: [UInt64: Task<Void, Never>] = [:]
        var lastWait: UInt64 = 0
        var isStopping = false
    }

    private enum Answer {
        case now, refusal
        case after(UInt64, Task<Void, Never>)
    }

    /// The most answers that are delayed at the same time. Further ones are refused instead.
    package static let maximumWaits = 64
    /// The longest delay.
    package static let longestWait = Duration.seconds(10)

    private let state = Mutex(State())
    private let delay: Duration
    private let now: @Sendable () -> Date
    private let sleep: @Sendable (Duration) async -> Void
    private let record: @Sendable ([AuditEvent]) async -> Void

    /// - Parameters:
    ///   - delay: the delay of the first failure of a source in a minute. It doubles with each further one, up to four
    ///     times. With zero, nothing is delayed or refused.
    ///   - now: the clock that ends minutes.
    ///   - sleep: waits for that time, or less if its task is cancelled.
    ///   - record: writes the records of a minute that has ended.
    package init(
        delay: Duration, now: @escaping @Sendable () -> Date = { Date() },
        sleep: @escaping @Sendable (Duration) async -> Void = { try? await Task.sleep(for: $0) },
        record: @escaping @Sendable ([AuditEvent]) async -> Void
    ) {
        self.delay = delay
        self.now = now
        self.sleep = sleep
        self.record = record
    }

    /// Counts a failure of `peer`, an address with its port, and returns when it may be answered.
    ///
    /// - Returns: false, at once, if too many answers are delayed already.
    package func wait(for peer: String) async -> Bool {
        // The port changes with each connection; the address is the source.
        let source = peer.lastIndex(of: ":").map { String(peer[..<$0]) } ?? peer
        let (ended, answer) = state.withLock { count(source, in: &$0) }
        if !ended.isEmpty { await record(ended) }
        switch answer {
        case .now: return true
        case .refusal: return false
        case .after(let number, let wait):
            await wait.value
            state.withLock { $0.waits[number] = nil }
            return true
        }
    }

    private func count(_ source: String, in state: inout State) -> (ended: [AuditEvent], Answer) {
        let (ended, earlier) = state.tally.count(source: source, at: now())
        guard delay > .zero, !state.isStopping else { return (ended, .now) }
        guard state.waits.count < Self.maximumWaits else { return (ended, .refusal) }
        let time = min(delay * (1 << min(earlier, 4)), Self.longestWait)
        let wait = Task { [sleep] in await sleep(time) }
        state.lastWait += 1
        state.waits[state.lastWait] = wait
        return (ended, .after(state.lastWait, wait))
    }

    /// Writes the records of a minute that has ended. Call it regularly, for times without new failures.
    package func flush() async { await record(state.withLock { $0.tally.flush(at: now()) }) }

    /// Ends all delays and allows no new ones, as the process stops.
    package func stop() {
        let waits = state.withLock { state in
            state.isStopping = true
            return Array(state.waits.values)
        }
        for wait in waits { wait.cancel() }
    }

    /// Writes the records of all counted failures; the last call.
    package func drain() async { await record(state.withLock { $0.tally.drain() }) }
}
