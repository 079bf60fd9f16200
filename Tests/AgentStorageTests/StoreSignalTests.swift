import AgentModel
import AgentService
import AgentTestSupport
import PostgreSQLTestSupport
import Testing

@testable import AgentStorage

/// What agents on one state tell each other.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct StoreSignalTests {
    private func operation(_ number: UInt64) throws -> Operation {
        Operation(id: .sample(number, .operation), plan: try .sample(1), approvals: [], createdAt: .sample)
    }

    private func freeze() -> Freeze {
        Freeze(
            id: .sample(1, .freeze), environment: nil, reason: "r", by: "b", party: "principal:b", setAt: .sample,
            endsAt: nil)
    }

    /// How many connections listen.
    private func listeners(_ state: borrowing StateInPostgreSQL) throws -> String {
        try state.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%signals'"
        )
    }

    @Test func `each transaction tells other agents what it has changed, and not its own`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        var signals = try #require(two.leases).signals().makeAsyncIterator()
        #expect(await signals.next() == .everything)
        let operations = try (0..<4).map { try operation($0) }
        try await two.write { $0.put(operations[0]) }
        try await one.put(.sample(1))
        try await one.write { $0.put(operations[1]) }
        #expect(await signals.next() == .operation(operations[1].id))
        try await one.write { records in
            for operation in operations[2...] { records.put(operation) }
        }
        let told = [await signals.next(), await signals.next()]
        #expect(Set(told) == Set(operations[2...].map { .operation($0.id) }))
        let frozen = freeze()
        try await one.write { $0.put(frozen) }
        #expect(await signals.next() == .freezes)
        try await one.write { $0.remove(frozen) }
        #expect(await signals.next() == .freezes)
        await one.close()
        await two.close()
    }

    @Test func `what a body that is undone would have changed may be told, and what is not stored is not`() async throws
    {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        var signals = try #require(two.leases).signals().makeAsyncIterator()
        #expect(await signals.next() == .everything)
        let (undone, stored) = (try operation(1), try operation(2))
        await #expect(throws: StoreError.self) {
            try await one.write { records in
                records.put(undone)
                records.put(SignatureCount(key: "a\0b", number: 1))
            }
        }
        try await one.write { $0.put(stored) }
        var told: [StoreSignal] = []
        while let signal = await signals.next() {
            told.append(signal)
            if signal == .operation(stored.id) { break }
        }
        #expect(told.allSatisfy { [.operation(undone.id), .operation(stored.id)].contains($0) })
        await one.close()
        await two.close()
    }

    @Test func `changes of leases are told to all`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let leases = try #require(one.leases)
        let home = try #require(EnvironmentName("home"))
        try await leases.prepare([home])
        var mine = leases.signals().makeAsyncIterator()
        var others = try #require(two.leases).signals().makeAsyncIterator()
        #expect(await mine.next() == .everything)
        #expect(await others.next() == .everything)
        _ = try await leases.report(
            AgentRow(name: "one", process: "p", version: "1", startedAt: .sample, configuration: "c"))
        let lease = try #require(try await leases.acquire(home, holder: "p", agent: "one")).lease
        _ = try await leases.renew(lease)
        try await leases.honour(lease, freezes: 1)
        try await leases.honour(lease, freezes: 1)
        _ = try await leases.drain("one", true)
        try await leases.release(lease)
        let frozen = freeze()
        try await two.write { $0.put(frozen) }
        for _ in 0..<4 {
            #expect(await mine.next() == .leases)
            #expect(await others.next() == .leases)
        }
        #expect(await mine.next() == .freezes, "a renewal, and what changes nothing, is not told")
        await one.close()
        #expect(await mine.next() == nil, "it ends with the store")
        await two.close()
        #expect(await others.next() == nil)
    }

    @Test func `after a lost connection one looks at everything`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        #expect(try listeners(state) == "0\n", "who does not ask is not connected")
        var signals = try #require(two.leases).signals().makeAsyncIterator()
        #expect(await signals.next() == .everything)
        for number in 1...2 {
            try state.end("signals")
            #expect(await signals.next() == .everything)
            let operation = try operation(UInt64(number))
            try await one.write { $0.put(operation) }
            #expect(await signals.next() == .operation(operation.id))
        }
        await two.close()
        #expect(try await eventually { (try? listeners(state)) == "0\n" })
        await one.close()
    }

    @Test func `who does not take signals in time looks at everything`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let signals = try #require(two.leases).signals()
        var iterator = signals.makeAsyncIterator()
        #expect(await iterator.next() == .everything)
        for batch in 0..<10 {
            let operations = try (0..<200).map { try operation(UInt64(1000 * batch + $0)) }
            try await one.write { records in for operation in operations { records.put(operation) } }
        }
        let last = freeze()
        try await one.write { $0.put(last) }
        var told: [StoreSignal] = []
        while let signal = await iterator.next(), signal != .freezes { told.append(signal) }
        #expect(told.count < 2000 && told.contains(.everything) || told.count == 2000)
        await one.close()
        await two.close()
    }

    @Test func `states in two schemas of one database tell each other nothing`() async throws {
        let state = try StateInPostgreSQL()
        try state.sql("CREATE ROLE listener LOGIN; CREATE SCHEMA AUTHORIZATION listener")
        let address = try PostgreSQLAddress(parsing: state.server.address(state.database, user: "listener"))
        let other = try PostgreSQLStore(PostgreSQLPlace(address, key: "\(state.key).two"))
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        var signals = try #require(two.leases).signals().makeAsyncIterator()
        #expect(await signals.next() == .everything)
        let (foreign, mine) = (try operation(1), try operation(2))
        try await other.write { $0.put(foreign) }
        try await one.write { $0.put(mine) }
        #expect(await signals.next() == .operation(mine.id))
        for store in [one, two, other] { await store.close() }
    }

    // MARK: Texts

    @Test func `a notification says what has changed, to all but its writer`() {
        var changes = SharedChanges()
        #expect(changes.payload(by: "w") == nil)
        changes.add(.operation(.sample(1, .operation)))
        changes.add(.operation(.sample(1, .operation)))
        changes.add(.freezes)
        let payload = changes.payload(by: "w") ?? ""
        #expect(payload == "w\nfreezes\n\(RecordID.sample(1, .operation))")
        #expect(SharedChanges.signals(payload, exceptBy: "w") == [])
        #expect(SharedChanges.signals(payload, exceptBy: "x") == [.freezes, .operation(.sample(1, .operation))])
        #expect(SharedChanges.signals("-\nleases", exceptBy: "w") == [.leases])
        #expect(SharedChanges.signals("w\nsomething newer", exceptBy: "x") == [.everything])
        #expect(SharedChanges.signals("", exceptBy: "x") == [])
    }

    private static let id = RecordID.sample(1, .operation)

    @Test(arguments: [
        StoreSignal.operation(id), .freezes, .leases, .history, .everything, .progress(id, nil),
        .progress(id, Progress(percent: 0, text: "scsi0: 1.0 GiB of 2.0 GiB")), .progress(id, Progress(text: "")),
        .spent(Spending(budget: "requests", isPrincipal: true, party: "label:ä b", tokens: 0)),
        .spent(Spending(budget: "stored-bytes", isPrincipal: false, party: "fe80::/64", tokens: .max)),
    ])
    func `what agents tell each other arrives as it was`(signal: StoreSignal) {
        let payloads = SharedChanges.payloads([signal, signal], by: "w")
        #expect(payloads.count == 1)
        #expect(payloads.flatMap { SharedChanges.signals($0, exceptBy: "x") } == [signal, signal])
        #expect(payloads.flatMap { SharedChanges.signals($0, exceptBy: "w") } == [])
    }

    @Test func `much that agents tell each other goes in several notifications`() {
        let all = (0..<1000).map {
            StoreSignal.spent(Spending(budget: "requests", isPrincipal: true, party: "p\($0)", tokens: $0))
        }
        let payloads = SharedChanges.payloads(all, by: "w")
        #expect(payloads.allSatisfy { $0.utf8.count < 8000 } && payloads.count > 1)
        #expect(payloads.flatMap { SharedChanges.signals($0, exceptBy: "x") } == all)
    }

    @Test(arguments: [
        "spent\trequests\t-1\tid\ta", "spent\trequests\t9223372036854775808\tid\ta", "spent\trequests\t1\tid",
        "progress\tx\t1\ttext", "progress\top_1", "progress\t\(id)\t101\ttext", "progress\t\(id)\t\ttext", "\t",
    ])
    func `what is not understood means to look at everything`(line: String) {
        #expect(SharedChanges.signals("w\n\(line)", exceptBy: "x") == [.everything])
    }

    @Test(arguments: [(300, false), (320, true)])
    func `a notification that would be too long says everything`(count: UInt64, isCut: Bool) {
        var changes = SharedChanges()
        for number in 0..<count { changes.add(.operation(.sample(number, .operation))) }
        let payload = changes.payload(by: "w") ?? ""
        #expect((payload == "w\neverything") == isCut)
        #expect(payload.utf8.count < 8000)
    }
}
