import Crypto
import FoundationEssentials

/// The key of this installation. It seals the secrets of stored plans, keys their hashes, signs checkpoints of the
/// audit log, and protects sign-ins that several agents share.
///
/// Each use has a key of its own, derived by HKDF-SHA256 (RFC 5869). Sealing is ChaCha20-Poly1305 (RFC 8439) with a
/// random nonce, bound to the record that the secret belongs to.
package struct InstallationKey: Sendable {
    /// Bytes of the key as it is stored.
    package static let length = 32

    private let sealing: SymmetricKey
    private let hashing: SymmetricKey
    private let signing: SymmetricKey
    private let signingIn: SymmetricKey
    /// Identifies a key without revealing anything about it: 16 hexadecimal digits.
    package let fingerprint: String

    /// `nil` unless there are ``length`` bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.length else { return nil }
        self.init(SymmetricKey(data: bytes))
    }

    private init(_ root: SymmetricKey) {
        func derive(_ use: String) -> SymmetricKey {
            HKDF<SHA256>.deriveKey(
                inputKeyMaterial: root, info: Array("proxmox-agent \(use)".utf8), outputByteCount: Self.length)
        }
        sealing = derive("seal")
        hashing = derive("hash")
        signing = derive("checkpoint")
        signingIn = derive("sign-in")
        fingerprint = String(
            hexadecimal(HMAC<SHA256>.authenticationCode(for: Array("fingerprint".utf8), using: derive("name")))
                .prefix(16))
    }

    /// A new key that lasts as long as this process.
    package static func random() -> InstallationKey { InstallationKey(SymmetricKey(size: .bits256)) }

    /// Bytes for a new key, from the system's random generator.
    package static func newBytes() -> [UInt8] {
        SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
    }

    /// Seals `plain` so that it opens under the same `record` only.
    package func seal(_ plain: [UInt8], for record: some CustomStringConvertible) -> [UInt8] {
        let aad = Array(record.description.utf8)
        // This fails only for a nonce of the wrong length, and the library makes this nonce.
        guard let box = try? ChaChaPoly.seal(plain, using: sealing, authenticating: aad) else {
            preconditionFailure("ChaCha20-Poly1305 took no data")
        }
        return Array(box.combined)
    }

    /// Opens what ``seal(_:for:)`` sealed; `nil` if it was changed, or sealed for another record or under another key.
    package func open(_ sealed: [UInt8], for record: some CustomStringConvertible) -> [UInt8]? {
        guard let box = try? ChaChaPoly.SealedBox(combined: sealed),
            let plain = try? ChaChaPoly.open(box, using: sealing, authenticating: Array(record.description.utf8))
        else { return nil }
        return Array(plain)
    }

    /// The secret half of the Ed25519 key that signs checkpoints of the audit log: ``length`` bytes.
    package var checkpointSeed: [UInt8] { signing.withUnsafeBytes { Array($0) } }

    /// HMAC-SHA256 for what signs somebody in: without the key nobody makes it, or guesses a short secret by it.
    package func signInDigest(_ bytes: [UInt8]) -> CredentialDigest {
        CredentialDigest(HMAC<SHA256>.authenticationCode(for: bytes, using: signingIn))
    }

    /// HMAC-SHA256 in lower-case hex: a hash that gives no hint of a short secret.
    package func authenticate(_ bytes: [UInt8]) -> String {
        hexadecimal(HMAC<SHA256>.authenticationCode(for: bytes, using: hashing))
    }
}

/// Lower-case hexadecimal digits.
package func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
