import AgentAPI
import AgentModel
import StrictJSON

/// A caller's token: its requirements, and how to make one.
enum CallerToken {
    /// The least number of characters.
    static let minimumLength = 20

    /// A new token: `pxa_` and 32 random bytes in base64url (RFC 4648, without padding).
    static func make() -> String {
        "pxa_" + RandomText.make()
    }

    /// The configuration entry of a principal with this token.
    static func entry(
        of token: String, _ id: String, _ roles: [Role], environments: [String] = []
    ) -> JSON {
        [
            "id": .string(id), "token_sha256": .string(CredentialDigest(of: token.utf8).description),
            "roles": JSON(roles.map(\.rawValue)),
            "environments": environments.isEmpty ? nil : JSON(Set(environments).sorted()),
        ]
    }

    /// Why `text` is not acceptable as a token; `nil` if it is. Does not repeat it.
    static func flaw(in text: String) -> String? {
        if text.isEmpty { return "is empty" }
        if !text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            return "holds white space or other characters that no token has; it must be the token alone, on one line"
        }
        if text.utf8.count < minimumLength {
            return "holds fewer than \(minimumLength) characters; make a token with: proxmox-agent token new ID"
        }
        return nil
    }
}
