package import HTTPTypes

/// A request to be sent to another server.
package struct OutgoingRequest: Sendable {
    package var method: HTTPRequest.Method
    /// Absolute path with query, percent-encoded by the caller: `/api2/json/nodes?x=1`. The transport knows the origin.
    package var target: String
    package var fields: HTTPFields
    package var body: [UInt8]?
    /// A request that changes something: sent at most once, on a connection of its own that is not used again.
    package var once: Bool
    /// Time for the whole exchange; the transport's own default where `nil`.
    package var timeout: Duration?
    /// The largest body that is taken as the answer, where that is less than what the transport takes.
    package var maximumBodyBytes: Int?
    /// Asked when the connection stands, right before the first byte is written; its no ends the exchange as
    /// ``TransportError/withheld``. Called on any thread; must not block.
    package var gate: (@Sendable () -> Bool)?

    package init(
        method: HTTPRequest.Method, target: String, fields: HTTPFields = [:], body: [UInt8]? = nil, once: Bool,
        timeout: Duration? = nil, gate: (@Sendable () -> Bool)? = nil
    ) {
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.once = once
        self.timeout = timeout
        self.gate = gate
    }
}

/// A complete answer from another server.
package struct IncomingResponse: Sendable {
    package var status: Int
    /// The text after the status code, where Proxmox VE puts its error message. Empty when the server sent none.
    package var reason: String
    package var fields: HTTPFields
    package var body: [UInt8]

    package init(status: Int, reason: String, fields: HTTPFields = [:], body: [UInt8] = []) {
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body
    }
}

/// Why there is no complete answer. Texts never hold request fields or bodies.
package enum TransportError: Error, Sendable, Hashable {
    /// Nothing was sent: the name did not resolve, the connection or the TLS handshake failed.
    case unreachable(String)
    /// Nothing was sent: the request's gate was closed.
    case withheld
    /// Time ran out; `sent` is false only when the request certainly did not leave.
    case timeout(sent: Bool)
    /// The connection broke, or what came was no HTTP; `sent` as above.
    case broken(String, sent: Bool)
    /// The answer is larger than the limit, in bytes.
    case tooLarge(limit: Int)
    /// The caller's task was cancelled, or the transport was shut down; `sent` as above.
    case cancelled(sent: Bool)

    /// Whether the server may have acted on the request. Only `false` is certain.
    package var maybeSent: Bool {
        switch self {
        case .unreachable, .withheld: false
        case .timeout(let sent), .broken(_, let sent), .cancelled(let sent): sent
        case .tooLarge: true
        }
    }
}

/// The port through which HTTP requests leave: one transport serves one origin.
package protocol HTTPTransport: Sendable {
    /// Sends `request` and waits for the whole answer. Redirects are answers, never followed.
    func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse

    /// Returns when no request that has passed its gate has anything left to write: one that has is broken off.
    func finishWriting() async
}
