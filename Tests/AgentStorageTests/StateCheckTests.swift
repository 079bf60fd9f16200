import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Glibc
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
        }
        await store.close()
        return place
    }

    @Test func `a sound state is counted, also beside the agent`() async throws {
        let place = try await filled()
        let files = try place.files()
        let expected = [
            "plans: 1 approved", "operations: 1 queued", "kept requests: 1", "freezes: 1",
            "notifications: 0, 0 waiting", "uses of limits: 0", "reviews: 0, 0 open",
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
        ("UPDATE freezes SET environment = '?!'", "freezes ?! cannot be read"),
        ("DROP INDEX plans_state; CREATE INDEX plans_state ON plans (state) WHERE state = 'x'", ""),
    ])
    func `every flaw is told, with table and row`(change: String, words: String) async throws {
        let place = try await filled()
        try place.sql(change)
        let detail = detail { () throws(StoreError) in try StatePlace(place.database).check() }
        #expect(detail.contains(words) && (words.isEmpty || detail.hasPrefix("state \(place.database): ")), "\(detail)")
        #expect(!detail.contains("hidden"), "no secret is told")
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
