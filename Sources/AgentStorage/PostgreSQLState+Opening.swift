import AgentService
internal import PostgreSQL
internal import SQLite

/// How an agent opens a state that other agents use: one after the other.
extension PostgreSQLState {
    /// Whether the locks do not yet say what this connection may do.
    var isOpening: Bool { locks.contains(PostgreSQLLock(subject: .opening)) }

    /// Keeps all other agents from the state until ``finishOpening()``. Throws if one uses it.
    func takeAlone() throws(StoreError) {
        let lock = PostgreSQLLock(subject: .state)
        try take(
            lock, refusal: "is of an older version, and other agents use it; stop them all, and start this one first")
        locks.append(lock)
    }

    /// Makes this process the one that writes under its name, and lets other agents open the state. The first one with a
    /// name continues what one without a name has left.
    func finishOpening() throws(StoreError) {
        let shared = PostgreSQLLock(subject: .state, isShared: true)
        try take(shared)
        try takeOver()
        for lock in locks where lock.subject != .agent(agent) {
            try naming { session throws(PostgreSQLError) in try lock.release(on: session) }
        }
        locks = [PostgreSQLLock(subject: .agent(agent)), shared]
        version = try value("SELECT version FROM agent_state")?.integer
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
                ON CONFLICT (agent) DO UPDATE SET id = excluded.id, commits = writers.commits + 1 RETURNING commits
                """, [.text(agent), .text(writerID)])
            try execute("COMMIT")
            writer = Writer(commits: commits?.integer ?? 0)
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
