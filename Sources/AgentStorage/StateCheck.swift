import AgentModel
package import AgentService
internal import FoundationEssentials
internal import SQLite
import StrictJSON
internal import TransparencyLog

/// The result of a check of a state, for people.
package struct StateReport: Sendable {
    /// What the state contains, one line each.
    package var lines: [String] = []
    /// What is wrong, one line each with the place; empty for a sound state.
    package var flaws: [String] = []
}

extension StateReport {
    /// Every row, and that its columns match its document.
    init(of state: any StateDatabase, _ version: Int64, _ key: InstallationKey) throws(StoreError) {
        lines.append("schema version \(version), key \(key.fingerprint)")
        for table in ["plans", "operations"] {
            let states = try state.rows("SELECT state, count(*) FROM \(table) GROUP BY state ORDER BY state")
            let counts = states.map { "\($0[1].integer ?? 0) \($0[0].text ?? "?")" }
            lines.append("\(table): \(counts.isEmpty ? "none" : counts.joined(separator: ", "))")
        }
        for (table, name) in [("requests", "kept requests"), ("freezes", "freezes")] {
            lines.append("\(name): \(try state.value("SELECT count(*) FROM \(table)")?.integer ?? 0)")
        }
        let records = StoreRecords(state, key)
        let isCurrent = version >= StateSchema.current.version
        flaws = records.flaws(isCurrent: isCurrent)
        guard isCurrent else {
            lines.append("of an older version: freezes and mark are looked at when the agent has opened it")
            return
        }
        let waiting = records.countNotices(NoticeFilter(state: .waiting))
        lines.append("notifications: \(records.countNotices(NoticeFilter())), \(waiting) waiting")
        lines.append("uses of limits: \(records.countLimitUses())")
        let (reviews, open) = (records.reviews(ReviewFilter()).count, records.openReviews().count)
        lines.append("reviews: \(reviews), \(open) open")
        let marks = records.marks
        if marks.isEmpty { lines.append("audit log: no mark") }
        for (agent, mark) in marks {
            let whose = agent.isEmpty ? "audit log" : "audit log of \(agent)"
            lines.append("\(whose): settled to \(mark.settled), head \(mark.head)")
        }
        for signed in records.checkpoints() {
            lines.append("checkpoint of \(signed.origin): \(signed.head.size) records")
        }
        if version > StateSchema.current.version {
            lines.append("of a newer version: what only that one knows is not looked at")
        }
    }
}

extension PostgreSQLPlace {
    /// Checks schema, key, every row, and that its columns match its document. Changes nothing. May run beside the
    /// agent, and sees a snapshot then.
    package func check() throws(StoreError) -> StateReport {
        let (state, version, key) = try openForInspection()
        return try StateReport(of: state, version, key)
    }

    /// A connection that reads a snapshot, the schema's version and the key.
    func openForInspection() throws(StoreError) -> (PostgreSQLState, Int64, InstallationKey) {
        // Rows are examined as they arrive, and the server waits for that.
        var place = self
        place.statementTimeout = .zero
        let state = try PostgreSQLState(place, try load(), as: .reader)
        try state.begin()
        let version = try StateSchema.current.version(of: state)
        guard version > 0 else { throw StoreError("state \(name): is empty; the agent fills it at its start") }
        try StateSchema.current.checkLayout(of: state, version)
        guard let key = try InstallationKeyFile.bytes(self.key, for: .inspector).flatMap({ InstallationKey($0) }) else {
            throw InstallationKeyFile.missing(self.key)
        }
        try StateSchema.current.check(key, of: state)
        return (state, version, key)
    }
}

extension StatePlace {
    /// Checks everything: file, schema, key, structure (`integrity_check`), every row, and that its columns match its
    /// document. Changes nothing. May run beside the agent, and sees a snapshot then.
    package func check() throws(StoreError) -> StateReport {
        let (database, key) = try openForInspection()
        let state = SQLiteState(database, self)
        try state.begin()
        let version = try StateSchema.current.look(at: database, self, key)
        guard version > 0 else { throw StoreError("state \(self.database): is empty; the agent fills it at its start") }
        var damages: [String] = []
        for row in try state.rows("PRAGMA integrity_check(20)") where row != [.text("ok")] {
            damages.append("state \(self.database): \(row.first?.text ?? "is damaged")")
        }
        var report = try StateReport(of: state, version, key)
        report.flaws = damages + report.flaws
        return report
    }

    /// A read-only connection to an existing state with its key.
    func openForInspection() throws(StoreError) -> (Database, InstallationKey) {
        guard let size = try Self.size(database, for: .inspector) else {
            throw StoreError("state \(database): is not there; the agent makes it at its start")
        }
        guard size > 0 else { throw StoreError("state \(database): is empty; the agent fills it at its start") }
        for companion in companions { _ = try Self.size(companion, for: .inspector) }
        guard let key = try InstallationKeyFile.bytes(self.key, for: .inspector).flatMap({ InstallationKey($0) }) else {
            throw InstallationKeyFile.missing(self.key)
        }
        return (try open(isReadOnly: true), key)
    }
}

extension StoreRecords {
    /// What is wrong with the rows of all tables, each row on its own.
    fileprivate func flaws(isCurrent: Bool) -> [String] {
        var flaws: [String] = []
        func look(_ work: () -> Void) {
            failure = nil
            work()
            if let failure { flaws.append(failure.detail) }
        }
        for id in texts("SELECT id FROM plans ORDER BY number", &flaws).joined() {
            look {
                guard let known = RecordID(id, .plan) else { return fail("plans", id, "it is no plan's id") }
                if let plan = plan(known) { compare(plan, isCurrent: isCurrent) }
            }
        }
        for id in texts("SELECT id FROM operations ORDER BY number", &flaws).joined() {
            look {
                guard let known = RecordID(id, .operation) else {
                    return fail("operations", id, "it is no operation's id")
                }
                if let operation = operation(known) { compare(operation, isCurrent: isCurrent) }
            }
        }
        for names in texts("SELECT principal, route, key FROM requests", &flaws) where names.count == 3 {
            look { _ = request(IdempotencyKey(principal: names[0], route: names[1], key: names[2])) }
        }
        if isCurrent {
            look { _ = summaries(PlanFilter(), bytes: .max) }
            look { _ = summaries(OperationFilter(), bytes: .max) }
            look { _ = freezes() }
            look { _ = notices(NoticeFilter()) }
            look { _ = marks }
            look { _ = checkpoints() }
            look { _ = limitUses() }
            look { _ = reviews(ReviewFilter()) }
            look { _ = positions("notice_positions") }
            look { _ = positions("history_positions") }
            look { lookAtPasskeys() }
            look { lookAtHistory() }
            look { lookAtSignIns() }
            look { lookAtAgents() }
            look { lookAtLeases() }
            look { lookAtWriters() }
        }
        failure = nil
        return flaws
    }

    /// Fails with the first row of which this is not so.
    private func all(_ table: String, _ columns: String, _ isGood: ([Value]) -> Bool) {
        _ = records(table, "SELECT \(columns) FROM \(table)") { row throws(RowDecodingError) in
            guard isGood(row) else { throw .otherForm }
        }
    }

    private func lookAtPasskeys() {
        all("passkeys", "key, count") { row in row[1].integer.flatMap { UInt32(exactly: $0) } != nil }
    }

    private func lookAtHistory() {
        all("history", "number, seq, at, void") { row in
            guard let number = row[0].count, let seq = row[1].count else { return false }
            return number > 0 && seq > 0 && Date(row[2]) != nil && row[3].isFlag
        }
        _ = records("history", "SELECT number, line FROM history") { row throws(RowDecodingError) in
            let line = try? JSON.parse((row[1].text ?? "").utf8, maximumDepth: 2 * JSON.maximumDepth)
            guard line?.object != nil else { throw RowDecodingError(detail: "its line is no JSON object") }
        }
    }

    private func lookAtSignIns() {
        all("sign_ins", "kind, key, owner, sealed, ends_at") { signIn(in: $0) != nil && Date($0[4]) != nil }
    }

    private func lookAtAgents() {
        all("agents", "name, started_at, seen_at, draining") { row in
            Date(row[1]) != nil && Date(row[2]) != nil && row[3].isFlag
        }
    }

    private func lookAtLeases() {
        all("leases", "environment, holder, agent, epoch, renewals, freezes, honoured, valid_until") { row in
            row[0].text.flatMap(EnvironmentName.init) != nil && (row[1] == .null) == (row[2] == .null)
                && row[3...6].allSatisfy { $0.count != nil } && Date(row[7]) != nil
        }
    }

    private func lookAtWriters() {
        all("writers", "agent, commits") { $0[1].count.map { $0 > 0 } == true }
    }

    private func texts(_ sql: String, _ flaws: inout [String]) -> [[String]] {
        var found: [[String]] = []
        failure = nil
        run(sql) { found.append($0.compactMap(\.text)) }
        if let failure { flaws.append(failure.detail) }
        return found
    }
}
