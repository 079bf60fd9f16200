package import AgentModel
package import AgentService
package import HTTPMessage
package import HTTPTypes
import Synchronization

/// Tells who asks. Knows tokens by their SHA-256 only, and takes others in force while it works.
package final class Authenticator: Sendable {
    private typealias Entry = (digest: TokenDigest, principal: Principal)

    private let entries: Mutex<[Entry]>

    /// - Parameter tokens: who holds which; where there are none, nobody gets in.
    package init(tokens: [TokenDigest: Principal]) { entries = Mutex(tokens.map { ($0.key, $0.value) }) }

    package var isConfigured: Bool { entries.withLock { !$0.isEmpty } }

    /// Lets these tokens in, and no others, from the next request on.
    package func replace(_ tokens: [TokenDigest: Principal]) {
        let new: [Entry] = tokens.map { ($0.key, $0.value) }
        entries.withLock { $0 = new }
    }

    /// The principal behind `Authorization: Bearer …` (RFC 6750).
    package func principal(of request: Request) throws(ServiceError) -> Principal {
        let entries = entries.withLock { $0 }
        guard !entries.isEmpty else {
            throw ServiceError(
                .authNotConfigured,
                "no token is configured; set PROXMOX_AGENT_API_TOKEN, or list principals, and start the agent again")
        }
        guard let header = request.fields[.authorization] else {
            throw ServiceError(.unauthenticated, "send the header Authorization: Bearer TOKEN")
        }
        guard let token = Self.bearerToken(in: header) else {
            throw ServiceError(.unauthenticated, "the token is not valid")
        }
        let digest = TokenDigest(of: token)
        // All are looked at, and in the same time whichever it is: the time tells nothing about a token.
        var place: UInt = 0
        for (index, entry) in entries.enumerated() { place |= UInt(index + 1) & entry.digest.mask(of: digest) }
        guard place > 0 else { throw ServiceError(.unauthenticated, "the token is not valid") }
        return entries[Int(place) - 1].principal
    }

    /// Who asks, under which request id: the principal, and the label in `X-Actor-ID` where there is one.
    package static func context(
        _ request: Request, by principal: Principal, requestID: String
    ) throws(ServiceError) -> Context {
        let label = request.fields[.actorID]
        guard label.map(TextForm.label.matches) ?? true else {
            throw ServiceError(
                .invalidRequest, "X-Actor-ID takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -; the one sent is not that")
        }
        return Context(principal, label: label, requestID: requestID)
    }

    /// What follows `Bearer` and blanks; `nil` for another scheme.
    private static func bearerToken(in header: String) -> [UInt8]? {
        let scheme = header.utf8.prefix { $0 != UInt8(ascii: " ") }
        guard scheme.lazy.map({ $0 | 0x20 }).elementsEqual("bearer".utf8) else { return nil }
        return Array(header.utf8[scheme.endIndex...].drop { $0 == UInt8(ascii: " ") })
    }
}

extension Context {
    /// A request by `principal`, who calls itself `label`.
    init(_ principal: Principal, label: String? = nil, requestID: String) {
        self.init(
            caller: Caller(principal: principal.id, label: label, isShared: principal.isShared), principal: principal,
            requestID: requestID)
    }
}

extension HTTPField.Name {
    /// Who asks, as the caller says; a label, not an identity.
    package static var actorID: Self { constant("X-Actor-ID") }
    package static var requestID: Self { constant("X-Request-ID") }
    static var prefer: Self { constant("Prefer") }
    static var preferenceApplied: Self { constant("Preference-Applied") }
    static var idempotencyKey: Self { constant("Idempotency-Key") }
    static var idempotencyReplayed: Self { constant("Idempotency-Replayed") }
    static var referrerPolicy: Self { constant("Referrer-Policy") }

    /// A name that is a valid token, as all literals here are.
    private static func constant(_ name: String) -> Self {
        guard let name = Self(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
