internal import Glibc
internal import Synchronization
internal import SystemThread

/// Stands on 127.0.0.1 between a client and a PostgreSQL server, and cuts a connection at its next `COMMIT`.
package final class CommitCutter: Sendable {
    package enum Cut: Sendable, Hashable, CaseIterable {
        /// The server never gets the `COMMIT`.
        case before
        /// The server has done it, and the client never hears of that.
        case after
    }

    package let port: Int
    private let listener: Int32
    private let target: Int
    private struct State {
        var cut: Cut?
        var isShut = false
        var isHeld = false
        /// Connections that were taken before that many stay held.
        var heldBelow = 0
        var taken = 0
        var cuts = 0
    }
    private let state = Mutex(State())

    /// Forwards to `target`, a port of 127.0.0.1.
    package init(to target: Int) throws {
        self.target = target
        port = try PostgreSQLServer.freePort()
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard Self.named(port, { bind(listener, $0, $1) }), listen(listener, 16) == 0 else {
            throw PostgreSQLServer.Failure(description: "no listener")
        }
        try OwnThread.start { [self] in serve() }
    }

    /// Ends the listener; connections that stand go on.
    package func close() { shutdown(listener, Int32(SHUT_RDWR)) }

    /// Cuts at the next `COMMIT`.
    package func cutNext(_ cut: Cut) { state.withLock { $0.cut = cut } }

    /// Forwards nothing while it is held, as if the network lost everything; later it goes on where it was.
    package func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }

    /// Forwards nothing on the connections that there are, as if their ends at the server hung; later it goes on.
    package func holdPresent(_ isHeld: Bool) { state.withLock { $0.heldBelow = isHeld ? $0.taken : 0 } }

    /// Takes no new connections while it is shut.
    package func shut(_ isShut: Bool) { state.withLock { $0.isShut = isShut } }

    /// How many connections it has cut.
    package var cuts: Int { state.withLock { $0.cuts } }

    private static func named(_ port: Int, _ work: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Bool {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                work($0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private func serve() {
        while case let client = accept(listener, nil, nil), client >= 0 {
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard !state.withLock({ $0.isShut }), Self.named(target, { connect(server, $0, $1) }) else {
                Glibc.close(client)
                Glibc.close(server)
                continue
            }
            let number = state.withLock { state in
                defer { state.taken += 1 }
                return state.taken
            }
            try? OwnThread.start { [self] in pump(client, server, number) }
        }
        Glibc.close(listener)
    }

    private func pump(_ client: Int32, _ server: Int32, _ number: Int) {
        defer {
            Glibc.close(client)
            Glibc.close(server)
        }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var isCut = false
        while true {
            var ends = [client, server].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&ends, 2, 20) >= 0 else { return }
            if state.withLock({ $0.isHeld || number < $0.heldBelow }) {
                usleep(20_000)
                continue
            }
            if ends[1].revents != 0 {
                let count = read(server, &bytes, bytes.count)
                guard count > 0 else { return }
                // The answer to the `COMMIT`: it is done.
                if isCut { return state.withLock { $0.cuts += 1 } }
                guard write(client, bytes, count) == count else { return }
            }
            if ends[0].revents != 0 {
                let count = read(client, &bytes, bytes.count)
                guard count > 0 else { return }
                let isCommit = String(decoding: bytes[..<count], as: UTF8.self).contains("COMMIT\0")
                let cut = state.withLock { state in
                    defer { if isCommit { state.cut = nil } }
                    return isCommit ? state.cut : nil
                }
                if cut == .before { return state.withLock { $0.cuts += 1 } }
                if cut == .after { isCut = true }
                guard write(server, bytes, count) == count else { return }
            }
        }
    }
}
