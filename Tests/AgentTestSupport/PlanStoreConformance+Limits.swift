internal import AgentModel
internal import AgentService
internal import FoundationEssentials

// What operations took of limits.
extension PlanStoreConformance {
    private static func counter(
        _ rule: String = "r", _ index: Int = 0, _ counted: LimitCounter.Counted = .guests,
        by scope: LimitCounter.Scope = .tag, _ key: String = "web"
    ) -> LimitCounter {
        LimitCounter(rule: rule, index: index, counted: counted, scope: scope, key: key)
    }

    /// Counters that differ from the first in one thing each.
    private static let counters =
        [
            counter(), counter("R"), counter("r", 1), counter(by: .pool), counter("r", 0, .guests, by: .tag, "Web"),
            counter("r", 0, .guests, by: .tag, ""), counter("é\u{1F600}'\"", .max, .guests, by: .tag, "%"),
        ] + LimitCounter.Counted.allCases.filter { $0 != .guests }.map { counter("r", 0, $0) }

    private static func use(
        _ counter: LimitCounter, _ number: UInt64, _ amount: Int64 = 1, at seconds: Double = 0
    ) -> LimitUse {
        LimitUse(
            counter, by: .sample(number, .operation), amount: amount,
            at: Timestamp(.sample.addingTimeInterval(seconds)).date)
    }

    private func uses(_ counter: LimitCounter, since seconds: Double? = nil) async throws -> [LimitUse] {
        try await store.read { $0.limitUses(of: counter, since: seconds.map { .sample.addingTimeInterval($0) }) }
    }

    private func put(_ uses: [LimitUse]) async throws {
        try await store.write { records in for use in uses { records.put(use) } }
    }

    func checkLimitUses() async throws {
        try await checkCounters()
        try await checkPeriods()
        try await checkEndOfUses()
        try await checkLastOne()
    }

    private func checkCounters() async throws {
        for counter in Self.counters {
            try require(try await uses(counter).isEmpty, "at first nothing is taken of \(counter)")
        }
        let all = Self.counters.enumerated().map { index, counter in Self.use(counter, 1, Int64(index)) }
        try await put(all)
        for use in all {
            try require(try await uses(use.counter) == [use], "counts are apart: \(use.counter)")
        }
        let again = Self.use(all[0].counter, 1, 7, at: 1)
        let (other, most) = (Self.use(all[0].counter, 2, 0, at: 2), Self.use(all[0].counter, 3, .max, at: 3))
        let seen = try await store.write { records in
            for use in [most, other, again] { records.put(use) }
            return records.limitUses(of: again.counter, since: nil)
        }
        try require(seen == [again, other, most], "a body sees what it took itself")
        try require(
            try await uses(again.counter) == [again, other, most],
            "an operation has one use of a counter, the newest that was put, and the oldest comes first")
        try require(try await uses(all[1].counter) == [all[1]], "other counters stay as they were")
        try await store.write { records in
            for number in 1...3 as ClosedRange<UInt64> { records.removeLimitUses(of: .sample(number, .operation)) }
        }
        for counter in Self.counters { try require(try await uses(counter).isEmpty, "what was removed is gone") }
    }

    private func checkPeriods() async throws {
        let counter = Self.counter()
        let all = [-2, -1, 0, 0.001, 5].enumerated().map { index, seconds in
            Self.use(counter, UInt64(index), Int64(index), at: seconds)
        }
        try await put(all.reversed())
        try require(try await uses(counter) == all, "all uses, the oldest first")
        for (seconds, first) in [(-9, 0), (-1, 1), (-0.999, 2), (0, 2), (0.001, 3), (0.002, 4), (6, 5)]
            as [(Double, Int)]
        {
            try require(
                try await uses(counter, since: seconds) == Array(all[first...]), "uses from \(seconds) s on, inclusive")
        }
        try require(try await uses(counter, since: -4e12) == all, "a date before all calendars")
        try require(try await uses(counter, since: 4e12).isEmpty, "a date after all calendars")
        try await store.write { $0.pruneLimitUses(before: .sample) }
        try require(try await uses(counter) == Array(all[2...]), "what is older than a date is forgotten")
        try await store.write { $0.pruneLimitUses(before: .distantFuture) }
        try require(try await uses(counter).isEmpty, "all is forgotten")
    }

    private func checkEndOfUses() async throws {
        let held = Self.counter("r", 0, .concurrent)
        let timed = Self.counter("r", 1, .operations)
        let all = [1, 2].flatMap { number in [Self.use(held, number), Self.use(timed, number)] }
        try await put(all)
        try await store.write { $0.pruneLimitUses(before: .distantFuture) }
        try require(try await uses(held) == [all[0], all[2]].inOrder, "what is held is not forgotten")
        try require(try await uses(timed).isEmpty, "what is taken for a time is")
        try await put(all)
        for _ in 0..<2 { try await store.write { $0.releaseHeld(of: .sample(1, .operation)) } }
        try require(try await uses(held) == [all[2]], "an operation releases what it holds, and nothing of others")
        try require(try await uses(timed) == [all[1], all[3]].inOrder, "what it took for a time stays")
        for _ in 0..<2 { try await store.write { $0.removeLimitUses(of: .sample(2, .operation)) } }
        try require(try await uses(held).isEmpty, "removal takes what is held as well")
        try require(try await uses(timed) == [all[1]], "and what was taken for a time, of this operation alone")
        try await clear()
        try require(try await uses(timed) == [all[1]], "plans and operations may go before their uses")
        try await store.write { $0.removeLimitUses(of: .sample(1, .operation)) }
        try require(try await uses(timed).isEmpty, "removed uses are gone")
    }

    /// Many want what is enough for a few.
    private func checkLastOne() async throws {
        let (store, counter) = (store, Self.counter())
        let taken = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<100 as Range<UInt64> {
                group.addTask {
                    try await store.write { records in
                        let used = records.limitUses(of: counter, since: .sample).reduce(0) { $0 + $1.amount }
                        guard used + 2 <= 15 else { return false }
                        records.put(Self.use(counter, number, 2))
                        return true
                    }
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        let sum = try await uses(counter).reduce(0) { $0 + $1.amount }
        try require(taken == 7 && sum == 14, "nobody takes what another has: \(taken) took \(sum) of 15")
        try await store.write { $0.pruneLimitUses(before: .distantFuture) }
    }
}

extension [LimitUse] {
    /// Uses of one moment, in the order of their operations.
    fileprivate var inOrder: Self { sorted { $0.operation.description < $1.operation.description } }
}
