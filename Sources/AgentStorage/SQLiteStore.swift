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
package final class SQLiteStore: PlanStore {
    /// What a thread has done since the store was opened.
    package struct Counters: Sendable, Hashable {
        package var bodies = 0
        /// The transactions that the bodies shared.
        package var batches = 0
        /// The bodies that are waiting now.
        package var waiting = 0
    }

    /// The installation's key, stored beside the file.
    package let key: InstallationKey
    package let place: StatePlace
    /// The id of the installation, made with the state: 16 hexadecimal digits.
    package let installation: String
    private let writer: StoreQueue
    private let reader: StoreQueue

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
        let (writer, reader) = (StoreQueue(place.database), StoreQueue(place.database))
        self.writer = writer
        self.reader = reader
        do throws(OwnThread.Unavailable) {
            try OwnThread.start { reader.serve({ reading.run($0) }, finish: { reading.close() }) }
            try OwnThread.start { writer.serve({ writing.run($0) }, finish: { writing.close() }) }
        } catch {
            reader.close()
            throw StoreError("state \(place.database): \(error)")
        }
    }

    deinit {
        reader.close()
        writer.close()
    }

    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(StoreError) -> Value {
        try await Self.run({ body($0) }, on: reader)
    }

    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value {
        try await Self.run({ body($0) }, on: writer)
    }

    private static func run<Value: Sendable>(
        _ body: @escaping @Sendable (StoreRecords) -> Value, on queue: StoreQueue
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = await withCheckedContinuation { waiter in
            let job = StoreQueue.Job { records in
                let value = body(records)
                return { error in waiter.resume(returning: error.map { .failure($0) } ?? .success(value)) }
            } refuse: {
                waiter.resume(returning: .failure($0))
            }
            queue.put(job)
        }
        return try result.get()
    }

    /// What the writer has done.
    package var counters: Counters { writer.counters }

    /// Runs the waiting bodies, moves the log into the database and releases the lock. Later calls throw.
    package func close() async {
        reader.close()
        await reader.end()
        writer.close()
        await writer.end()
    }
}
