import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Dispatch
import Glibc
import SQLite
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1)))
struct SQLiteStoreTests {
    @Test func `the store in a file keeps what every store keeps`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        try await PlanStoreConformance(store).check()
        await store.close()
    }

    @Test func `all bodies that wait share one commit`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
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

    @Test func `a body that fails is undone alone, and says which row is at fault`() async throws {
        let place = try StateDirectory()
        try await place.written(1)
        try place.sql("UPDATE plans SET document = replace(document, 'start_vm', 'explode_vm')")
        let store = try place.open()
        let gate = DispatchSemaphore(value: 0)
        async let first: Void = store.write { _ in gate.wait() }
        #expect(try await eventually { store.counters.bodies == 1 })
        async let before: Void = store.put(.sample(1))
        #expect(try await eventually { store.counters.waiting == 1 })
        let failing = Task {
            try await store.write { records in
                if let plan = try? Plan.sample(2) { records.put(plan) }
                let found = records.plan(.sample(0)) == nil
                if let plan = try? Plan.sample(3) { records.put(plan) }
                return found ? records.plans(PlanFilter()).count : -1
            }
        }
        #expect(try await eventually { store.counters.waiting == 2 })
        async let after: Void = store.put(.sample(4))
        #expect(try await eventually { store.counters.waiting == 3 })
        gate.signal()
        _ = try await (first, before, after)
        let error = await #expect(throws: StoreError.self) { _ = try await failing.value }
        let detail = try #require(error?.detail)
        #expect(detail.contains("plans \(RecordID.sample(0)) cannot be read: request.action"), "\(detail)")
        #expect(store.counters.bodies == 4 && store.counters.batches == 2)
        #expect(try await store.read { $0.count(PlanFilter()) } == 3)
        for number in [1, 4] as [UInt64] { #expect(try await store.read { $0.plan(.sample(number)) != nil }) }
        await #expect(throws: StoreError.self, "a list never leaves one out") { _ = try await store.ids }
        await store.close()
    }

    @Test func `readers keep nobody from writing, and each sees one moment`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        let (gate, started) = (DispatchSemaphore(value: 0), Latch())
        async let slow = store.read { records in
            let before = records.count(PlanFilter())
            started.open()
            gate.wait()
            return (before, records.count(PlanFilter()))
        }
        #expect(try await eventually { started.isOpen })
        try await store.put(.sample(1))
        gate.signal()
        #expect(try await slow == (0, 0))
        #expect(try await store.read { $0.count(PlanFilter()) } == 1)
        await store.close()
    }

    @Test func `many writers and readers at once lose nothing and see no half`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
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
        #expect(try await store.ids.count == 400)
        await store.close()
        let again = try place.open()
        #expect(try await again.ids.count == 400)
        await again.close()
    }

    @Test func `what was written is there after a close, and the log is in the file`() async throws {
        let place = try StateDirectory()
        try await place.written(3)
        #expect(try place.files().keys.sorted() == ["db", "key"])
        let store = try place.open()
        #expect(try await store.ids == Set((0..<3).map { .sample($0) }))
        await store.close()
        await store.close()
        let error = await #expect(throws: StoreError.self) { try await store.put(.sample(9)) }
        #expect(error?.detail.hasSuffix("is closed; the agent is stopping") == true)
        await #expect(throws: StoreError.self) { _ = try await store.ids }
    }

    @Test func `a store that is let go gives up its lock`() async throws {
        let place = try StateDirectory()
        do { try await place.open().put(.sample(1)) }
        #expect(try await eventually { (try? place.open()) != nil })
    }

    @Test func `what was written is there after a crash, in the log alone`() async throws {
        let place = try StateDirectory()
        let copy = try StateDirectory()
        let store = try place.open()
        for number in 0..<20 { try await store.put(.sample(number)) }
        try place.copyCrashed(to: copy)
        await store.close()
        let survivor = try copy.open()
        #expect(try await survivor.ids == Set((0..<20).map { .sample($0) }))
        #expect(try await survivor.read { $0.plan(.sample(7))?.request.secrets.count } == 1)
        await survivor.close()
    }

    @Test func `what was written is there after the process was killed`() async throws {
        let place = try StateDirectory()
        let path = place.database
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let store = try SQLiteStore(path: path)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 { group.addTask { try await store.put(.sample(number)) } }
                try await group.waitForAll()
            }
            kill(getpid(), SIGKILL)
        }
        let store = try place.open()
        #expect(try await store.ids.count == 50)
        await store.close()
    }

    @Test func `no secret is in any file, alive or ended`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        let canary = "cAnArY-4f1c-é"
        var plan = try Plan.sample(1, secret: canary)
        try await store.put(plan)
        let copy = "\(place.directory.path)/copy.db"
        _ = try StatePlace(place.database).backUp(to: copy)
        #expect(run(["grep", "-rqF", "pln_", place.directory.path]) == 0, "grep finds what is there")
        #expect(run(["grep", "-rqF", "cAnArY", place.directory.path]) == 1 << 8)
        #expect(try await store.read { $0.plan(.sample(1))?.request.secrets.values.first?.reveal() } == canary)

        try #require(plan.state.successors.contains(.cancelled))
        _ = plan.move(to: .cancelled, at: .sample)
        let ended = plan
        try await store.put(ended)
        await store.close()
        #expect(try place.sql("SELECT sealed FROM plans") == [[.null]])
        #expect(run(["grep", "-rqF", "cAnArY", place.directory.path]) == 1 << 8)
        for (name, mode) in [("db", 0o600), ("key", 0o600), ("db.lock", 0o600)] as [(String, mode_t)] {
            #expect(place.mode("\(place.directory.path)/data/state.\(name)") == mode, "\(name)")
        }
    }

    @Test(arguments: [0o000, 0o022, 0o077] as [mode_t])
    func `all files are private whatever the umask`(mask: mode_t) async throws {
        await #expect(processExitsWith: .success) { [mask = mask as mode_t] in
            umask(mask)
            let place = try StateDirectory()
            let store = try place.open()
            try await store.put(.sample(1))
            for end in ["db", "db-wal", "db-shm", "db.lock", "key"] {
                #expect(place.mode("\(place.directory.path)/data/state.\(end)") == 0o600, "\(end)")
            }
            #expect(place.mode("\(place.directory.path)/data") == 0o700)
            await store.close()
        }
    }
}

/// Opened once, from any thread.
private final class Latch: Sendable {
    private let state = Mutex(false)
    func open() { state.withLock { $0 = true } }
    var isOpen: Bool { state.withLock { $0 } }
}
