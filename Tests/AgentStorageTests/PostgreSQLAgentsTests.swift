import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import PostgreSQLTestSupport
import Testing

/// Several agents on one state.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLAgentsTests {
    private func mark(_ settled: UInt64) -> AuditMark { AuditMark(head: .empty, settled: settled) }

    // MARK: Names

    @Test func `agents of different names use one state, and each has a mark of its own`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let (first, second) = (mark(1), mark(2))
        try await one.write { records in
            records.put(first)
            records.putNoticePosition(10)
        }
        try await two.write { records in
            records.put(second)
            records.putNoticePosition(20)
        }
        try await one.put(.sample(1))
        try await two.put(.sample(2))
        for store in [one, two] { #expect(try await store.ids == [.sample(1), .sample(2)]) }
        #expect(try await one.read { $0.mark == first && $0.otherMarks == ["two": second] && $0.noticePosition == 10 })
        #expect(try await two.read { $0.mark == second && $0.otherMarks == ["one": first] && $0.noticePosition == 20 })
        try await one.write { $0.putNoticePosition(nil) }
        #expect(try await two.read { $0.noticePosition } == 20)
        #expect(one.installation == two.installation)
        let lines = try StateLocation.postgreSQL(state.place()).check().lines
        #expect(
            lines.filter { $0.hasPrefix("audit log of ") }.map { $0.prefix(17) } == [
                "audit log of one:", "audit log of two:",
            ])
        await one.close()
        await two.close()
    }

    @Test(arguments: ["a", "it's \"ü\""])
    func `a second process of one name is refused while the first runs`(name: String) async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open(as: name)
        let place = try state.place(agent: name)
        let error = #expect(throws: StoreError.self) { try PostgreSQLStore(place) }
        #expect(
            error?.detail.contains("another process uses it under the name \(name); give each agent a name") == true,
            "\(error?.detail ?? "")")
        #expect(error?.isTemporary == true)
        try await store.put(.sample(1))
        await store.close()
        #expect(try await state.refusal(place) == "")
    }

    @Test func `the first agent with a name continues what one without has left`() async throws {
        let state = try StateInPostgreSQL()
        let lone = try state.open()
        let left = mark(7)
        try await lone.write { records in
            records.put(left)
            records.putNoticePosition(3)
        }
        // It is not its while that one runs.
        let early = try state.open(as: "early")
        #expect(try await early.read { $0.mark == nil && $0.otherMarks == ["": left] })
        await early.close()
        await lone.close()
        let first = try state.open(as: "first")
        #expect(try await first.read { $0.mark == left && $0.otherMarks.isEmpty && $0.noticePosition == 3 })
        let second = try state.open(as: "second")
        #expect(
            try await second.read { $0.mark == nil && $0.otherMarks == ["first": left] && $0.noticePosition == nil })
        await first.close()
        await second.close()
    }

    // MARK: Versions

    private static let next = StateSchema(steps: StateSchema.current.steps + ["CREATE TABLE more (x TEXT) STRICT"])

    @Test func `the schema is not changed while another agent runs`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(as: "old")
        let place = try state.place(agent: "new")
        let refusal = try await state.refusal(place, Self.next)
        #expect(refusal.contains("is of an older version, and other agents use it; stop them all"), "\(refusal)")
        try await old.put(.sample(1))
        await old.close()
        #expect(try await state.refusal(place, Self.next) == "")
        #expect(try state.sql("SELECT version FROM agent_state") == "\(Self.next.steps.count)\n")
    }

    @Test func `agents that start at once fill an empty database once`() async throws {
        let state = try StateInPostgreSQL()
        let places = try (0..<4).map { try state.place(agent: "agent \($0)") }
        let stores = try await withThrowingTaskGroup(of: PostgreSQLStore.self) { group in
            for place in places { group.addTask { try PostgreSQLStore(place) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(stores.map(\.installation)).count == 1)
        for (number, store) in stores.enumerated() { try await store.put(.sample(number)) }
        #expect(try await stores[0].ids.count == 4)
        for store in stores { await store.close() }
    }

    @Test func `an agent that was away while the schema was changed writes no more`() async throws {
        let state = try StateInPostgreSQL()
        let cutter = try CommitCutter(to: state.server.port)
        let address = state.server.address(state.database, at: "127.0.0.1", port: cutter.port, "?sslmode=disable")
        let store = try PostgreSQLStore(state.place(address, password: PostgreSQLServer.password, agent: "old"))
        cutter.cutNext(.before)
        cutter.shut(true)
        let plan = try Plan.sample(1)
        let waiting = Task { try await store.put(plan) }
        #expect(try await eventually { cutter.cuts == 1 })
        let place = try state.place(agent: "new")
        while try await state.refusal(place, Self.next) != "" {}
        cutter.shut(false)
        let error = await #expect(throws: StoreError.self) { try await waiting.value }
        #expect(error?.detail.contains("was brought to another version") == true, "\(error?.detail ?? "")")
        await store.close()
        cutter.close()
    }
}
