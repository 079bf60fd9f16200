package import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import Signatures
import StrictJSON

/// Who sends a request.
package struct Identity: Sendable {
    package let principal: Principal
    /// The session that says so; `nil` for a token or a certificate.
    package let session: Session?
}

/// Sessions, and what they begin with.
extension Authenticator {
    /// Who sends the request: by its token or certificate, or, if `byCookie`, by its session. With a token the cookie
    /// does not count.
    func identity(of request: Request, byCookie: Bool) throws(ServiceError) -> Identity {
        let hasToken = request.fields[.authorization] != nil
        guard byCookie, let sessions, !hasToken, let cookie = Sessions.cookie(in: request) else {
            let principal = try principal(of: request)
            if byCookie, !hasToken { try checkOrigin(ofCertified: request) }
            return Identity(principal: principal, session: nil)
        }
        try sessions.rules.checkSession(request)
        guard let session = sessions.session(of: cookie), let entry = credentials(of: session) else {
            throw ServiceError(.unauthenticated, "the session has ended; sign in again")
        }
        try checkCertificate(of: entry, request)
        return Identity(principal: entry.principal, session: session)
    }

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

    /// Notes that the session is used, unless a page asks by itself. Returns it as it is then.
    func used(_ identity: Identity, by request: Request) -> Identity {
        guard identity.session != nil, request.fields[.background] == nil, let cookie = Sessions.cookie(in: request)
        else { return identity }
        return Identity(principal: identity.principal, session: sessions?.use(cookie) ?? identity.session)
    }

    /// The principal of the session whose cookie the request has, whether or not it counts.
    func sessionHolder(of request: Request) -> Principal? {
        Sessions.cookie(in: request).flatMap { sessions?.session(of: $0) }.flatMap(credentials(of:))?.principal
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
    func credentials(ofCode code: String, _ request: Request) throws(ServiceError) -> Credentials {
        let wrong = ServiceError(.unauthenticated, "the code is not valid, or was used, or has run out; get a new one")
        switch sessions?.codes.take(code) {
        case .valid(let credentials):
            guard let known = present(credentials) else { throw wrong }
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
    func credentials(of session: Session) -> Credentials? {
        guard let entry = present(session.credentials) else { return nil }
        return session.passkey.map(entry.principal.approvalKeys.contains) ?? true ? entry : nil
    }

    /// The credentials of the principal who has that passkey, the passkey, and its counter.
    func credentials(
        ofPasskey assertion: PasskeyAssertion, _ request: Request
    ) throws(ServiceError) -> (Credentials, ApprovalKey, counter: UInt32) {
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
        guard sessions.challenges.use(challenge) else {
            throw ServiceError(
                .unauthenticated, "the challenge was used, has run out or is another's; ask for a new one")
        }
        try checkCertificate(of: entry, request)
        return (entry, key, evidence.counter)
    }

    /// The principal's credentials, if they are as they were; with what it may do now.
    func present(_ credentials: Credentials) -> Credentials? { currentEntries.first { $0.isSame(as: credentials) } }

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
    package func makeCode(for id: String) -> Secret? {
        guard let entry = currentEntries.first(where: { $0.principal.id == id }) else { return nil }
        return sessions?.codes.make(for: entry).code
    }
}

extension PasskeyAssertion {
    /// The challenge that its client data names. No proof before ``check(by:challenge:origin:rpID:)``.
    fileprivate var claimedChallenge: [UInt8]? {
        (try? JSON.parse(clientData))?["challenge"]?.string.flatMap { Base64.decodeURL($0.utf8) }
    }
}
