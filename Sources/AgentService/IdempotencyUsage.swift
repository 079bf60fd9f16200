import Synchronization

/// Caches the storage that principals' keys use: counting them in the store reads every row of theirs.
final class IdempotencyUsage: Sendable {
    private struct Count {
        var use: KeyUse
        let at: ContinuousClock.Instant
    }

    /// How long a count is valid. It does not see what was pruned meanwhile.
    private static let lasts = Duration.seconds(10)

    private let counts = Mutex<[String: Count]>([:])

    /// The usage of the principal's keys; `nil` if the store has to be asked.
    func use(of principal: String, at now: ContinuousClock.Instant) -> KeyUse? {
        counts.withLock { counts in
            guard let count = counts[principal], now < count.at + Self.lasts else { return nil }
            return count.use
        }
    }

    /// Keeps and returns the usage that the store reported.
    func note(_ use: KeyUse, of principal: String, at now: ContinuousClock.Instant) -> KeyUse {
        counts.withLock { counts in
            counts = counts.filter { now < $0.value.at + Self.lasts }
            counts[principal] = Count(use: use, at: now)
        }
        return use
    }

    /// Adds keys, or bytes of their answers.
    func add(_ count: Int, bytes: Int, to principal: String) {
        counts.withLock { counts in
            guard let known = counts[principal]?.use else { return }
            counts[principal]?.use = KeyUse(count: known.count + count, bytes: known.bytes + bytes)
        }
    }
}
