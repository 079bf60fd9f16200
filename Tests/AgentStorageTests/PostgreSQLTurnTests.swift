import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Dispatch
import PostgreSQL
import PostgreSQLTestSupport
import Synchronization
import Testing

/// Agents on one state write in turns.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLTurnTests {
    /// What only one may have, and a body takes if it is free.
    enum Prize: CaseIterable {
        case plan, limit, key

        private static let counter = LimitCounter(
            rule: "one", index: 0, counted: .operations, scope: .all, key: "")
        private static let usual = IdempotencyKey(principal: "p", route: "apply", key: "k")

        func isFree(_ records: any StoreTransaction) -> Bool {
            switch self {
            case .plan: records.plan(.sample(1))?.operationID == nil
            case .limit: records.limitUses(of: Self.counter, since: nil).isEmpty
            case .key: records.request(Self.usual) == nil
            }
        }

        func take(_ records: any StoreTransaction, for operation: RecordID) {
            switch self {
            case .plan:
                guard var plan = records.plan(.sample(1)) else { return }
                plan.claim(by: operation)
                records.put(plan)
            case .limit: records.put(LimitUse(Self.counter, by: operation, amount: 1, at: .sample))
            case .key:
                records.put(
                    IdempotentRequest(
                        key: Self.usual, payloadHash: "h", record: operation, environment: .sample, createdAt: .sample))
            }
        }
    }

    @Test(arguments: Prize.allCases)
    func `of two agents that look and then store, one wins`(prize: Prize) async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        try await one.put(.sample(1))
        let (hasLooked, gate) = (Gate(), DispatchSemaphore(value: 0))
        let first = Task {
            try await one.write { records in
                let isFree = prize.isFree(records)
                hasLooked.open()
                gate.wait()
                if isFree { prize.take(records, for: .sample(1, .operation)) }
                return isFree
            }
        }
        await hasLooked.wait()
        let second = Task {
            try await two.write { records in
                let isFree = prize.isFree(records)
                if isFree { prize.take(records, for: .sample(2, .operation)) }
                return isFree
            }
        }
        #expect(try await eventually { state.waiting(for: "advisory") == 1 })
        gate.signal()
        #expect(try await first.value)
        #expect(try await second.value == false)
        await one.close()
        await two.close()
    }

    @Test func `many bodies of several agents take each of many plans once`() async throws {
        let state = try StateInPostgreSQL()
        let stores = try (0..<3).map { try state.open(as: "agent \($0)") }
        for number in 0..<20 { try await stores[0].put(.sample(number)) }
        let wins = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<20 {
                for (agent, store) in stores.enumerated() {
                    group.addTask {
                        let id = try Plan.sample(number).id
                        return try await store.write { records in
                            guard var plan = records.plan(id), plan.operationID == nil else { return 0 }
                            plan.claim(by: .sample(UInt64(agent), .operation))
                            records.put(plan)
                            return 1
                        }
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(wins == 20)
        for store in stores { await store.close() }
    }

    @Test(arguments: [true, false])
    func `one that stops within a transaction loses it, and delays others by three seconds`(
        goesOn: Bool
    ) async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let (hasBegun, gate, runs) = (Gate(), DispatchSemaphore(value: 0), Counter())
        let (lost, late) = (try Plan.sample(1), try Plan.sample(2))
        let stopped = Task {
            try await one.write { records in
                runs.add()
                records.put(lost)
                hasBegun.open()
                gate.wait()
                if goesOn { records.put(late) }
            }
        }
        await hasBegun.wait()
        let start = ContinuousClock.now
        try await two.put(.sample(3))
        let delay = ContinuousClock.now - start
        #expect(delay > .seconds(1) && delay < .seconds(5), "\(delay)")
        gate.signal()
        let error = await #expect(throws: StoreError.self) { try await stopped.value }
        #expect(error?.detail.contains("idle-in-transaction") == true, "\(error?.detail ?? "")")
        #expect(error?.mayBeStored == false && runs.count == 1, "it is refused, and not tried again")
        while (try? await one.put(.sample(4))) == nil {}
        #expect(try await one.ids == [.sample(3), .sample(4)])
        await one.close()
        await two.close()
    }

    @Test func `one that waits for its turn in vain says that another agent has it`() async throws {
        let state = try StateInPostgreSQL()
        var place = try state.place(agent: "one")
        place.turnTimeout = .milliseconds(200)
        let store = try PostgreSQLStore(place)
        let other = try Session(
            Library(), Session.Settings(address: state.server.address(state.database)))
        try other.execute("BEGIN; SELECT pg_advisory_xact_lock(1347961162, hashtext(current_schema()::text))")
        let error = await #expect(throws: StoreError.self) { try await store.put(.sample(1)) }
        #expect(error?.detail.contains("another agent has been writing for too long") == true, "\(error?.detail ?? "")")
        #expect(error?.isTemporary == true && error?.mayBeStored == false)
        #expect(try await store.ids.isEmpty, "reading goes on")
        try other.execute("COMMIT")
        try await store.put(.sample(2))
        #expect(try await store.ids == [.sample(2)])
        await store.close()
    }
}

/// Counts.
private final class Counter: Sendable {
    private let number = Mutex(0)
    func add() { number.withLock { $0 += 1 } }
    var count: Int { number.withLock { $0 } }
}
