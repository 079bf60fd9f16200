/// What an HTTP server calls for each request.
package protocol HTTPHandler: Sendable {
    /// Answers a complete request. Runs on the server's own thread until its first real suspension.
    func respond(to request: Request) async -> Response

    /// The party and lane of a complete request; called before ``respond(to:)``. Must not block.
    func admission(of request: Request) -> Admission

    /// Makes the response to a request that the server itself refuses; `request` has no body then. Must not block.
    func refuse(_ request: Request, because refusal: Refusal) -> Response
}

extension HTTPHandler {
    /// Counts each source as a party.
    package func admission(of request: Request) -> Admission { Admission(.source(request.source)) }
}

/// The party whose share of the server a request uses, and its lane. Each lane has places of its own.
package struct Admission: Sendable, Hashable {
    package enum Party: Sendable, Hashable {
        /// All clients from one address; see ``Request/source(of:)``.
        case source(String)
        /// An authenticated caller.
        case principal(String)
    }

    package enum Lane: Int, Sendable, Hashable, CaseIterable {
        case ordinary
        /// Requests that stop changes: they are served when all others must wait.
        case urgent
        /// Health checks of the process.
        case health
        /// Requests whose response may be a stream; a stream keeps its place to its end.
        case stream
    }

    package let party: Party
    package let lane: Lane

    package init(_ party: Party, _ lane: Lane = .ordinary) {
        self.party = party
        self.lane = lane
    }
}

/// Why a server refused a request without asking the handler for a response.
package enum Refusal: Sendable, Hashable {
    /// The body is larger than this many bytes.
    case bodyTooLarge(limit: Int)
    /// Request line and fields together are larger than this many bytes.
    case headTooLarge(limit: Int)
    /// The head cannot be trusted: duplicate `Host`, a length beside chunked coding, …
    case malformed(String)
    /// No response was ready in time.
    case deadlineExceeded
    /// The maximum of exchanges or of held bytes is reached.
    case overloaded
    /// The caller uses its whole share already.
    case shareUsedUp
    /// The client closed the connection, or its own side of it, before the response was ready.
    case clientLeft
    /// The server is stopping.
    case shuttingDown
}
