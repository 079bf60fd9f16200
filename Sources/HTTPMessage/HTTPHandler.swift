/// What an HTTP server calls for each request.
package protocol HTTPHandler: Sendable {
    /// Answers a complete request. Runs on the server's own thread until its first real suspension.
    func respond(to request: Request) async -> Response

    /// Words the answer to a request that the server itself turns away; `request` has no body then. Must not block.
    func refuse(_ request: Request, because refusal: Refusal) -> Response
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
    /// As many exchanges run as are allowed.
    case overloaded
    /// The server is stopping.
    case shuttingDown
}
