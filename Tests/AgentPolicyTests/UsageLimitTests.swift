import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import Testing

struct UsageLimitTests {
    private static let mostJSON: Int64 = 9_007_199_254_740_992

    // MARK: Limits

    @Test(
        arguments: [
            (.operations, 0, 1), (.guests, 1, 60), (.guestsDestroyed, Self.mostJSON, 2_678_400),
            (.bytesDestroyed, 5, 9),
            (.concurrent, 0, nil), (.concurrent, Self.mostJSON, nil),
        ] as [(UsageLimit.Counted, Int64, Int?)])
    func `a limit keeps what it is made of`(count: UsageLimit.Counted, most: Int64, seconds: Int?) throws {
        for scope in UsageLimit.Scope.allCases {
            let limit = try #require(UsageLimit(count: count, most: most, seconds: seconds, by: scope))
            #expect(limit.count == count && limit.most == most && limit.seconds == seconds && limit.by == scope)
        }
    }

    @Test(
        arguments: [
            (.operations, -1, 60), (.operations, Self.mostJSON + 1, 60), (.operations, .min, 60), (.guests, .max, 60),
            (.guests, 1, 0), (.guests, 1, -1), (.guests, 1, 2_678_401), (.guests, 1, .max), (.guests, 1, .min),
            (.operations, 1, nil), (.bytesDestroyed, 1, nil), (.concurrent, 1, 60), (.concurrent, -1, nil),
        ] as [(UsageLimit.Counted, Int64, Int?)])
    func `a limit out of bounds is none`(count: UsageLimit.Counted, most: Int64, seconds: Int?) {
        #expect(UsageLimit(count: count, most: most, seconds: seconds) == nil)
    }

    @Test(
        arguments: [
            (.guestsDestroyed, 2, 3600, .environment, "at most 2 guests destroyed in 1 h per environment"),
            (.guestsDestroyed, 1, 5400, .all, "at most 1 guest destroyed in 90 min"),
            (.operations, 1, 90, .principal, "at most 1 operation in 90 s per principal"),
            (.operations, 0, 604_800, .all, "at most 0 operations in 7 d"),
            (.guests, 1, 900, .tag, "at most 1 guest in 15 min per tag"),
            (.guests, 30, 1, .pool, "at most 30 guests in 1 s per pool"),
            (.bytesDestroyed, 10 << 30, 86_400, .node, "at most 10 GiB destroyed in 1 d per node"),
            (.bytesDestroyed, 1536 << 10, 60, .all, "at most 1536 KiB destroyed in 1 min"),
            (.bytesDestroyed, 3 << 50, 60, .all, "at most 3072 TiB destroyed in 1 min"),
            (.bytesDestroyed, 1 << 20, 60, .all, "at most 1 MiB destroyed in 1 min"),
            (.bytesDestroyed, 1, 60, .all, "at most 1 byte destroyed in 1 min"),
            (.bytesDestroyed, 0, 60, .all, "at most 0 bytes destroyed in 1 min"),
            (.bytesDestroyed, 1025, 60, .all, "at most 1025 bytes destroyed in 1 min"),
            (.concurrent, 1, nil, .node, "at most 1 operation at a time per node"),
            (.concurrent, 3, nil, .all, "at most 3 operations at a time"),
        ] as [(UsageLimit.Counted, Int64, Int?, UsageLimit.Scope, String)])
    func `a limit in words`(
        count: UsageLimit.Counted, most: Int64, seconds: Int?, by: UsageLimit.Scope, words: String
    ) throws {
        #expect(try #require(UsageLimit(count: count, most: most, seconds: seconds, by: by)).description == words)
    }

    // MARK: Periods

    @Test(arguments: [
        ("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("24h", 86_400), ("7d", 604_800), ("31d", 2_678_400),
        ("744h", 2_678_400), ("2678400s", 2_678_400),
    ])
    func `a period is a number and a unit`(text: String, seconds: Int) {
        #expect(UsageLimit.seconds(parsing: text) == seconds)
    }

    @Test(arguments: [
        "", "s", "1", "0s", "0d", "01h", "-1h", "+1h", "1.5h", "1h30m", " 1h", "1h ", "1 h", "1H", "1w", "1ms", "٣h",
        "1e3s", "32d", "745h", "44641m", "2678401s", "9999999d", "10000000s", "9223372036854775807d",
        "99999999999999999999d", "1\u{0}h", "1h\u{301}", "h1", "hh",
    ])
    func `anything else is no period`(text: String) {
        #expect(UsageLimit.seconds(parsing: text) == nil)
    }

    @Test(arguments: [
        (1, "1s"), (90, "90s"), (60, "1m"), (5400, "90m"), (3600, "1h"), (86_400, "1d"), (90_000, "25h"),
        (2_678_400, "31d"), (2_678_399, "2678399s"), (0, "0s"), (-60, "-1m"), (Int.min, "\(Int.min)s"),
    ])
    func `a period as text has the largest unit that is exact`(seconds: Int, text: String) {
        #expect(UsageLimit.text(seconds: seconds) == text)
    }

    @Test func `every period is read back from its text`() {
        var chance = RandomJSON(seed: 63)
        for _ in 0..<5000 {
            let unit = [1, 60, 3600, 86_400][chance.below(4)]
            let seconds = min(2_678_400, unit * (1 + chance.below(2_678_400 / unit)))
            #expect(UsageLimit.seconds(parsing: UsageLimit.text(seconds: seconds)) == seconds)
        }
    }

    // MARK: Claims

    private static func claim(
        _ amount: Int64, _ count: UsageLimit.Counted = .guests, most: Int64, seconds: Int? = 60
    ) throws -> LimitClaim {
        let limit = try #require(UsageLimit(count: count, most: most, seconds: seconds, by: .tag))
        return LimitClaim(rule: "r", index: 1, key: "web", amount: amount, limit: limit)
    }

    private static func after(_ seconds: Double) -> Date { .sample.addingTimeInterval(seconds) }

    private static func uses(_ claim: LimitClaim, _ rows: [(Double, Int64)]) -> [LimitUse] {
        rows.enumerated().map { number, row in
            LimitUse(claim.counter, by: .sample(UInt64(number), .operation), amount: row.1, at: after(row.0))
        }
    }

    @Test func `a claim grows up to the largest number, and never below nothing`() throws {
        var claim = try Self.claim(-5, most: 9)
        #expect(claim.amount == 0)
        claim.add(3)
        claim.add(-2)
        #expect(claim.amount == 3)
        claim.add(.max)
        #expect(claim.amount == .max)
        claim.add(.max)
        claim.add(.min)
        #expect(claim.amount == .max)
        let use = claim.use(by: .sample(1, .operation), at: .sample)
        #expect(use.amount == .max && use.at == .sample && use.operation == .sample(1, .operation))
        #expect(LimitUse(claim.counter, by: use.operation, amount: .min, at: .sample).amount == 0)
    }

    @Test(arguments: UsageLimit.Counted.allCases)
    func `a claim and its use are of one counter`(count: UsageLimit.Counted) throws {
        let isHeld = count == .concurrent
        let claim = try Self.claim(1, count, most: 1, seconds: isHeld ? nil : 60)
        let use = claim.use(by: .sample(1, .operation), at: .sample)
        #expect(
            use.counter == LimitCounter(rule: "r", index: 1, counted: count, scope: .tag, key: "web")
                && use.counter == claim.counter)
        #expect(use.isHeld == isHeld)
        #expect(claim.begin(at: .sample) == (isHeld ? nil : Self.after(-60)))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var amount: Int64
        var most: Int64
        /// Seconds and amounts.
        var uses: [(Double, Int64)] = []
        var now: Double = 0
        var used: Int64
        var left: Int64
        /// Whether it fits; then it comes back now.
        var fits = false
        var comesBack: Double?

        var testDescription: String { "\(amount) of \(most) at \(now) after \(uses)" }
    }

    /// The period is 60 s.
    @Test(arguments: [
        Case(amount: 1, most: 1, used: 0, left: 1, fits: true, comesBack: 0),
        Case(amount: 0, most: 0, used: 0, left: 0, fits: true, comesBack: 0),
        Case(amount: 1, most: 0, used: 0, left: 0),
        Case(amount: 3, most: 2, uses: [(0, 1)], now: 1, used: 1, left: 1),
        Case(amount: 1, most: 2, uses: [(0, 1)], now: 1, used: 1, left: 1, fits: true, comesBack: 1),
        Case(amount: 2, most: 2, uses: [(0, 1)], now: 1, used: 1, left: 1, comesBack: 60),
        // The very end of the period, and before it.
        Case(amount: 1, most: 1, uses: [(0, 1)], now: 59.999, used: 1, left: 0, comesBack: 60),
        Case(amount: 1, most: 1, uses: [(0, 1)], now: 60, used: 0, left: 1, fits: true, comesBack: 60),
        // The oldest is enough; more are needed; those of one moment leave together.
        Case(amount: 1, most: 3, uses: [(0, 1), (10, 1), (20, 1)], now: 30, used: 3, left: 0, comesBack: 60),
        Case(amount: 2, most: 3, uses: [(20, 1), (0, 1), (10, 1)], now: 30, used: 3, left: 0, comesBack: 70),
        Case(amount: 3, most: 3, uses: [(10, 1), (20, 1), (0, 1)], now: 30, used: 3, left: 0, comesBack: 80),
        Case(amount: 1, most: 2, uses: [(5, 1), (5, 1), (5, 1)], now: 30, used: 3, left: 0, comesBack: 65),
        Case(amount: 1, most: 5, uses: [(0, 1), (9, 5), (20, 0)], now: 30, used: 6, left: 0, comesBack: 69),
        // The limit was lowered; a claim of nothing fits all the same.
        Case(amount: 1, most: 2, uses: [(0, 9), (1, 1)], now: 2, used: 10, left: 0, comesBack: 60),
        Case(amount: 0, most: 2, uses: [(0, 9)], now: 2, used: 9, left: 0, fits: true, comesBack: 2),
        // The clock went back.
        Case(amount: 1, most: 1, uses: [(100, 1)], now: 0, used: 1, left: 0, comesBack: 160),
        // Sums that no number can hold.
        Case(amount: .max, most: 9, uses: [(0, .max), (1, .max)], now: 2, used: .max, left: 0),
        Case(amount: 9, most: 9, uses: [(0, .max), (1, .max)], now: 2, used: .max, left: 0, comesBack: 61),
        Case(amount: 1, most: 9, uses: [(0, .max), (1, .max), (3, 8)], now: 4, used: .max, left: 0, comesBack: 61),
        Case(
            amount: mostJSON, most: mostJSON, uses: [(0, .max), (5, 1)], now: 6, used: .max, left: 0, comesBack: 65),
        Case(amount: mostJSON, most: mostJSON, now: 6, used: 0, left: mostJSON, fits: true, comesBack: 6),
    ])
    func `what is left, and when enough comes back`(given: Case) throws {
        let claim = try Self.claim(given.amount, most: given.most)
        let verdict = claim.verdict(uses: Self.uses(claim, given.uses), at: Self.after(given.now))
        #expect(verdict.used == given.used && verdict.left == given.left && verdict.fits == given.fits)
        #expect(verdict.comesBack == given.comesBack.map(Self.after))
    }

    @Test(
        arguments: [
            (1, 2, [1], 1, 1, true), (1, 1, [1], 1, 0, false), (2, 1, [], 0, 1, false), (0, 0, [3], 3, 0, true),
            (1, 9, [.max, .max], .max, 0, false),
        ] as [(Int64, Int64, [Int64], Int64, Int64, Bool)])
    func `what is held counts at any time, and nobody knows when it comes back`(
        amount: Int64, most: Int64, held: [Int64], used: Int64, left: Int64, fits: Bool
    ) throws {
        let claim = try Self.claim(amount, .concurrent, most: most, seconds: nil)
        let uses = Self.uses(claim, held.map { (0, $0) })
        for now in [.sample, .distantPast, .distantFuture] as [Date] {
            let verdict = claim.verdict(uses: uses, at: now)
            #expect(verdict.used == used && verdict.left == left && verdict.fits == fits && verdict.comesBack == nil)
        }
    }

    @Test func `uses of other counters do not count`() throws {
        let claim = try Self.claim(1, most: 1)
        let others =
            [
                ("R", 1, .guests, .tag, "web"), ("r", 0, .guests, .tag, "web"), ("r", 1, .guestsDestroyed, .tag, "web"),
                ("r", 1, .concurrent, .tag, "web"), ("r", 1, .guests, .pool, "web"), ("r", 1, .guests, .tag, ""),
            ] as [(String, Int, UsageLimit.Counted, UsageLimit.Scope, String)]
        let uses = others.map { rule, index, counted, scope, key in
            LimitUse(
                LimitCounter(rule: rule, index: index, counted: counted, scope: scope, key: key),
                by: .sample(1, .operation), amount: 1, at: .sample)
        }
        #expect(claim.verdict(uses: uses, at: .sample).used == 0)
        #expect(claim.verdict(uses: uses + [claim.use(by: .sample(2, .operation), at: .sample)], at: .sample).used == 1)
    }

    @Test func `no dates make it fail`() throws {
        let claim = try Self.claim(1, most: 1)
        let dates = [
            .distantPast, .distantFuture, Date(timeIntervalSince1970: .infinity),
            Date(timeIntervalSince1970: -.infinity), Date(timeIntervalSince1970: .nan),
            Date(timeIntervalSince1970: .greatestFiniteMagnitude), .sample,
        ]
        let uses = dates.enumerated().map { claim.use(by: .sample(UInt64($0.offset), .operation), at: $0.element) }
        for now in dates {
            let verdict = claim.verdict(uses: uses, at: now)
            #expect((0...Int64(uses.count)).contains(verdict.used) && (0...1).contains(verdict.left))
        }
    }

    /// Tries every moment at which something changes, the earliest first, with sums in wider numbers.
    @Test(arguments: 0..<20)
    func `it comes back at the first moment at which it fits`(seed: UInt64) throws {
        var chance = RandomJSON(seed: seed)
        var seen: Set<Bool> = []
        for _ in 0..<250 {
            let huge: Int64 = [1, 1, 1 << 50, .max / 8][chance.below(4)]
            let most = Int64(chance.below(8)) * min(huge, 1 << 50)
            let amount = Int64(chance.below(6)) * huge
            let claim = try Self.claim(amount, most: most, seconds: 1 + chance.below(20))
            let period = try #require(claim.limit.seconds)
            let uses = Self.uses(
                claim,
                (0..<chance.below(9)).map { _ in (Double(chance.below(40)) / 2, Int64(chance.below(4)) * huge) })
            let now = Self.after(Double(chance.below(50)) / 2)

            func used(at date: Date) -> Int128 {
                uses.filter { date < $0.at.addingTimeInterval(Double(period)) }.reduce(0) { $0 + Int128($1.amount) }
            }
            func fits(at date: Date) -> Bool { Int128(amount) <= max(0, Int128(most) - used(at: date)) }
            let moments = [now] + uses.map { $0.at.addingTimeInterval(Double(period)) }.filter { $0 > now }.sorted()
            let verdict = claim.verdict(uses: uses, at: now)
            #expect(verdict.fits == fits(at: now) && verdict.used == Int64(clamping: used(at: now)))
            #expect(Int128(verdict.left) == max(0, Int128(most) - used(at: now)))
            #expect(verdict.comesBack == (amount > most ? nil : moments.first(where: fits(at:))))
            #expect(verdict.fits == (verdict.comesBack == now) || amount > most)
            if let comesBack = verdict.comesBack {
                #expect(claim.verdict(uses: uses, at: comesBack).fits)
                seen.insert(comesBack == now)
            }
        }
        #expect(seen == [true, false], "both are tried")
    }
}
