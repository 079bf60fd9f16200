import AgentService
internal import PostgreSQL
internal import SQLite

/// How an agent opens a state that other agents use: one after the other.
extension PostgreSQLState {
    /// Whether the locks do not yet say what this connection may do.
    var isOpening: Bool { locks.contains(PostgreSQLLock(subject: .opening)) }

    /// Keeps all other agents from the state until ``finishOpening(knowing:)``. Throws if one uses it.
    func takeAlone() throws(StoreError) {
        let lock = PostgreSQLLock(subject: .state)
        try take(
            lock, refusal: "is of an older version, and other agents use it; stop them all, and start this one first")
        locks.append(lock)
    }

    /// Keeps agents whose programs know this version of the schema, and none after it, from the state until
    /// ``finishOpening(knowing:)``. Throws if one uses it.
    func keepOut(_ version: Int64) throws(StoreError) {
        let lock = PostgreSQLLock(subject: .version(version))
        try take(lock)
        locks.append(lock)
    }

    /// Runs `work` in a transaction that no other agent's writes run into.
    func migrating<T>(_ work: () throws(StoreError) -> T) throws(StoreError) -> T {
        try begin()
        do throws(StoreError) {
            let result = try work()
            // A lock that was not to be had has made the transaction void.
            try isFailed ? execute("ROLLBACK") : commit()
            return result
        } catch {
            if isInTransaction { try? execute("ROLLBACK") }
            throw error
        }
    }

    /// Takes these tables for itself until the transaction ends. False, and the transaction is void, if they are not to be
    /// had at once, or nearly so.
    func takeAtOnce(_ tables: [String]) throws(StoreError) -> Bool {
        guard let session else { return false }
        do throws(PostgreSQLError) {
            try session.execute(
                // For all tables together.
                "SET LOCAL statement_timeout = \(PostgreSQLLock.tablePatience.milliseconds); "
                    + "LOCK TABLE \(tables.joined(separator: ", ")) IN ACCESS EXCLUSIVE MODE; "
                    + "SET LOCAL statement_timeout = \(place.statementTimeout.milliseconds)")
            return true
        } catch {
            guard [.busy, .tooSlow].contains(error.cause) else { throw StoreError(error, at: name) }
            return false
        }
    }

    /// Makes this process, which knows that version of the schema, the one that writes under its name, and lets other
    /// agents open the state. The first one with a name continues what one without a name has left.
    func finishOpening(knowing version: Int64) throws(StoreError) {
        self.version = version
        let shared = [
            PostgreSQLLock(subject: .state, isShared: true),
            PostgreSQLLock(subject: .version(version), isShared: true),
        ]
        for lock in shared { try take(lock) }
        try takeOver()
        for lock in locks where lock.subject != .agent(agent) {
            try naming { session throws(PostgreSQLError) in try lock.release(on: session) }
        }
        locks = [PostgreSQLLock(subject: .agent(agent))] + shared
    }

    private func takeOver() throws(StoreError) {
        // Of an older version, which has no such table: nobody counts.
        guard try has("writers") else { return }
        try begin()
        do throws(StoreError) {
            if !agent.isEmpty { try continueLone() }
            let commits = try value(
                """
                INSERT INTO writers (agent, id, commits) VALUES (?, ?, 1)
                ON CONFLICT (agent) DO UPDATE SET id = excluded.id, commits = CASE
                    WHEN writers.commits BETWEEN 1 AND \(Int64.max / 2) THEN writers.commits + 1 ELSE 0 END
                RETURNING commits
                """, [.text(agent), .text(writerID)])?.integer
            guard let commits, commits > 0 else {
                throw StoreError.unreadable("writers", agent, RowDecodingError.otherForm.detail, in: name)
            }
            try execute("COMMIT")
            writer = Writer(commits: commits)
        } catch {
            if isInTransaction { try? execute("ROLLBACK") }
            throw error
        }
    }

    private func has(_ table: String) throws(StoreError) -> Bool {
        try value("SELECT to_regclass(?) IS NOT NULL", [.text(table)]) == .integer(1)
    }

    private func continueLone() throws(StoreError) {
        let lone = PostgreSQLLock(subject: .agent(""))
        guard try naming({ session throws(PostgreSQLError) in try lone.isFree(on: session) }) else { return }
        for table in ["audit_marks", "notice_positions"] {
            try run(
                "UPDATE \(table) SET agent = ? WHERE agent = '' AND NOT EXISTS (SELECT 1 FROM \(table) WHERE agent = ?)",
                [.text(agent), .text(agent)])
        }
        try run("DELETE FROM writers WHERE agent = ''")
    }
}
