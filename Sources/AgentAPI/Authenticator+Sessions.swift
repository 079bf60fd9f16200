package import AgentModel
package import AgentService
import HTTPMessage
import HTTPTypes
import Signatures
import StrictJSON

/// Who sends a request.
package struct Identity: Sendable {
    package let principal: Principal
    /// The session that says so; `nil` for a token or a certificate.
    package let session: ConsoleSession?
}

/// Sessions, and what they begin with.
extension Authenticator {
    /// Who sends the request: by its token or certificate, or, if `byCookie`, by its session. With a token the cookie
    /// does not count.
    func identity(of request: Request, byCookie: Bool) async throws(ServiceError) -> Identity {
        guard let (sessions, cookie) = sessionCookie(of: request, byCookie) else {
            return Identity(principal: try principal(ofOther: request, byCookie), session: nil)
        }
        try sessions.rules.checkSession(request)
        return try identity(of: request, by: try await sessions.session(of: cookie))
    }

    /// Whose share of the server the request takes up: who sends it, as far as this agent has seen. Other agents may
    /// have ended its session since, so nothing is answered by that.
    func apparentPrincipal(of request: Request, byCookie: Bool) throws(ServiceError) -> Principal {
        guard let (sessions, cookie) = sessionCookie(of: request, byCookie) else {
            return try principal(ofOther: request, byCookie)
        }
        try sessions.rules.checkSession(request)
        return try identity(of: request, by: sessions.seenSession(of: cookie)).principal
    }

    /// The cookie by which the request is to be judged, if it is.
    private func sessionCookie(of request: Request, _ byCookie: Bool) -> (Sessions, String)? {
        guard byCookie, let sessions, !request.fields.contains(.authorization),
            let cookie = Sessions.cookie(in: request)
        else { return nil }
        return (sessions, cookie)
    }

    private func principal(ofOther request: Request, _ byCookie: Bool) throws(ServiceError) -> Principal {
        let principal = try principal(of: request)
        if byCookie, !request.fields.contains(.authorization) { try checkOrigin(ofCertified: request) }
        return principal
    }

    private func identity(of request: Request, by session: ConsoleSession?) throws(ServiceError) -> Identity {
        guard let session, let entry = credentials(of: session) else {
            throw Self.sessionHasEnded
        }
        try checkCertificate(of: entry, request)
        return Identity(principal: entry.principal, session: session)
    }

    private static let sessionHasEnded = ServiceError(.unauthenticated, "the session has ended; sign in again")

    /// Throws if a browser sends the request for a page of somebody else. Browsers send a client certificate by
    /// themselves, as they send cookies.
    private func checkOrigin(ofCertified request: Request) throws(ServiceError) {
        let isOfBrowser = request.fields[.secFetchSite] != nil || request.fields[.origin] != nil
        guard isOfBrowser else { return }
        guard let sessions else {
            throw ServiceError(
                .foreignOrigin,
                "a page in a browser is served only with a token, or at the console, which is switched off")
        }
        try sessions.rules.checkSession(request)
    }

    /// Notes that the session is used, unless a page asks by itself. Returns it as it is then; throws if it has ended
    /// meanwhile.
    func used(_ identity: Identity, by request: Request) async throws(ServiceError) -> Identity {
        guard let sessions, let session = identity.session, request.fields[.background] == nil else { return identity }
        let used: ConsoleSession?
        do throws(ServiceError) { used = try await sessions.use(session) } catch {
            // Where nothing can be written now, reads go on; the session ends if it stays so.
            return identity
        }
        guard let used else { throw Self.sessionHasEnded }
        return Identity(principal: identity.principal, session: used)
    }

    /// The principal of the session whose cookie the request has, whether or not it counts; as far as this agent has seen,
    /// if the sessions cannot be read.
    func sessionHolder(of request: Request) async -> Principal? {
        guard let sessions, let cookie = Sessions.cookie(in: request) else { return nil }
        let session: ConsoleSession?
        do throws(ServiceError) { session = try await sessions.session(of: cookie) } catch {
            session = sessions.seenSession(of: cookie)
        }
        return session.flatMap(credentials(of:))?.principal
    }

    /// Those that have not ended; `nil` if that cannot be known.
    func openSessions(among sessions: [ConsoleSession]) async -> Set<RecordID>? {
        guard let own = self.sessions else { return [] }
        return try? await own.open(among: sessions)
    }

    /// The credentials of a principal with that token, which are all that it needs.
    func credentials(ofToken token: String, _ request: Request) throws(ServiceError) -> Credentials {
        guard let known = holder(ofToken: Array(token.utf8)) else {
            throw ServiceError(.unauthenticated, "the token is not valid")
        }
        try checkCertificate(of: known, request)
        return known
    }

    /// The credentials of the principal for whom a code was made.
    func credentials(ofCode code: String, _ request: Request) async throws(ServiceError) -> Credentials {
        let wrong = ServiceError(.unauthenticated, "the code is not valid, or was used, or has run out; get a new one")
        switch try await sessions?.codes.take(code) {
        case .valid(let record):
            guard let known = present(record.owner, record.credentials) else { throw wrong }
            try checkCertificate(of: known, request)
            return known
        case .wrong, nil: throw wrong
        case .notTried:
            var error = ServiceError(.rateLimited, "too many wrong codes were tried; wait a minute, or use a token")
            error.retryAfter = 60
            throw error
        }
    }

    /// The credentials of a session's principal, if they, and the passkey that it began with, are as they were.
    func credentials(of session: ConsoleSession) -> Credentials? {
        guard let entry = present(session.owner, session.credentials) else { return nil }
        guard let passkey = session.passkey else { return entry }
        return entry.principal.approvalKeys.contains { $0.signInName == passkey } ? entry : nil
    }

    /// The credentials of the principal who has that passkey, the passkey, and its counter.
    func credentials(
        ofPasskey assertion: PasskeyAssertion, _ request: Request
    ) async throws(ServiceError) -> (Credentials, ApprovalKey, counter: UInt32) {
        guard let sessions, let place = sessions.rules.signingPlace else {
            throw ServiceError(.unauthenticated, "this agent has no public_url, for which a passkey could sign; set it")
        }
        let found = currentEntries.lazy.compactMap { entry in
            entry.principal.approvalKeys.first { $0.isOf(assertion) }.map { (entry, $0) }
        }.first
        guard let (entry, key) = found, case .passkey(let passkey) = key.material else {
            throw ServiceError(
                .unauthenticated, "no principal has this passkey; approval_keys in the configuration takes its line")
        }
        let challenge = assertion.claimedChallenge ?? []
        let evidence: PasskeyAssertion.Evidence
        do throws(SignatureProblem) {
            evidence = try assertion.check(
                by: passkey, challenge: challenge, origin: place.origin, rpID: place.rpID)
        } catch {
            throw ServiceError(.unauthenticated, "the passkey does not count: \(error)")
        }
        // After the signature, so that only holders of a passkey make the agent remember challenges.
        guard try await sessions.challenges.use(challenge) else {
            throw ServiceError(
                .unauthenticated, "the challenge was used, has run out or is another's; ask for a new one")
        }
        try checkCertificate(of: entry, request)
        return (entry, key, evidence.counter)
    }

    /// The owner's credentials, if they are as they were; with what it may do now.
    private func present(_ owner: String, _ digest: CredentialDigest?) -> Credentials? {
        currentEntries.first { $0.digest == digest && $0.owner == owner }
    }

    func entry(of principal: Principal) -> Credentials? { currentEntries.first { $0.principal == principal } }

    /// Throws if the principal needs a certificate that the client has not shown, or if it shows another's.
    private func checkCertificate(of entry: Credentials, _ request: Request) throws(ServiceError) {
        let shown = try Self.holder(of: request.certificate, among: currentEntries)
        if entry.certificate != nil, shown == nil {
            throw ServiceError(
                .unauthenticated, "this principal signs in only together with its client certificate")
        }
        guard shown == nil || shown == entry else {
            throw ServiceError(.unauthenticated, "the client certificate is that of another principal")
        }
    }

    /// A one-time code for a principal of that id, for `serve --demo` to print. It cannot be read again.
    package func makeCode(for id: String) async throws(ServiceError) -> Secret? {
        guard let sessions, let entry = currentEntries.first(where: { $0.principal.id == id }) else { return nil }
        let (code, record) = sessions.codes.make(for: entry)
        try await sessions.store.write { SignInCodes.put(record, $0) }
        return code
    }
}

extension PasskeyAssertion {
    /// The challenge that its client data names. No proof before ``check(by:challenge:origin:rpID:)``.
    fileprivate var claimedChallenge: [UInt8]? {
        (try? JSON.parse(clientData))?["challenge"]?.string.flatMap { Base64.decodeURL($0.utf8) }
    }
}
