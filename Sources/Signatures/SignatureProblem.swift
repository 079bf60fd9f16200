/// Why a key or a signature is not accepted.
package enum SignatureProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// It cannot be read; the text says what is wrong with it.
    case malformed(String)
    /// A key of a type that is not accepted.
    case keyType(String)
    case namespace(found: String, wanted: String)
    /// It was made with another key than the one to check against.
    case otherKey
    /// The signature is not one of this text by this key.
    case wrong
    /// The security key did not see anybody.
    case userNotPresent
    /// The authenticator did not make sure who was there.
    case userNotVerified
    /// `clientDataJSON.type` is not that of an assertion.
    case ceremony(String)
    case challenge
    case origin(found: String, wanted: String)
    /// A page of another origin framed the one that asked.
    case framed
    case relyingParty(wanted: String)

    package var description: String {
        switch self {
        case .malformed(let what): what
        case .keyType(let type): Self.cure(forType: type)
        case .namespace(let found, let wanted):
            "it is a signature for the namespace \(Self.shown(found)), not for \(wanted): sign with -n \(wanted)"
        case .otherKey: "it was made with another key"
        case .wrong: "it is not a signature of this text by this key"
        case .userNotPresent:
            "the security key did not ask for a touch; sign with a key that was made without no-touch-required"
        case .userNotVerified:
            "the authenticator did not verify its user; set up a PIN or a fingerprint, and ask for user verification"
        case .ceremony(let type): "its client data is of type \(Self.shown(type)), not webauthn.get"
        case .challenge: "its challenge belongs to another text"
        case .origin(let found, let wanted):
            "it was made on a page of \(Self.shown(found)), not of \(wanted); public_url says where this agent is reached"
        case .framed: "the page that asked for it stood in a frame of another origin"
        case .relyingParty(let wanted): "it was made for another relying party than \(wanted)"
        }
    }

    private static func cure(forType type: String) -> String {
        let why =
            switch type {
            case "ssh-rsa", "rsa-sha2-256", "rsa-sha2-512": "RSA keys are not accepted"
            case "ssh-dss": "DSA keys are not accepted"
            default: "keys of type \(shown(type)) are not accepted"
            }
        return "\(why); make one with ssh-keygen -t ed25519, or -t ed25519-sk on a security key"
    }

    /// Foreign text in short, in quotes, without anything that could act on a terminal.
    private static func shown(_ text: String) -> String {
        let kept = text.unicodeScalars.prefix(80).map { $0.isASCII && $0.value >= 0x20 && $0.value < 0x7F ? $0 : "?" }
        return "“\(String(String.UnicodeScalarView(kept)))”"
    }
}
