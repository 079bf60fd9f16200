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
        /// Idle, or the first line of a request is arriving.
        case waiting
        /// The rest of a request is arriving.
        case receiving
        /// A handler has the request.
        case answering
        /// An answer is leaving.
        case sending
    }

    /// Valid until `ConnectionRegistry.remove` returns, which is what the registry's lock is for.
    let descriptor: Int32
    /// Who connected, and from which source.
    let peer: String
    let source: String
    private let current = Atomic(Phase.waiting)
    private let since = Atomic(Connection.now)
    /// Bytes of the present answer that have left, and when the last of them did.
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

    /// When the present phase, or the present request, began: nanoseconds of the coarse monotonic clock.
    var start: UInt64 { since.load(ordering: .relaxed) }

    func enter(_ phase: Phase) {
        let now = Self.now
        since.store(now, ordering: .relaxed)
        sent.store(0, ordering: .relaxed)
        moved.store(now, ordering: .relaxed)
        current.store(phase, ordering: .releasing)
    }

    /// The first `count` bytes of the present answer have left.
    func hasSent(_ count: Int) {
        sent.store(count, ordering: .relaxed)
        moved.store(Self.now, ordering: .relaxed)
    }

    /// Whether a request or an answer takes longer than it may.
    func isStalled(at now: UInt64, _ options: HTTPServer.Options) -> Bool {
        func isPast(_ limit: Duration, since start: UInt64) -> Bool { now > start &+ UInt64(limit.nanoseconds) }
        switch phase {
        case .answering: return false
        case .receiving: return isPast(min(options.requestTimeout, options.transferTimeout), since: start)
        // libmicrohttpd sees to those that are silent; this is for those that send a byte now and then.
        case .waiting:
            return isPast(min(options.transferTimeout, options.idleTimeout + options.requestTimeout), since: start)
        case .sending:
            if isPast(options.transferTimeout, since: start) { return true }
            if isPast(options.sendTimeout, since: moved.load(ordering: .relaxed)) { return true }
            let seconds = Double(now &- min(start, now)) / 1e9
            return isPast(options.sendTimeout, since: start)
                && Double(sent.load(ordering: .relaxed)) < seconds * Double(options.minReadRate)
        }
    }

    /// How long nobody would miss it: since when it is idle, or its client reads nothing; `nil` while it is needed.
    func idleSince(at now: UInt64) -> UInt64? {
        switch phase {
        case .answering: return nil
        case .waiting, .receiving: return start
        case .sending:
            let moved = moved.load(ordering: .relaxed)
            return now > moved &+ 1_000_000_000 ? moved : nil
        }
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
    private struct State {
        var open: [Int32: Connection] = [:]
        /// How many each source has.
        var counts: [String: Int] = [:]
    }

    private let state = Lock(State())
    /// Accepted, and not yet taken up by one of libmicrohttpd's threads.
    private let arriving = Atomic(0)
    private let options: HTTPServer.Options

    init(_ options: HTTPServer.Options) { self.options = options }

    /// Adds a connection. Over the limit of its source, or of all, one that nobody would miss is cut off, of the source
    /// that has most; or this one where there is none: the server stays reachable however many clients hold on to it.
    func add(_ connection: Connection) {
        arriving.subtract(1, ordering: .relaxed)
        state.withLock { state in
            if let old = state.open.updateValue(connection, forKey: connection.descriptor) {
                state.counts.lower(old.source)
            }
            let own = state.counts[connection.source, default: 0] + 1
            state.counts[connection.source] = own
            if own > options.maxConnectionsOfSource {
                (Self.idlest(state, of: connection.source, except: connection) ?? connection).cut()
            } else if state.open.count > options.maxConnections {
                let largest = state.counts.max { $0.value < $1.value }?.key
                (Self.idlest(state, of: largest, except: connection) ?? Self.idlest(state, of: nil, except: connection)
                    ?? connection).cut()
            }
        }
    }

    /// Cuts off the connection that is idle for longest.
    func cutIdle() { state.withLock { Self.idlest($0, of: nil, except: nil)?.cut() } }

    /// A connection was accepted; `add` follows.
    func announce() { arriving.add(1, ordering: .relaxed) }

    /// Gives libmicrohttpd a moment to close what was cut off, where that is needed. Blocks.
    func waitForRoom() {
        var patience = 500
        while patience > 0,
            state.withLock({ $0.open.count }) + arriving.load(ordering: .relaxed) > options.maxConnections
        {
            usleep(200)
            patience -= 1
        }
    }

    /// Of those that are idle the one that is so for longest; else of those whose clients do not read.
    private static func idlest(_ state: State, of source: String?, except: Connection?) -> Connection? {
        let now = Connection.now
        var found: (connection: Connection, isSending: Bool, since: UInt64)?
        for connection in state.open.values where !connection.isCut && connection !== except {
            guard source == nil || connection.source == source, let since = connection.idleSince(at: now) else {
                continue
            }
            let isSending = connection.phase == .sending
            if let best = found, (best.isSending ? 1 : 0, best.since) <= (isSending ? 1 : 0, since) { continue }
            found = (connection, isSending, since)
        }
        return found?.connection
    }

    /// Forgets a connection whose descriptor is about to be closed. No `cut` can meet it after this.
    func remove(_ connection: Connection) {
        state.withLock { state in
            guard state.open[connection.descriptor] === connection else { return }
            state.open[connection.descriptor] = nil
            state.counts.lower(connection.source)
        }
    }

    /// Cuts off what has been receiving or sending for too long, which a client can stretch without end by moving a byte
    /// now and then.
    func cutStalled() {
        state.withLock { state in
            let now = Connection.now
            for connection in state.open.values where !connection.isCut && connection.isStalled(at: now, options) {
                connection.cut()
            }
        }
    }

    /// Cuts off those whose client has left in the middle of a request: libmicrohttpd (0.9.75) overlooks an end that
    /// comes with the last bytes, and would keep them until they have been idle for long enough.
    func cutGone() {
        state.withLock { state in
            let now = Connection.now
            for connection in state.open.values where !connection.isCut {
                guard connection.phase == .waiting || connection.phase == .receiving else { continue }
                var byte: UInt8 = 0
                let isOld = now > connection.start + 2_000_000_000
                let flags = Int32(truncatingIfNeeded: Int(MSG_PEEK) | Int(MSG_DONTWAIT))
                if isOld, unsafe recv(connection.descriptor, &byte, 1, flags) == 0 { connection.cut() }
            }
        }
    }

    var count: Int { state.withLock { $0.open.count } }

    /// Connections whose request is being answered or whose answer is on its way.
    var busy: Int {
        state.withLock { $0.open.values.count { $0.phase == .answering || $0.phase == .sending } }
    }
}

extension [String: Int] {
    /// Counts one less of `key`.
    fileprivate mutating func lower(_ key: String) {
        let left = self[key, default: 0] - 1
        self[key] = left > 0 ? left : nil
    }
}
