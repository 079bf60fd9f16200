import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Glibc
import SQLite
import Testing

@Suite(.timeLimit(.minutes(1)))
struct StateCheckTests {
    private func detail(_ work: () throws(StoreError) -> StateReport) -> String {
        do throws(StoreError) { return try work().flaws.joined(separator: "\n") } catch { return error.detail }
    }

    /// A closed state with something of everything in it.
    private func filled() async throws -> StateDirectory {
        let place = try StateDirectory()
        let store = try place.open()
        let plan = try Plan.sample(1)
        let operation = Operation(id: .sample(1, .operation), plan: plan, approvals: [], createdAt: .sample)
        try await store.write { records in
            records.put(plan)
            records.put(operation)
            records.put(
                Freeze(
                    id: .sample(1, .freeze), environment: nil, reason: "r", by: "b", party: "principal:b",
                    setAt: .sample, endsAt: nil))
            records.put(AuditMark(head: .empty, settled: 3))
            let key = IdempotencyKey(principal: "p", route: "plan", key: "k")
            records.put(
                IdempotentRequest(key: key, payloadHash: "h", record: plan.id, environment: .sample, createdAt: .sample)
            )
            _ = records.add(
                QueuedNotice(
                    id: .sample(1, .notification), target: "t", key: "1:plan",
                    notice: Notice(.operationEnded, at: .sample, title: "t", facts: []), queuedAt: .sample))
        }
        await store.close()
        return place
    }

    @Test func `a sound state is counted, also beside the agent`() async throws {
        let place = try await filled()
        let files = try place.files()
        let expected = [
            "plans: 1 approved", "operations: 1 queued", "kept requests: 1", "freezes: 1",
            "notifications: 1, 1 waiting", "uses of limits: 0", "reviews: 0, 0 open",
            "audit log: settled to 3, head \(AuditMark(head: .empty, settled: 3).head)",
        ]
        let report = try StatePlace(place.database).check()
        #expect(report.flaws == [])
        #expect(Array(report.lines.dropFirst()) == expected)
        #expect(report.lines.first?.hasPrefix("schema version \(StateSchema.current.steps.count), key ") == true)
        #expect(try place.files()["db"] == files["db"], "it changes nothing")
        let store = try place.open()
        try await store.put(.sample(2))
        #expect(try StatePlace(place.database).check().lines[1] == "plans: 2 approved")
        try await store.put(.sample(3))
        await store.close()
    }

    @Test(arguments: [
        ("UPDATE plans SET state = 'denied'", "its state is not that of its document"),
        ("UPDATE plans SET target = 'vm/1'", "its target is not that of its document"),
        ("UPDATE plans SET live = 0, expires_at = 1", "its live, expires_at is not that of its document"),
        ("UPDATE plans SET document = replace(document, 'approved', 'unheard_of')", "standing.state"),
        ("UPDATE plans SET document = substr(document, 2)", "its document is broken at byte"),
        ("UPDATE plans SET document = replace(document, '\"vm/101\"', '\"vm/0\"')", "request.target"),
        ("UPDATE plans SET document = replace(document, '\"dry_run\"', '\"wet_run\"')", "request.dry_run: is missing"),
        ("UPDATE plans SET document = '{\"z\":1,' || substr(document, 2)", "members that this version does not know"),
        ("UPDATE plans SET document = '[]'", "expected an object, got an array"),
        ("UPDATE plans SET id = 'pln_x'", "plans pln_x cannot be read: it is no plan's id"),
        ("UPDATE plans SET id = 'pln_00000000000000000000'", "holds another plan"),
        ("UPDATE plans SET sealed = NULL", "its secrets are missing"),
        ("UPDATE plans SET sealed = zeroblob(64)", "its secrets were changed, or sealed under another key"),
        ("UPDATE plans SET sealed = x''", "its secrets were changed, or sealed under another key"),
        ("UPDATE operations SET document = replace(document, 'queued', 'quiet')", "operations"),
        ("UPDATE operations SET plan = 'pln_00000000000000000000'", "its plan is not that of its document"),
        ("UPDATE requests SET record = 'x'", "requests k cannot be read"),
        ("UPDATE requests SET status = 99999, body = x''", "requests k cannot be read"),
        ("UPDATE requests SET status = -5, body = x''", "requests k cannot be read"),
        ("UPDATE requests SET status = 0, body = x''", "requests k cannot be read"),
        ("UPDATE requests SET status = 199, body = x''", "requests k cannot be read"),
        ("UPDATE requests SET status = 600, body = x''", "requests k cannot be read"),
        ("UPDATE requests SET status = 200", "requests k cannot be read"),
        ("UPDATE requests SET status = 599, body = x''", ""),
        ("UPDATE requests SET created_at = 9223372036854775807", "requests k cannot be read"),
        ("UPDATE freezes SET environment = '?!'", "freezes ?! cannot be read"),
        ("UPDATE freezes SET set_at = 9223372036854775807", "freezes  cannot be read"),
        ("UPDATE freezes SET ends_at = 9223372036854775807", "freezes  cannot be read"),
        ("UPDATE audit_marks SET seq = -1", "audit_marks"), ("UPDATE audit_marks SET settled = -1", "audit_marks"),
        ("UPDATE audit_marks SET seq = 9223372036854775807", "audit_marks"),
        ("UPDATE audit_marks SET copy = 7", "audit_marks"),
        ("UPDATE notices SET attempts = 9223372036854775807", "notices ntf_"),
        ("UPDATE notices SET refusals = -1", "notices ntf_"),
        ("UPDATE notices SET ended_at = 9223372036854775807", "notices ntf_"),
        ("INSERT INTO passkeys VALUES ('k', -1)", "passkeys k cannot be read"),
        ("INSERT INTO notice_positions VALUES ('a', -1)", "notice_positions a cannot be read"),
        ("INSERT INTO history_positions VALUES ('a', -1)", "history_positions a cannot be read"),
        ("INSERT INTO writers VALUES ('a', 'x', 9223372036854775807)", "writers a cannot be read"),
        ("INSERT INTO history VALUES (0, 'a', 1, 0, 0, '{}')", "history 0 cannot be read"),
        ("INSERT INTO history VALUES (9223372036854775807, 'a', 1, 0, 0, '{}')", "history 9223372036854775807 cannot"),
        ("INSERT INTO history VALUES (7, 'a', 1, 0, 0, '[]')", "history 7 cannot be read: its line is no JSON object"),
        ("INSERT INTO history VALUES (7, 'a', 1, 0, 0, 'x')", "history 7 cannot be read: its line is no JSON object"),
        ("INSERT INTO history VALUES (7, 'a', 0, 0, 0, '{}')", "history 7 cannot be read"),
        ("INSERT INTO history VALUES (7, 'a', 1, 0, 2, '{}')", "history 7 cannot be read"),
        ("INSERT INTO history VALUES (7, 'a', 1, 0, 1, '{}')", ""),
        ("INSERT INTO sign_ins VALUES ('session', 'k', 'o', 1, x'00')", "sign_ins session cannot be read"),
        ("INSERT INTO agents VALUES ('a', 'p', 'v', 'c', 1, 9223372036854775807, 0)", "agents a cannot be read"),
        ("INSERT INTO agents VALUES ('a', 'p', 'v', 'c', 1, 1, 2)", "agents a cannot be read"),
        ("INSERT INTO agents VALUES ('a', 'p', 'v', 'c', 1, 1, 1)", ""),
        ("INSERT INTO leases VALUES ('?!', NULL, NULL, 0, 0, 0, 0, 0)", "leases ?! cannot be read"),
        ("INSERT INTO leases VALUES ('a', NULL, NULL, -1, 0, 0, 0, 0)", "leases a cannot be read"),
        ("INSERT INTO leases VALUES ('a', 'h', NULL, 0, 0, 0, 0, 0)", "leases a cannot be read"),
        ("INSERT INTO leases VALUES ('a', 'h', 'x', 0, 0, 0, 0, 0)", ""),
        ("DROP INDEX plans_state; CREATE INDEX plans_state ON plans (state) WHERE state = 'x'", ""),
    ])
    func `every flaw is told, with table and row`(change: String, words: String) async throws {
        let place = try await filled()
        try place.sql(change)
        let detail = detail { () throws(StoreError) in try StatePlace(place.database).check() }
        #expect(detail.contains(words) && (words.isEmpty || detail.hasPrefix("state \(place.database): ")), "\(detail)")
        #expect(!detail.contains("hidden"), "no secret is told")
    }

    /// What a state of the present version may not lack, and what must not be in the way of its rows.
    static let layouts = [
        ("DROP TABLE writers", "the table writers is missing"), ("DROP TABLE meta", "the table meta is missing"),
        ("DROP TABLE leases; DROP TABLE history", "the table history is missing, the table leases is missing"),
        ("DROP TABLE passkeys", "the table passkeys is missing"),
        (
            "DROP TABLE passkeys; CREATE VIEW passkeys AS SELECT agent AS key, seq AS count FROM audit_marks",
            "the table passkeys is missing"
        ),
        ("ALTER TABLE plans DROP COLUMN summary", "the column summary of plans is missing"),
        (
            "DROP TABLE passkeys; CREATE TABLE passkeys (key TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL, x TEXT NOT NULL)",
            "the column x of passkeys is unknown and must be given"
        ),
        ("ALTER TABLE plans ADD COLUMN x TEXT NOT NULL DEFAULT ''", ""), ("CREATE TABLE more (x TEXT NOT NULL)", ""),
        ("ALTER TABLE plans ADD COLUMN x TEXT", ""),
    ]

    @Test(arguments: layouts)
    func `tables and columns are those of the schema's steps`(change: String, words: String) async throws {
        let place = try await filled()
        try Database(path: place.database).execute(change)
        let detail = detail { () throws(StoreError) in try StatePlace(place.database).check() }
        let refusal = await place.refusal()
        for text in [detail, refusal] {
            #expect(words.isEmpty ? text.isEmpty : text.contains("is damaged (\(words)); restore a backup"), "\(text)")
        }
    }

    @Test func `what is not there, and what has no key`() async throws {
        let place = try await filled()
        #expect(
            detail { () throws(StoreError) in try StatePlace("\(place.database).no").check() }.contains("is not there"))
        #expect(unlink(place.key) == 0)
        #expect(
            detail { () throws(StoreError) in try StatePlace(place.database).check() }.contains("the key is missing"))
        #expect(truncate(place.database, 0) == 0)
        #expect(detail { () throws(StoreError) in try StatePlace(place.database).check() }.contains("is empty"))
    }

    // MARK: Backup

    @Test(arguments: [1, 2, 3])
    func `a state that no newer program has opened yet is backed up`(version: Int) async throws {
        let place = try StateDirectory()
        let steps = StateSchema.current.steps.prefix(version)
        await (try place.open(StateSchema(steps: Array(steps)))).close()
        let report = try StatePlace(place.database).backUp(to: "\(place.directory.path)/copy.db")
        #expect(report.flaws == [])
    }

    @Test func `a backup of a running state opens and holds what was there`() async throws {
        let place = try await filled()
        let store = try place.open()
        for number in 2..<30 { try await store.put(.sample(number, padding: 5000)) }
        let copy = "\(place.directory.path)/copy.2026.db"
        let report = try StatePlace(place.database).backUp(to: copy)
        #expect(report.flaws == [] && report.lines.contains("plans: 29 approved"))
        try await store.put(.sample(99))
        await store.close()
        for end in ["db", "key"] { #expect(place.mode("\(place.directory.path)/copy.2026.\(end)") == 0o600) }
        for end in ["db-wal", "db-journal"] { #expect(place.mode("\(place.directory.path)/copy.2026.\(end)") == 0) }
        let restored = try SQLiteStore(path: copy)
        #expect(restored.key.fingerprint == store.key.fingerprint)
        #expect(try await restored.ids.count == 29)
        #expect(try await restored.read { $0.plan(.sample(1))?.request.secrets.count } == 1)
        await restored.close()
    }

    @Test func `a backup overwrites nothing and leaves nothing half done`() async throws {
        let place = try await filled()
        let copy = "\(place.directory.path)/copy.db"
        func backUp() -> String { detail { () throws(StoreError) in try StatePlace(place.database).backUp(to: copy) } }
        for end in ["db", "key", "db-wal"] {
            let path = "\(place.directory.path)/copy.\(end)"
            close(open(path, O_WRONLY | O_CREAT, 0o600))
            #expect(backUp() == "backup \(path): is there already; name a new file")
            #expect(try place.read(path).isEmpty)
            #expect(unlink(path) == 0)
        }
        #expect(
            detail { () throws(StoreError) in try StatePlace(place.database).backUp(to: place.database) }.contains(
                "already"))
        try place.sql("UPDATE plans SET document = '{}'")
        #expect(backUp().contains("is not sound: "))
        #expect(access(copy, F_OK) != 0 && access("\(place.directory.path)/copy.key", F_OK) != 0)
    }
}
