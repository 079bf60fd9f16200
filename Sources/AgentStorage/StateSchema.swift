import AgentModel
import AgentService
internal import SQLite

/// The tables of the state, as the migration steps that create them. The number of steps is the file's `user_version`.
package struct StateSchema: Sendable {
    /// Each step is SQL that migrates the version before it to the next. Never edit a released step.
    package var steps: [String]
    /// The versions that programs of the version before can work with, beside those that know them. Such a step adds
    /// tables, indexes, and columns that may be left out; what records hold stays as the older programs know it.
    package var keeping: Set<Int64>

    package static let current = StateSchema(steps: [
        first, summaries, freezesOfSetters, installation, notices, passkeys, checkpoints, refusals, limitUses,
        reviews, agents, targets, history, signIns,
    ])
    /// `PRAGMA application_id`, "PXAG": distinguishes our files from those of other programs.
    static let applicationID: Int64 = 0x5058_4147

    package init(steps: [String], keeping: Set<Int64> = []) { (self.steps, self.keeping) = (steps, keeping) }

    var version: Int64 { Int64(steps.count) }
    /// The oldest version whose programs can work with a state of this one.
    var oldest: Int64 { keeping.contains(version) ? version - 1 : version }

    /// `live` and `changes` are 0 or 1; times are milliseconds since 1970. `document` is the whole record as JSON
    /// without its secrets. The columns before it are for queries.
    private static let first = """
        CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;

        CREATE TABLE plans (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
            environment TEXT NOT NULL, party TEXT NOT NULL, principal TEXT NOT NULL, request_hash TEXT NOT NULL,
            live INTEGER NOT NULL, changes INTEGER NOT NULL, operation TEXT, expires_at INTEGER NOT NULL,
            ended_at INTEGER, document TEXT NOT NULL, sealed BLOB
        ) STRICT;
        CREATE INDEX plans_state ON plans (state);
        CREATE INDEX plans_party ON plans (party);
        CREATE INDEX plans_principal ON plans (principal, live);
        CREATE INDEX plans_request ON plans (request_hash);
        CREATE INDEX plans_due ON plans (expires_at) WHERE live = 1 AND operation IS NULL;

        CREATE TABLE operations (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, plan TEXT NOT NULL,
            environment TEXT NOT NULL, state TEXT NOT NULL, ended_at INTEGER, document TEXT NOT NULL
        ) STRICT;
        CREATE INDEX operations_state ON operations (state);
        CREATE INDEX operations_plan ON operations (plan);

        CREATE TABLE requests (
            principal TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL, payload_hash TEXT NOT NULL,
            record TEXT NOT NULL, environment TEXT NOT NULL, created_at INTEGER NOT NULL, status INTEGER, body BLOB,
            location TEXT, UNIQUE (principal, route, key)
        ) STRICT;
        CREATE INDEX requests_created ON requests (created_at);

        CREATE TABLE freezes (
            environment TEXT NOT NULL PRIMARY KEY, reason TEXT NOT NULL, set_by TEXT NOT NULL,
            set_at INTEGER NOT NULL, ends_at INTEGER
        ) STRICT;

        CREATE TABLE audit_mark (
            one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL,
            settled INTEGER NOT NULL
        ) STRICT;
        """

    /// What lists show of a record, if that is less than its document. Older records have none.
    private static let summaries = """
        ALTER TABLE plans ADD COLUMN summary TEXT;
        ALTER TABLE operations ADD COLUMN summary TEXT;
        """

    /// Freezes are kept for each scope and setter. The setter of an older freeze is unknown, so lifting it takes the
    /// right to lift those of others. A copy made by `store backup` is marked as one.
    private static let freezesOfSetters = """
        ALTER TABLE freezes RENAME TO freezes_before;
        CREATE TABLE freezes (
            environment TEXT NOT NULL, party TEXT NOT NULL, id TEXT NOT NULL, reason TEXT NOT NULL,
            set_by TEXT NOT NULL, set_at INTEGER NOT NULL, ends_at INTEGER, PRIMARY KEY (environment, party)
        ) STRICT;
        INSERT INTO freezes
            SELECT environment, '', 'frz_' || lower(hex(randomblob(10))), reason, set_by, set_at, ends_at
            FROM freezes_before;
        DROP TABLE freezes_before;

        ALTER TABLE audit_mark ADD COLUMN copy INTEGER NOT NULL DEFAULT 0;
        """

    /// The id of the installation, which copies of the state have too.
    private static let installation = """
        INSERT INTO meta VALUES ('installation', lower(hex(randomblob(8))));
        """

    /// Notifications on their way, and the audit record up to which they were made.
    private static let notices = """
        CREATE TABLE notices (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, target TEXT NOT NULL,
            key TEXT NOT NULL, state TEXT NOT NULL, environment TEXT, queued_at INTEGER NOT NULL,
            next_at INTEGER NOT NULL, attempts INTEGER NOT NULL, ended_at INTEGER, error TEXT,
            document TEXT NOT NULL, UNIQUE (target, key)
        ) STRICT;
        CREATE INDEX notices_state ON notices (target, state, number);
        CREATE TABLE notice_position (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL) STRICT;
        """

    /// How many signatures each passkey has made, by its fingerprint.
    private static let passkeys = """
        CREATE TABLE passkeys (key TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL) STRICT;
        """

    /// The tree of the audit log, as the hashes of its largest complete subtrees, and the newest signed checkpoint of
    /// each origin.
    private static let checkpoints = """
        ALTER TABLE audit_mark ADD COLUMN tree BLOB;
        CREATE TABLE checkpoints (
            origin TEXT NOT NULL PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, tree BLOB,
            signed_at INTEGER NOT NULL, note TEXT NOT NULL
        ) STRICT;
        """

    /// How often in a row a destination refused a notice.
    private static let refusals = "ALTER TABLE notices ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;"

    /// What operations took of the policy's limits: `amount` at a time, by the limit `number` of a rule, for one value
    /// of its scope.
    private static let limitUses = """
        CREATE TABLE limit_uses (
            operation TEXT NOT NULL, rule TEXT NOT NULL, number INTEGER NOT NULL, counted TEXT NOT NULL,
            scope TEXT NOT NULL, key TEXT NOT NULL, amount INTEGER NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (operation, rule, number, counted, scope, key)
        ) STRICT;
        CREATE INDEX limit_uses_counter ON limit_uses (rule, number, counted, scope, key, at);
        """

    /// What operations passed in emergencies, and what somebody else said to it. `closed_at` is null while nobody has.
    private static let reviews = """
        CREATE TABLE reviews (
            number INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL UNIQUE, environment TEXT NOT NULL,
            opened_at INTEGER NOT NULL, closed_at INTEGER, document TEXT NOT NULL
        ) STRICT;
        CREATE INDEX reviews_open ON reviews (opened_at) WHERE closed_at IS NULL;
        """

    /// What plans and operations are about. `reached` is what else a plan reaches, each name between line feeds; null if
    /// that is nothing, and in plans of before.
    private static let targets = """
        ALTER TABLE plans ADD COLUMN target TEXT NOT NULL DEFAULT '';
        ALTER TABLE plans ADD COLUMN reached TEXT;
        ALTER TABLE operations ADD COLUMN target TEXT NOT NULL DEFAULT '';
        UPDATE plans SET target = json_extract(document, '$.request.target');
        UPDATE operations SET target = json_extract(document, '$.target');
        CREATE INDEX plans_target ON plans (target);
        CREATE INDEX plans_reached ON plans (number) WHERE reached IS NOT NULL;
        CREATE INDEX operations_target ON operations (target);
        """

    /// What several agents on one state share of sign-ins at the console; in a file the table stays empty. `key` is a
    /// digest of what the browser sends, `sealed` is the whole record.
    private static let signIns = """
        CREATE TABLE sign_ins (
            kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, ends_at INTEGER NOT NULL, sealed BLOB NOT NULL,
            PRIMARY KEY (kind, key)
        ) STRICT;
        CREATE INDEX sign_ins_owner ON sign_ins (kind, owner);
        """

    /// What several agents on one state share: the mark of each one's log and what it has notified of, by its name; the
    /// number of its last commit, and the process that made it; what it says of itself; who may change what is in an
    /// environment. A lone agent has no name, and in a file the last three tables stay empty.
    ///
    /// `epoch` is in a key so that a row that is locked with FOR KEY SHARE keeps it. Times are the database's.
    private static let agents = """
        CREATE TABLE audit_marks (
            agent TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL, settled INTEGER NOT NULL,
            copy INTEGER NOT NULL DEFAULT 0, tree BLOB
        ) STRICT;
        INSERT INTO audit_marks SELECT '', seq, hash, settled, copy, tree FROM audit_mark;
        DROP TABLE audit_mark;

        CREATE TABLE notice_positions (agent TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
        INSERT INTO notice_positions SELECT '', seq FROM notice_position;
        DROP TABLE notice_position;

        CREATE TABLE writers (agent TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, commits INTEGER NOT NULL) STRICT;
        CREATE TABLE agents (
            name TEXT NOT NULL PRIMARY KEY, process TEXT NOT NULL, version TEXT NOT NULL, configuration TEXT NOT NULL,
            started_at INTEGER NOT NULL, seen_at INTEGER NOT NULL, draining INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE leases (
            environment TEXT NOT NULL PRIMARY KEY, holder TEXT, agent TEXT, epoch INTEGER NOT NULL,
            renewals INTEGER NOT NULL, valid_until INTEGER NOT NULL, freezes INTEGER NOT NULL,
            honoured INTEGER NOT NULL, UNIQUE (environment, epoch)
        ) STRICT;
        """

    /// The audit records of all agents on the state, as the lines of their logs, and how far each agent's log is among
    /// them. `at` is a record's time, or that of its copy if that was earlier. A lone agent's history is its log.
    private static let history = """
        CREATE TABLE history (
            number INTEGER NOT NULL PRIMARY KEY, agent TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
            void INTEGER NOT NULL, line TEXT NOT NULL
        ) STRICT;
        CREATE INDEX history_records ON history (seq);
        CREATE TABLE history_positions (agent TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
        """
}

extension StateSchema {
    /// Checks that an open file is sound and ours, and changes nothing. Returns its version, 0 for an empty file.
    func look(at database: Database, _ place: StatePlace, _ key: InstallationKey) throws(StoreError) -> Int64 {
        let flaw: String
        do throws(SQLiteError) {
            let application = try database.value("PRAGMA application_id")?.integer ?? 0
            let found = try database.value("PRAGMA user_version")?.integer ?? 0
            let tables = try database.value("SELECT count(*) FROM sqlite_schema")?.integer ?? 0
            let isEmpty = (application, found, tables) == (0, 0, 0)
            if isEmpty, !place.isTorn { return 0 }
            let flaws = try database.rows("PRAGMA quick_check(1)").compactMap { $0.first?.text }
            if isEmpty {
                flaw = "is no SQLite database; name another file, or move it aside"
            } else if application != Self.applicationID || found < 1 {
                flaw = "is the database of another program; name another file"
            } else if found > version {
                flaw =
                    "was written by a newer version (schema \(found), this program knows \(version)); run that one, "
                    + "or restore a backup from before it"
            } else if flaws != ["ok"] || place.isTorn {
                flaw =
                    "is damaged (\(place.isTorn ? "its end is cut off" : flaws.joined(separator: " "))); restore a backup, or move it aside"
            } else if let lack = try self.flaw(of: database, found) {
                flaw = "is damaged (\(lack)); restore a backup"
            } else if try database.value("SELECT value FROM meta WHERE name = 'key'")?.text != key.fingerprint {
                flaw =
                    "was made under another key than \(place.key) (fingerprint \(key.fingerprint)); restore that "
                    + "file from your backup, or move the state aside"
            } else {
                return found
            }
        } catch {
            throw StoreError(error, in: place.database)
        }
        throw StoreError("state \(place.database): \(flaw)")
    }

    /// Migrates the file from version `found` to this one, in one transaction.
    func migrate(_ database: Database, from found: Int64, _ key: InstallationKey) throws(SQLiteError) {
        guard found < version else { return }
        try database.execute("BEGIN IMMEDIATE")
        do throws(SQLiteError) {
            for step in steps[Int(found)...] { try database.execute(step) }
            if found == 0 {
                try database.execute("PRAGMA application_id = \(Self.applicationID)")
                try database.run("INSERT INTO meta VALUES ('key', ?)", [.text(key.fingerprint)])
            }
            try database.execute("PRAGMA user_version = \(version)")
            try database.execute("COMMIT")
        } catch {
            if database.isInTransaction { try? database.execute("ROLLBACK") }
            throw error
        }
    }
}

extension StoreError {
    /// SQLite's error for the file at `path`, and what to do.
    init(_ error: SQLiteError, in path: String) {
        let cure =
            switch error.cause {
            case .notADatabase: "it is no SQLite database: name another file, or move it aside"
            case .damaged: "restore a backup, or move it aside"
            case .busy: "another program holds it: end that one (fuser \(path) names it)"
            case .full: "free space on its file system"
            case .readOnly, .cannotOpen: "let the agent's user write the file and its directory"
            case .other: "look after its file system"
            }
        self.init("state \(path): \(error); \(cure)")
    }
}
