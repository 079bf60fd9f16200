import CMicrohttpd
import Dispatch
import Glibc
package import HTTPMessage
import SystemThread

/// An HTTP/1.1 server on libmicrohttpd's threads.
///
/// The handler gets complete requests, with the raw path. A handler that does not wait is answered for on the thread
/// that read the request. Otherwise the connection is suspended until the response is there or
/// `Options.exchangeDeadline` has passed. libmicrohttpd answers the protocol errors that it finds itself (an unreadable
/// request line, a head beyond `maxHeaderBytes`), in HTML, without the handler.
package final class HTTPServer: Sendable {
    /// Where the server listens, with the actual port if 0 was requested.
    package let address: ListenAddress
    private let core: ServerCore
    private let daemon: Daemon
    private let acceptor: Acceptor
    private let stopping = Lock<Task<Void, Never>?>(nil)

    /// Starts to listen and serve. From then on the whole process ignores SIGPIPE.
    ///
    /// - Throws: ``ServerError``, with nothing left running.
    package convenience init(
        listening wanted: ListenAddress, options: Options = Options(), handler: any HTTPHandler
    ) throws(ServerError) {
        try self.init(ListenSocket(wanted), options, handler)
    }

    /// The same on a socket that another process bound and listens on; the server takes over `descriptor`.
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
        // Released without a shutdown. Stop elsewhere: this may be one of the daemon's own threads.
        let (core, daemon, acceptor) = (core, daemon, acceptor)
        core.clock.async {
            acceptor.stop()
            core.drain()
            core.stop()
            daemon.stop()
        }
    }

    /// Uses these for new connections, and judges client certificates by them from each client's next request on, also
    /// on open connections. Has no effect on a server without TLS.
    package func replace(_ credentials: TLSCredentials) {
        core.credentials.withLock { if $0 != nil { $0 = credentials } }
    }

    /// Stops accepting, ends streams, lets running exchanges finish, answers those that still run after `limit` with
    /// `Refusal.shuttingDown`, then closes every connection. Returns when all threads of the server have ended.
    ///
    /// A second call waits for the first one's end. The caller's cancellation has no effect.
    package func shutdown(within limit: Duration) async {
        let task = stopping.withLock { task in
            let running =
                task ?? Task { [core, daemon, acceptor] in await Self.stop(core, daemon, acceptor, within: limit) }
            task = running
            return running
        }
        await task.value
    }

    /// The number of open connections.
    package var openConnections: Int { core.connections.count }

    /// The number of streams that are being sent.
    package var openStreams: Int { core.streams }

    /// Bytes of request bodies that are held.
    package var heldBodyBytes: Int { core.shares.heldBodyBytes }

    /// Returns when the queue that enforces deadlines has run once.
    package func pulse() async { await core.onClock {} }

    private static func stop(
        _ core: ServerCore, _ daemon: Daemon, _ acceptor: Acceptor, within limit: Duration
    ) async {
        let end = ContinuousClock.now + limit
        core.drain()
        await core.onClock { acceptor.stop() }
        // A client that reads its stream slowly must not delay the exit.
        let farewell = min(end, .now + .seconds(1))
        while (core.connections.busy > 0 && .now < end) || (core.streams > 0 && .now < farewell) {
            await core.pause(.milliseconds(2))
        }
        core.stop()
        // The last responses are being sent; a slow client must not delay the exit.
        let grace = ContinuousClock.now + .seconds(1)
        while core.connections.busy > 0 && .now < grace { await core.pause(.milliseconds(2)) }
        await core.onClock { daemon.stop() }
    }

    private static let ignoreBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()
}
