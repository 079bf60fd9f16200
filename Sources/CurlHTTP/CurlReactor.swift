internal import CCurl
internal import Glibc
internal import HTTPMessage
internal import Synchronization

/// Runs on the loop's thread: all pools, their sockets in one `poll`, and the commands of other threads.
final class CurlReactor {
    private let inbox: CurlInbox
    private var pools: [UInt64: CurlPool] = [:]
    /// Called at the very end. The loop stops once this is not empty.
    private var stopping: [@Sendable () -> Void] = []

    init(_ inbox: CurlInbox) { self.inbox = inbox }

    /// Returns after a `stop` command, with every exchange ended and every connection closed.
    func run() {
        while stopping.isEmpty {
            for command in inbox.take() { obey(command) }
            let now = ContinuousClock.now
            for pool in pools.values { pool.turn(at: now) }
            if stopping.isEmpty { wait() }
        }
        for pool in pools.values { pool.close() }
        pools = [:]
        for command in inbox.close() { refuse(command) }
        for done in stopping { done() }
    }

    private func obey(_ command: CurlCommand) {
        switch command {
        case .start(let job, let number, let configuration):
            do throws(CurlError) {
                try pool(number, configuration).start(job)
            } catch {
                job.finish(.failure(.unreachable("\(error.operation): \(error.text)")))
            }
        case .cancel(let job, let number): pools[number]?.cancel(job)
        case .finishWriting(let number, let done):
            pools[number]?.finishWriting()
            done()
        case .close(let number, let done):
            pools.removeValue(forKey: number)?.close()
            done()
        case .stop(let done): stopping.append(done)
        }
    }

    private func pool(_ number: UInt64, _ configuration: CurlConfiguration) throws(CurlError) -> CurlPool {
        if let pool = pools[number] { return pool }
        let pool = try CurlPool(configuration)
        pools[number] = pool
        return pool
    }

    private func refuse(_ command: CurlCommand) {
        switch command {
        case .start(let job, _, _): job.finish(.failure(.cancelled(sent: false)))
        case .cancel: break
        case .finishWriting(_, let done), .close(_, let done), .stop(let done): done()
        }
    }

    /// Waits for a socket, a command or the next due time, and tells the pools about ready sockets.
    private func wait() {
        var entries = [pollfd(fd: inbox.wakeDescriptor, events: Int16(POLLIN), revents: 0)]
        var owners: [CurlPool?] = [nil]
        for pool in pools.values {
            for (socket, events) in pool.sockets {
                entries.append(pollfd(fd: socket, events: events, revents: 0))
                owners.append(pool)
            }
        }
        let due = pools.values.compactMap(\.nextDue).min()
        let patience = due.map { Int32(clamping: max(0, ($0 - .now).milliseconds)) } ?? -1
        guard unsafe poll(&entries, nfds_t(entries.count), patience) > 0 else { return }
        if entries[0].revents != 0 { inbox.reset() }
        for (entry, pool) in zip(entries, owners) where entry.revents != 0 {
            // The calls before may have made libcurl close this socket.
            if let pool, pool.sockets[entry.fd] != nil { pool.ready(entry.fd, entry.revents) }
        }
    }
}

/// Commands of other threads for the loop's thread.
enum CurlCommand: Sendable {
    /// Start `job` on the pool of this number, which is created if necessary.
    case start(CurlJob, pool: UInt64, CurlConfiguration)
    case cancel(job: UInt64, pool: UInt64)
    /// Abort what is only partly written, then call back.
    case finishWriting(pool: UInt64, @Sendable () -> Void)
    /// End all exchanges of a pool and its connections, then call back.
    case close(pool: UInt64, @Sendable () -> Void)
    /// End everything and the thread, then call back.
    case stop(@Sendable () -> Void)
}

/// The queue in front of the loop's thread, with an event descriptor that wakes it.
final class CurlInbox: Sendable {
    private struct State {
        var commands: [CurlCommand] = []
        var isClosed = false
    }

    /// An `eventfd` that is readable when commands wait.
    let wakeDescriptor: Int32
    private let state = Lock(State())
    private let lastNumber = Atomic<UInt64>(0)

    /// `nil` if the process cannot open more descriptors.
    init?() {
        wakeDescriptor = ccurl_eventfd()
        guard wakeDescriptor >= 0 else { return nil }
    }

    deinit { Glibc.close(wakeDescriptor) }

    /// A number that is unique in this inbox.
    func newNumber() -> UInt64 {
        lastNumber.add(1, ordering: .relaxed).newValue
    }

    /// Queues `command`; `false` if the thread takes no more.
    func put(_ command: CurlCommand) -> Bool {
        let count = state.withLock { state in
            guard !state.isClosed else { return 0 }
            state.commands.append(command)
            return state.commands.count
        }
        // Outside the lock, or the woken thread would wait for it.
        if count == 1 { wake() }
        return count > 0
    }

    /// Takes all commands.
    func take() -> [CurlCommand] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Takes the remaining commands and refuses all later ones.
    func close() -> [CurlCommand] {
        state.withLock { state in
            state.isClosed = true
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Makes the descriptor unreadable. Call it before `take`, so that every later command wakes the thread.
    func reset() {
        var count: UInt64 = 0
        _ = unsafe read(wakeDescriptor, &count, 8)
    }

    private func wake() {
        var count: UInt64 = 1
        _ = unsafe write(wakeDescriptor, &count, 8)
    }
}
