package import AgentModel
package import AgentService
package import HTTPMessage
package import HTTPTypes
import Synchronization

/// The credentials of a principal: a token, a client certificate, or both. With both, neither is valid alone.
package struct Credentials: Sendable, Hashable {
    package let principal: Principal
    package let token: CredentialDigest?
    /// The SHA-256 of its DER form.
    package let certificate: CredentialDigest?
    /// By this a session knows them again, whatever the principal may do.
    let digest: CredentialDigest

    package init(_ principal: Principal, token: CredentialDigest? = nil, certificate: CredentialDigest? = nil) {
        self.principal = principal
        self.token = token
        self.certificate = certificate
        let parts = [token?.description ?? "-", certificate?.description ?? "-", principal.signInOwner]
        digest = CredentialDigest(of: parts.joined(separator: " ").utf8)
    }
}

/// Identifies callers. Knows credentials only by their SHA-256; they can be replaced at run time.
package final class Authenticator: Sendable {
    private let entries: Mutex<[Credentials]>
    private let scrapeToken: Mutex<CredentialDigest?>
    /// `nil` if there is no console.
    package let sessions: Sessions?
    /// Sessions of credentials that are gone are to be removed; at first those of an earlier configuration.
    private let hasStrangers = Atomic(true)
    /// Whether the last look at the sessions of event streams failed.
    let isLookMissed = Atomic(false)

    /// - Parameters:
    ///   - credentials: all valid credentials; without any, no request is authenticated. No two principals share a
    ///     token or a certificate.
    ///   - scrapeToken: the token that may read figures, and nothing else.
    ///   - sessions: the sessions of the console, if there is one.
    package init(
        _ credentials: [Credentials], scrapeToken: CredentialDigest? = nil, sessions: Sessions? = nil
    ) {
        entries = Mutex(credentials)
        self.sessions = sessions
        self.scrapeToken = Mutex(scrapeToken)
    }

    package var isConfigured: Bool { entries.withLock { !$0.isEmpty } }

    /// Replaces all credentials, from the next request on. Sessions of others no longer count, and end for good with the
    /// next ``tidySessions()``.
    package func replace(_ credentials: [Credentials], scrapeToken: CredentialDigest? = nil) {
        entries.withLock { $0 = credentials }
        self.scrapeToken.withLock { $0 = scrapeToken }
        hasStrangers.store(true, ordering: .sequentiallyConsistent)
    }

    /// Removes sessions that are due, or whose credentials were replaced. Throws if the state does not work; they are
    /// removed the next time then. One of several agents whose clock or configuration is not that of the others removes
    /// none.
    package func tidySessions() async throws(ServiceError) {
        guard let sessions else { return }
        sessions.forgetSeen()
        guard sessions.store.isAgreed else { return }
        let hadStrangers = hasStrangers.exchange(false, ordering: .sequentiallyConsistent)
        let isValid: @Sendable (ConsoleSession) -> Bool = { [self] in credentials(of: $0) != nil }
        do throws(ServiceError) { try await sessions.tidy(where: hadStrangers ? isValid : nil) } catch {
            if hadStrangers { hasStrangers.store(true, ordering: .sequentiallyConsistent) }
            throw error
        }
    }

    var currentEntries: [Credentials] { entries.withLock { $0 } }

    var currentScrapeToken: CredentialDigest? { scrapeToken.withLock { $0 } }

    /// Whether a header has that token; in constant time.
    static func isToken(_ token: CredentialDigest, in header: String) -> Bool {
        guard let sent = bearerToken(in: header) else { return false }
        return token.mask(of: CredentialDigest(of: sent)) != 0
    }

    /// The principal behind `Authorization: Bearer …` (RFC 6750), the client's certificate, or both.
    package func principal(of request: Request) throws(ServiceError) -> Principal {
        let entries = entries.withLock { $0 }
        guard !entries.isEmpty else {
            throw ServiceError(
                .authNotConfigured,
                "no token is configured; set PROXMOX_AGENT_API_TOKEN, or list principals, and start the agent again")
        }
        let shown = try Self.holder(of: request.certificate, among: entries)
        guard let header = request.fields[.authorization] else {
            guard let shown, shown.token == nil else { throw Self.missing(request.certificate, shown) }
            return shown.principal
        }
        guard let known = Self.holder(of: header, among: entries) else {
            throw ServiceError(.unauthenticated, "the token is not valid")
        }
        if known.certificate != nil, shown == nil {
            throw ServiceError(.unauthenticated, "the token counts only together with the certificate of its principal")
        }
        guard shown == nil || shown == known else {
            throw ServiceError(.unauthenticated, "token and client certificate are those of two principals; send one")
        }
        return known.principal
    }

    /// The holder of the certificate; `nil` if it is unknown or absent.
    static func holder(
        of certificate: ClientCertificate?, among entries: [Credentials]
    ) throws(ServiceError) -> Credentials? {
        switch certificate {
        case nil: return nil
        case .accepted(let digest):
            let digest = CredentialDigest(bytes: digest)
            return entries.first { $0.certificate != nil && $0.certificate == digest }
        case .refused(let why):
            throw ServiceError(.unauthenticated, "the client certificate does not count: \(why)")
        }
    }

    /// The holder of the token in a header; `nil` for an unknown token or another scheme.
    private static func holder(of header: String, among entries: [Credentials]) -> Credentials? {
        bearerToken(in: header).flatMap { holder(ofToken: $0, among: entries) }
    }

    func holder(ofToken token: [UInt8]) -> Credentials? { Self.holder(ofToken: token, among: currentEntries) }

    private static func holder(ofToken token: [UInt8], among entries: [Credentials]) -> Credentials? {
        let digest = CredentialDigest(of: token)
        // Compare with all entries in constant time, so that the time reveals nothing about a token.
        var place: UInt = 0
        for (index, entry) in entries.enumerated() {
            place |= UInt(index + 1) & (entry.token?.mask(of: digest) ?? 0)
        }
        return place > 0 ? entries[Int(place) - 1] : nil
    }

    /// The error for a request without a token.
    private static func missing(_ certificate: ClientCertificate?, _ shown: Credentials?) -> ServiceError {
        let cure = "send the header Authorization: Bearer TOKEN"
        guard case .accepted(let bytes) = certificate, let digest = CredentialDigest(bytes: bytes) else {
            return ServiceError(.unauthenticated, cure)
        }
        return ServiceError(
            .unauthenticated,
            shown == nil
                ? "no principal has the client certificate with the SHA-256 \(digest); set its cert_sha256, or \(cure)"
                : "the client certificate counts only together with the token of its principal; \(cure)")
    }

    /// The context of a request: its principal, its id, and the label in `X-Actor-ID` if there is one.
    package static func context(
        _ request: Request, by principal: Principal, requestID: String, trace: TraceContext? = nil
    ) throws(ServiceError) -> Context {
        let label = request.fields[.actorID]
        guard label.map(TextForm.label.matches) ?? true else {
            throw ServiceError(
                .invalidRequest, "X-Actor-ID takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -; the one sent is not that")
        }
        guard label.map(Principal.isReserved) != true else {
            throw ServiceError(
                .invalidRequest, "X-Actor-ID is a name that records give to the agent or to a stranger; take another")
        }
        return Context(principal, label: label, requestID: requestID, trace: trace)
    }

    /// The part after `Bearer` and blanks; `nil` for another scheme.
    private static func bearerToken(in header: String) -> [UInt8]? {
        let scheme = header.utf8.prefix { $0 != UInt8(ascii: " ") }
        guard scheme.lazy.map({ $0 | 0x20 }).elementsEqual("bearer".utf8) else { return nil }
        return Array(header.utf8[scheme.endIndex...].drop { $0 == UInt8(ascii: " ") })
    }
}

extension Context {
    /// A request by `principal` with the label `label`.
    init(_ principal: Principal, label: String? = nil, requestID: String, trace: TraceContext?) {
        self.init(
            caller: Caller(principal: principal.id, label: label, isShared: principal.isShared), principal: principal,
            requestID: requestID, trace: trace)
    }
}

extension HTTPField.Name {
    /// The caller's label, as it states it; not an identity.
    package static var actorID: Self { constant("X-Actor-ID") }
    package static var requestID: Self { constant("X-Request-ID") }
    static var prefer: Self { constant("Prefer") }
    static var preferenceApplied: Self { constant("Preference-Applied") }
    static var idempotencyKey: Self { constant("Idempotency-Key") }
    static var idempotencyReplayed: Self { constant("Idempotency-Replayed") }
    static var rateLimit: Self { constant("RateLimit") }
    static var rateLimitPolicy: Self { constant("RateLimit-Policy") }
    static var referrerPolicy: Self { constant("Referrer-Policy") }

    /// A name that is a valid token, as all literals here are.
    static func constant(_ name: String) -> Self {
        guard let name = Self(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
