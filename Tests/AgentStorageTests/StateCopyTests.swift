import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Glibc
import PostgreSQLTestSupport
import SQLite
import Testing

@testable import AgentStorage

/// `store copy` and `store backup` between files and PostgreSQL.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct StateCopyTests {
    /// Something of everything, and enough plans for several pages.
    private func fill(_ store: any StateStore) async throws {
        // What is left of the conformance suite's rows is as varied as rows can be.
        try await PlanStoreConformance(store).check()
        let plans = try (1000..<1450).map { try Plan.sample($0, secret: "hidden \($0)") }
        var ended = try Plan.sample(999)
        _ = ended.move(to: .cancelled, at: .sample)
        let plan = ended
        let operation = Operation(id: .sample(1, .operation), plan: plan, approvals: [], createdAt: .sample)
        try await store.write { records in
            for plan in plans { records.put(plan) }
            records.put(plan)
            records.put(operation)
            records.put(SignatureCount(key: "k", number: 7))
            let key = IdempotencyKey(principal: "p", route: "plan", key: "é")
            records.put(
                IdempotentRequest(
                    key: key, payloadHash: "h", record: plan.id, environment: .sample, createdAt: .sample,
                    answer: StoredResponse(status: 200, body: [0, 0xFF], location: "/")))
        }
    }

    private func order(_ store: any StateStore) async throws -> [RecordID] {
        try await store.read { $0.plans(PlanFilter()).map(\.id) }
    }

    private func refusal(_ work: () throws -> StateReport) -> String {
        do { return try work().flaws.joined() } catch let error as StoreError { return error.detail } catch {
            return "\(error)"
        }
    }

    @Test func `a state goes from a file to PostgreSQL and back, every row of it`() async throws {
        let from = try StateDirectory()
        let to = try StateInPostgreSQL()
        let back = try StateDirectory()
        let store = try from.open()
        try await fill(store)
        let plans = try await order(store)
        await store.close()
        let report = try StateLocation.file(from.database).copy(to: .postgreSQL(try to.place()))
        #expect(report.flaws == [] && report.lines.contains { $0.hasPrefix("plans: 450 approved, 1 cancelled") })

        let moved = try to.open()
        #expect(moved.installation == store.installation && moved.key.fingerprint == store.key.fingerprint)
        #expect(try await order(moved) == plans)
        let secret = try await moved.read { $0.plan(.sample(1000))?.request.secrets.values.first?.reveal() }
        #expect(secret == "hidden 1000")
        try await moved.put(.sample(2000))
        #expect(try await order(moved).first == .sample(2000), "numbers go on")
        await moved.close()

        #expect(try StateLocation.postgreSQL(try to.place()).copy(to: .file(back.database)).flaws == [])
        let again = try back.open()
        #expect(try await order(again) == [.sample(2000)] + plans)
        #expect(again.key.fingerprint == store.key.fingerprint)
        #expect(try await again.read { $0.mark?.isOfCopy } == false)
        try await again.put(.sample(2001))
        #expect(try await order(again).first == .sample(2001))
        await again.close()
        #expect(try back.files().keys.sorted() == ["db", "key"])
    }

    @Test func `every column of every table is copied`() async throws {
        let file = try StateDirectory()
        try await file.written(0)
        let server = try StateInPostgreSQL()
        await (try server.open()).close()
        let names = try file.sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        #expect(Set(names.compactMap { $0[0].text }) == StateCopy.left.union(StateCopy.tables.map(\.name)))
        for table in StateCopy.tables {
            let columns = try file.sql("SELECT name, pk FROM pragma_table_info('\(table.name)')")
            #expect(Set(columns.compactMap { $0[0].text }) == Set(table.columns), "\(table.name)")
            let same = try server.sql(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' "
                    + "AND table_name = '\(table.name)'")
            #expect(Set(same.split(separator: "\n").map(String.init)) == Set(table.columns), "\(table.name)")
        }
    }

    @Test func `a target that is not empty stays as it is`() async throws {
        let from = try StateDirectory()
        let to = try StateInPostgreSQL()
        try await from.written(3)
        let store = try to.open()
        try await store.put(.sample(9))
        await store.close()
        let place = try to.place()
        #expect(
            refusal { try StateLocation.file(from.database).copy(to: .postgreSQL(place)) }.contains("is not empty"))
        let files = try from.files()
        #expect(
            refusal { try StateLocation.postgreSQL(place).copy(to: .file(from.database)) }.contains("is there already"))
        #expect(try from.files() == files)
        let again = try to.open()
        #expect(try await again.ids == [.sample(9)])
        await again.close()
    }

    @Test func `a state that an agent uses is not copied, and nothing is begun`() async throws {
        let from = try StateDirectory()
        let to = try StateInPostgreSQL()
        let file = try from.open()
        let place = try to.place()
        #expect(
            refusal { try StateLocation.file(from.database).copy(to: .postgreSQL(place)) }.contains("another process"))
        await file.close()
        #expect(access(to.key, F_OK) != 0)
        #expect(try to.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0\n")
        let server = try to.open()
        let path = "\(from.directory.path)/copy.db"
        #expect(refusal { try StateLocation.postgreSQL(place).copy(to: .file(path)) }.contains("another process"))
        #expect(access(path, F_OK) != 0)
        await server.close()
        let named = try to.open(as: "a")
        #expect(refusal { try StateLocation.postgreSQL(place).copy(to: .file(path)) }.contains("another process"))
        await named.close()
    }

    /// A state that agents of these names have written to, each with a mark of its own.
    private func written(by names: [String]) async throws -> StateInPostgreSQL {
        let state = try StateInPostgreSQL()
        for (number, name) in names.enumerated() {
            let store = try state.open(as: name)
            try await store.write { records in
                records.put(AuditMark(head: AuditHead(seq: 7, hash: "f00"), settled: UInt64(number)))
                records.putNoticePosition(UInt64(number))
            }
            await store.close()
        }
        return state
    }

    @Test func `a state of several agents is not copied to a file, but to another server and to a backup`() async throws
    {
        let from = try await written(by: ["a", "b"])
        let to = try StateInPostgreSQL()
        let directory = try StateDirectory()
        let source = StateLocation.postgreSQL(try from.place())
        let refused = refusal { try source.copy(to: .file(directory.database)) }
        #expect(refused.contains("belongs to several agents (a, b)"), "\(refused)")
        #expect(access(directory.database, F_OK) != 0 && access(directory.key, F_OK) != 0)
        let report = try source.copy(to: .postgreSQL(try to.place()))
        #expect(report.lines.filter { $0.hasPrefix("audit log of ") }.count == 2)

        let copy = "\(directory.directory.path)/backup.db"
        #expect(try source.backUp(to: copy).flaws == [])
        let opening = #expect(throws: StoreError.self) { try SQLiteStore(path: copy) }
        #expect(opening?.detail.contains("several agents (a, b)") == true, "\(opening?.detail ?? "")")
        let restored = try StateInPostgreSQL()
        _ = try StateLocation.file(copy).copy(to: .postgreSQL(try restored.place()))
        let store = try restored.open(as: "b")
        #expect(try await store.read { $0.mark?.settled == 1 && $0.mark?.isOfCopy == true && $0.noticePosition == 1 })
        #expect(try await store.read { $0.otherMarks.mapValues(\.settled) } == ["a": 0])
        await store.close()
    }

    @Test func `a state of one agent with a name goes to a file, where it has none, and back`() async throws {
        let from = try await written(by: ["first"])
        let directory = try StateDirectory()
        let report = try StateLocation.postgreSQL(try from.place()).copy(to: .file(directory.database))
        #expect(report.lines.contains { $0.hasPrefix("audit log of first: ") })
        let store = try directory.open()
        #expect(try await store.read { $0.mark?.head.seq == 7 && $0.noticePosition == 0 && $0.otherMarks.isEmpty })
        await store.close()
        let back = try StateInPostgreSQL()
        _ = try StateLocation.file(directory.database).copy(to: .postgreSQL(try back.place()))
        let again = try back.open(as: "second")
        #expect(try await again.read { $0.mark?.head.seq == 7 && $0.otherMarks.isEmpty })
        await again.close()
    }

    @Test func `a row that the target does not take leaves it as it was`() async throws {
        let from = try StateDirectory()
        let to = try StateInPostgreSQL()
        try await from.written(3)
        // SQLite keeps a text with a NUL, which PostgreSQL does not.
        try from.sql("INSERT INTO passkeys VALUES ('a' || char(0) || 'b', 1)")
        let place = try to.place()
        #expect(refusal { try StateLocation.file(from.database).copy(to: .postgreSQL(place)) }.contains("22021"))
        #expect(access(to.key, F_OK) != 0)
        #expect(try to.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0\n")
    }

    @Test func `a state in PostgreSQL is checked and backed up beside the agent`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await fill(store)
        let location = StateLocation.postgreSQL(try state.place())
        let report = try location.check()
        #expect(report.flaws == [] && report.lines.contains { $0.hasPrefix("plans: 450 approved") })
        let directory = try StateDirectory()
        let copy = "\(directory.directory.path)/backup.db"
        #expect(try location.backUp(to: copy).flaws == [])
        #expect(refusal { try location.backUp(to: copy) }.contains("is there already"))
        for end in ["db", "key"] { #expect(directory.mode("\(directory.directory.path)/backup.\(end)") == 0o600) }
        for end in ["db-wal", "db.lock"] { #expect(directory.mode("\(directory.directory.path)/backup.\(end)") == 0) }
        try await store.put(.sample(5000))
        let plans = try await order(store)
        await store.close()

        let restored = try SQLiteStore(path: copy)
        #expect(try await order(restored) == Array(plans.dropFirst()))
        #expect(try await restored.read { $0.mark?.isOfCopy } == true)
        await restored.close()
    }

    @Test(arguments: [
        ("UPDATE plans SET state = 'denied'", "its state is not that of its document"),
        ("UPDATE plans SET document = '[]'", "expected an object, got an array"),
        ("UPDATE plans SET sealed = NULL", "its secrets are missing"),
        ("UPDATE freezes SET environment = '?!'", "freezes ?! cannot be read"),
    ])
    func `every flaw is told, with table and row`(change: String, words: String) async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await store.put(.sample(1))
        try await store.write { records in
            records.put(
                Freeze(
                    id: .sample(1, .freeze), environment: nil, reason: "r", by: "b", party: "principal:b",
                    setAt: .sample, endsAt: nil))
        }
        await store.close()
        try state.sql(change)
        let flaws = refusal { try StateLocation.postgreSQL(try state.place()).check() }
        #expect(flaws.contains(words) && flaws.hasPrefix("state postgresql://"), "\(flaws)")
    }
}
