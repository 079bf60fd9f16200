import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import SQLite
import Testing

@Suite(.timeLimit(.minutes(1)))
struct LimitUseTests {
    private static let counters = LimitCounter.Counted.allCases.flatMap { counted in
        LimitCounter.Scope.allCases.map { scope in
            LimitCounter(rule: "slow", index: 2, counted: counted, scope: scope, key: scope == .all ? "" : "home")
        }
    }
    private static let uses = counters.enumerated().map { index, counter in
        LimitUse(
            counter, by: .sample(UInt64(index), .operation), amount: .max - Int64(index),
            at: Timestamp(.sample.addingTimeInterval(Double(index) / 1000)).date)
    }

    private func filled(_ place: borrowing StateDirectory) async throws -> SQLiteStore {
        let store = try place.open()
        try await store.write { records in for use in Self.uses { records.put(use) } }
        return store
    }

    private func found(_ store: SQLiteStore) async throws -> [LimitUse] {
        try await store.read { records in Self.counters.flatMap { records.limitUses(of: $0, since: nil) } }
    }

    @Test func `what was taken of limits is there after a close and after a crash`() async throws {
        let place = try StateDirectory()
        let copy = try StateDirectory()
        let store = try await filled(place)
        try place.copyCrashed(to: copy)
        await store.close()
        for database in [place.database, copy.database] {
            let store = try SQLiteStore(path: database)
            #expect(try await found(store) == Self.uses)
            await store.close()
            let report = try StatePlace(database).check()
            #expect(report.flaws == [] && report.lines.contains("uses of limits: \(Self.uses.count)"))
        }
    }

    @Test func `a state of before the limits gets their table`() async throws {
        let place = try StateDirectory()
        let steps = StateSchema.current.steps
        let before = try #require(steps.firstIndex { $0.contains("CREATE TABLE limit_uses") })
        try await place.written(2)
        try Database(path: place.database).execute(
            StateMigrationTests.withoutTargets + StateMigrationTests.withoutAgents
                + "DROP TABLE limit_uses; DROP TABLE reviews; "
                + "PRAGMA user_version = \(before)")
        #expect(try StatePlace(place.database).check().flaws == [])
        let store = try await filled(place)
        #expect(try await found(store) == Self.uses)
        #expect(try await store.ids == [.sample(0), .sample(1)])
        await store.close()
    }

    @Test(arguments: [
        "operation = 'op_x'", "counted = 'hours'", "scope = 'planet'", "amount = -1",
        "operation = 'pln_00000000000000000000'",
    ])
    func `a row of another form is told, and counts as no use`(change: String) async throws {
        let place = try StateDirectory()
        await (try await filled(place)).close()
        try place.sql("UPDATE limit_uses SET \(change) WHERE amount = \(Int64.max)")
        let flaws = try StatePlace(place.database).check().flaws
        #expect(flaws.count == 1 && flaws.first?.contains("cannot be read: has values of another form") == true)
        #expect(flaws.first?.contains("limit_uses") == true, "\(flaws)")
        guard !change.hasPrefix("counted"), !change.hasPrefix("scope") else { return }
        let store = try place.open()
        await #expect(throws: StoreError.self, "nobody is told that nothing was taken") { _ = try await found(store) }
        await store.close()
    }

    @Test func `the uses of a counter are found by an index`() async throws {
        let place = try StateDirectory()
        await (try await filled(place)).close()
        let plan = try place.sql(
            "EXPLAIN QUERY PLAN SELECT * FROM limit_uses WHERE rule = 'r' AND number = 0 AND counted = 'guests' "
                + "AND scope = 'all' AND key = '' AND at >= 0 ORDER BY at, operation")
        let removal = try place.sql("EXPLAIN QUERY PLAN DELETE FROM limit_uses WHERE operation = 'op_x'")
        #expect(plan.first?.last?.text?.contains("INDEX limit_uses_counter (rule=? AND number=?") == true, "\(plan)")
        #expect(removal.first?.last?.text?.contains("(operation=?)") == true, "\(removal)")
    }
}
