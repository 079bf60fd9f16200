import AgentModel
import AgentService
internal import SQLite

/// The same schema in PostgreSQL. What SQLite keeps in the file's head is in a table there: whose database it is, and the
/// number of steps.
extension StateSchema {
    private static let head = """
        CREATE TABLE agent_state (application BIGINT NOT NULL, version BIGINT NOT NULL);
        CREATE UNIQUE INDEX agent_state_one ON agent_state ((0));
        INSERT INTO agent_state (application, version) VALUES (\(applicationID), 0);
        """

    /// Checks that the database is ours and one that this program can work with, and changes nothing. Returns its
    /// version, 0 for an empty one; it may be newer than this one.
    func version(of state: PostgreSQLState) throws(StoreError) -> Int64 {
        if try state.value("SELECT NOT EXISTS (\(Self.things))") == .integer(1) { return 0 }
        guard try Self.tables(of: state).contains("agent_state"),
            let (found, oldest) = try Self.versions(of: state), found > 0
        else {
            throw StoreError("state \(state.name): is the database of another program; name another, an empty one")
        }
        guard found <= version || oldest <= version else {
            throw StoreError(
                "state \(state.name): was written by a newer version (schema \(found), this program knows \(version)); "
                    + "run that one, or restore a backup from before it")
        }
        return found
    }

    /// Tables, views, sequences and types in the schema, but not those of extensions.
    private static let things = """
        SELECT FROM (
            SELECT 'pg_class'::regclass AS catalog, oid, relnamespace AS schema FROM pg_class
                WHERE relkind NOT IN ('c', 'i', 'I')
            UNION ALL
            SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
                WHERE typcategory <> 'A' AND typtype <> 'm'
                AND (typrelid = 0 OR typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))) AS things
        WHERE schema = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
            AND NOT EXISTS (
                SELECT FROM pg_depend WHERE classid = catalog AND objid = things.oid AND deptype = 'e')
        """

    /// Checks that a database that is not empty was made under this key.
    func check(_ key: InstallationKey, of state: PostgreSQLState) throws(StoreError) {
        guard try state.value("SELECT value FROM meta WHERE name = 'key'") == .text(key.fingerprint) else {
            throw StoreError(
                "state \(state.name): was made under another key than \(state.place.key) (fingerprint "
                    + "\(key.fingerprint)); restore that file from your backup, or name another database")
        }
    }

    private static func tables(of state: PostgreSQLState) throws(StoreError) -> Set<String> {
        let rows = try state.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
        return Set(rows.compactMap { $0[0].text })
    }

    /// The database's version, and the oldest one whose programs can work with it; `nil` for that of another program.
    /// States from before the second was noted have no such column.
    static func versions(of state: PostgreSQLState) throws(StoreError) -> (present: Int64, oldest: Int64)? {
        let row = try state.rows(
            """
            SELECT found ->> 'application', found ->> 'version', coalesce(found ->> 'oldest', found ->> 'version')
            FROM (SELECT to_jsonb(agent_state.*) AS found FROM agent_state) AS rows
            """
        ).first
        guard let row, row[0] == .text("\(applicationID)"), let present = row[1].text.flatMap(Int64.init),
            let oldest = row[2].text.flatMap(Int64.init)
        else { return nil }
        return (present, oldest)
    }

    /// Migrates the database from version `found` to this one, in one transaction: beside agents of the version before
    /// if the only step that is missing allows that, else alone. Throws if others are in the way; nothing was changed
    /// then.
    func migrate(_ state: PostgreSQLState, from found: Int64, _ key: InstallationKey) throws(StoreError) {
        guard found < version else { return }
        guard found > 0, found == oldest else {
            try state.takeAlone()
            return try state.migrating { () throws(StoreError) in try apply(to: state, from: found, key) }
        }
        if let oldest = try Self.versions(of: state)?.oldest, oldest < found { try state.keepOut(found - 1) }
        let words = Set(steps[Int(found)].split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
        let tables = try Self.tables(of: state).filter { words.contains($0) || $0 == "agent_state" }.sorted()
        let deadline = ContinuousClock.now + state.place.migrationTimeout
        while true {
            let isDone = try state.migrating { () throws(StoreError) in
                guard try state.takeAtOnce(tables) else { return false }
                try apply(to: state, from: found, key)
                return true
            }
            if isDone { return }
            guard ContinuousClock.now < deadline else {
                throw StoreError(
                    "state \(state.name): its schema cannot be changed while something reads \(tables.joined(separator: ", ")) "
                        + "for so long; look for it in pg_stat_activity", isTemporary: true)
            }
            // Those that waited behind it come first.
            try state.execute("SELECT pg_sleep(0.5)")
        }
    }

    /// The same within a transaction that is open.
    func apply(to state: PostgreSQLState, from found: Int64, _ key: InstallationKey) throws(StoreError) {
        if found == 0 { try state.execute(Self.head) }
        for step in steps[Int(found)...] { try state.execute(PostgreSQLDialect.step(step)) }
        // The one writer of before agents had names.
        try state.execute(
            "ALTER TABLE agent_state DROP COLUMN IF EXISTS writer, DROP COLUMN IF EXISTS commits, "
                + "ADD COLUMN IF NOT EXISTS oldest BIGINT")
        if found == 0 { try state.run("INSERT INTO meta VALUES ('key', ?)", [.text(key.fingerprint)]) }
        try state.run("UPDATE agent_state SET version = ?, oldest = ?", [.integer(version), .integer(oldest)])
    }
}
