import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import FoundationEssentials
import Testing

@Suite(.timeLimit(.minutes(1)))
struct LimitUseTests {
    private static func claim(_ count: UsageLimit.Counted, most: Int64, seconds: Int? = nil) throws -> LimitClaim {
        let limit = try #require(UsageLimit(count: count, most: most, seconds: seconds))
        return LimitClaim(rule: "slow", index: 0, key: "", amount: 1, limit: limit)
    }

    /// Takes what is claimed for the operation if it fits. Returns whether it did.
    private static func take(
        _ claim: LimitClaim, _ number: UInt64, from store: any PlanStore, at now: Date
    ) async throws -> Bool {
        try await store.write { records in
            guard claim.verdict(uses: records.limitUses(of: claim, at: now), at: now).fits else { return false }
            records.put(claim.use(by: .sample(number, .operation), at: now))
            return true
        }
    }

    @Test(arguments: [(UsageLimit.Counted.operations, 60 as Int?), (.concurrent, nil)])
    func `of many that want the last ones at once, so many get them`(
        count: UsageLimit.Counted, seconds: Int?
    ) async throws {
        let store = MemoryPlanStore()
        let claim = try Self.claim(count, most: 5, seconds: seconds)
        let taken = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<60 as Range<UInt64> {
                group.addTask { try await Self.take(claim, number, from: store, at: .sample) }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(taken == 5)
    }

    @Test func `a period slides, and what comes back can be taken`() async throws {
        let store = MemoryPlanStore()
        let claim = try Self.claim(.guests, most: 2, seconds: 60)
        for (number, seconds, fits) in [
            (1, 0, true), (2, 30, true), (3, 59.999, false), (4, 60, true), (5, 89.999, false), (6, 90, true),
        ] as [(UInt64, Double, Bool)] {
            let now = Date.sample.addingTimeInterval(seconds)
            #expect(try await Self.take(claim, number, from: store, at: now) == fits, "at \(seconds)")
        }
    }

    @Test func `what is held is free again when its operation has released it`() async throws {
        let store = MemoryPlanStore()
        let claim = try Self.claim(.concurrent, most: 1)
        #expect(try await Self.take(claim, 1, from: store, at: .sample))
        #expect(try await !Self.take(claim, 2, from: store, at: .distantFuture))
        try await store.write { $0.releaseHeld(of: .sample(1, .operation)) }
        #expect(try await Self.take(claim, 2, from: store, at: .sample))
    }

    @Test func `uses are forgotten after the longest period, and held ones are not`() async throws {
        let world = try TestService()
        let held = try Self.claim(.concurrent, most: 1)
        let timed = try Self.claim(.operations, most: 1, seconds: UsageLimit.periods.upperBound)
        let start = world.clock.now
        for claim in [held, timed] { #expect(try await Self.take(claim, 1, from: world.store, at: start)) }
        func found(_ claim: LimitClaim) async throws -> Int {
            try await world.store.read { $0.limitUses(of: claim.counter, since: nil).count }
        }
        world.clock.move(by: Double(UsageLimit.periods.upperBound) - 0.001)
        try await world.service.workflow.prune()
        #expect(try await !Self.take(timed, 2, from: world.store, at: world.clock.now))
        #expect(try await found(timed) == 1)
        world.clock.move(by: 0.002)
        try await world.service.workflow.prune()
        #expect(try await found(timed) == 0)
        #expect(try await found(held) == 1)
    }
}
