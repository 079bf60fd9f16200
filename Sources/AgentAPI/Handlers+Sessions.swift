import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Signatures
import StrictJSON

/// Sessions of the console: sign in, sign out, who is signed in.
extension Handlers {
    func signIn(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (sessions, request) = (try await sessionsForSignIn(exchange), exchange.request)
        let wanted = try SignInRequest(body: try exchange.object())
        let (credentials, passkey): (Credentials, ApprovalKey?)
        do throws(ServiceError) { (credentials, passkey) = try await self.credentials(wanted, request) } catch {
            if error.code == .unauthenticated { try await holdBack(request, isGuess: true) }
            throw error
        }
        let context = try Authenticator.context(
            request, by: credentials.principal, requestID: exchange.context.requestID, trace: exchange.context.trace)
        var random = SystemRandomNumberGenerator()
        let begun = sessions.begin(
            RecordID(.session, using: &random), for: credentials, by: passkey, replacing: Sessions.cookie(in: request),
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
    ) async throws(ServiceError) -> (Credentials, ApprovalKey?) {
        switch wanted {
        case .token(let token): return (try authenticator.credentials(ofToken: token.reveal(), request), nil)
        case .code(let code): return (try authenticator.credentials(ofCode: code.reveal(), request), nil)
        case .passkey(let assertion):
            let (credentials, key, counter) = try authenticator.credentials(ofPasskey: assertion, request)
            do throws(ServiceError) {
                try await service.passkeys.take(SignatureCount(key: key.fingerprint, number: counter))
            } catch {
                throw error.code == .signatureInvalid ? ServiceError(.unauthenticated, error.detail) : error
            }
            return (credentials, key)
        }
    }

    func challenge(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let sessions = try await sessionsForSignIn(exchange)
        if !exchange.request.body.isEmpty { _ = try exchange.object() }
        guard let place = sessions.rules.signingPlace else {
            throw ServiceError(.notFound, "this agent has no public_url, for which a passkey could sign; set it")
        }
        let (challenge, endsAt) = sessions.challenges.make()
        return .json(
            .ok,
            [
                "challenge": .string(Base64.encodeURL(challenge)), "rp_id": .string(place.rpID),
                "expires_at": .string(endsAt.rfc3339),
            ])
    }

    /// The sessions, if the request may begin one.
    private func sessionsForSignIn(_ exchange: APIExchange) async throws(ServiceError) -> Sessions {
        let sessions = try openSessions()
        do throws(ServiceError) { try sessions.rules.checkSignIn(exchange.request) } catch {
            try await recordBrowser(error, exchange.request, exchange.context.requestID, exchange.context.trace)
            throw error
        }
        return sessions
    }

    /// Records what the rules for browsers refuse: under the principal whose session the request has, else among the
    /// failed authentications.
    func recordBrowser(
        _ error: ServiceError, _ request: Request, _ id: String, _ trace: TraceContext?
    ) async throws(ServiceError) {
        guard [.foreignOrigin, .tlsRequired, .unsupportedMediaType].contains(error.code) else { return }
        guard let principal = authenticator.sessionHolder(of: request) else {
            return try await holdBack(request, isGuess: true)
        }
        try await service.recordingRefusals(of: Context(principal, requestID: id, trace: trace)) {
            () throws(ServiceError) in throw error
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
                rpID: authenticator.sessions?.rules.signingPlace?.rpID ?? "localhost"))
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
    case passkey(PasskeyAssertion)

    var method: SessionChange.Method {
        switch self {
        case .token: .token
        case .code: .code
        case .passkey: .passkey
        }
    }

    /// Of `POST /v1/session`: `{token}`, `{code}` or `{passkey}`. Errors do not repeat the values.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let given = ["token", "code", "passkey"].compactMap { key in reader.value(key).map { (key: key, value: $0) } }
        if given.count != 1 {
            reader.report([JSONError(path: reader.path, detail: "give one of token, code and passkey")])
        }
        var request: SignInRequest?
        for (key, value) in given {
            switch (key, value) {
            case ("token", .string(let text)): request = .token(Secret(text))
            case ("code", .string(let text)): request = .code(Secret(text))
            case ("passkey", .object(let parts)):
                do throws(SignatureProblem) { request = .passkey(try PasskeyAssertion(form: parts)) } catch {
                    reader.report(key, "\(error)")
                }
            default: reader.report(key, "expected \(key == "passkey" ? "an object" : "a string")")
            }
        }
        do throws(JSONIssues) { try reader.finish() } catch { throw ServiceError(error) }
        guard let request else { throw ServiceError(.internalError, "reading the body went wrong") }
        self = request
    }
}
