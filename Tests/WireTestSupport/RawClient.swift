import Dispatch
package import HTTPMessage

/// A client that sends any bytes and tells exactly what comes back. Every wait is bounded.
///
/// Waits on a thread of its own: the thread pool of the tests stays free.
package final class RawClient: Sendable {
    /// How a connection ended.
    package enum End: Sendable, Hashable {
        /// An orderly end (FIN) after these bytes.
        case closed([UInt8])
        /// A reset (RST) after these bytes.
        case reset([UInt8])
    }

    private let socket: Socket
    private let queue = DispatchQueue(label: "raw client")
    private let reader = Lock(MessageReader())

    package init(_ address: ListenAddress) throws(WireError) {
        socket = try Socket.connected(to: address)
    }

    deinit { socket.close() }

    /// Sends `bytes` as they are.
    package func send(_ bytes: [UInt8], within limit: Duration = .seconds(5)) async throws(WireError) {
        try await onQueue { [socket] () throws(WireError) in try socket.write(bytes, until: .now + limit) }
    }

    package func send(_ text: String, within limit: Duration = .seconds(5)) async throws(WireError) {
        try await send(Array(text.utf8), within: limit)
    }

    /// Reads one response; pipelined ones stay for the next call. `toHead`: the request was HEAD, so no body comes.
    package func response(
        toHead: Bool = false, within limit: Duration = .seconds(5)
    ) async throws(WireError) -> WireMessage {
        try await onQueue { () throws(WireError) in
            let deadline = ContinuousClock.now + limit
            return try self.withReader { (reader: inout MessageReader) throws(WireError) in
                try reader.message(bodyless: toHead) { () throws(WireError) in try self.socket.read(until: deadline) }
            }
        }
    }

    /// Sends a request and reads the answer.
    package func exchange(_ text: String, within limit: Duration = .seconds(5)) async throws(WireError) -> WireMessage {
        try await send(text, within: limit)
        return try await response(toHead: text.hasPrefix("HEAD "), within: limit)
    }

    /// Reads until `text` has come, and returns what came before it: for responses that go on.
    package func read(through text: String, within limit: Duration = .seconds(5)) async throws(WireError) -> String {
        try await onQueue { () throws(WireError) in
            let deadline = ContinuousClock.now + limit
            return try self.withReader { (reader: inout MessageReader) throws(WireError) in
                try reader.line(endingWith: Array(text.utf8)) { () throws(WireError) in
                    try self.socket.read(until: deadline)
                }
            }
        }
    }

    /// Reads until the server ends the connection.
    package func end(within limit: Duration = .seconds(5)) async throws(WireError) -> End {
        try await onQueue { () throws(WireError) in
            let deadline = ContinuousClock.now + limit
            var bytes = self.reader.withLock { $0.rest }
            while true {
                do throws(WireError) {
                    let next = try self.socket.read(until: deadline)
                    if next.isEmpty { return .closed(bytes) }
                    bytes += next
                } catch {
                    guard case .system = error else { throw .deadline(bytes) }
                    return .reset(bytes)
                }
            }
        }
    }

    /// Whether nothing at all arrives for `duration`: neither bytes nor an end.
    package func staysSilent(for duration: Duration) async -> Bool {
        let socket = socket
        return await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: !socket.waitReadable(until: .now + duration)) }
        }
    }

    /// Ends the sending side (FIN); answers can still be read.
    package func finishWriting() { socket.finishWriting() }

    /// Leaves without a word: both sides of the connection are over, the server sees the end.
    package func leave() { socket.interrupt() }

    private func withReader<T>(
        _ body: (inout MessageReader) throws(WireError) -> T
    ) throws(WireError) -> T {
        // Only the queue reads, so nobody waits for this lock while `body` waits for bytes.
        var copy = reader.withLock { $0 }
        defer { reader.withLock { $0 = copy } }
        return try body(&copy)
    }

    private func onQueue<T: Sendable>(
        _ body: @escaping @Sendable () throws(WireError) -> T
    ) async throws(WireError) -> T {
        let result: Result<T, WireError> = await withCheckedContinuation { continuation in
            queue.async {
                do throws(WireError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
