/// A public key as OpenSSH has it: plain, or one of a security key (PROTOCOL.u2f).
package struct SSHPublicKey: Sendable, Hashable {
    package enum KeyType: String, Sendable, Hashable, CaseIterable {
        case ed25519 = "ssh-ed25519"
        case p256 = "ecdsa-sha2-nistp256"
        case ed25519SK = "sk-ssh-ed25519@openssh.com"
        case p256SK = "sk-ecdsa-sha2-nistp256@openssh.com"

        /// The key lives in a security key, which asks for a touch.
        package var isSecurityKey: Bool { self == .ed25519SK || self == .p256SK }
        var isP256: Bool { self == .p256 || self == .p256SK }
    }

    package let type: KeyType
    /// What OpenSSH writes as base64 in a `.pub` file.
    package let blob: [UInt8]
    let key: VerifyingKey
    /// What a security key signs for, mostly `ssh:`; empty for other keys.
    let application: [UInt8]

    /// The longest blob that is read.
    static let maximumBytes = 1024

    /// Reads a key's blob.
    package init(blob: [UInt8]) throws(SignatureProblem) {
        guard blob.count <= Self.maximumBytes else { throw .malformed("the key is too long") }
        var reader = WireReader(blob)
        guard let name = reader.text() else { throw .malformed("the key does not begin with its type") }
        guard let type = KeyType(rawValue: name) else { throw .keyType(name) }
        let cut = SignatureProblem.malformed("the \(name) key is cut off or damaged")
        if type.isP256 {
            guard reader.text() == "nistp256" else { throw cut }
        }
        guard let bytes = reader.string() else { throw cut }
        guard let key = type.isP256 ? VerifyingKey(p256: bytes) : VerifyingKey(ed25519: bytes) else { throw cut }
        if type.isSecurityKey {
            guard let application = reader.string() else { throw cut }
            self.application = application
        } else {
            application = []
        }
        guard reader.isAtEnd else { throw cut }
        self.type = type
        self.blob = blob
        self.key = key
    }

    /// `SHA256:` and the digest, as `ssh-keygen -l` shows it.
    package var fingerprint: String { Self.fingerprint(of: blob) }

    /// Type and base64, without a comment.
    package var description: String { "\(type.rawValue) \(Base64.encode(blob))" }

    static func fingerprint(of bytes: [UInt8]) -> String {
        let text = Base64.encode(sha256(bytes))
        return "SHA256:" + text.prefix { $0 != "=" }
    }
}
