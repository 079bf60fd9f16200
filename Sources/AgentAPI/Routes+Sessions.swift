import AgentService
import ConsoleFiles
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Sessions, and the files of the console.
extension Route {
    static let sessions: [Route] = [
        Route(
            .get, "/v1/session", "get_session", .visitor,
            gives: [.json(Views.identity.schema, "the caller")],
            fails: [.unauthenticated, .foreignOrigin, .tlsRequired],
            "who sends the request, and under which session", Handlers.whoIsThere),
        Route(
            .post, "/v1/session", "sign_in", .visitor, body: Envelopes.signIn.schema,
            gives: [.json(Views.identity.schema, "signed in; the cookie is the session", status: .created)],
            fails: [
                .unauthenticated, .foreignOrigin, .tlsRequired, .notFound, .authNotConfigured, .auditUnavailable,
                .agentsDisagree,
            ], "sign in at the console, by a token, a one-time code or a passkey", Handlers.signIn),
        Route(
            .post, "/v1/session/challenge", "create_sign_in_challenge", .visitor,
            gives: [.json(Envelopes.challenge.schema, "the challenge")],
            fails: [.foreignOrigin, .tlsRequired, .notFound, .unsupportedMediaType, .agentsDisagree],
            "a challenge for a sign-in by passkey", Handlers.challenge),
        Route(
            .delete, "/v1/session", "sign_out", .change, gives: [.nothing("signed out")],
            fails: [.notFound, .auditUnavailable], "sign out", Handlers.signOut),
        Route(
            .post, "/v1/session/code", "create_sign_in_code", .change,
            gives: [.json(Envelopes.signInCode.schema, "the code, seen this once", status: .created)],
            fails: [.notFound, .auditUnavailable, .agentsDisagree],
            "a one-time code to sign in with, for the holder of a token",
            Handlers.signInCode),
        Route(
            .get, "/v1/sessions", "list_sessions", .read,
            gives: [.json(Envelopes.sessions.schema, "the caller's sessions")], "the caller's sessions, newest first",
            Handlers.sessions),
        Route(
            .delete, "/v1/sessions/{id}", "end_session", .change, gives: [.nothing("ended")],
            fails: [.notFound, .auditUnavailable], "end one of the caller's sessions", Handlers.endSession),
    ]

    /// The paths of ``console(_:)``.
    package static let consolePaths = ["/ui", "/ui/", "/ui/{name}"]

    /// The routes of the console's files. They are no part of the API.
    package static func console(_ rules: BrowserRules) -> [Route] {
        typealias Handler = @Sendable (APIExchange) async throws(ServiceError) -> Response
        let root: Handler = { _ in Response(status: .permanentRedirect, fields: [.location: "/ui/"]) }
        let index: Handler = { exchange throws(ServiceError) in try file("index.html", exchange, rules) }
        let other: Handler = { exchange throws(ServiceError) in
            try file(exchange.captures["name"] ?? "", exchange, rules)
        }
        let handlers: [Handler] = [root, index, other]
        return zip(consolePaths, handlers).map { path, handler in
            Route(.get, path, "get_console", .open, gives: [], "the console") { _ in handler }
        }
    }

    private static func file(
        _ name: String, _ exchange: APIExchange, _ rules: BrowserRules
    ) throws(ServiceError) -> Response {
        try rules.checkTransport(exchange.request)
        guard let file = ConsoleFile.all.first(where: { $0.name == name }) else {
            throw ServiceError(.notFound, "the console has no file \(JSON.string(name).shown)")
        }
        var response = Response(status: .ok, fields: [.contentType: file.mediaType], body: .init(file.bytes))
        response.fields.append(contentsOf: onConsoleFiles)
        return Negotiation.tagged(response, for: exchange.request)
    }

    /// What a browser may do with the console's pages: only their own scripts and styles, no frames, no text as markup.
    private static let onConsoleFiles: HTTPFields = {
        let policy = [
            "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
            "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
        let permissions = [
            "publickey-credentials-get=(self)", "publickey-credentials-create=(self)", "camera=()", "geolocation=()",
            "microphone=()",
        ]
        return [
            .contentSecurityPolicy: policy.joined(separator: "; "),
            .constant("Permissions-Policy"): permissions.joined(separator: ", "),
            .constant("Cross-Origin-Opener-Policy"): "same-origin",
            .constant("Cross-Origin-Resource-Policy"): "same-origin", .constant("X-Frame-Options"): "DENY",
        ]
    }()
}
