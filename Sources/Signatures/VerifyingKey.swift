internal import Crypto
internal import FoundationEssentials

/// A public key of one of the two algorithms that are accepted, whatever it came in.
enum VerifyingKey: Sendable, Hashable {
    /// 32 bytes.
    case ed25519([UInt8])
    /// An uncompressed point, 65 bytes, on the curve.
    case p256([UInt8])

    init?(ed25519 bytes: [UInt8]) {
        guard bytes.count == 32, (try? Curve25519.Signing.PublicKey(rawRepresentation: bytes)) != nil else {
            return nil
        }
        self = .ed25519(bytes)
    }

    init?(p256 point: [UInt8]) {
        guard point.count == 65, point.first == 4, (try? P256.Signing.PublicKey(x963Representation: point)) != nil
        else { return nil }
        self = .p256(point)
    }

    /// Whether `signature` is one of `message`: 64 bytes, with ECDSA `r` and `s`.
    func isValid(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        guard signature.count == 64 else { return false }
        switch self {
        case .ed25519(let bytes):
            let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes)
            return key?.isValidSignature(signature, for: message) ?? false
        case .p256(let point):
            guard let key = try? P256.Signing.PublicKey(x963Representation: point),
                let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
            else { return false }
            return key.isValidSignature(signature, for: message)
        }
    }

    /// An integer as SSH's `mpint` and DER's `INTEGER` have it, in 32 bytes; `nil` for one that is negative, zero, longer,
    /// or not written in the shortest way.
    static func scalar(_ integer: [UInt8]) -> [UInt8]? {
        guard let first = integer.first, first < 0x80, integer.count <= 33 else { return nil }
        if first == 0 {
            guard integer.count > 1, integer[1] >= 0x80 else { return nil }
        }
        let digits = first == 0 ? integer[1...] : integer[...]
        guard digits.count <= 32 else { return nil }
        return [UInt8](repeating: 0, count: 32 - digits.count) + digits
    }
}

func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

func sha512(_ bytes: [UInt8]) -> [UInt8] { Array(SHA512.hash(data: bytes)) }
