import Dispatch
package import HTTPMessage

/// A server that does to its clients what it is told, byte by byte, and counts them.
///
/// Each accepted connection runs the script that `script` gives for its number, from 0.
package final class RawServer: Sendable {
    /// One thing to do on a connection. After the last step the connection is closed.
    package enum Step: Sendable, Hashable {
        /// Wait for a whole request; without one (the client left) the connection is over.
        case request
        /// Wait for this many bytes of anything.
        case bytes(Int)
        case send([UInt8])
        /// Stay silent until the client leaves or the server stops.
        case hang
        /// Read nothing until the server stops.
        case ignore
        /// Close with FIN.
        case close
        /// Close with RST.
        case reset
        /// Start again with the first step.
        case again

        package static func send(_ text: String) -> Step { .send(Array(text.utf8)) }

        /// A whole answer with this status line (`200 OK`), these further header lines and this body.
        package static func answer(_ status: String, fields: [String] = [], _ body: String = "") -> Step {
            let head = ["HTTP/1.1 \(status)", "Content-Length: \(body.utf8.count)"] + fields
            return .send(head.joined(separator: "\r\n") + "\r\n\r\n" + body)
        }
    }

    private struct State {
        var accepted: [Int: Socket] = [:]
        var connections = 0
        var requests: [WireMessage] = []
        var stopped = false
    }

    /// 127.0.0.1 with a free port.
    package let address: ListenAddress
    private let listener: Socket
    private let script: @Sendable (Int) -> [Step]
    private let state = Lock(State())
    private let queue = DispatchQueue(label: "raw server")

    package init(script: @escaping @Sendable (_ connection: Int) -> [Step]) throws(WireError) {
        let (socket, port) = try Socket.listening()
        listener = socket
        address = .tcp(host: "127.0.0.1", port: port)
        self.script = script
        queue.async { [self] in acceptAll() }
    }

    /// The same steps on every connection.
    package convenience init(_ steps: Step...) throws(WireError) { try self.init { _ in steps } }

    package var port: UInt16 {
        switch address {
        case .tcp(_, let port): port
        case .unix: 0
        }
    }

    /// Connections accepted so far.
    package var connections: Int { state.withLock { $0.connections } }

    /// Whole requests read so far, in the order in which they were complete.
    package var requests: [WireMessage] { state.withLock { $0.requests } }

    /// Ends every connection and stops listening. Must be called: the accepting thread keeps the server alive.
    package func stop() {
        let sockets = state.withLock { state in
            state.stopped = true
            return Array(state.accepted.values)
        }
        sockets.forEach { $0.interrupt() }
        listener.interrupt()
    }

    private func acceptAll() {
        while listener.waitReadable(until: .now + .seconds(3600)) {
            guard let socket = listener.accept() else { break }
            let number: Int? = state.withLock { state in
                guard !state.stopped else { return nil }
                defer { state.connections += 1 }
                state.accepted[state.connections] = socket
                return state.connections
            }
            guard let number else {
                socket.close()
                break
            }
            DispatchQueue(label: "raw server connection").async { [self] in
                serve(socket, script(number))
                // Forgotten before it is closed, so that `stop` never meets a descriptor that has a new owner.
                state.withLock { $0.accepted[number] = nil }
                socket.close()
            }
        }
        listener.close()
    }

    private func serve(_ socket: Socket, _ steps: [Step]) {
        var reader = MessageReader()
        let deadline = ContinuousClock.now + .seconds(60)
        var index = 0
        while index < steps.count {
            defer { index += 1 }
            do {
                switch steps[index] {
                case .request:
                    let request = try reader.message { () throws(WireError) in try socket.read(until: deadline) }
                    state.withLock { $0.requests.append(request) }
                case .bytes(let count):
                    _ = try reader.take(count) { () throws(WireError) in try socket.read(until: deadline) }
                case .send(let bytes): try socket.write(bytes, until: deadline)
                case .hang: _ = try reader.toEnd { () throws(WireError) in try socket.read(until: deadline) }
                case .ignore:
                    let pause = DispatchSemaphore(value: 0)
                    while !state.withLock({ $0.stopped }), .now < deadline {
                        _ = pause.wait(timeout: .now() + .milliseconds(5))
                    }
                case .close: return
                case .reset: return socket.resetOnClose()
                case .again: index = -1
                }
            } catch {
                return
            }
        }
    }
}
