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
        let (session, cookie) = sessions.make(
            for: credentials, by: passkey, userAgent: request.fields[.userAgent])
        try await begin(session, wanted.method, in: sessions, context, request)
        var response = Response.json(.created, who(credentials.principal, session))
        response.fields[.setCookie] = Sessions.setting(cookie)
        return response
    }

    /// Records that the session begins and which ones end by that, and then does it. If others begin or end meanwhile,
    /// the record is void, and all is looked at again.
    private func begin(
        _ session: ConsoleSession, _ method: SessionChange.Method, in sessions: Sessions, _ context: Context,
        _ request: Request
    ) async throws(ServiceError) {
        let old = Sessions.cookie(in: request).map(Sessions.key)
        for _ in 0..<5 {
            guard let ending = try await sessions.replaced(by: session, in: old) else {
                throw ServiceError(.overloaded, "too many sessions are open; try again later")
            }
            let change = SessionChange.signedIn(session.id, method, ending: ending.map(\.id))
            let isBegun = try await service.record(change, context, in: sessions.store) {
                Sessions.begin(session, in: old, ending: ending, $0)
            }
            guard isBegun != nil else { continue }
            for session in ending { await streams.end(of: session.id) }
            return
        }
        throw ServiceError(.overloaded, "too many sign-ins of this principal at once; try again")
    }

    private func credentials(
        _ wanted: SignInRequest, _ request: Request
    ) async throws(ServiceError) -> (Credentials, ApprovalKey?) {
        switch wanted {
        case .token(let token): return (try authenticator.credentials(ofToken: token.reveal(), request), nil)
        case .code(let code): return (try await authenticator.credentials(ofCode: code.reveal(), request), nil)
        case .passkey(let assertion):
            let (credentials, key, counter) = try await authenticator.credentials(ofPasskey: assertion, request)
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

    /// The sessions, if the request may begin one, and this agent may.
    private func sessionsForSignIn(_ exchange: APIExchange) async throws(ServiceError) -> Sessions {
        let sessions = try openSessions()
        do throws(ServiceError) { try sessions.rules.checkSignIn(exchange.request) } catch {
            try await recordBrowser(error, exchange.request, exchange.context.requestID, exchange.context.trace)
            throw error
        }
        try sessions.store.checkAgreed()
        return sessions
    }

    /// Records what the rules for browsers refuse: under the principal whose session the request has, else among the
    /// failed authentications.
    func recordBrowser(
        _ error: ServiceError, _ request: Request, _ id: String, _ trace: TraceContext?
    ) async throws(ServiceError) {
        guard [.foreignOrigin, .tlsRequired, .unsupportedMediaType].contains(error.code) else { return }
        guard let principal = await authenticator.sessionHolder(of: request) else {
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

    private func who(_ principal: Principal, _ session: ConsoleSession?) -> JSON {
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
        return try await end(session, exchange)
    }

    func endSession(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let id = try await asked(exchange) { () throws(ServiceError) in try exchange.id(.session) }
        let session = try await list(of: exchange).first { $0.id == id }
        let found = try await asked(exchange) { () throws(ServiceError) in
            guard let session else { throw ServiceError(.notFound, "you have no session \(id)") }
            return session
        }
        return try await end(found, exchange)
    }

    /// Records the end of a session of the caller, and ends it and its event streams.
    private func end(_ session: ConsoleSession, _ exchange: APIExchange) async throws(ServiceError) -> Response {
        let isOwn = exchange.session?.id == session.id
        let change: SessionChange = isOwn ? .signedOut(session.id) : .ended(session.id)
        // If another request has ended it meanwhile, the record is void.
        _ = try await service.record(change, exchange.context, in: try openSessions().store) { records -> Bool? in
            guard records.signIn(.session, session.key) != nil else { return nil }
            records.removeSignIn(.session, session.key)
            return true
        }
        await streams.end(of: session.id)
        var response = Response(status: .noContent)
        if isOwn { response.fields[.setCookie] = Sessions.clearing }
        return response
    }

    private func list(of exchange: APIExchange) async throws(ServiceError) -> [ConsoleSession] {
        try await authenticator.sessions?.list(of: exchange.context.principal) ?? []
    }

    func sessions(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let sessions = try await list(of: exchange)
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
            try sessions.store.checkAgreed()
            return (sessions, entry)
        }
        let (code, record) = sessions.codes.make(for: credentials)
        _ = try await service.record(.codeMade, exchange.context, in: sessions.store) { records -> Bool? in
            SignInCodes.put(record, records)
            return true
        }
        return .json(
            .created,
            [
                "code": .string(code.reveal()), "expires_at": .string(record.endsAt.rfc3339),
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
