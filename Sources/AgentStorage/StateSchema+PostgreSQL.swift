import AgentModel
import AgentService
internal import SQLite

/// The same schema in PostgreSQL. What SQLite keeps in the file's head is in a table there: whose database it is, and the
/// number of steps.
extension StateSchema {
    private static let head = """
        CREATE TABLE agent_state (application BIGINT NOT NULL, version BIGINT NOT NULL);
        CREATE UNIQUE INDEX agent_state_one ON agent_state ((0));
        INSERT INTO agent_state VALUES (\(applicationID), 0);
        """

    /// Checks that the database is ours, and changes nothing. Returns its version, 0 for an empty one.
    func version(of state: PostgreSQLState) throws(StoreError) -> Int64 {
        let tables = try state.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
        if tables.isEmpty { return 0 }
        guard tables.contains([.text("agent_state")]),
            let head = try state.rows("SELECT application, version FROM agent_state").first,
            head[0] == .integer(Self.applicationID), let found = head[1].integer, found > 0
        else {
            throw StoreError("state \(state.name): is the database of another program; name another, an empty one")
        }
        guard found <= version else {
            throw StoreError(
                "state \(state.name): was written by a newer version (schema \(found), this program knows \(version)); "
                    + "run that one, or restore a backup from before it")
        }
        return found
    }

    /// Checks that a database that is not empty was made under this key.
    func check(_ key: InstallationKey, of state: PostgreSQLState) throws(StoreError) {
        guard try state.value("SELECT value FROM meta WHERE name = 'key'") == .text(key.fingerprint) else {
            throw StoreError(
                "state \(state.name): was made under another key than \(state.place.key) (fingerprint "
                    + "\(key.fingerprint)); restore that file from your backup, or name another database")
        }
    }

    /// Migrates the database, which nobody else uses, from version `found` to this one, in one transaction.
    func migrate(_ state: PostgreSQLState, from found: Int64, _ key: InstallationKey) throws(StoreError) {
        guard found < version else { return }
        try state.begin()
        do throws(StoreError) {
            try apply(to: state, from: found, key)
            try state.commit()
        } catch {
            if state.isInTransaction { try? state.execute("ROLLBACK") }
            throw error
        }
    }

    /// The same within a transaction that is open.
    func apply(to state: PostgreSQLState, from found: Int64, _ key: InstallationKey) throws(StoreError) {
        if found == 0 { try state.execute(Self.head) }
        for step in steps[Int(found)...] { try state.execute(PostgreSQLDialect.step(step)) }
        // The one writer of before agents had names.
        try state.execute(
            "ALTER TABLE agent_state DROP COLUMN IF EXISTS writer, DROP COLUMN IF EXISTS commits")
        if found == 0 { try state.run("INSERT INTO meta VALUES ('key', ?)", [.text(key.fingerprint)]) }
        try state.run("UPDATE agent_state SET version = ?", [.integer(version)])
    }
}
