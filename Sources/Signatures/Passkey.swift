/// The public key of a passkey (WebAuthn): what a page gets at registration from `getPublicKey()` and
/// `getPublicKeyAlgorithm()`.
package struct Passkey: Sendable, Hashable {
    package enum Algorithm: String, Sendable, Hashable, CaseIterable {
        /// COSE -7.
        case es256 = "ES256"
        /// COSE -8.
        case edDSA = "EdDSA"
    }

    package let algorithm: Algorithm
    /// 1 to 1023 bytes.
    package let credentialID: [UInt8]
    /// The DER form of the key (RFC 5280).
    package let spki: [UInt8]
    let key: VerifyingKey

    package static let credentialBytes = 1...1023

    package init(_ algorithm: Algorithm, credentialID: [UInt8], spki: [UInt8]) throws(SignatureProblem) {
        guard Self.credentialBytes.contains(credentialID.count) else {
            throw .malformed("the credential id must have 1 to 1023 bytes")
        }
        // Both forms have one length and one beginning, so nothing of ASN.1 needs to be read.
        let head = algorithm == .es256 ? Self.es256Head : Self.edDSAHead
        let bytes = Array(spki.dropFirst(head.count))
        let key = algorithm == .es256 ? VerifyingKey(p256: bytes) : VerifyingKey(ed25519: bytes)
        guard spki.starts(with: head), let key else {
            throw .malformed("the public key is no \(algorithm.rawValue) key in the form SPKI (DER)")
        }
        self.algorithm = algorithm
        self.credentialID = credentialID
        self.spki = spki
        self.key = key
    }

    package var fingerprint: String { SSHPublicKey.fingerprint(of: spki) }

    /// id-ecPublicKey, prime256v1, a bit string of 65 bytes.
    private static let es256Head: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
        0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ]
    /// id-Ed25519, a bit string of 32 bytes.
    private static let edDSAHead: [UInt8] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00]
}
