package import AgentModel
package import AgentService
package import HTTPMessage
import HTTPTypes
import StrictJSON

/// One request on its way through a handler. Authenticated, except on an open route.
package struct APIExchange: Sendable {
    package let request: Request
    package let context: Context
    /// False only on open routes, for callers without a valid token.
    let isAuthenticated: Bool
    /// The caller's session; `nil` for a token or a certificate.
    let session: ConsoleSession?
    let captures: PathCaptures
    let query: QueryItems

    /// Throws unless the body says that it is JSON; an empty one need not.
    package func checkMediaType() throws(ServiceError) {
        guard request.isJSON || (request.fields[.contentType] ?? "" == "" && request.body.isEmpty) else {
            throw ServiceError(.unsupportedMediaType, "send Content-Type: application/json")
        }
    }

    /// The body as a JSON object.
    func object() throws(ServiceError) -> JSONObject {
        try checkMediaType()
        let value: JSON
        do throws(JSONError) { value = try JSON.parse(request.body) } catch {
            let place = error.offset.map { " at byte \($0)" } ?? ""
            throw ServiceError(
                JSONIssues([JSONError(path: error.path, offset: error.offset, detail: error.detail + place)]))
        }
        guard let object = value.object else {
            throw ServiceError(.invalidRequest, "the body must be a JSON object, not \(value.kind)")
        }
        return object
    }

    /// The plan's or operation's id in the path. An id of the wrong form is reported as unknown.
    func id(_ kind: RecordID.Kind) throws(ServiceError) -> RecordID {
        let text = captures["id"] ?? ""
        if let id = RecordID(text, kind) { return id }
        switch kind {
        case .plan: throw ServiceError(.planNotFound, "there is no plan \(JSON.string(text).shown)")
        case .operation: throw ServiceError(.operationNotFound, "there is no operation \(JSON.string(text).shown)")
        case .freeze: throw ServiceError(.notFound, "there is no freeze \(JSON.string(text).shown)")
        case .session: throw ServiceError(.notFound, "you have no session \(JSON.string(text).shown)")
        case .notification: throw ServiceError(.notFound, "there is no notification \(JSON.string(text).shown)")
        }
    }

    /// The caller's `Idempotency-Key` on this route, in the scope of its principal; `nil` if none was sent.
    func idempotencyKey(_ route: String) throws(ServiceError) -> IdempotencyKey? {
        guard let key = request.fields[.idempotencyKey] else { return nil }
        guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw ServiceError(.invalidRequest, "Idempotency-Key takes 1 to 255 visible ASCII characters")
        }
        return IdempotencyKey(principal: context.caller.principal, route: route, key: key)
    }

    /// A query parameter as `read` parses it; `nil` if absent. Throws if it cannot be parsed.
    func query<T>(_ name: String, _ expected: String, _ read: (String) -> T?) throws(ServiceError) -> T? {
        guard let text = query[name] else { return nil }
        if let value = read(text) { return value }
        throw ServiceError(
            .invalidRequest, "query parameter \(name): expected \(expected), got \(JSON.string(text).shown)")
    }

    /// A whole number within bounds.
    func query(_ name: String, in bounds: ClosedRange<Int>) throws(ServiceError) -> Int? {
        try query(name, "a number from \(bounds.lowerBound) to \(bounds.upperBound)") { text in
            Int(text).flatMap { bounds.contains($0) ? $0 : nil }
        }
    }

    /// `Prefer: wait=N` (RFC 7240) in seconds, at most 60. Ignores what is no valid preference, as the RFC requires.
    var preferredWait: Duration? {
        for preference in (request.fields[.prefer] ?? "").split(whereSeparator: { ",;".contains($0) }) {
            let parts = preference.split(separator: "=").map { $0.filter { $0 != " " && $0 != "\"" } }
            if parts.count == 2, parts[0].lowercased() == "wait", let seconds = Int(parts[1]), seconds >= 0 {
                return .seconds(min(seconds, 60))
            }
        }
        return nil
    }
}

extension Request {
    /// Whether the body says that it is JSON.
    var isJSON: Bool {
        let media = fields[.contentType]?.split(separator: ";").first ?? ""
        return media.filter { $0 != " " && $0 != "\t" }.lowercased() == "application/json"
    }
}

extension Route {
    /// The Model Context Protocol, another face of the same service, which ``AgentHandler`` serves beside its own
    /// routes. `screen` refuses a request before it is known who sends it; `trace` finds the trace in a body. Both faces
    /// know the same lists of guests.
    package static func mcp(
        screen: (@Sendable (Request) -> Response?)? = nil, trace: (@Sendable (Request) -> TraceContext?)? = nil,
        _ handle: @escaping @Sendable (APIExchange, GuestLists) async throws(ServiceError) -> Response
    ) -> Route {
        Route(
            .post, mcpPath, "call_mcp", .change, needs: .view, body: Envelopes.rpcMessage,
            gives: [
                .json(Envelopes.rpcAnswer.schema, "the result, or an error that the protocol sends with this status"),
                Answer(status: .accepted, schema: nil, summary: "a notification was taken", mediaTypes: []),
                .json(Envelopes.rpcAnswer.schema, "the message has a flaw", status: .badRequest),
                .json(Envelopes.rpcAnswer.schema, "there is no such method", status: .notFound),
            ], "the Model Context Protocol, unless the configuration switches it off", screen: screen, trace: trace
        ) { handlers in
            { exchange async throws(ServiceError) in try await handle(exchange, handlers.guestLists) }
        }
    }

    package static let mcpPath = "/mcp"

    /// All routes that there can be.
    package static let described =
        all + [
            mcp { _, _ throws(ServiceError) in throw ServiceError(.notFound, "the protocol is not served here") }
        ]
}
