package import FoundationEssentials

/// Which count of a policy's limits: one limit of one rule, for one value of its scope.
///
/// A limit that is edited starts a new count if its rule is renamed, it moves to another place in the rule, or it counts
/// something else or by another scope. Another number or another period continues the count.
package struct LimitCounter: Sendable, Hashable {
    /// What is counted, with its name in the configuration.
    package enum Counted: String, Sendable, Hashable, CaseIterable {
        /// Operations, one each.
        case operations
        /// Guests that operations change.
        case guests
        case guestsDestroyed = "guests_destroyed"
        /// Bytes of the volumes that operations destroy.
        case bytesDestroyed = "bytes_destroyed"
        /// Operations that have not ended.
        case concurrent
    }

    /// What is counted together, with its name in the configuration.
    package enum Scope: String, Sendable, Hashable, CaseIterable {
        case all, principal, environment, tag, pool, node
    }

    /// The id of the rule.
    package let rule: String
    /// The limit's place in its rule, from 0.
    package let index: Int
    package let counted: Counted
    package let scope: Scope
    /// The value of the scope, such as a principal's id, an environment or a tag; empty for ``Scope/all``.
    package let key: String

    package init(rule: String, index: Int, counted: Counted, scope: Scope, key: String) {
        self.rule = rule
        self.index = index
        self.counted = counted
        self.scope = scope
        self.key = key
    }
}

/// What one operation took of one limit.
package struct LimitUse: Sendable, Hashable {
    package let counter: LimitCounter
    package let operation: RecordID
    /// Operations, guests or bytes, as the counter has it; never negative.
    package let amount: Int64
    /// When it was taken. Stores keep milliseconds.
    package let at: Date

    /// A negative `amount` becomes 0.
    package init(_ counter: LimitCounter, by operation: RecordID, amount: Int64, at: Date) {
        self.counter = counter
        self.operation = operation
        self.amount = max(0, amount)
        self.at = at
    }

    /// Whether it counts until it is removed, and not for a time.
    package var isHeld: Bool { counter.counted == .concurrent }
}
