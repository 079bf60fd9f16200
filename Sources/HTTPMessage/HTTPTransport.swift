package import HTTPTypes

/// A request to another server.
package struct OutgoingRequest: Sendable {
    package var method: HTTPRequest.Method
    /// Absolute path with query, percent-encoded by the caller: `/api2/json/nodes?x=1`. The transport knows the origin.
    package var target: String
    package var fields: HTTPFields
    package var body: [UInt8]?
    /// For a request that changes something: sent at most once, on a separate connection that is not used again.
    package var once: Bool
    /// The limit for the whole exchange; `nil` for the transport's default.
    package var timeout: Duration?
    /// The largest accepted body of the response, if smaller than the transport's limit.
    package var maximumBodyBytes: Int?
    /// Called once the connection is ready, right before the first byte is written. If it returns false, the exchange
    /// ends as ``TransportError/withheld``. Called on any thread; must not block.
    package var gate: (@Sendable () -> Bool)?
    /// Takes the body of a successful response part by part, as it comes; the response has none then, and no limit of
    /// size holds. If it returns false, the exchange ends as ``TransportError/cancelled(sent:)``. Called on any thread;
    /// while it blocks, nothing else of the transport goes on, and the server has to wait.
    package var take: (@Sendable ([UInt8]) -> Bool)?

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

/// A complete response from another server.
package struct IncomingResponse: Sendable {
    package var status: Int
    /// The text after the status code, where Proxmox VE puts its error message. Empty if the server sent none.
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

/// Why there is no complete response. Texts never contain request fields or bodies.
package enum TransportError: Error, Sendable, Hashable {
    /// Nothing was sent: the name did not resolve, the connection or the TLS handshake failed.
    case unreachable(String)
    /// Nothing was sent: the request's gate was closed.
    case withheld
    /// The time ran out. `sent` is false only if the request certainly was not sent.
    case timeout(sent: Bool)
    /// The connection broke, or the response was not HTTP; `sent` as above.
    case broken(String, sent: Bool)
    /// The response is larger than the limit, in bytes.
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

/// The port for outgoing HTTP requests: one transport serves one origin.
package protocol HTTPTransport: Sendable {
    /// Sends `request` and waits for the whole response. Redirects are returned, never followed.
    func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse

    /// Returns once no request that has passed its gate has anything left to write. One that still has is aborted.
    func finishWriting() async
}
