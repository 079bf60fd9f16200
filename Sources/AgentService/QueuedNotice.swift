package import AgentModel
package import FoundationEssentials

/// A notice on its way to one destination.
package struct QueuedNotice: Sendable, Hashable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// It is delivered as soon as those before it are, and its destination answers.
        case waiting
        case delivered
        /// The agent has given it up.
        case dead
    }

    package let id: RecordID
    /// The destination's name in the configuration.
    package let target: String
    /// What tells it from all others of its destination, so that none is queued twice.
    package let key: String
    package let notice: Notice
    package private(set) var state: State
    /// When it was queued, or queued again by hand: from then on it is tried until it is given up.
    package private(set) var queuedAt: Date
    /// Not tried before this time.
    package private(set) var nextAt: Date
    /// How often it was tried.
    package private(set) var attempts: Int
    /// How many of the last tries in a row its destination answered, and refused this very notice.
    package private(set) var refusals: Int
    package private(set) var endedAt: Date?
    /// Why the last try failed.
    package private(set) var error: String?

    package init(id: RecordID, target: String, key: String, notice: Notice, queuedAt: Date) {
        self.init(id: id, target: target, key: key, notice: notice, queuedAt: queuedAt, nextAt: queuedAt)
    }

    /// One from a store.
    package init(
        id: RecordID, target: String, key: String, notice: Notice, state: State = .waiting, queuedAt: Date,
        nextAt: Date, attempts: Int = 0, refusals: Int = 0, endedAt: Date? = nil, error: String? = nil
    ) {
        self.id = id
        self.target = target
        self.key = key
        self.notice = notice
        self.state = state
        self.queuedAt = queuedAt
        self.nextAt = nextAt
        self.attempts = attempts
        self.refusals = refusals
        self.endedAt = endedAt
        self.error = error
    }

    /// Its last try met an outage: until it is tried again, nothing is sent to its destination.
    package var holdsOrder: Bool { state == .waiting && attempts > 0 && refusals == 0 }

    /// It was taken by its destination.
    mutating func deliver(at now: Date) {
        attempts += 1
        end(.delivered, at: now)
        error = nil
    }

    /// It was tried in vain, and is tried again at `next`; `nil` if it is given up. A refusal is about this notice, and
    /// no outage.
    package mutating func fail(_ why: String, isRefusal: Bool = false, at now: Date, next: Date?) {
        attempts += 1
        refusals = isRefusal ? refusals + 1 : 0
        error = why
        if let next { nextAt = next } else { end(.dead, at: now) }
    }

    /// It is given up without being tried.
    package mutating func giveUp(_ why: String, at now: Date) {
        error = why
        end(.dead, at: now)
    }

    /// It is tried again at once, and as long as a new one.
    mutating func retry(at now: Date) {
        (state, endedAt, queuedAt, nextAt, refusals) = (.waiting, nil, now, now, 0)
    }

    private mutating func end(_ state: State, at now: Date) {
        (self.state, endedAt) = (state, now)
    }
}

/// Which notices to list, newest first. A notice must meet all conditions that are given.
package struct NoticeFilter: Sendable {
    package var target: String?
    package var state: QueuedNotice.State?
    /// Leaves out those without an environment.
    package var environments: Set<EnvironmentName>?
    /// Only notices queued before this one; all if it does not exist.
    package var before: RecordID?
    package var limit: Int

    package init(
        target: String? = nil, state: QueuedNotice.State? = nil, environments: Set<EnvironmentName>? = nil,
        before: RecordID? = nil, limit: Int = .max
    ) {
        self.target = target
        self.state = state
        self.environments = environments
        self.before = before
        self.limit = limit
    }
}

/// How many notices of a destination there are.
package struct NoticeTally: Sendable, Hashable {
    package var waiting = 0
    package var dead = 0
    /// When the oldest that waits was queued.
    package var oldestWaiting: Date?

    package init() {}
}

/// When a notice is tried again, and until when.
package struct RetrySchedule: Sendable, Hashable {
    /// Seconds before the second try; each pause is twice as long as the one before.
    package var firstPause = 5.0
    package var longestPause = 4.0 * 60 * 60
    /// Seconds after which a notice is given up.
    package var patience = 3.0 * 24 * 60 * 60
    /// Refusals in a row after which a notice is given up.
    package var refusals = 3

    package init() {}

    /// The pause after so many tries. `jitter` is between 0 and 1.
    package func pause(after attempts: Int, jitter: Double) -> Double {
        let doublings = min(max(attempts, 1) - 1, 40)
        var factor = 1.0
        for _ in 0..<doublings { factor *= 2 }
        return min(firstPause * factor, longestPause) * (0.75 + 0.5 * jitter)
    }
}

/// The bounds of the queue.
package struct NoticeLimits: Sendable, Hashable {
    /// Notices of one destination that may wait; the least important are given up.
    package var waiting = 1000
    /// Delivered notices of one destination that are kept, and for how many seconds.
    package var delivered = 200
    package var deliveredSeconds = 24.0 * 60 * 60
    /// The same of those given up.
    package var dead = 1000
    package var deadSeconds = 30.0 * 24 * 60 * 60
    package var retries = RetrySchedule()
    /// Seconds that an environment must not answer before that is told.
    package var environmentSeconds = 45.0
    /// Seconds after which the log is read again for what is new, however often that is.
    package var batchSeconds = 0.1

    package init() {}
}
