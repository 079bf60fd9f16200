package import AgentService
internal import Glibc
internal import SQLite
internal import SystemFile
internal import SystemPackage

extension StatePlace {
    /// Copies a snapshot of the state and its key to new files at `destination`, durably, and checks the copy (`VACUUM
    /// INTO`). May run beside the agent. The copy is marked as one.
    ///
    /// Throws, and leaves nothing behind, if a file exists there already or the copy is not sound.
    package func backUp(to destination: String) throws(StoreError) -> StateReport {
        let copy = try StatePlace(destination)
        for path in [copy.database, copy.key] + copy.companions where try Self.exists(path) {
            throw StoreError("backup \(path): is there already; name a new file")
        }
        let (database, key) = try openForInspection()
        let version = try StateSchema.current.look(at: database, self, key)
        guard version > 0,
            let bytes = try InstallationKeyFile.bytes(self.key, for: .inspector)
        else { throw StoreError("state \(self.database): is empty; there is nothing to back up") }
        var made: [String] = []
        do throws(StoreError) {
            try Self.create(copy.key, bytes)
            made = [copy.key]
            try Self.create(copy.database)
            made += [copy.database] + copy.companions
            try naming { () throws(SQLiteError) in try database.run("VACUUM INTO ?", [.text(copy.database)]) }
            // A state of an earlier version has no column for the mark; the log shows it too.
            if version >= 3 {
                try copy.naming { () throws(SQLiteError) in
                    let database = try Database(path: copy.database)
                    let table = try database.has("audit_marks") ? "audit_marks" : "audit_mark"
                    try database.execute("UPDATE \(table) SET copy = 1")
                }
            }
            try copy.sync()
            let report = try copy.check()
            guard report.flaws.isEmpty else {
                throw StoreError("backup \(copy.database): is not sound: \(report.flaws.joined(separator: "; "))")
            }
            return report
        } catch {
            for path in made { unlink(path) }
            throw error
        }
    }

    static func exists(_ path: String) throws(StoreError) -> Bool {
        do throws(Errno) { return try PrivateFile.stat(path) != nil } catch {
            throw .system("cannot look at", path, error, cure: "name a place that can be written")
        }
    }

    /// Syncs the database, which must not be open, and the names in its directory.
    func sync() throws(StoreError) {
        do throws(Errno) { try OpenFile(database, .readOnly, .noFollow).sync() } catch {
            throw .system("cannot sync", database, error, cure: "look after its file system")
        }
        try syncDirectory()
    }
}
