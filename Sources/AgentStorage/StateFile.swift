import AgentModel
import AgentService
internal import Glibc
internal import SQLite

/// The open state: locked, checked, migrated to the current schema. Used on the writer's thread.
final class StateFile {
    let place: StatePlace
    let key: InstallationKey
    let database: Database
    /// The id of the installation: 16 hexadecimal digits.
    let installation: String
    private let lock: StateLock

    /// Opens the state at `path`, or creates one if the file does not exist or is empty.
    ///
    /// Throws, with what to do, unless it is a sound state that is private to this user and matches its key. Then
    /// nothing was changed, except that a lock file exists.
    init(path: String, schema: StateSchema) throws(StoreError) {
        place = try StatePlace(path, create: true)
        lock = try StateLock(place)
        for companion in place.companions { _ = try StatePlace.size(companion) }
        let size = try StatePlace.size(place.database)
        var isNew = false
        try place.checkWritable()
        if size ?? 0 == 0 {
            let log = place.companions[0]
            guard try StatePlace.size(log) ?? 0 == 0 else {
                throw StoreError(
                    "state \(place.database): is empty or gone, but its \(log) is there; restore a backup, or move "
                        + "both aside")
            }
            if let key = try InstallationKeyFile.read(place.key) {
                self.key = key
            } else {
                key = try InstallationKeyFile.create(place.key)
                isNew = size == nil
            }
            if size == nil { try StatePlace.create(place.database) }
            try place.syncDirectory()
        } else {
            guard let key = try InstallationKeyFile.read(place.key) else {
                throw InstallationKeyFile.missing(place.key)
            }
            self.key = key
        }
        let database: Database
        do throws(StoreError) { database = try Self.open(place, key, schema) } catch {
            // Nobody has used what was made just now.
            if isNew { for path in [place.database, place.key] + place.companions { unlink(path) } }
            throw error
        }
        self.database = database
        try Self.continueLast(database, place)
        installation = try place.naming { () throws(SQLiteError) in
            try database.value("SELECT value FROM meta WHERE name = 'installation'")?.text ?? ""
        }
    }

    /// Makes the marks of the one agent that it was copied from PostgreSQL with those of a lone one.
    private static func continueLast(_ database: Database, _ place: StatePlace) throws(StoreError) {
        let names = try place.naming { () throws(SQLiteError) in
            guard try database.has("audit_marks") else { return [String]() }
            return try database.rows("SELECT agent FROM audit_marks ORDER BY agent").compactMap { $0[0].text }
        }
        guard let name = names.first, names != [""] else { return }
        guard names.count == 1 else { throw .severalAgents(names, in: place.database) }
        try place.naming { () throws(SQLiteError) in
            try database.execute("BEGIN IMMEDIATE; DELETE FROM notice_positions WHERE agent = ''")
            for table in ["audit_marks", "notice_positions"] {
                try database.run("UPDATE \(table) SET agent = '' WHERE agent = ?", [.text(name)])
            }
            try database.execute("COMMIT")
        }
    }

    private static func open(
        _ place: StatePlace, _ key: InstallationKey, _ schema: StateSchema
    ) throws(StoreError) -> Database {
        let database = try place.open()
        try place.naming { () throws(SQLiteError) in
            // Until the state is known to be ours, do not move what a crash left in the log.
            try database.set(.noCheckpointOnClose, place.hasLog)
        }
        let found = try schema.look(at: database, place, key)
        let mode = try place.naming { () throws(SQLiteError) in try database.value("PRAGMA journal_mode = WAL") }
        guard mode == .text("wal") else {
            throw StoreError(
                "state \(place.database): its file system takes no write-ahead log; name a file on a local disk")
        }
        try place.naming { () throws(SQLiteError) in
            try database.execute("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")
            try database.execute("PRAGMA journal_size_limit = 4194304")
            try schema.migrate(database, from: found, key)
            try database.set(.noCheckpointOnClose, false)
        }
        return database
    }
}

extension Database {
    func has(_ table: String) throws(SQLiteError) -> Bool {
        try value("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", [.text(table)]) != nil
    }
}

extension StatePlace {
    /// Runs `work` on the database; its errors get the file's name and what to do.
    func naming<T>(_ work: () throws(SQLiteError) -> T) throws(StoreError) -> T {
        do throws(SQLiteError) { return try work() } catch { throw StoreError(error, in: database) }
    }

    /// A connection that trusts nothing in the file, keeps temporary data in memory, and waits two seconds for the
    /// locks of other processes.
    func open(isReadOnly: Bool = false) throws(StoreError) -> Database {
        try naming { () throws(SQLiteError) in
            let database = try Database(path: self.database, isReadOnly: isReadOnly)
            try database.wait(atMost: 2000)
            try database.set(.defensive, true)
            try database.execute("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY")
            return database
        }
    }
}
