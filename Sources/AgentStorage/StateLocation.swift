import AgentModel
package import AgentService
internal import Glibc
internal import SQLite

/// Where a state is: in a file, or in a PostgreSQL database.
package enum StateLocation: Sendable {
    case file(String)
    case postgreSQL(PostgreSQLPlace)

    /// What errors and messages call it.
    package var name: String {
        switch self {
        case .file(let path): path
        case .postgreSQL(let place): place.name
        }
    }

    /// The same for the agent of that name, of several on one state.
    package func used(by agent: String) -> StateLocation {
        guard case .postgreSQL(let place) = self else { return self }
        var named = place
        named.agent = agent
        return .postgreSQL(named)
    }

    /// Opens it for an agent, which has it alone: ``SQLiteStore`` or ``PostgreSQLStore``.
    package func open(
        committed: @escaping @Sendable (Duration) -> Void = { _ in }
    ) throws(StoreError) -> any StateStore {
        switch self {
        case .file(let path): try SQLiteStore(path: path, committed: committed)
        case .postgreSQL(let place): try PostgreSQLStore(place, committed: committed)
        }
    }

    /// Checks it, and changes nothing. May run beside the agent.
    package func check() throws(StoreError) -> StateReport {
        switch self {
        case .file(let path): try StatePlace(path).check()
        case .postgreSQL(let place): try place.check()
        }
    }

    /// Reads what signs checkpoints. May run beside the agent.
    package func signing() throws(StoreError) -> InspectedSigning {
        switch self {
        case .file(let path): try StatePlace(path).signing()
        case .postgreSQL(let place): try place.signing()
        }
    }

    /// Copies a snapshot to a new file at `destination` and the key beside it, checks the copy, and marks it as one.
    /// May run beside the agent. Throws, and leaves nothing behind, if there is a file already.
    package func backUp(to destination: String) throws(StoreError) -> StateReport {
        switch self {
        case .file(let path): return try StatePlace(path).backUp(to: destination)
        case .postgreSQL(let place):
            let (state, version, key) = try place.openForInspection()
            let source = StateSource(state: state, version: version, key: key, keyPath: place.key)
            return try source.copy(to: StatePlace(destination), isBackup: true)
        }
    }

    /// Copies the state, which no agent may be using, to `target`, which must be empty, and compares every row. Throws,
    /// and leaves `target` as it was, if anything is not the same.
    package func copy(to target: StateLocation) throws(StoreError) -> StateReport {
        let source: StateSource
        switch self {
        case .file(let path):
            let place = try StatePlace(path)
            let (database, key) = try place.openForInspection()
            let lock = StateLock.Held(try StateLock(place))
            let state = SQLiteState(database, place)
            try state.begin()
            let version = try StateSchema.current.look(at: database, place, key)
            source = StateSource(state: state, version: version, key: key, keyPath: place.key, owner: lock)
        case .postgreSQL(let place):
            let state = try PostgreSQLState(place, try place.load(), as: .alone)
            let (reader, version, key) = try place.openForInspection()
            source = StateSource(state: reader, version: version, key: key, keyPath: place.key, owner: state)
        }
        switch target {
        case .file(let path): return try source.copy(to: StatePlace(path, create: true), isBackup: false)
        case .postgreSQL(let place): return try source.copy(to: place)
        }
    }
}

extension StoreError {
    /// A lone agent would not know which of the logs it continues.
    static func severalAgents(_ names: [String], in state: String) -> StoreError {
        StoreError(
            "state \(state): belongs to several agents (\(names.joined(separator: ", "))), and one in a file to a single "
                + "one; copy it to PostgreSQL, or let the agents forget all but one there")
    }
}

/// A state that is being copied, at one moment.
private struct StateSource {
    let state: any StateDatabase
    let version: Int64
    let key: InstallationKey
    let keyPath: String
    /// What keeps agents from it meanwhile.
    var owner: AnyObject?

    /// As a new file, with the key beside it.
    func copy(to place: StatePlace, isBackup: Bool) throws(StoreError) -> StateReport {
        let paths = [place.database, place.key] + place.companions
        for path in paths where try StatePlace.exists(path) {
            throw StoreError("\(isBackup ? "backup" : "copy") \(path): is there already; name a new file")
        }
        let bytes = try keyBytes
        let agents = try state.rows("SELECT agent FROM audit_marks ORDER BY agent").compactMap { $0[0].text }
        // A backup of it can still be copied to PostgreSQL.
        guard isBackup || agents.count <= 1 else { throw .severalAgents(agents, in: state.name) }
        try StatePlace.create(place.key, bytes)
        do throws(StoreError) {
            try fill(place, isBackup)
            unlink(place.lock)
            try place.sync()
            let report = try place.check()
            guard report.flaws.isEmpty else {
                throw StoreError("state \(place.database): is not sound: \(report.flaws.joined(separator: "; "))")
            }
            return report
        } catch {
            for path in paths + [place.lock] { unlink(path) }
            throw error
        }
    }

    private func fill(_ place: StatePlace, _ isBackup: Bool) throws(StoreError) {
        let file = try StateFile(path: place.database, schema: .current)
        let target = SQLiteState(file.database, place, isReader: false)
        try target.begin()
        try StateCopy.fill(target, from: state)
        if isBackup { try target.run("UPDATE audit_marks SET copy = 1") }
        try target.commit()
        // Else the check would leave the files of a log behind.
        try target.run("PRAGMA journal_mode = DELETE")
    }

    /// Into an empty database.
    func copy(to place: PostgreSQLPlace) throws(StoreError) -> StateReport {
        let target = try PostgreSQLState(place, try place.load(), as: .alone)
        guard try StateSchema.current.version(of: target) == 0 else {
            throw StoreError("state \(place.name): is not empty; name an empty database")
        }
        let isNew = try place.takeKey(try keyBytes)
        do throws(StoreError) {
            try target.begin()
            try StateSchema.current.apply(to: target, from: 0, key)
            try StateCopy.fill(target, from: state)
            let report = try StateReport(of: target, version, key)
            guard report.flaws.isEmpty else {
                throw StoreError("state \(state.name): is not sound: \(report.flaws.joined(separator: "; "))")
            }
        } catch {
            if isNew { unlink(place.key) }
            throw error
        }
        do throws(StoreError) { try target.commit() } catch {
            throw StoreError("\(error.detail); whether the copy is there, proxmox-agent store check says")
        }
        return try place.check()
    }

    /// Throws if the state cannot be copied.
    private var keyBytes: [UInt8] {
        get throws(StoreError) {
            let known = StateSchema.current.version
            guard version >= known else {
                throw StoreError("state \(state.name): is of an older version; start the agent once")
            }
            guard version == known else {
                throw StoreError(
                    "state \(state.name): is of a newer version (schema \(version), this program knows \(known)), and a "
                        + "copy would lack what only that one knows; run that one")
            }
            guard let bytes = try InstallationKeyFile.bytes(keyPath, for: .inspector) else {
                throw InstallationKeyFile.missing(keyPath)
            }
            return bytes
        }
    }
}
