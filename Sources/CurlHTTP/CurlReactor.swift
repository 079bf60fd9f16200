internal import Glibc
internal import HTTPMessage

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
