import CMicrohttpd
import Glibc
import HTTPMessage

/// All open connections. Used once when one opens and once when it closes, never per request.
final class ConnectionRegistry: Sendable {
    private struct State {
        var open: [Int32: Connection] = [:]
        /// Accepted, but not yet taken up by one of libmicrohttpd's threads. Keyed by descriptor, so that one that is
        /// lost on the way is forgotten when its number is used again.
        var arriving: Set<Int32> = []
        /// The connections that are not cut off, in total and for each source.
        var count = 0
        var counts: [String: Int] = [:]
        /// The last source for which no idle connection was found, and when.
        var looked: (source: String, at: UInt64) = ("", 0)

        mutating func raise(_ source: String) {
            count += 1
            counts[source, default: 0] += 1
        }

        mutating func lower(_ source: String) {
            count -= 1
            let left = counts[source, default: 0] - 1
            counts[source] = left > 0 ? left : nil
        }

        mutating func cut(_ connection: Connection) {
            guard !connection.isCut else { return }
            connection.cut()
            lower(connection.source)
        }

        mutating func remove(_ connection: Connection) {
            open[connection.descriptor] = nil
            if !connection.isCut { lower(connection.source) }
        }
    }

    private let state = Lock(State())
    private let options: HTTPServer.Options

    init(_ options: HTTPServer.Options) { self.options = options }

    /// Whether another connection of a source is accepted. Over its limit, idle ones must be closed for it; not the
    /// newest, which may be about to send a request. A flood is refused before it costs anything.
    func admits(_ source: String) -> Bool {
        state.withLock { state in
            guard state.counts[source, default: 0] >= options.maxConnectionsOfSource else { return true }
            let now = Connection.now
            if state.looked.source != source || now > state.looked.at &+ 50_000_000 {
                // If none can be closed, do not look again at once.
                if Self.cutIdle(&state, of: source, except: nil, for: 250_000_000) == 0 {
                    state.looked = (source, now)
                }
            }
            return state.counts[source, default: 0] < options.maxConnectionsOfSource
        }
    }

    /// Adds a connection. Over the total limit, cuts off idle connections of the source with the most, or this one if
    /// none is idle. So the server stays reachable however many clients hold connections.
    func add(_ connection: Connection) {
        state.withLock { state in
            state.arriving.remove(connection.descriptor)
            if let old = state.open[connection.descriptor] { state.remove(old) }
            state.open[connection.descriptor] = connection
            state.raise(connection.source)
            if state.count > options.maxConnections {
                let largest = state.counts.max { $0.value < $1.value }?.key
                if Self.cutIdle(&state, of: largest, except: connection) == 0,
                    Self.cutIdle(&state, of: nil, except: connection) == 0
                {
                    state.cut(connection)
                }
            } else if state.counts[connection.source, default: 0] > options.maxConnectionsOfSource {
                // Several were admitted before the first of them was added.
                state.cut(connection)
            }
        }
    }

    /// Cuts a connection off, unless it is closed already.
    func cut(_ connection: Connection) {
        state.withLock { if $0.open[connection.descriptor] === connection { $0.cut(connection) } }
    }

    /// Cuts off connections that are idle.
    func cutIdle() { state.withLock { _ = Self.cutIdle(&$0, of: nil, except: nil) } }

    /// Notes an accepted connection. Then call `add`, or ``withdraw(_:)``.
    func announce(_ descriptor: Int32) { state.withLock { _ = $0.arriving.insert(descriptor) } }

    /// The announced connection could not be served.
    func withdraw(_ descriptor: Int32) { state.withLock { _ = $0.arriving.remove(descriptor) } }

    /// How many are accepted, but not yet taken up.
    var arriving: Int { state.withLock { $0.arriving.count } }

    /// Gives libmicrohttpd a moment to close cut connections, if there are too many. Blocks.
    func waitForRoom() {
        var patience = 100
        while patience > 0,
            state.withLock({ $0.open.count + $0.arriving.count }) > options.maxConnections
        {
            usleep(200)
            patience -= 1
        }
    }

    /// Cuts off a sixteenth of a source's connections, to avoid a search for each new one: first the longest idle, then
    /// those whose clients do not read. A connection with unread bytes is not idle: the server is slow.
    @discardableResult
    private static func cutIdle(
        _ state: inout State, of source: String?, except: Connection?, for least: UInt64 = 0
    ) -> Int {
        let now = Connection.now
        var idle: [(connection: Connection, rank: (Int, UInt64))] = []
        for connection in state.open.values where !connection.isCut && connection !== except {
            guard source == nil || connection.source == source, let since = connection.idleSince(at: now),
                now >= since &+ least
            else { continue }
            idle.append((connection, (connection.phase == .sending ? 1 : 0, since)))
        }
        idle.sort { $0.rank < $1.rank }
        let limit = max(1, (source.map { state.counts[$0, default: 0] } ?? state.count) / 16)
        var count = 0
        for (connection, _) in idle where count < limit && (connection.phase == .sending || !connection.hasUnread) {
            state.cut(connection)
            count += 1
        }
        return count
    }

    /// Forgets a connection whose descriptor is about to be closed. After this no `cut` can reach it.
    func remove(_ connection: Connection) {
        state.withLock { state in
            if state.open[connection.descriptor] === connection { state.remove(connection) }
        }
    }

    /// Cuts off connections that have been receiving or sending for too long. A client can stretch that without end by
    /// moving a byte now and then.
    func cutStalled() {
        state.withLock { state in
            let now = Connection.now
            for connection in state.open.values where connection.isStalled(at: now, options) { state.cut(connection) }
        }
    }

    /// Cuts off connections whose client left in the middle of a request. libmicrohttpd (0.9.75) misses an end of
    /// stream that comes with the last bytes, and would keep them until the idle timeout.
    func cutGone() {
        state.withLock { state in
            let now = Connection.now
            for connection in state.open.values where !connection.isCut {
                guard connection.phase == .waiting || connection.phase == .receiving else { continue }
                var byte: UInt8 = 0
                let isOld = now > connection.start + 2_000_000_000
                let flags = Int32(truncatingIfNeeded: Int(MSG_PEEK) | Int(MSG_DONTWAIT))
                if isOld, unsafe recv(connection.descriptor, &byte, 1, flags) == 0 { state.cut(connection) }
            }
        }
    }

    var count: Int { state.withLock { $0.open.count } }

    /// Connections whose request is being handled or whose response is being sent, without streams.
    var busy: Int {
        state.withLock { $0.open.values.count { $0.phase == .answering || $0.phase == .sending } }
    }
}
