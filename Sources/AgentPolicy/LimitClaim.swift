package import AgentModel
package import FoundationEssentials

/// What one operation would take of one limit.
///
/// An operation has one claim for each counter: what several of its subjects take of the same one adds up in it.
package struct LimitClaim: Sendable, Hashable {
    /// The id of the rule.
    package let rule: String
    /// The limit's place in its rule, from 0.
    package let index: Int
    /// The value of the limit's scope, such as a principal's id, an environment or a tag; empty for ``UsageLimit/Scope/all``.
    package let key: String
    /// Operations, guests or bytes, as the limit counts them; never negative.
    package private(set) var amount: Int64
    package let limit: UsageLimit

    /// A negative `amount` becomes 0.
    package init(rule: String, index: Int, key: String, amount: Int64, limit: UsageLimit) {
        self.rule = rule
        self.index = index
        self.key = key
        self.amount = max(0, amount)
        self.limit = limit
    }

    /// Takes more. An amount that is too large for the type becomes the largest; a negative one changes nothing.
    package mutating func add(_ more: Int64) { amount = amount.adding(saturating: max(0, more)) }

    package var counter: LimitCounter {
        LimitCounter(rule: rule, index: index, counted: limit.count, scope: limit.by, key: key)
    }

    /// What is to be stored when the operation takes it.
    package func use(by operation: RecordID, at now: Date) -> LimitUse {
        LimitUse(counter, by: operation, amount: amount, at: now)
    }

    /// Uses from before this can not count any more at `now`; `nil` for a limit whose uses count until they are removed.
    package func begin(at now: Date) -> Date? { limit.seconds.map { now.addingTimeInterval(-Double($0)) } }

    /// Compares the claim with what others have taken. Ignores uses of other counters, and those that have left the
    /// sliding period: a use counts while `now` is before its end, which is ``LimitUse/at`` plus the period.
    ///
    /// Total: no numbers and dates make it fail. A sum that is too large for the type counts as the largest.
    package func verdict(uses: [LimitUse], at now: Date) -> LimitVerdict {
        let counter = counter
        let counting = uses.filter { use in use.counter == counter && (end(of: use).map { now < $0 } ?? true) }
        let used = counting.reduce(Int64(0)) { $0.adding(saturating: $1.amount) }
        let left = max(0, limit.most - used)
        let fits = amount <= left
        return LimitVerdict(
            fits: fits, used: used, left: left, comesBack: comesBack(fits: fits, after: counting, at: now))
    }

    /// Looks for the newest use that has to leave: with it and all later ones there is not enough.
    private func comesBack(fits: Bool, after counting: [LimitUse], at now: Date) -> Date? {
        guard limit.seconds != nil, amount <= limit.most else { return nil }
        guard !fits else { return now }
        var used: Int64 = 0
        for use in counting.sorted(by: { $0.at > $1.at }) {
            used = used.adding(saturating: use.amount)
            if used > limit.most - amount { return end(of: use) }
        }
        return now
    }

    /// When the use leaves the period; `nil` if it counts until it is removed.
    private func end(of use: LimitUse) -> Date? { limit.seconds.map { use.at.addingTimeInterval(Double($0)) } }
}

/// What is left of a limit for a claim.
package struct LimitVerdict: Sendable, Hashable {
    /// Whether no more is claimed than is left. A claim of nothing always fits.
    package let fits: Bool
    /// What counts now, without the claim; at most `Int64.max`, and above the limit if that was lowered.
    package let used: Int64
    /// What may still be taken now, without the claim: 0 to the limit's number.
    package let left: Int64
    /// The earliest time at which the claim fits if nothing else is taken: now, or when enough has left the sliding
    /// period. `nil` if the claim is larger than the limit, and for a number of operations at a time.
    package let comesBack: Date?
}

extension Int64 {
    /// The sum of two numbers that are not negative, at most ``max``.
    fileprivate func adding(saturating other: Int64) -> Int64 {
        let (sum, isTooLarge) = addingReportingOverflow(other)
        return isTooLarge ? .max : sum
    }
}
