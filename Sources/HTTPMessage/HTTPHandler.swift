/// What an HTTP server calls for each request.
package protocol HTTPHandler: Sendable {
    /// Answers a complete request. Runs on the server's own thread until its first real suspension.
    func respond(to request: Request) async -> Response

    /// Whose share of the server a complete request takes; asked before ``respond(to:)``. Must not block.
    func admission(of request: Request) -> Admission

    /// Words the answer to a request that the server itself turns away; `request` has no body then. Must not block.
    func refuse(_ request: Request, because refusal: Refusal) -> Response
}

extension HTTPHandler {
    /// One share for each source.
    package func admission(of request: Request) -> Admission { Admission(.source(request.source)) }
}

/// Whose share of a server a request takes, and in which lane. Each lane has places of its own.
package struct Admission: Sendable, Hashable {
    package enum Party: Sendable, Hashable {
        /// Whoever comes from an address; see ``Request/source(of:)``.
        case source(String)
        /// Somebody who has proved who they are.
        case principal(String)
    }

    package enum Lane: Int, Sendable, Hashable, CaseIterable {
        case ordinary
        /// What stops changes: it goes when everything else has to wait.
        case urgent
        /// Whether the process works.
        case health
    }

    package let party: Party
    package let lane: Lane

    package init(_ party: Party, _ lane: Lane = .ordinary) {
        self.party = party
        self.lane = lane
    }
}

/// Why a server turned a request away without asking for an answer.
package enum Refusal: Sendable, Hashable {
    /// The body is larger than this many bytes.
    case bodyTooLarge(limit: Int)
    /// Request line and fields together are larger than this many bytes.
    case headTooLarge(limit: Int)
    /// The head cannot be trusted: duplicate `Host`, a length beside chunked coding, …
    case malformed(String)
    /// No answer was ready in time.
    case deadlineExceeded
    /// As many exchanges run, or as many bytes are held, as are allowed.
    case overloaded
    /// The caller has all of its share in use.
    case shareUsedUp
    /// The client has ended the connection, or its own side of it, before the answer was there.
    case clientLeft
    /// The server is stopping.
    case shuttingDown
}
