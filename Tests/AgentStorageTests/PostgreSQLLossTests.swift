import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Glibc
import PostgreSQLTestSupport
import Testing

/// The server goes away, in every way that it can: nothing is lost, and the store comes back by itself.
@Suite(.timeLimit(.minutes(2)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLLossTests {
    /// Why a write fails; `nil` if it does not.
    private func refusal(_ store: PostgreSQLStore, _ number: Int) async throws -> StoreError? {
        let plan = try Plan.sample(number)
        do throws(StoreError) {
            try await store.put(plan)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: ["fast", "immediate"])
    func `a server that ends under writes loses nothing, and all goes on when it is back`(mode: String) async throws {
        let server = try PostgreSQLServer()
        let state = try StateInPostgreSQL(on: server)
        let store = try state.open()
        for number in 0..<10 { try await store.put(.sample(number)) }
        let writing = Task {
            var stored: Set<RecordID> = []
            var refused: Set<RecordID> = []
            for number in 10..<100_000 where !Task.isCancelled {
                let plan = try Plan.sample(number)
                do throws(StoreError) {
                    try await store.put(plan)
                    stored.insert(plan.id)
                } catch {
                    #expect(!error.mayBeStored)
                    refused.insert(plan.id)
                }
            }
            return (stored, refused)
        }
        #expect(try await eventually { store.counters.bodies > 50 })
        server.stop(mode)
        await #expect(throws: StoreError.self) { _ = try await store.ids }
        try server.start()
        // A commit that was under way is answered only now.
        while try await refusal(store, 200_000) != nil {}
        writing.cancel()
        let (stored, refused) = try await writing.value
        let found = try await store.read { Set($0.plans(PlanFilter()).map(\.id)) }
        #expect(stored.isSubset(of: found), "what was answered is there")
        #expect(refused.isDisjoint(with: found), "what was refused is not")
        await store.close()
        server.stop("immediate")
    }

    @Test func `while the server is away calls fail at once, with what to do`() async throws {
        let server = try PostgreSQLServer()
        let state = try StateInPostgreSQL(on: server)
        let store = try state.open()
        try await store.put(.sample(0))
        server.stop()
        #expect(try await refusal(store, 1) != nil)
        let begin = ContinuousClock.now
        for number in 2..<100 {
            let error = try #require(try await refusal(store, number))
            #expect(error.detail.hasPrefix("state \(server.address(state.database)): ") && !error.mayBeStored)
        }
        #expect(ContinuousClock.now - begin < .seconds(2))
        await store.close()
    }

    @Test func `a session that was ended while nobody used it is not noticed by callers`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        for round in 0..<5 {
            try state.server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\(state.database)'")
            try await store.put(.sample(round))
            #expect(try await store.ids.count == round + 1)
        }
        await store.close()
    }

    @Test func `a server that is stopped in its tracks counts as lost`() async throws {
        let server = try PostgreSQLServer()
        let state = try StateInPostgreSQL(on: server)
        var place = try state.place()
        place.answerTimeout = .milliseconds(300)
        place.connectTimeout = .milliseconds(300)
        let store = try PostgreSQLStore(place)
        try await store.put(.sample(1))
        server.signal(SIGSTOP)
        let error = try #require(try await refusal(store, 2))
        #expect(error.detail.contains("does not answer in time"), "\(error.detail)")
        server.signal(SIGCONT)
        var isBack = false
        while !isBack { isBack = try await refusal(store, 3) == nil }
        #expect(try await store.ids == [.sample(1), .sample(3)])
        await store.close()
    }

    // MARK: In the middle of a commit

    /// A store behind something that can cut its connections.
    private func cut(_ state: borrowing StateInPostgreSQL) throws -> (PostgreSQLStore, CommitCutter) {
        let cutter = try CommitCutter(to: state.server.port)
        let address = state.server.address(
            state.database, at: "127.0.0.1", port: cutter.port, "?sslmode=disable")
        let place = try state.place(address, password: PostgreSQLServer.password)
        return (try PostgreSQLStore(place), cutter)
    }

    @Test(arguments: CommitCutter.Cut.allCases)
    func `a connection cut in the middle of a commit is looked up`(where end: CommitCutter.Cut) async throws {
        let state = try StateInPostgreSQL()
        let (store, cutter) = try cut(state)
        try await store.put(.sample(1))
        cutter.cutNext(end)
        let error = try await refusal(store, 2)
        #expect(cutter.cuts == 1)
        switch end {
        case .after: #expect(error == nil, "it was done, and the caller hears that")
        case .before: #expect(error?.mayBeStored == false && error?.detail.hasSuffix("is not stored") == true)
        }
        #expect(try await store.ids == (end == .after ? [.sample(1), .sample(2)] : [.sample(1)]))
        try await store.put(.sample(3))
        await store.close()
        cutter.close()
    }

    @Test(arguments: CommitCutter.Cut.allCases)
    func `while it cannot be looked up the caller waits, and others are refused`(
        where end: CommitCutter.Cut
    ) async throws {
        let state = try StateInPostgreSQL()
        let (store, cutter) = try cut(state)
        cutter.cutNext(end)
        cutter.shut(true)
        let waiting = Task { try await refusal(store, 1) }
        #expect(try await eventually { cutter.cuts == 1 })
        while try await refusal(store, 2) == nil {}
        #expect(try await refusal(store, 3)?.mayBeStored == false)
        cutter.shut(false)
        #expect(try await (waiting.value == nil) == (end == .after))
        while try await refusal(store, 4) != nil {}
        let ids = try await store.ids
        #expect(ids.contains(.sample(1)) == (end == .after) && ids.contains(.sample(4)))
        await store.close()
        cutter.close()
    }

    @Test(arguments: CommitCutter.Cut.allCases)
    func `a store that closes before it could look says that nobody knows`(where end: CommitCutter.Cut) async throws {
        let state = try StateInPostgreSQL()
        let (store, cutter) = try cut(state)
        cutter.cutNext(end)
        cutter.shut(true)
        let waiting = Task { try await refusal(store, 1) }
        #expect(try await eventually { cutter.cuts == 1 })
        await store.close()
        #expect(try await waiting.value?.mayBeStored == true)
        let again = try state.open()
        #expect(try await again.ids == (end == .after ? [.sample(1)] : []))
        await again.close()
        cutter.close()
    }

    @Test func `a store that may not wait any more says that nobody knows, and can be closed`() async throws {
        let state = try StateInPostgreSQL()
        let (store, cutter) = try cut(state)
        cutter.cutNext(.before)
        cutter.shut(true)
        let waiting = Task { try await refusal(store, 1) }
        #expect(try await eventually { cutter.cuts == 1 })
        store.stopWaiting()
        #expect(try await waiting.value?.mayBeStored == true)
        await store.close()
        cutter.close()
    }

    @Test func `a server that has lost commits ends the writing, and the error says what to do`() async throws {
        let state = try StateInPostgreSQL()
        let (store, cutter) = try cut(state)
        try await store.put(.sample(7))
        cutter.cutNext(.before)
        cutter.shut(true)
        let waiting = Task { try await refusal(store, 1) }
        #expect(try await eventually { cutter.cuts == 1 })
        try state.sql("UPDATE writers SET commits = commits - 1")
        cutter.shut(false)
        let error = try #require(try await waiting.value)
        #expect(error.mayBeStored && error.detail.contains("has lost commits"), "\(error.detail)")
        await store.close()
        cutter.close()
    }

    @Test func `another agent that took over in between ends the first one's writing for good`() async throws {
        let state = try StateInPostgreSQL()
        let (store, cutter) = try cut(state)
        cutter.cutNext(.before)
        cutter.shut(true)
        let waiting = Task { try await refusal(store, 1) }
        #expect(try await eventually { cutter.cuts == 1 })
        let other = try state.open()
        try await other.put(.sample(2))
        await other.close()
        cutter.shut(false)
        let error = try #require(try await waiting.value)
        #expect(error.mayBeStored && error.detail.contains("was used by another process under this"))
        #expect(try await refusal(store, 3)?.detail == error.detail)
        #expect(try await store.ids == [.sample(2)], "reading goes on")
        await store.close()
        cutter.close()
    }
}
