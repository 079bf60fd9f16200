package import AgentService
import HTTPMessage
import HTTPTypes
import Synchronization

/// The limits of one caller for a minute, which also bound its bursts. The defaults are far above what agents need.
package struct RateLimits: Sendable, Hashable {
    package var requests = 12_000
    /// Urgent requests, which are counted separately.
    package var urgentRequests = 3000
    /// Bytes that requests make the agent write: plans, records, operations, stored answers.
    package var storedBytes = 32 << 20

    package init() {}
}

/// A token bucket for each caller and policy; an empty one fills within a minute.
package final class Throttle: Sendable {
    enum Policy: String, CaseIterable {
        case requests
        case urgent = "urgent-requests"
        case storedBytes = "stored-bytes"
    }

    private struct Bucket {
        /// Below zero if more was written than there were tokens: the size is only known afterwards.
        var level: Double
        var at: ContinuousClock.Instant
    }

    private struct Key: Hashable {
        let party: Admission.Party
        let policy: Policy
    }

    private struct State {
        var buckets: [Key: Bucket] = [:]
        /// What was taken since the other agents were told.
        var spent: [Key: Double] = [:]
        /// When full buckets were last removed.
        var sweptAt: ContinuousClock.Instant?
    }

    static let window = 60
    /// The most buckets. Beyond that, new addresses share one for each policy. Principals always have their own, since
    /// their number is limited by the configuration.
    private static let maximumBuckets = 20_000

    private let limits: RateLimits
    private let isShared: Bool
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state = Mutex(State())

    /// `isShared` where other agents are told what is taken, by ``takeSpent()``.
    package init(
        _ limits: RateLimits, isShared: Bool = false,
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.limits = limits
        self.isShared = isShared
        self.now = now
    }

    /// Takes a request's tokens if there are enough. Health checks have no limit.
    func take(_ admission: Admission) -> Quota {
        switch admission.lane {
        case .health: return Quota(items: [], exceeded: nil)
        case .urgent: return state.withLock { take(.urgent, admission.party, &$0) }
        case .ordinary, .stream:
            return state.withLock { state in
                let stored = item(.storedBytes, admission.party, &state, taking: 0)
                guard stored.remaining > 0 else { return Quota(items: [stored], exceeded: stored) }
                var quota = take(.requests, admission.party, &state)
                quota.items.append(stored)
                return quota
            }
        }
    }

    /// Counts the bytes that were written for a principal.
    package func wrote(_ bytes: Int, for principal: String) {
        state.withLock { _ = item(.storedBytes, .principal(principal), &$0, taking: Double(bytes), orLess: true) }
    }

    /// The number of buckets.
    var count: Int { state.withLock { $0.buckets.count } }

    private func take(_ policy: Policy, _ party: Admission.Party, _ state: inout State) -> Quota {
        let item = item(policy, party, &state, taking: 1)
        return Quota(items: [item], exceeded: item.isExceeded ? item : nil)
    }

    private func limit(of policy: Policy) -> Int {
        switch policy {
        case .requests: limits.requests
        case .urgent: limits.urgentRequests
        case .storedBytes: limits.storedBytes
        }
    }

    /// Refills a bucket and takes `count` from it, if it has as much or may go below zero.
    private func item(
        _ policy: Policy, _ party: Admission.Party, _ state: inout State, taking count: Double,
        orLess: Bool = false, elsewhere: Bool = false
    ) -> Quota.Item {
        let (size, instant) = (Double(limit(of: policy)), now())
        let rate = size / Double(Self.window)
        let key = key(policy, party, &state, instant)
        var bucket = state.buckets[key] ?? Bucket(level: size, at: instant)
        let passed = max(0, (instant - bucket.at).seconds)
        bucket.level = min(size, bucket.level + passed * rate)
        bucket.at = instant
        let isExceeded = !orLess && count > bucket.level
        if !isExceeded { bucket.level -= count }
        if elsewhere {
            // However much was taken there meanwhile, two minutes pay for it.
            bucket.level = max(bucket.level, -size)
        } else if isShared, !isExceeded, count > 0,
            state.spent.count < Self.maximumBuckets || state.spent[key] != nil
        {
            state.spent[key, default: 0] += count
        }
        state.buckets[key] = bucket
        let remaining = max(0, Int(bucket.level))
        // The time until there is a token, or until the bucket is full.
        let missing = remaining > 0 ? size - bucket.level : max(1, count) - bucket.level
        return Quota.Item(
            policy: policy, limit: Int(size), remaining: remaining,
            seconds: Int((min(missing / rate, 1e9)).rounded(.up)), isExceeded: isExceeded)
    }

    private func key(
        _ policy: Policy, _ party: Admission.Party, _ state: inout State, _ instant: ContinuousClock.Instant
    ) -> Key {
        let key = Key(party: party, policy: policy)
        guard case .source = party, state.buckets.count >= Self.maximumBuckets, state.buckets[key] == nil else {
            return key
        }
        // Scan all buckets at most once a second, however many new addresses come.
        if state.sweptAt.map({ instant - $0 >= .seconds(1) }) ?? true {
            state.sweptAt = instant
            // A full bucket holds no information.
            state.buckets = state.buckets.filter { entry in
                let size = Double(limit(of: entry.key.policy))
                return entry.value.level + (instant - entry.value.at).seconds * size / Double(Self.window) < size
            }
        }
        return state.buckets.count < Self.maximumBuckets ? key : Key(party: .source(""), policy: policy)
    }
}

extension Throttle: SharedBudgets {
    /// How many entries are told at a time. The others are told next.
    private static let told = 500

    package var spent: [Spending] {
        let all = state.withLock { $0.spent }
        let largest = all.count > Self.told ? Array(all.sorted { $0.value > $1.value }.prefix(Self.told)) : Array(all)
        return largest.map { key, tokens in
            let (isPrincipal, party) =
                switch key.party {
                case .principal(let id): (true, id)
                case .source(let address): (false, address)
                }
            return Spending(
                budget: key.policy.rawValue, isPrincipal: isPrincipal, party: party, tokens: Int(min(tokens, 1e15)))
        }
    }

    package func told(_ spent: [Spending]) {
        state.withLock { state in
            for spending in spent {
                guard let key = Self.key(of: spending), let tokens = state.spent[key] else { continue }
                let rest = tokens - Double(spending.tokens)
                state.spent[key] = rest > 0 ? rest : nil
            }
        }
    }

    private static func key(of spending: Spending) -> Key? {
        Policy(rawValue: spending.budget).map {
            Key(party: spending.isPrincipal ? .principal(spending.party) : .source(spending.party), policy: $0)
        }
    }

    package func charge(_ spending: Spending) {
        guard let key = Self.key(of: spending) else { return }
        state.withLock { state in
            // What comes from elsewhere must not fill the memory: a full bucket that nobody has here knows nothing.
            guard state.buckets.count < Self.maximumBuckets || state.buckets[key] != nil else { return }
            _ = item(
                key.policy, key.party, &state, taking: Double(spending.tokens), orLess: true, elsewhere: true)
        }
    }
}

/// A caller's quota, for the fields of draft-ietf-httpapi-ratelimit-headers-11.
struct Quota {
    struct Item {
        let policy: Throttle.Policy
        let limit: Int
        let remaining: Int
        /// If none remain, the time until there is one; else until the bucket is full.
        let seconds: Int
        let isExceeded: Bool
    }

    var items: [Item]
    /// The limit that the request exceeded, if it is refused.
    let exceeded: Item?

    /// `RateLimit-Policy: "requests";q=12000;w=60` and `RateLimit: "requests";r=11999;t=1`
    var fields: HTTPFields {
        guard !items.isEmpty else { return [:] }
        let policies = items.map { item in
            let unit = item.policy == .storedBytes ? ";qu=\"\(item.policy.rawValue)\"" : ""
            return "\"\(item.policy.rawValue)\";q=\(item.limit)\(unit);w=\(Throttle.window)"
        }
        let standings = items.map { "\"\($0.policy.rawValue)\";r=\($0.remaining);t=\($0.seconds)" }
        return [
            .rateLimitPolicy: policies.joined(separator: ", "), .rateLimit: standings.joined(separator: ", "),
        ]
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
