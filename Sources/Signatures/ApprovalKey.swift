/// A key that a principal approves with: a line of `approval_keys`.
package struct ApprovalKey: Sendable, CustomStringConvertible {
    package enum Material: Sendable, Hashable {
        case ssh(SSHPublicKey)
        case passkey(Passkey)
    }

    package let material: Material
    /// The rest of the line; empty if there is none.
    package let comment: String

    package init(_ material: Material, comment: String = "") {
        self.material = material
        self.comment = comment
    }

    /// Reads `ssh-ed25519 BASE64 [comment]`, as a `.pub` file has it, or
    /// `passkey ES256|EdDSA CREDENTIAL-ID SPKI [comment]`, as the console prints it.
    package init(line: String) throws(SignatureProblem) {
        guard line.utf8.count <= 8192, line.unicodeScalars.allSatisfy({ !Self.isControl($0) }) else {
            throw .malformed("must be one line of a key, without control characters")
        }
        let words = line.split(separator: " ", maxSplits: 4)
        guard let type = words.first else { throw .malformed("must be a key, but is empty") }
        let isPasskey = type == "passkey"
        if isPasskey {
            material = .passkey(try Self.passkey(words.dropFirst()))
        } else {
            material = .ssh(try Self.ssh(words, of: line))
        }
        comment =
            line.split(separator: " ", maxSplits: isPasskey ? 4 : 2).dropFirst(isPasskey ? 4 : 2).first
            .map(String.init) ?? ""
    }

    private static func ssh(_ words: [Substring], of line: String) throws(SignatureProblem) -> SSHPublicKey {
        let type = String(words[0])
        guard SSHPublicKey.KeyType(rawValue: type) != nil else {
            // The line of a private key, options, or a key that is not accepted.
            guard !type.hasPrefix("-----"), !type.contains("="), words.count > 1 else {
                throw .malformed(
                    "must be the line of a public key, such as the content of id_ed25519.pub, without options; "
                        + "or passkey, ES256 or EdDSA, credential id and public key")
            }
            throw .keyType(type)
        }
        guard words.count > 1, let blob = Base64.decode(words[1].utf8) else {
            throw .malformed("\(type) must be followed by the key in base64")
        }
        let key = try SSHPublicKey(blob: blob)
        guard key.type.rawValue == type else { throw .malformed("the key is of another type than its line says") }
        return key
    }

    private static func passkey(_ words: ArraySlice<Substring>) throws(SignatureProblem) -> Passkey {
        let words = Array(words)
        guard words.count >= 3, let algorithm = Passkey.Algorithm(rawValue: String(words[0])),
            let credential = Base64.decodeURL(words[1].utf8), let spki = Base64.decode(words[2].utf8)
        else {
            throw .malformed(
                "passkey must be followed by ES256 or EdDSA, the credential id (base64url) and the public key "
                    + "(SPKI, base64)")
        }
        return try Passkey(algorithm, credentialID: credential, spki: spki)
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        [.control, .format, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
    }

    /// Whether this is the same key, or a passkey with the same credential id.
    package func isSame(as other: ApprovalKey) -> Bool {
        self == other || (credentialID != nil && credentialID == other.credentialID)
    }

    /// The kind of key: an SSH key's type, or `passkey`.
    package var kind: String {
        switch material {
        case .ssh(let key): key.type.rawValue
        case .passkey: "passkey"
        }
    }

    /// `SHA256:` and the digest of the public key. It tells keys apart.
    package var fingerprint: String {
        switch material {
        case .ssh(let key): key.fingerprint
        case .passkey(let key): key.fingerprint
        }
    }

    /// A passkey's credential id in base64url.
    package var credentialID: String? {
        switch material {
        case .ssh: nil
        case .passkey(let key): Base64.encodeURL(key.credentialID)
        }
    }

    /// The key lives in a security key that asks for a touch. A passkey may live in software, and be copied: nothing
    /// that it sends says so in a way that can be checked without attestation.
    package var isHardware: Bool {
        switch material {
        case .ssh(let key): key.type.isSecurityKey
        case .passkey: false
        }
    }

    /// The line, as ``init(line:)`` reads it.
    package var description: String {
        let line =
            switch material {
            case .ssh(let key): key.description
            case .passkey(let key):
                "passkey \(key.algorithm.rawValue) \(Base64.encodeURL(key.credentialID)) \(Base64.encode(key.spki))"
            }
        return comment.isEmpty ? line : "\(line) \(comment)"
    }
}

/// Two keys are one if their material is; a comment makes no other key.
extension ApprovalKey: Hashable {
    package static func == (a: ApprovalKey, b: ApprovalKey) -> Bool { a.material == b.material }
    package func hash(into hasher: inout Hasher) { hasher.combine(material) }
}

extension ApprovalKey {
    /// Whether it is the passkey that an assertion names.
    package func isOf(_ assertion: PasskeyAssertion) -> Bool {
        guard case .passkey(let passkey) = material else { return false }
        return passkey.credentialID == assertion.credentialID
    }
}
