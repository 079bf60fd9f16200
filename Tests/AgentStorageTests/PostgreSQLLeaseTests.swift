import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import Dispatch
import Glibc
import PostgreSQLTestSupport
import Testing

@testable import AgentStorage

/// Leases, freezes that are counted in them, and what agents tell each other.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLLeaseTests {
    private let (home, work): (EnvironmentName, EnvironmentName)

    init() throws { (home, work) = (try #require(EnvironmentName("home")), try #require(EnvironmentName("work"))) }

    private func freeze(_ number: UInt64, _ environment: EnvironmentName?) -> Freeze {
        Freeze(
            id: .sample(number, .freeze), environment: environment, reason: "r", by: "b", party: "principal:\(number)",
            setAt: .sample, endsAt: nil)
    }

    // MARK: Leases

    @Test func `leases in PostgreSQL keep what all leases keep`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open(as: "one")
        let (server, database) = (state.server, state.database)
        let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        let conformance = try LeaseStoreConformance(#require(store.leases)) { environment, seconds in
            try server.sql(
                "UPDATE leases SET valid_until = \(now) + \(seconds * 1000) WHERE environment = '\(environment)'",
                in: database)
        } silence: { agent, seconds in
            try server.sql(
                "UPDATE agents SET seen_at = \(now) - \(seconds * 1000) WHERE name = '\(agent)'", in: database)
        }
        try await conformance.check()
        await store.close()
    }

    @Test func `a lease is valid for ten seconds`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let leases = try #require(store.leases)
        try await leases.prepare([home])
        let rest = "SELECT valid_until - (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM leases"
        let acquired = try #require(try await leases.acquire(home, holder: "p", agent: ""))
        let first = try #require(Int(try state.sql(rest).dropLast()))
        #expect((8000...10_000).contains(first))
        try state.sql("UPDATE leases SET valid_until = 0")
        _ = try await leases.renew(acquired.lease)
        let second = try #require(Int(try state.sql(rest).dropLast()))
        #expect((8000...10_000).contains(second))
        await store.close()
    }

    @Test func `a state in a file has no leases, and a lone agent holds all`() async throws {
        let place = try StateDirectory()
        let store = try place.open()
        #expect(store.leases == nil)
        let lease = Lease(environment: home, holder: "p", epoch: 1)
        let isHeld = try await store.write { records in
            records.put(Freeze.sample)
            return records.holds(lease) && records.freezeCounts.isEmpty && records.otherMarks.isEmpty
        }
        #expect(isHeld)
        await store.close()
    }

    @Test func `calls go on after the connection is lost, and end with the store`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open(as: "one")
        let leases = try #require(store.leases)
        try await leases.prepare([home])
        let acquired = try #require(try await leases.acquire(home, holder: "p", agent: "one"))
        try state.end("leases")
        await #expect(throws: StoreError.self) { try await leases.renew(acquired.lease) }
        #expect(try await leases.renew(acquired.lease) == 0)
        await store.close()
        let error = await #expect(throws: StoreError.self) { try await leases.renew(acquired.lease) }
        #expect(error?.detail.hasSuffix("is closed; the agent is stopping") == true)
        var signals = leases.signals().makeAsyncIterator()
        #expect(await signals.next() == nil)
    }

    @Test func `a server that stands still refuses all calls within seconds`() async throws {
        let server = try PostgreSQLServer()
        let state = try StateInPostgreSQL(on: server)
        let store = try state.open(as: "one")
        let leases = try #require(store.leases)
        try await leases.prepare([home])
        server.signal(SIGSTOP)
        let start = ContinuousClock.now
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 { group.addTask { (try? await leases.leases()) == nil } }
            for await isRefused in group { #expect(isRefused) }
        }
        let time = ContinuousClock.now - start
        #expect(time < .seconds(10), "\(time)")
        server.signal(SIGCONT)
        while (try? await leases.leases()) == nil {}
        await store.close()
        server.stop("immediate")
    }

    // MARK: The fence

    @Test func `an acquisition waits for bodies that have looked at the lease, and a renewal does not`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let (first, second) = (try #require(one.leases), try #require(two.leases))
        try await first.prepare([home])
        let old = try #require(try await first.acquire(home, holder: "p", agent: "one")).lease
        let (hasLooked, gate, plan) = (Gate(), DispatchSemaphore(value: 0), try Plan.sample(1))
        let fenced = Task {
            try await one.write { records in
                let isHeld = records.holds(old)
                hasLooked.open()
                gate.wait()
                if isHeld { records.put(plan) }
                return isHeld
            }
        }
        await hasLooked.wait()
        #expect(try await first.renew(old) == 0, "a renewal waits for nothing")
        try await first.honour(old, freezes: 1)
        try state.sql("UPDATE leases SET valid_until = 0")
        let home = home
        let acquisition = Task { try await second.acquire(home, holder: "q", agent: "two") }
        #expect(try await eventually { state.waiting(for: "transactionid") == 1 })
        gate.signal()
        #expect(try await fenced.value)
        let new = try #require(try await acquisition.value).lease
        #expect(new.epoch == old.epoch + 1)
        #expect(try await one.write { $0.holds(old) } == false)
        #expect(try await two.write { $0.holds(new) })
        #expect(
            try await two.write { $0.holds(Lease(environment: new.environment, holder: "p", epoch: new.epoch)) }
                == false)
        try await second.release(new)
        #expect(try await two.write { $0.holds(new) } == false, "what was given back is not held")
        await one.close()
        await two.close()
    }

    // MARK: Freezes

    @Test func `a freeze is counted in the rows that it covers, and renewals and acquisitions tell`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let leases = try #require(store.leases)
        try await leases.prepare([home, work])
        let lease = try #require(try await leases.acquire(home, holder: "p", agent: "")).lease
        let (one, all) = (freeze(1, home), freeze(2, nil))
        let afterOne = try await store.write { records in
            records.put(one)
            return records.freezeCounts
        }
        #expect(afterOne == [home: 1, work: 0])
        let afterAll = try await store.write { records in
            records.put(all)
            return records.freezeCounts
        }
        #expect(afterAll == [home: 2, work: 1])
        #expect(try await leases.renew(lease) == 2)
        #expect(try await leases.acquire(work, holder: "p", agent: "")?.freezes == 1)
        #expect(try await leases.leases().map(\.freezes) == [2, 1])
        try await store.write { $0.remove(all) }
        await #expect(throws: StoreError.self) {
            try await store.write { records in
                records.put(one)
                records.put(SignatureCount(key: "a\0b", number: 1))
            }
        }
        #expect(try await store.read { $0.freezeCounts } == [home: 2, work: 1], "what is not stored is not counted")
        await store.close()
    }

    // MARK: Forgetting

    @Test func `with an agent that is forgotten go its marks, and it writes no more`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let leases = try #require(two.leases)
        for store in [one, two] {
            try await store.write { records in
                records.put(AuditMark(head: .empty, settled: 1))
                records.putNoticePosition(1)
            }
        }
        _ = try await leases.report(
            AgentRow(name: "one", process: "p", version: "1", startedAt: .sample, configuration: "c"))
        try state.sql("UPDATE agents SET seen_at = seen_at - 61000")
        #expect(try await leases.forget("one"))
        #expect(try await two.read { $0.otherMarks.isEmpty && $0.mark != nil && $0.noticePosition == 1 })
        #expect(try await leases.forget("one") == false, "it is gone already, and lives")
        let error = await #expect(throws: StoreError.self) { try await one.put(.sample(1)) }
        #expect(error?.detail.contains("or the agent was forgotten") == true, "\(error?.detail ?? "")")
        await one.close()
        await two.close()
    }

    @Test func `an agent that has never reported is forgotten once it does not run`() async throws {
        let state = try StateInPostgreSQL()
        let (one, two) = (try state.open(as: "one"), try state.open(as: "two"))
        let leases = try #require(two.leases)
        try await one.write { $0.put(AuditMark(head: .empty, settled: 1)) }
        #expect(try await leases.forget("one") == false)
        #expect(try await two.read { $0.otherMarks.count } == 1)
        await one.close()
        while try await !leases.forget("one") {}
        #expect(try await two.read { $0.otherMarks.isEmpty })
        #expect(try await leases.forget("one") == false)
        await two.close()
    }
}

extension Freeze {
    fileprivate static let sample = Freeze(
        id: .sample(1, .freeze), environment: nil, reason: "r", by: "b", party: "principal:b", setAt: .sample,
        endsAt: nil)
}
