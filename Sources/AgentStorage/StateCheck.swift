import AgentModel
package import AgentService
internal import SQLite
internal import TransparencyLog

/// The result of a check of a state, for people.
package struct StateReport: Sendable {
    /// What the state contains, one line each.
    package var lines: [String] = []
    /// What is wrong, one line each with the place; empty for a sound state.
    package var flaws: [String] = []
}

extension StatePlace {
    /// Checks everything: file, schema, key, structure (`integrity_check`), every row, and that its columns match its
    /// document. Changes nothing. May run beside the agent, and sees a snapshot then.
    package func check() throws(StoreError) -> StateReport {
        let (database, key) = try openForInspection()
        var report = StateReport()
        try naming { () throws(SQLiteError) in try database.execute("BEGIN") }
        let version = try StateSchema.current.look(at: database, self, key)
        guard version > 0 else { throw StoreError("state \(self.database): is empty; the agent fills it at its start") }
        report.lines.append("schema version \(version), key \(key.fingerprint)")
        try naming { () throws(SQLiteError) in
            for row in try database.rows("PRAGMA integrity_check(20)") where row != [.text("ok")] {
                report.flaws.append("state \(self.database): \(row.first?.text ?? "is damaged")")
            }
            for table in ["plans", "operations"] {
                let states = try database.rows("SELECT state, count(*) FROM \(table) GROUP BY state ORDER BY state")
                let counts = states.map { "\($0[1].integer ?? 0) \($0[0].text ?? "?")" }
                report.lines.append("\(table): \(counts.isEmpty ? "none" : counts.joined(separator: ", "))")
            }
            for (table, name) in [("requests", "kept requests"), ("freezes", "freezes")] {
                report.lines.append("\(name): \(try database.value("SELECT count(*) FROM \(table)")?.integer ?? 0)")
            }
        }
        let records = StoreRecords(SQLiteState(database, self), key)
        let isCurrent = version == StateSchema.current.version
        report.flaws += records.flaws(isCurrent: isCurrent)
        guard isCurrent else {
            report.lines.append("of an older version: freezes and mark are looked at when the agent has opened it")
            return report
        }
        let waiting = records.countNotices(NoticeFilter(state: .waiting))
        report.lines.append("notifications: \(records.countNotices(NoticeFilter())), \(waiting) waiting")
        report.lines.append("uses of limits: \(records.countLimitUses())")
        let (reviews, open) = (records.reviews(ReviewFilter()).count, records.openReviews().count)
        report.lines.append("reviews: \(reviews), \(open) open")
        let mark = records.mark
        report.lines.append(mark.map { "audit log: settled to \($0.settled), head \($0.head)" } ?? "audit log: no mark")
        for signed in records.checkpoints() {
            report.lines.append("checkpoint of \(signed.origin): \(signed.head.size) records")
        }
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
                if let plan = plan(known) { compare(plan) }
            }
        }
        for id in texts("SELECT id FROM operations ORDER BY number", &flaws).joined() {
            look {
                guard let known = RecordID(id, .operation) else {
                    return fail("operations", id, "it is no operation's id")
                }
                if let operation = operation(known) { compare(operation) }
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
            look { _ = mark }
            look { _ = checkpoints() }
            look { _ = limitUses() }
            look { _ = reviews(ReviewFilter()) }
        }
        failure = nil
        return flaws
    }

    private func texts(_ sql: String, _ flaws: inout [String]) -> [[String]] {
        var found: [[String]] = []
        failure = nil
        run(sql) { found.append($0.compactMap(\.text)) }
        if let failure { flaws.append(failure.detail) }
        return found
    }
}
