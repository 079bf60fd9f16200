import CMicrohttpd
import Glibc
import HTTPMessage
import Synchronization

/// One accepted connection, from libmicrohttpd's notice of its start to the notice of its end.
///
/// Retained when libmicrohttpd stores it as the socket's context (`ServerCore.connectionChanged`), released by the same
/// callback.
final class Connection: Sendable {
    /// What a connection is doing; decides what may be cut off.
    enum Phase: UInt8, AtomicRepresentable {
        /// Idle, or the first line of a request is arriving.
        case waiting
        /// The rest of a request is arriving.
        case receiving
        /// A handler has the request.
        case answering
        /// A response is being sent.
        case sending
        /// A stream is being sent. It ends by itself, or falls behind and is cut off.
        case streaming
    }

    /// Valid until `ConnectionRegistry.remove` returns, which is what the registry's lock is for.
    let descriptor: Int32
    /// The peer, and its source.
    let peer: String
    let source: String
    private let current = Atomic(Phase.waiting)
    private let since = Atomic(Connection.now)
    /// Bytes of the current response that were sent, and when the last of them was.
    private let sent = Atomic(0)
    private let moved = Atomic(Connection.now)
    private let lingering = Atomic(false)
    private let wasCut = Atomic(false)
    private let security = Lock<Security?>(nil)
    /// The request whose chunked body is arriving.
    let chunked = Lock<Exchange?>(nil)

    init(descriptor: Int32, peer: String) {
        self.descriptor = descriptor
        self.peer = peer
        source = Request.source(of: peer)
    }

    var phase: Phase { current.load(ordering: .acquiring) }

    /// When the current phase, or the current request, began: nanoseconds of the coarse monotonic clock.
    var start: UInt64 { since.load(ordering: .relaxed) }

    func enter(_ phase: Phase) {
        let now = Self.now
        since.store(now, ordering: .relaxed)
        sent.store(0, ordering: .relaxed)
        moved.store(now, ordering: .relaxed)
        current.store(phase, ordering: .releasing)
    }

    /// The first `count` bytes of the current response were sent.
    func hasSent(_ count: Int) {
        sent.store(count, ordering: .relaxed)
        moved.store(Self.now, ordering: .relaxed)
    }

    /// Whether a request or a response takes too long. If bytes wait to be read, or the socket has room for more of the
    /// response, then the server is slow, not the client. Only under the registry's lock.
    func isStalled(at now: UInt64, _ options: HTTPServer.Options) -> Bool {
        func isPast(_ limit: Duration, since start: UInt64) -> Bool { now > start &+ UInt64(limit.nanoseconds) }
        switch phase {
        case .answering, .streaming: return false
        case .receiving:
            return isPast(options.transferTimeout, since: start)
                || (isPast(options.requestTimeout, since: start) && !hasUnread)
        // libmicrohttpd closes silent connections; this is for clients that send a byte now and then.
        case .waiting:
            return isPast(min(options.transferTimeout, options.idleTimeout + options.requestTimeout), since: start)
        case .sending:
            if isPast(options.transferTimeout, since: start) { return true }
            guard isPast(options.sendTimeout, since: start) else { return false }
            let seconds = Double(now &- min(start, now)) / 1e9
            let isSlow = Double(sent.load(ordering: .relaxed)) < seconds * Double(options.minReadRate)
            return (isSlow || isPast(options.sendTimeout, since: moved.load(ordering: .relaxed))) && !hasRoom
        }
    }

    /// Since when it can be closed without harm: it is idle, or its client reads nothing; `nil` while it is needed.
    func idleSince(at now: UInt64) -> UInt64? {
        switch phase {
        case .answering, .streaming: return nil
        case .waiting, .receiving: return start
        case .sending:
            let moved = moved.load(ordering: .relaxed)
            return now > moved &+ 1_000_000_000 ? moved : nil
        }
    }

    /// Whether unread bytes of the client are waiting. Only under the registry's lock.
    var hasUnread: Bool {
        var byte: UInt8 = 0
        return unsafe recv(descriptor, &byte, 1, Int32(truncatingIfNeeded: Int(MSG_PEEK) | Int(MSG_DONTWAIT))) > 0
    }

    /// Whether the kernel would take more of the response.
    private var hasRoom: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return unsafe poll(&entry, 1, 0) > 0 && entry.revents & Int16(POLLOUT) != 0
    }

    /// The last response leaves request bytes unread. A close would reset the connection and lose the response.
    var lingers: Bool {
        get { lingering.load(ordering: .relaxed) }
        set { lingering.store(newValue, ordering: .relaxed) }
    }

    /// Shuts both directions down; libmicrohttpd then sees the end and closes. Only under the registry's lock.
    func cut() {
        wasCut.store(true, ordering: .relaxed)
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Already cut off.
    var isCut: Bool { wasCut.load(ordering: .relaxed) }

    /// Nanoseconds of a clock that is fast to read and accurate to a few milliseconds.
    static var now: UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// TLS: the credentials by which a client's certificate is judged, and the result.
extension Connection {
    private struct Security {
        /// Kept as long as the session uses them.
        var credentials: TLSCredentials
        /// When it was judged, and when the certificate expires: seconds since 1970.
        var judgedAt: Int?
        var end = Int.max
        var certificate: ClientCertificate?
    }

    /// Seconds that a judgement is valid, since authorities expire too.
    private static let judgementLasts = 60

    /// Call it before the handshake.
    func equip(_ session: TLSSession, with credentials: TLSCredentials) {
        credentials.equip(session)
        security.withLock { $0 = Security(credentials: credentials) }
    }

    /// The client's certificate from the handshake, judged by `credentials` at the time `now`. Call it on the
    /// connection's thread, after the handshake.
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
