package import AgentModel
package import AgentService
internal import Glibc
internal import SQLite
internal import SystemThread

/// The store in a SQLite file: a write that has returned survives a crash and a loss of power.
///
/// One thread writes. All waiting bodies share one commit (group commit), each in its own savepoint, so that one that
/// fails does not undo the others. Another thread reads, through its own connection; all waiting readers share one
/// snapshot. The files are private (0600), locked for one agent, and hold no secret in clear.
package final class SQLiteStore: StateStore {
    /// The installation's key, stored beside the file.
    package let key: InstallationKey
    package let place: StatePlace
    /// The id of the installation, made with the state: 16 hexadecimal digits.
    package let installation: String
    private let queues: StoreQueues

    /// Opens the state at `path`; creates file, key and directory (one level) if they do not exist.
    ///
    /// Locks it against other processes and migrates an older one to the current schema. Throws, with the place and
    /// what to do, if the state is damaged, locked, read-only, not private, of another program or a newer version, made
    /// under another key, or without its key. Nothing was changed then. `committed` gets the time that each commit of
    /// the writer took, on its thread.
    package init(
        path: String, schema: StateSchema = .current, committed: @escaping @Sendable (Duration) -> Void = { _ in }
    ) throws(StoreError) {
        // Makes `write` return an error at the file size limit, as for a full disk.
        signal(SIGXFSZ, SIG_IGN)
        let file = try StateFile(path: path, schema: schema)
        let (place, key) = (file.place, file.key)
        let writing = StoreWriting(
            StoreRecords(SQLiteState(file.database, place, isReader: false), key), keeping: file, committed)
        let reading = StoreReading(StoreRecords(SQLiteState(try place.open(isReadOnly: true), place), key))
        self.key = key
        installation = file.installation
        self.place = place
        let queues = StoreQueues(place.database)
        self.queues = queues
        do throws(OwnThread.Unavailable) {
            try OwnThread.start { queues.reader.serve({ reading.run($0) }, finish: { reading.close() }) }
            try OwnThread.start { queues.writer.serve({ writing.run($0) }, finish: { writing.close() }) }
        } catch {
            queues.close()
            throw StoreError("state \(place.database): \(error)")
        }
    }

    deinit { queues.close() }

    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(StoreError) -> Value {
        try await queues.run({ body($0) }, on: queues.reader)
    }

    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value {
        try await queues.run({ body($0) }, on: queues.writer)
    }

    package var counters: StoreCounters { queues.writer.counters }

    /// One agent has it for itself.
    package var leases: (any LeaseStore)? { nil }

    /// Runs the waiting bodies, moves the log into the database and releases the lock. Later calls throw.
    package func close() async { await queues.end() }

    package func stopWaiting() { queues.stopWaiting() }
}
