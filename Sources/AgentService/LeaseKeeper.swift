import AgentModel
import Synchronization

/// Knows in which environments this process carries out operations, and for how long it can prove that.
///
/// A lone agent does that in all of its environments, always. Of several agents on one state, the holder of an
/// environment's lease does. It proves its lease by its own monotonic clock alone, from the instant before it asked for
/// the last renewal that was answered.
package final class LeaseKeeper: Sendable {
    /// How long a lease is valid after a renewal.
    package static let validity = Duration.seconds(10)
    /// How long a call may take from its gate to PVE. PVE closes a connection on which nothing comes for 5 s, and the
    /// gate is asked right after the handshake.
    package static let leave = Duration.seconds(6)
    /// What the next holder waits beyond ``validity``, for clocks of different rates.
    package static let margin = Duration.seconds(2)

    private enum Stage: Int {
        /// An earlier holder may still send something.
        case waiting
        /// Nobody else can send anything.
        case alone
        /// What the earlier holder left has its locks, and operations begin.
        case leading
        /// No more begin; those under way go on.
        case closing
    }

    private struct Held {
        let lease: Lease
        var provenUntil: ContinuousClock.Instant
        var stage = Stage.waiting
        /// How many freezes have been stored, and up to which of them the gate goes by.
        var freezes: Int64
        var loaded: Int64 = -1
    }

    private let isShared: Bool
    private let uptime: @Sendable () -> ContinuousClock.Instant
    private let held = Mutex<[EnvironmentName: Held]>([:])

    init(isShared: Bool, uptime: @escaping @Sendable () -> ContinuousClock.Instant) {
        self.isShared = isShared
        self.uptime = uptime
    }

    // MARK: Questions

    /// The lease under which operations of the environment begin here; `nil` if they begin elsewhere, or not yet.
    func leads(_ environment: EnvironmentName) -> Lease? {
        guard isShared else { return Lease(environment: environment, holder: "", epoch: 0) }
        return held.withLock { held in
            guard let entry = held[environment], entry.stage == .leading else { return nil }
            return entry.lease
        }
    }

    /// Whether the lease is still this process's, as far as it knows.
    func has(_ lease: Lease) -> Bool { !isShared || held.withLock { $0[lease.environment]?.lease == lease } }

    /// Whether a call that passes its gate now reaches PVE, or never does, before anybody else may lead; and whether
    /// all freezes that the state is known to have are known here. Called on libcurl's thread.
    func proves(_ lease: Lease) -> Bool {
        guard isShared else { return true }
        let now = uptime()
        return held.withLock { held in
            guard let entry = held[lease.environment] else { return false }
            return entry.lease == lease && entry.stage != .waiting && entry.loaded >= entry.freezes
                && now + Self.leave <= entry.provenUntil
        }
    }

    /// Whether nobody else can send anything in the environment any more, as long as the lease can be proven.
    func isAlone(_ lease: Lease) -> Bool {
        held.withLock { held in
            guard let entry = held[lease.environment] else { return false }
            return entry.lease == lease && entry.stage != .waiting
        }
    }

    /// All leases that are held here, whether they are waited out yet or not.
    var leases: [Lease] { held.withLock { $0.values.map(\.lease) } }

    // MARK: Changes

    /// Notes an acquisition that was asked for at `instant`.
    func acquired(_ new: AcquiredLease, askedAt instant: ContinuousClock.Instant) {
        held.withLock {
            $0[new.lease.environment] = Held(
                lease: new.lease, provenUntil: instant + Self.validity, freezes: new.freezes)
        }
    }

    /// Notes a renewal that was asked for at `instant`, and how many freezes have been stored by then. Returns whether
    /// there are some that the gate does not go by.
    func renewed(_ lease: Lease, freezes: Int64, askedAt instant: ContinuousClock.Instant) -> Bool {
        held.withLock { held in
            guard var entry = held[lease.environment], entry.lease == lease else { return false }
            entry.provenUntil = max(entry.provenUntil, instant + Self.validity)
            entry.freezes = max(entry.freezes, freezes)
            held[lease.environment] = entry
            return entry.loaded < entry.freezes
        }
    }

    /// Notes that so many freezes have been stored: until they are ``loaded(_:freezes:)``, the gate is closed.
    func told(_ environment: EnvironmentName, freezes: Int64) {
        held.withLock { held in
            guard var entry = held[environment] else { return }
            entry.freezes = max(entry.freezes, freezes)
            held[environment] = entry
        }
    }

    /// Whether the gate goes by all freezes that are known to have been stored.
    func isLoaded(_ lease: Lease) -> Bool {
        held.withLock { held in
            guard let entry = held[lease.environment], entry.lease == lease else { return true }
            return entry.loaded >= entry.freezes
        }
    }

    /// How many freezes of the environment are known to have been stored.
    func freezes(of lease: Lease) -> Int64? {
        held.withLock { held in
            guard let entry = held[lease.environment], entry.lease == lease else { return nil }
            return entry.freezes
        }
    }

    /// Notes that the gate goes by the first so many freezes.
    func loaded(_ lease: Lease, freezes: Int64) {
        held.withLock { held in
            guard var entry = held[lease.environment], entry.lease == lease else { return }
            entry.loaded = max(entry.loaded, freezes)
            held[lease.environment] = entry
        }
    }

    /// Notes that the wait for an earlier holder is over.
    func waitedOut(_ lease: Lease) { move(lease, to: .alone) { $0 == .waiting } }

    /// Lets operations begin.
    func lead(_ lease: Lease) { move(lease, to: .leading) { $0 == .alone } }

    /// Lets no more operations begin, or lets them begin again.
    func close(_ lease: Lease, _ isClosing: Bool) {
        move(lease, to: isClosing ? .closing : .leading) { $0 == (isClosing ? .leading : .closing) }
    }

    private func move(_ lease: Lease, to stage: Stage, if isRight: (Stage) -> Bool) {
        held.withLock { held in
            guard var entry = held[lease.environment], entry.lease == lease, isRight(entry.stage) else { return }
            entry.stage = stage
            held[lease.environment] = entry
        }
    }

    /// Forgets the lease: nothing passes its gate any more.
    func drop(_ lease: Lease) {
        held.withLock { held in
            if held[lease.environment]?.lease == lease { held[lease.environment] = nil }
        }
    }
}
