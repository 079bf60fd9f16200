import CMicrohttpd
import Glibc
import HTTPMessage
import Synchronization

/// One accepted connection, from libmicrohttpd's notice that it is there to the notice that it is gone.
///
/// Retained where libmicrohttpd keeps it as the socket's context (`ServerCore.connectionChanged`), released by
/// the same callback.
final class Connection: Sendable {
    /// What a connection is busy with; decides what may be cut off.
    enum Phase: UInt8, AtomicRepresentable {
        /// Idle, or a request is arriving.
        case waiting
        /// A handler has the request.
        case answering
        /// An answer is leaving.
        case sending
    }

    /// Valid until `ConnectionRegistry.remove` returns, which is what the registry's lock is for.
    let descriptor: Int32
    /// Who connected.
    let peer: String
    private let current = Atomic(Phase.waiting)
    private let since = Atomic(Connection.now)
    private let lingering = Atomic(false)
    private let wasCut = Atomic(false)
    private let security = Lock<Security?>(nil)
    /// The request whose chunked body is arriving.
    let chunked = Lock<Exchange?>(nil)

    init(descriptor: Int32, peer: String) {
        self.descriptor = descriptor
        self.peer = peer
    }

    var phase: Phase { current.load(ordering: .acquiring) }

    /// When the present phase, or the present request, began: nanoseconds of the coarse monotonic clock.
    var start: UInt64 { since.load(ordering: .relaxed) }

    func enter(_ phase: Phase) {
        since.store(Self.now, ordering: .relaxed)
        current.store(phase, ordering: .releasing)
    }

    /// The last answer leaves request bytes unread. Closing then would reset the connection, and the answer be lost.
    var lingers: Bool {
        get { lingering.load(ordering: .relaxed) }
        set { lingering.store(newValue, ordering: .relaxed) }
    }

    /// Ends both directions; libmicrohttpd then sees the end of the stream and closes. Only under the registry's lock.
    func cut() {
        wasCut.store(true, ordering: .relaxed)
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// On its way out: there is no use in cutting it off again.
    var isCut: Bool { wasCut.load(ordering: .relaxed) }

    /// Nanoseconds of a clock that costs a few of them to read and is exact to some milliseconds.
    static var now: UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// TLS: by which credentials a client is judged, and how.
extension Connection {
    private struct Security {
        /// Kept for as long as the session uses them.
        var credentials: TLSCredentials
        /// When it was judged, and until when the certificate lasts: seconds since 1970.
        var judgedAt: Int?
        var end = Int.max
        var certificate: ClientCertificate?
    }

    /// Seconds for which a judgement holds: authorities run out, too.
    private static let judgementLasts = 60

    /// Before the handshake.
    func equip(_ session: TLSSession, with credentials: TLSCredentials) {
        credentials.equip(session)
        security.withLock { $0 = Security(credentials: credentials) }
    }

    /// What the client has shown in the handshake, judged by `credentials` at the time `now`. On the connection's
    /// thread, once the handshake is over.
    func certificate(
        of session: TLSSession, under credentials: TLSCredentials, at now: Int
    ) -> ClientCertificate? {
        security.withLock { security in
            guard var known = security else { return nil }
            let isCurrent = known.judgedAt.map { ($0..<$0 + Self.judgementLasts).contains(now) } ?? false
            if !isCurrent || known.credentials !== credentials {
                credentials.equip(session)
                known = Security(credentials: credentials, judgedAt: now)
                if credentials.asksClients, let (certificate, end) = session.judge() {
                    (known.certificate, known.end) = (certificate, end)
                }
                security = known
            }
            return now < known.end ? known.certificate : .refused("it has expired")
        }
    }
}

/// All open connections. Touched once when one opens and once when it closes, never per request.
final class ConnectionRegistry: Sendable {
    private let open = Lock<[Int32: Connection]>([:])
    /// Accepted, and not yet taken up by one of libmicrohttpd's threads.
    private let arriving = Atomic(0)
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Adds a connection. Over the limit, the one that has waited longest for a request is cut off, or this one where
    /// none waits: the server stays reachable however many idle clients hold on to it.
    func add(_ connection: Connection) {
        arriving.subtract(1, ordering: .relaxed)
        open.withLock { open in
            open[connection.descriptor] = connection
            if open.count > limit { (Self.longestIdle(open, except: connection) ?? connection).cut() }
        }
    }

    /// Cuts off the connection that has waited longest for a request.
    func cutIdle() { open.withLock { Self.longestIdle($0, except: nil)?.cut() } }

    /// A connection was accepted; `add` follows.
    func announce() { arriving.add(1, ordering: .relaxed) }

    /// Gives libmicrohttpd a moment to close what was cut off, where that is needed. Blocks.
    func waitForRoom() {
        var patience = 500
        while patience > 0, open.withLock({ $0.count }) + arriving.load(ordering: .relaxed) > limit {
            usleep(200)
            patience -= 1
        }
    }

    private static func longestIdle(_ open: [Int32: Connection], except: Connection?) -> Connection? {
        open.values.lazy.filter { $0.phase == .waiting && !$0.isCut && $0 !== except }.min { $0.start < $1.start }
    }

    /// Forgets a connection whose descriptor is about to be closed. No `cut` can meet it after this.
    func remove(_ connection: Connection) {
        open.withLock { open in
            if open[connection.descriptor] === connection { open[connection.descriptor] = nil }
        }
    }

    /// Cuts off what has been receiving or sending for longer than `limit`, which a client can stretch without end by
    /// moving a byte now and then.
    func cutStalled(longerThan limit: Duration) {
        let nanoseconds = UInt64(limit.nanoseconds)
        open.withLock { open in
            let now = Connection.now
            for connection in open.values where connection.phase != .answering {
                if now > connection.start + nanoseconds { connection.cut() }
            }
        }
    }

    /// Cuts off those whose client has left in the middle of a request: libmicrohttpd (0.9.75) overlooks an end that
    /// comes with the last bytes, and would keep them until they have been idle for long enough.
    func cutGone() {
        open.withLock { open in
            let now = Connection.now
            for connection in open.values where connection.phase == .waiting && !connection.isCut {
                var byte: UInt8 = 0
                let isOld = now > connection.start + 2_000_000_000
                let flags = Int32(truncatingIfNeeded: Int(MSG_PEEK) | Int(MSG_DONTWAIT))
                if isOld, unsafe recv(connection.descriptor, &byte, 1, flags) == 0 { connection.cut() }
            }
        }
    }

    /// Connections whose request is being answered or whose answer is on its way.
    var busy: Int { open.withLock { $0.values.reduce(0) { $0 + ($1.phase == .waiting ? 0 : 1) } } }
}
