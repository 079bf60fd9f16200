package import AgentModel
package import AgentService
import Crypto
package import HTTPMessage
package import HTTPTypes

/// Tells who asks. Knows tokens by their SHA-256 only.
package struct Authenticator: Sendable {
    private let digest: SHA256.Digest?

    /// - Parameter token: the one shared token; `nil` where none is configured, and then nobody gets in.
    package init(token: Secret?) {
        digest = token.map { SHA256.hash(data: Array($0.reveal().utf8)) }
    }

    package var isConfigured: Bool { digest != nil }

    /// The caller behind `Authorization: Bearer …` (RFC 6750) and `X-Actor-ID`.
    package func caller(of request: Request) throws(ServiceError) -> Caller {
        guard let digest else {
            throw ServiceError(
                .authNotConfigured, "no token is configured; set PROXMOX_AGENT_API_TOKEN and start the agent again")
        }
        guard let header = request.fields[.authorization] else {
            throw ServiceError(.unauthenticated, "send the header Authorization: Bearer TOKEN")
        }
        guard let token = Self.bearerToken(in: header), SHA256.hash(data: token) == digest else {
            throw ServiceError(.unauthenticated, "the token is not valid")
        }
        guard let label = request.fields[.actorID] else {
            return Caller(principal: "operator", label: nil, isShared: true)
        }
        guard TextForm.label.matches(label) else {
            throw ServiceError(
                .invalidRequest, "X-Actor-ID takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -; the one sent is not that")
        }
        return Caller(principal: "operator", label: label, isShared: true)
    }

    /// What follows `Bearer` and blanks; `nil` for another scheme.
    private static func bearerToken(in header: String) -> [UInt8]? {
        let scheme = header.utf8.prefix { $0 != UInt8(ascii: " ") }
        guard scheme.lazy.map({ $0 | 0x20 }).elementsEqual("bearer".utf8) else { return nil }
        return Array(header.utf8[scheme.endIndex...].drop { $0 == UInt8(ascii: " ") })
    }
}

extension HTTPField.Name {
    /// Who asks, as the caller says; a label, not an identity.
    package static var actorID: Self { constant("X-Actor-ID") }
    package static var requestID: Self { constant("X-Request-ID") }
    static var prefer: Self { constant("Prefer") }
    static var preferenceApplied: Self { constant("Preference-Applied") }
    static var idempotencyKey: Self { constant("Idempotency-Key") }
    static var referrerPolicy: Self { constant("Referrer-Policy") }

    /// A name that is a valid token, as all literals here are.
    private static func constant(_ name: String) -> Self {
        guard let name = Self(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
