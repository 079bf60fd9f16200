package import AgentModel
package import AgentService
internal import Glibc
internal import SQLite
internal import SystemThread

/// The store in a PostgreSQL database: a write that has returned is on the server's disk.
///
/// It works as ``SQLiteStore`` does, with one thread that writes and a few that read. While the server is away every
/// call fails at once, and the threads connect again by themselves. If it goes away in the middle of a commit, the
/// callers of that commit wait until the writer has looked whether it was done; closing the store ends that with an
/// error that ``StoreError/mayBeStored``.
package final class PostgreSQLStore: StateStore {
    package let key: InstallationKey
    package let installation: String
    private let queues: StoreQueues
    private let shared: PostgreSQLLeases

    /// Bodies that read at the same time.
    private static let readers = 2

    /// Opens the state, and makes key and tables in an empty database.
    ///
    /// Locks it against other processes of the agent's name, and migrates an older one to the current schema: beside
    /// agents of the version before, if the only step that is missing is one that they can work with, else if no agent
    /// uses it. Throws, with the place and what to do, if the server cannot be reached safely, or if the state is locked,
    /// read-only, of another program or a version that is too new, made under another key, or without its key. Nothing
    /// was changed then. `committed` gets the time that each commit took.
    package init(
        _ place: PostgreSQLPlace, schema: StateSchema = .current,
        committed: @escaping @Sendable (Duration) -> Void = { _ in }
    ) throws(StoreError) {
        let library = try place.load()
        let writer = try PostgreSQLState(place, library, as: .agent)
        let found = try schema.version(of: writer)
        if found > 0 { try schema.checkLayout(of: writer, found) }
        let (key, isNew) = try place.readKey(isEmpty: found == 0)
        if found > 0 { try schema.check(key, of: writer) }
        do throws(StoreError) { try schema.migrate(writer, from: found, key) } catch {
            // Unless the commit may have been done.
            if isNew, (try? schema.version(of: writer)) == 0 { unlink(place.key) }
            throw error
        }
        try writer.finishOpening(knowing: schema.version)
        installation = try writer.value("SELECT value FROM meta WHERE name = 'installation'")?.text ?? ""
        self.key = key
        let queues = StoreQueues(place.name, readers: Self.readers)
        self.queues = queues
        let shared = try PostgreSQLLeases(place, library, writer: writer.writerID)
        self.shared = shared
        do throws(StoreError) {
            for number in 0..<Self.readers {
                let state = try PostgreSQLState(place, library, as: .reader)
                state.waiting = Self.waiting(queues.reader, number)
                let reading = StoreReading(StoreRecords(state, key))
                try place.start { queues.reader.serve({ reading.run($0) }, finish: { reading.close() }) }
            }
            writer.waiting = Self.waiting(queues.writer, 0)
            let writing = StoreWriting(StoreRecords(writer, key), committed)
            try place.start { queues.writer.serve({ writing.run($0) }, finish: { writing.close() }) }
        } catch {
            queues.close()
            shared.close()
            throw error
        }
    }

    private static func waiting(_ queue: StoreQueue, _ thread: Int) -> PostgreSQLState.Waiting {
        PostgreSQLState.Waiting(pause: { queue.pause($0) }, tell: { queue.tell($0, of: thread) })
    }

    deinit {
        queues.close()
        shared.close()
    }

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

    package var leases: (any LeaseStore)? { shared }

    package func close() async {
        await shared.end()
        await queues.end()
    }

    package func stopWaiting() { queues.stopWaiting() }
}

extension PostgreSQLPlace {
    /// Runs `body` on a thread of its own.
    func start(_ body: sending @escaping () -> Void) throws(StoreError) {
        do throws(OwnThread.Unavailable) { try OwnThread.start(body) } catch {
            throw StoreError("state \(name): \(error)")
        }
    }
}
