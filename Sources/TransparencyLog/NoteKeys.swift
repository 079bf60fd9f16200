internal import Crypto
internal import FoundationEssentials

/// What a key signs: notes, or checkpoints of others with a time (c2sp.org/tlog-cosignature). The value is the type's
/// byte in key ids and verifier keys.
package enum NoteKeyUse: UInt8, Sendable, Hashable {
    case log = 0x01
    case witness = 0x04
}

/// The public half of an Ed25519 key, with its name: what somebody needs to verify its signatures.
package struct VerifierKey: Sendable, Hashable {
    package let name: String
    package let use: NoteKeyUse
    package let publicKey: [UInt8]
    package let id: UInt32

    init?(name: String, use: NoteKeyUse, publicKey: [UInt8]) {
        guard SignedNote.isKeyName(name), publicKey.count == 32 else { return nil }
        (self.name, self.use, self.publicKey) = (name, use, publicKey)
        let digest = SHA256.hash(data: Array(name.utf8) + [0x0A, use.rawValue] + publicKey)
        id = digest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// What the key says of a note.
    package enum Verdict: Sendable, Hashable {
        /// The note has no signature of this key.
        case unsigned
        /// A signature is good; a witness's has its time in seconds since 1970.
        case good(at: UInt64?)
        /// A signature bears this key's name and id, and is not this key's: the whole note is to be refused.
        case forged
    }

    package func verdict(on note: SignedNote) -> Verdict {
        var verdict = Verdict.unsigned
        for signature in note.signatures where signature.name == name && signature.keyID == id {
            guard let time = check(signature, note.text) else { return .forged }
            if verdict == .unsigned { verdict = .good(at: use == .witness ? time : nil) }
        }
        return verdict
    }

    /// The time of a good signature, 0 for a log's; `nil` for a bad one.
    private func check(_ signature: SignedNote.Signature, _ text: String) -> UInt64? {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: publicKey) else { return nil }
        switch use {
        case .log:
            return key.isValidSignature(signature.bytes, for: Array(text.utf8)) ? 0 : nil
        case .witness:
            guard signature.bytes.count == 72 else { return nil }
            let time = signature.bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard time <= UInt64(Int64.max) else { return nil }
            let signed = Array(cosigned(text, at: time).utf8)
            return key.isValidSignature(signature.bytes.dropFirst(8), for: signed) ? time : nil
        }
    }
}

extension VerifierKey: LosslessStringConvertible {
    /// `name+hex(id)+base64(type · public key)`
    package var description: String {
        let hex = String(id, radix: 16)
        let padded = String(repeating: "0", count: 8 - hex.count) + hex
        return "\(name)+\(padded)+\(Data([use.rawValue] + publicKey).base64EncodedString())"
    }

    /// Reads exactly the form that ``description`` writes, with the id that the key has.
    package init?(_ description: String) {
        let parts = description.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let data = strictBase64(parts[2]), let use = data.first.flatMap(NoteKeyUse.init) else {
            return nil
        }
        self.init(name: String(parts[0]), use: use, publicKey: Array(data.dropFirst()))
        guard self.description == description else { return nil }
    }
}

/// A whole Ed25519 key with its name. Its secret half leaves it only as signatures.
package struct SigningKey: Sendable {
    /// Bytes of the secret half.
    package static let seedLength = 32

    private let key: Curve25519.Signing.PrivateKey
    package let verifier: VerifierKey

    /// `nil` unless there are ``seedLength`` bytes and the name can be a key's.
    package init?(name: String, use: NoteKeyUse, seed: [UInt8]) {
        guard seed.count == Self.seedLength, let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed),
            let verifier = VerifierKey(name: name, use: use, publicKey: Array(key.publicKey.rawRepresentation))
        else { return nil }
        (self.key, self.verifier) = (key, verifier)
    }

    /// Bytes for a new key, from the system's random generator.
    package static func newSeed() -> [UInt8] { Array(Curve25519.Signing.PrivateKey().rawRepresentation) }

    /// Signs a text; a witness's key does it with the time, in seconds since 1970. `nil` if the library fails.
    package func signature(on text: String, at time: UInt64) -> SignedNote.Signature? {
        let signed = verifier.use == .log ? text : cosigned(text, at: time)
        guard let raw = try? key.signature(for: Array(signed.utf8)) else { return nil }
        let stamp = verifier.use == .log ? [] : (0..<8).map { UInt8(truncatingIfNeeded: time >> (56 - 8 * $0)) }
        return SignedNote.Signature(name: verifier.name, keyID: verifier.id, bytes: stamp + raw)
    }
}

/// What a witness signs.
private func cosigned(_ text: String, at time: UInt64) -> String { "cosignature/v1\ntime \(time)\n\(text)" }
