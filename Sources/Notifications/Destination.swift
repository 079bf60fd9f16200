package import AgentModel

/// Where notices go, and how.
package enum Destination: Sendable {
    /// Standard Webhooks 1.0, signed with each of the secrets.
    case webhook(NoticeAddress, [WebhookSecret])
    /// A topic of an ntfy server.
    case ntfy(NoticeAddress, token: Secret?)
    /// An application of a Gotify server.
    case gotify(NoticeAddress, token: Secret)
    /// An incoming webhook. Its address is the secret.
    case slack(NoticeAddress)
    case discord(NoticeAddress)
    case mattermost(NoticeAddress)
    case email(from: MailAddress, to: [MailAddress])

    /// What the configuration calls them.
    package enum Kind: String, Sendable, CaseIterable {
        case webhook, ntfy, gotify, slack, discord, mattermost, email
    }
}

/// A mail address in ASCII: `name@host`.
package struct MailAddress: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    /// Takes atoms with dots, and a host's name (RFC 5321, 4.1.2); no quoted names, no address literals.
    package init?(_ text: String) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, text.utf8.count <= 254, (1...64).contains(parts[0].utf8.count),
            Self.isHost(parts[1])
        else { return nil }
        let atoms = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        guard atoms.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(Self.isAtomByte) }) else { return nil }
        description = text
    }

    private static func isHost(_ text: Substring) -> Bool {
        text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                TextForm.node.matches(String($0))
            }
    }

    private static func isAtomByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-/=?^_`{|}~".utf8.contains(byte)
        }
    }

    /// What stands behind the at sign.
    var host: Substring { description.drop { $0 != "@" }.dropFirst() }
}
