import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Dispatch
import Glibc
import PostgreSQLTestSupport
import Testing

@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLStoreTests {
    @Test func `the store in PostgreSQL keeps what every store keeps`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await PlanStoreConformance(store).check()
        await store.close()
    }

    @Test func `all bodies that wait share one commit`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let gate = DispatchSemaphore(value: 0)
        async let first: Void = store.write { _ in gate.wait() }
        #expect(try await eventually { store.counters.bodies == 1 })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<100 { group.addTask { try await store.put(.sample(number)) } }
            #expect(try await eventually { store.counters.waiting == 100 })
            gate.signal()
            try await group.waitForAll()
        }
        try await first
        #expect(store.counters.bodies == 101 && store.counters.batches == 2)
        #expect(try await store.ids.count == 100)
        await store.close()
    }

    @Test func `a body that fails is undone alone`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let gate = DispatchSemaphore(value: 0)
        async let first: Void = store.write { _ in gate.wait() }
        #expect(try await eventually { store.counters.bodies == 1 })
        async let before: Void = store.put(.sample(1))
        #expect(try await eventually { store.counters.waiting == 1 })
        let failing = Task {
            try await store.write { records in
                if let plan = try? Plan.sample(2) { records.put(plan) }
                // PostgreSQL has no text with a NUL, and the error makes the whole transaction void.
                records.put(
                    Freeze(
                        id: .sample(1, .freeze), environment: nil, reason: "a\0b", by: "dora", party: "principal:dora",
                        setAt: .sample, endsAt: nil))
                if let plan = try? Plan.sample(3) { records.put(plan) }
            }
        }
        #expect(try await eventually { store.counters.waiting == 2 })
        async let after: Void = store.put(.sample(4))
        #expect(try await eventually { store.counters.waiting == 3 })
        gate.signal()
        _ = try await (first, before, after)
        let error = await #expect(throws: StoreError.self) { _ = try await failing.value }
        #expect(error?.detail.contains("22021") == true, "\(error?.detail ?? "")")
        #expect(store.counters.bodies == 4 && store.counters.batches == 2)
        #expect(try await store.ids == [.sample(1), .sample(4)])
        await store.close()
    }

    @Test func `readers keep nobody from writing, and each sees one moment`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let gate = DispatchSemaphore(value: 0)
        let started = Gate()
        async let slow = store.read { records in
            let before = records.count(PlanFilter())
            started.open()
            gate.wait()
            return (before, records.count(PlanFilter()))
        }
        await started.wait()
        try await store.put(.sample(1))
        #expect(try await store.read { $0.count(PlanFilter()) } == 1, "there is another reader")
        gate.signal()
        #expect(try await slow == (0, 0))
        await store.close()
    }

    @Test func `many writers and readers at once lose nothing and see no half`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<100 {
                group.addTask {
                    let (one, two) = (try Plan.sample(2 * number), try Plan.sample(2 * number + 1))
                    try await store.write { records in
                        records.put(one)
                        records.put(two)
                    }
                    let found = try await store.read { ($0.plan(one.id) != nil, $0.count(PlanFilter())) }
                    #expect(found.0, "a reader sees what was written before it")
                    #expect(found.1.isMultiple(of: 2))
                }
            }
            try await group.waitForAll()
        }
        #expect(try await store.ids.count == 200)
        await store.close()
        let again = try state.open()
        #expect(try await again.ids.count == 200)
        await again.close()
    }

    @Test func `what was written is there after a close, down to its secrets, and later calls fail`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await store.put(.sample(1, secret: "hidden"))
        await store.close()
        await store.close()
        let error = await #expect(throws: StoreError.self) { try await store.put(.sample(9)) }
        #expect(error?.detail.hasSuffix("is closed; the agent is stopping") == true)
        await #expect(throws: StoreError.self) { _ = try await store.ids }
        let again = try state.open()
        #expect(again.installation == store.installation && again.installation.count == 16)
        #expect(try await again.read { $0.plan(.sample(1))?.request.secrets.values.first?.reveal() } == "hidden")
        await again.close()
        #expect(try state.sql("SELECT * FROM plans").contains("hidden") == false, "no secret is in clear")
    }

    @Test func `a store that is let go gives up its lock`() async throws {
        let state = try StateInPostgreSQL()
        do { try await state.open().put(.sample(1)) }
        await (try state.open()).close()
    }
}
