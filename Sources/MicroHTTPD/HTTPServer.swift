import CMicrohttpd
import Dispatch
import Glibc
package import HTTPMessage
import SystemThread

/// An HTTP/1.1 server on libmicrohttpd's threads.
///
/// Requests reach the handler complete, with the raw path. A handler that answers without waiting is answered for on
/// the thread that read the request; otherwise the connection sleeps until the answer is there or
/// `Options.exchangeDeadline` has passed. Protocol errors that libmicrohttpd finds itself (an unreadable request line,
/// a head beyond `maxHeaderBytes`) it answers itself, in HTML, without the handler.
package final class HTTPServer: Sendable {
    /// Where the server listens, with the real port where 0 was asked for.
    package let address: ListenAddress
    private let core: ServerCore
    private let daemon: Daemon
    private let acceptor: Acceptor
    private let stopping = Lock<Task<Void, Never>?>(nil)

    /// Starts to listen and serve. From here on the whole process ignores SIGPIPE.
    ///
    /// - Throws: ``ServerError``, with nothing left running.
    package convenience init(
        listening wanted: ListenAddress, options: Options = Options(), handler: any HTTPHandler
    ) throws(ServerError) {
        try self.init(ListenSocket(wanted), options, handler)
    }

    /// The same on a socket that somebody else has bound and listens on; the server owns `descriptor` from here on.
    package convenience init(
        inheriting descriptor: Int32, options: Options = Options(), handler: any HTTPHandler
    ) throws(ServerError) {
        try self.init(ListenSocket(inherited: descriptor), options, handler)
    }

    private init(
        _ socket: consuming ListenSocket, _ options: Options, _ handler: any HTTPHandler
    ) throws(ServerError) {
        _ = Self.ignoreBrokenPipes
        address = socket.address
        core = ServerCore(options: options.normalized, handler: handler)
        let daemon = try Daemon(core)
        self.daemon = daemon
        do throws(OwnThread.Unavailable) {
            acceptor = try unsafe Acceptor(socket, core.connections) { unsafe daemon.adopt($0, $1, $2) }
        } catch {
            daemon.stop()
            throw .cannotStart("\(error)")
        }
        core.watchClients()
        core.sweep()
    }

    deinit {
        // Somebody let go without a shutdown. Not here: this may be one of the daemon's own threads.
        let (core, daemon, acceptor) = (core, daemon, acceptor)
        core.clock.async {
            acceptor.stop()
            core.drain()
            core.stop()
            daemon.stop()
        }
    }

    /// Shows these to clients that connect from now on, and judges certificates of clients by them from their next
    /// request on, whoever is connected. Without effect on a server that does not speak TLS.
    package func replace(_ credentials: TLSCredentials) {
        core.credentials.withLock { if $0 != nil { $0 = credentials } }
    }

    /// Stops accepting, lets what runs finish, answers what is still running after `limit` with
    /// `Refusal.shuttingDown`, then closes every connection. Returns when no thread of the server is left.
    ///
    /// Called again it waits for the first call's end. Not affected by the caller's cancellation.
    package func shutdown(within limit: Duration) async {
        let task = stopping.withLock { task in
            let running =
                task ?? Task { [core, daemon, acceptor] in await Self.stop(core, daemon, acceptor, within: limit) }
            task = running
            return running
        }
        await task.value
    }

    /// Connections that are open now.
    package var openConnections: Int { core.connections.count }

    /// Bytes of request bodies that are held.
    package var heldBodyBytes: Int { core.shares.heldBodyBytes }

    /// Returns when the queue that ends exchanges in time has had its turn.
    package func pulse() async { await core.onClock {} }

    private static func stop(
        _ core: ServerCore, _ daemon: Daemon, _ acceptor: Acceptor, within limit: Duration
    ) async {
        let end = ContinuousClock.now + limit
        core.drain()
        await core.onClock { acceptor.stop() }
        while core.connections.busy > 0 && .now < end { await core.pause(.milliseconds(2)) }
        core.stop()
        // The last answers are on their way; a client that reads slowly does not hold the process up.
        let grace = ContinuousClock.now + .seconds(1)
        while core.connections.busy > 0 && .now < grace { await core.pause(.milliseconds(2)) }
        await core.onClock { daemon.stop() }
    }

    private static let ignoreBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()
}
