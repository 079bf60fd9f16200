import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Glibc
import PostgreSQL
import PostgreSQLTestSupport
import Testing

/// Agents of two versions on one state: the newer one changes the schema beside the older one, which goes on.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLUpgradeTests {
    private static let known = Int64(StateSchema.current.steps.count)
    /// Changes every table that agents use all the time.
    private static let step = """
        CREATE TABLE more (x TEXT) STRICT;
        ALTER TABLE plans ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';
        ALTER TABLE operations ADD COLUMN mood TEXT;
        ALTER TABLE leases ADD COLUMN mood TEXT;
        ALTER TABLE agents ADD COLUMN mood TEXT;
        ALTER TABLE writers ADD COLUMN mood TEXT;
        ALTER TABLE audit_marks ADD COLUMN mood TEXT;
        CREATE INDEX plans_mood ON plans (mood)
        """
    private static let next = StateSchema(steps: StateSchema.current.steps + [step], keeping: [known + 1])
    private static let afterNext = StateSchema(
        steps: next.steps + ["CREATE TABLE most (x TEXT) STRICT"], keeping: [known + 1, known + 2])

    /// Uses the store in every way until it is cancelled; how often.
    private func use(_ store: PostgreSQLStore, from first: Int) async throws -> Int {
        let leases = try #require(store.leases)
        let environment = try #require(EnvironmentName("home"))
        try await leases.prepare([environment])
        let lease = try await leases.acquire(environment, holder: "p", agent: "old")?.lease
        var count = 0
        while !Task.isCancelled {
            try await store.put(.sample(first + count))
            #expect(
                try await store.read {
                    $0.plan(.sample(UInt64(first))) != nil
                        && $0.summaries(PlanFilter(), bytes: 1000).rows.isEmpty == false
                })
            if let lease { #expect(try await leases.renew(lease) == 0) }
            #expect(try await leases.leases().count == 1)
            count += 1
        }
        return count
    }

    @Test func `a newer agent changes the schema beside an older one that works, which notices nothing`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        let using = Task { try await use(old, from: 1000) }
        #expect(try await eventually { old.counters.bodies > 20 })
        let new = try state.open(Self.next, as: "new")
        #expect(try state.sql("SELECT version, oldest FROM agent_state") == "\(Self.known + 1)|\(Self.known)\n")
        let before = old.counters.bodies
        #expect(try await eventually { old.counters.bodies > before + 20 })
        using.cancel()
        #expect(try await using.value > 20)

        // What both write stays whole.
        try await new.put(.sample(1))
        try state.sql("UPDATE plans SET mood = 'glad' WHERE id = '\(RecordID.sample(1))'")
        try await old.write { records in
            guard var plan = records.plan(.sample(1)) else { return }
            plan.claim(by: .sample(1, .operation))
            records.put(plan)
        }
        try await old.put(.sample(2))
        #expect(try await new.read { $0.plan(.sample(1))?.operationID } == .sample(1, .operation))
        #expect(try await new.ids == old.ids)
        let moods =
            "SELECT mood FROM plans WHERE id IN ('\(RecordID.sample(1))', '\(RecordID.sample(2))') ORDER BY number"
        #expect(try state.sql(moods) == "glad\ncalm\n")
        await old.close()
        await new.close()
    }

    @Test func `an older agent starts again beside the newer one and without it, and the step stays`() async throws {
        let state = try StateInPostgreSQL()
        await (try state.open(as: "old")).close()
        let new = try state.open(Self.next, as: "new")
        let beside = try state.open(as: "old")
        try await beside.put(.sample(1))
        try await new.put(.sample(2))
        await new.close()
        await beside.close()
        let alone = try state.open(as: "new")
        try await alone.put(.sample(3))
        #expect(try await alone.ids.count == 3)
        await alone.close()
        #expect(try state.sql("SELECT version, oldest FROM agent_state") == "\(Self.known + 1)|\(Self.known)\n")
        let again = try state.open(Self.next, as: "new")
        #expect(try await again.ids.count == 3)
        await again.close()
    }

    @Test func `an older agent whose connections end finds its way back to the newer state`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        let new = try state.open(Self.next, as: "new")
        try state.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '% old%'")
        try await old.put(.sample(1))
        #expect(try await old.ids == [.sample(1)])
        await old.close()
        await new.close()
    }

    @Test(arguments: CommitCutter.Cut.allCases)
    func `an older agent that was away while the schema was changed learns what became of its commit`(
        where end: CommitCutter.Cut
    ) async throws {
        let state = try StateInPostgreSQL()
        let cutter = try CommitCutter(to: state.server.port)
        let address = state.server.address(state.database, at: "127.0.0.1", port: cutter.port, "?sslmode=disable")
        let old = try PostgreSQLStore(state.place(address, password: PostgreSQLServer.password, agent: "old"))
        cutter.cutNext(end)
        cutter.shut(true)
        let plan = try Plan.sample(1)
        let waiting = Task { try await old.put(plan) }
        #expect(try await eventually { cutter.cuts == 1 })
        let new = try state.open(Self.next, as: "new")
        cutter.shut(false)
        let result = await waiting.result
        #expect(((try? result.get()) != nil) == (end == .after))
        while (try? await old.put(.sample(2))) == nil {}
        #expect(try await new.ids == (end == .after ? [.sample(1), .sample(2)] : [.sample(2)]))
        await old.close()
        await new.close()
        cutter.close()
    }

    @Test func `a state from before it said who can work with it is changed likewise`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        try state.sql("ALTER TABLE agent_state DROP COLUMN oldest")
        let beside = try state.open(as: "beside")
        let new = try state.open(Self.next, as: "new")
        for (number, store) in [old, beside, new].enumerated() { try await store.put(.sample(number)) }
        #expect(try state.sql("SELECT oldest FROM agent_state") == "\(Self.known)\n")
        for store in [old, beside, new] { await store.close() }
    }

    // MARK: Refusals

    @Test func `two steps at once are refused while an older agent runs`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        let place = try state.place(agent: "new")
        let refusal = try await state.refusal(place, Self.afterNext)
        #expect(refusal.contains("is of an older version, and other agents use it; stop them all"), "\(refusal)")
        try await old.put(.sample(1))
        await old.close()
        #expect(try await state.refusal(place, Self.afterNext) == "")
        #expect(try await state.refusal().contains("was written by a newer version"), "two steps are too many for it")
    }

    @Test func `of two steps one after the other the second one waits for the last agent that knows neither`()
        async throws
    {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        let new = try state.open(Self.next, as: "new")
        let place = try state.place(agent: "newest")
        let refusal = try await state.refusal(place, Self.afterNext)
        #expect(refusal.contains("an agent of a version that is two steps of the schema older uses it"), "\(refusal)")
        try await old.put(.sample(1))
        await old.close()
        let newest = try PostgreSQLStore(place, schema: Self.afterNext)
        try await new.put(.sample(2))
        #expect(try await newest.ids == [.sample(1), .sample(2)])
        let late = try await state.refusal(try state.place(agent: "old"))
        #expect(
            late.contains("was written by a newer version (schema \(Self.known + 2), this program knows"), "\(late)")
        await new.close()
        await newest.close()
    }

    @Test func `an agent that was away while a second step was made writes no more`() async throws {
        let state = try StateInPostgreSQL()
        let cutter = try CommitCutter(to: state.server.port)
        let address = state.server.address(state.database, at: "127.0.0.1", port: cutter.port, "?sslmode=disable")
        let old = try PostgreSQLStore(state.place(address, password: PostgreSQLServer.password, agent: "old"))
        await (try state.open(Self.next, as: "new")).close()
        cutter.cutNext(.before)
        cutter.shut(true)
        let plan = try Plan.sample(1)
        let waiting = Task { try await old.put(plan) }
        #expect(try await eventually { cutter.cuts == 1 })
        let place = try state.place(agent: "new")
        while try await state.refusal(place, Self.afterNext) != "" {}
        cutter.shut(false)
        let error = await #expect(throws: StoreError.self) { try await waiting.value }
        #expect(error?.detail.contains("was brought to another version") == true, "\(error?.detail ?? "")")
        await old.close()
        cutter.close()
    }

    @Test func `the schema stays as it is while something reads for long, and the older agent goes on`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        let reader = try Session(Library(), Session.Settings(address: state.server.address(state.database)))
        try reader.execute("BEGIN; SELECT count(*) FROM plans")
        var place = try state.place(agent: "new")
        place.migrationTimeout = .seconds(1)
        let limited = place
        let opening = Task { try await PostgreSQLStore(limited, schema: Self.next).close() }
        #expect(try await eventually { state.waiting(for: "relation") > 0 })
        for number in 0..<5 {
            try await old.put(.sample(number))
            #expect(try await old.ids.count == number + 1)
        }
        let error = await #expect(throws: StoreError.self) { try await opening.value }
        #expect(error?.detail.contains("cannot be changed while something reads") == true, "\(error?.detail ?? "")")
        #expect(error?.isTemporary == true)
        #expect(try state.sql("SELECT version FROM agent_state") == "\(Self.known)\n")
        try reader.execute("COMMIT")
        #expect(try await state.refusal(limited, Self.next) == "")
        await old.close()
    }

    // MARK: Commands

    @Test func `an older program checks a newer state, and copies none that has more than it knows`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open(Self.next)
        try await store.put(.sample(1))
        await store.close()
        let location = StateLocation.postgreSQL(try state.place())
        let report = try location.check()
        #expect(report.flaws == [] && report.lines.contains("plans: 1 approved"))
        #expect(report.lines.last == "of a newer version: what only that one knows is not looked at")
        #expect(try location.signing().installation == store.installation)
        let other = try StateInPostgreSQL()
        let directory = try TemporaryDirectory()
        let (file, place) = ("\(directory.path)/copy.db", try other.place())
        for copy in [
            { try location.backUp(to: file) }, { try location.copy(to: .file(file)) },
            { try location.copy(to: .postgreSQL(place)) },
        ] {
            let error = #expect(throws: StoreError.self) { try copy() }
            #expect(
                error?.detail.contains("is of a newer version (schema \(Self.known + 1), this program knows") == true,
                "\(error?.detail ?? "")")
        }
        for name in ["copy.db", "copy.key"] { #expect(access("\(directory.path)/\(name)", F_OK) != 0) }
        #expect(try other.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0\n")
    }
}
