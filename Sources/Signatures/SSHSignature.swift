/// A signature as `ssh-keygen -Y sign` makes it (PROTOCOL.sshsig), read but not yet checked.
package struct SSHSignature: Sendable, Hashable {
    /// The key that it says it was made with.
    package let key: SSHPublicKey
    package let namespace: String
    private let reserved: [UInt8]
    private let hash: String
    /// 64 bytes.
    private let signature: [UInt8]
    /// What a security key adds.
    private let token: Token?

    private struct Token: Sendable, Hashable {
        let flags: UInt8
        let counter: UInt32
    }

    /// The longest armoured text that is read.
    package static let maximumBytes = 8192
    private static let magic = Array("SSHSIG".utf8)
    private static let begin = "-----BEGIN SSH SIGNATURE-----"
    private static let end = "-----END SSH SIGNATURE-----"

    /// Reads a signature between its `BEGIN` and `END` lines.
    package init(armoured text: String) throws(SignatureProblem) {
        guard text.utf8.count <= Self.maximumBytes else { throw .malformed("the signature is too long") }
        let lines = text.utf8.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D })
        guard lines.count >= 3, lines.first?.elementsEqual(Self.begin.utf8) == true,
            lines.last?.elementsEqual(Self.end.utf8) == true
        else { throw .malformed("the signature must stand between the lines \(Self.begin) and \(Self.end)") }
        let body = lines.dropFirst().dropLast()
        guard body.allSatisfy({ $0.count <= 76 }), let blob = Base64.decode(body.joined()) else {
            throw .malformed("the signature is no base64 in lines of at most 76 characters")
        }
        try self.init(blob: blob)
    }

    /// Reads a signature's blob.
    package init(blob: [UInt8]) throws(SignatureProblem) {
        var reader = WireReader(blob)
        guard reader.bytes(6) == Self.magic else { throw .malformed("this is no SSH signature") }
        guard let version = reader.uint32() else { throw Self.cut }
        guard version == 1 else { throw .malformed("SSH signatures of version \(version) are not known; 1 is") }
        guard let keyBlob = reader.string(), let namespace = reader.text(), let reserved = reader.string(),
            let hash = reader.text(), let signature = reader.string(), reader.isAtEnd
        else { throw Self.cut }
        guard hash == "sha256" || hash == "sha512" else {
            throw .malformed("the signature's hash is neither sha256 nor sha512")
        }
        key = try SSHPublicKey(blob: keyBlob)
        self.namespace = namespace
        self.reserved = reserved
        self.hash = hash
        (self.signature, token) = try Self.parts(of: signature, by: key.type)
    }

    private static let cut = SignatureProblem.malformed("the signature is cut off or damaged")

    private static func parts(
        of blob: [UInt8], by type: SSHPublicKey.KeyType
    ) throws(SignatureProblem) -> ([UInt8], Token?) {
        var reader = WireReader(blob)
        guard reader.text() == type.rawValue else {
            throw .malformed("the signature is of another type than its key")
        }
        guard let inner = reader.string() else { throw cut }
        var signature = inner
        if type.isP256 {
            var numbers = WireReader(inner)
            guard let r = numbers.string().flatMap(VerifyingKey.scalar),
                let s = numbers.string()
                    .flatMap(VerifyingKey.scalar), numbers.isAtEnd
            else { throw cut }
            signature = r + s
        }
        guard signature.count == 64 else { throw cut }
        guard type.isSecurityKey else {
            guard reader.isAtEnd else { throw cut }
            return (signature, nil)
        }
        guard let flags = reader.byte(), let counter = reader.uint32(), reader.isAtEnd else { throw cut }
        return (signature, Token(flags: flags, counter: counter))
    }

    /// Checks that this is a signature of `message` for `namespace`. Whose key it is, is not known here.
    package func check(_ message: [UInt8], namespace wanted: String) throws(SignatureProblem) {
        // Byte for byte: Swift's strings are equal if they look the same.
        guard namespace.utf8.elementsEqual(wanted.utf8) else { throw .namespace(found: namespace, wanted: wanted) }
        let digest = hash == "sha256" ? sha256(message) : sha512(message)
        var signed = Self.magic + Wire.string(Array(namespace.utf8)) + Wire.string(reserved)
        signed += Wire.string(Array(hash.utf8)) + Wire.string(digest)
        if let token {
            guard token.flags & 1 == 1 else { throw .userNotPresent }
            signed = sha256(key.application) + [token.flags] + Wire.uint32(token.counter) + sha256(signed)
        }
        guard key.key.isValid(signature, for: signed) else { throw .wrong }
    }
}
