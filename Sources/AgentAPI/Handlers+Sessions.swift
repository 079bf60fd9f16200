import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Sessions of the console: sign in, sign out, who is signed in.
extension Handlers {
    func signIn(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (sessions, request) = (try openSessions(), exchange.request)
        try sessions.rules.checkSignIn(request)
        let wanted = try SignInRequest(body: try exchange.object())
        let credentials: Credentials
        do throws(ServiceError) { credentials = try self.credentials(wanted, request) } catch {
            if error.code == .unauthenticated { try await holdBack(request, isGuess: true) }
            throw error
        }
        let context = try Authenticator.context(
            request, by: credentials.principal, requestID: exchange.context.requestID, trace: exchange.context.trace)
        var random = SystemRandomNumberGenerator()
        let begun = sessions.begin(
            RecordID(.session, using: &random), for: credentials, replacing: Sessions.cookie(in: request),
            userAgent: request.fields[.userAgent])
        guard let (session, cookie, ended) = begun else {
            throw ServiceError(.overloaded, "too many sessions are open; try again later")
        }
        for id in ended { await streams.end(of: id) }
        do throws(ServiceError) {
            try await service.record(.signedIn(session.id, wanted.method, ending: ended), context)
        } catch {
            _ = sessions.end(session.id, of: credentials.principal)
            throw error
        }
        var response = Response.json(.created, who(credentials.principal, session))
        response.fields[.setCookie] = Sessions.setting(cookie)
        return response
    }

    private func credentials(
        _ wanted: SignInRequest, _ request: Request
    ) throws(ServiceError) -> Credentials {
        switch wanted {
        case .token(let token): try authenticator.credentials(ofToken: token.reveal(), request)
        case .code(let code): try authenticator.credentials(ofCode: code.reveal(), request)
        }
    }

    private func openSessions() throws(ServiceError) -> Sessions {
        if let sessions = authenticator.sessions { return sessions }
        throw ServiceError(.notFound, "there is no console here: ui in the configuration turns it off")
    }

    /// Counts a failed authentication, and returns when it may be answered.
    func holdBack(_ request: Request, isGuess: Bool) async throws(ServiceError) {
        meter.unauthenticated(isGuess: isGuess)
        guard await failures.wait(for: request.peer) else {
            meter.refused(.authentications)
            throw ServiceError(
                .rateLimited, "too many requests without a valid token at once; ask again later, with one")
        }
    }

    func whoIsThere(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        guard exchange.isAuthenticated else {
            throw ServiceError(.unauthenticated, "nobody is signed in; POST /v1/session signs in")
        }
        return .json(.ok, who(exchange.context.principal, exchange.session))
    }

    private func who(_ principal: Principal, _ session: Session?) -> JSON {
        Views.identity(
            IdentityRow(
                principal: principal, session: session, installation: service.installation,
                rpID: authenticator.sessions?.rules.rpID ?? "localhost"))
    }

    func signOut(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let session = try await asked(exchange) { () throws(ServiceError) in
            guard let session = exchange.session else {
                throw ServiceError(.notFound, "you have no session to end; a token needs none")
            }
            return session
        }
        return try await end(session.id, exchange)
    }

    func endSession(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let id = try await asked(exchange) { () throws(ServiceError) in
            let id = try exchange.id(.session)
            guard authenticator.sessions?.list(of: exchange.context.principal).contains(where: { $0.id == id }) == true
            else { throw ServiceError(.notFound, "you have no session \(id)") }
            return id
        }
        return try await end(id, exchange)
    }

    /// Records the end of a session of the caller, and ends it and its event streams.
    private func end(_ id: RecordID, _ exchange: APIExchange) async throws(ServiceError) -> Response {
        let isOwn = exchange.session?.id == id
        try await service.record(isOwn ? .signedOut(id) : .ended(id), exchange.context)
        _ = authenticator.sessions?.end(id, of: exchange.context.principal)
        await streams.end(of: id)
        var response = Response(status: .noContent)
        if isOwn { response.fields[.setCookie] = Sessions.clearing }
        return response
    }

    func sessions(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let sessions = authenticator.sessions?.list(of: exchange.context.principal) ?? []
        return .json(
            .ok,
            ["sessions": .array(sessions.map { Views.session(SessionRow($0, isOwn: $0.id == exchange.session?.id)) })])
    }

    func signInCode(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (sessions, credentials) = try await asked(exchange) { () throws(ServiceError) in
            let sessions = try openSessions()
            if !exchange.request.body.isEmpty { _ = try exchange.object() }
            guard exchange.session == nil else {
                throw ServiceError(
                    .forbidden, "a session makes no codes, so that none outlives it; ask with the token")
            }
            guard let entry = authenticator.entry(of: exchange.context.principal) else {
                throw ServiceError(.unauthenticated, "the token is no longer valid")
            }
            return (sessions, entry)
        }
        try await service.record(.codeMade, exchange.context)
        let (code, endsAt) = sessions.codes.make(for: credentials)
        return .json(
            .created,
            [
                "code": .string(code.reveal()), "expires_at": .string(endsAt.rfc3339),
                "url": service.installation.publicURL.map { .string("\($0)/ui/") } ?? .null,
            ])
    }
}

/// A request to sign in.
enum SignInRequest: Sendable {
    case token(Secret)
    case code(Secret)

    var method: SessionChange.Method {
        switch self {
        case .token: .token
        case .code: .code
        }
    }

    /// Of `POST /v1/session`: `{token}` or `{code}`. Errors do not repeat the values.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let given = ["token", "code"].compactMap { key in reader.value(key).map { (key: key, value: $0) } }
        for (key, value) in given where value.string == nil { reader.report(key, "expected a string") }
        if given.count != 1 { reader.report([JSONError(path: reader.path, detail: "give either token or code")]) }
        do throws(JSONIssues) { try reader.finish() } catch { throw ServiceError(error) }
        guard let (key, value) = given.first, let text = value.string else {
            throw ServiceError(.internalError, "reading the body went wrong")
        }
        self = key == "token" ? .token(Secret(text)) : .code(Secret(text))
    }
}
