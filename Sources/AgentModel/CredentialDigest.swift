internal import Crypto

/// The SHA-256 of the credential that identifies a caller: a token or a certificate. Only this digest is kept.
package struct CredentialDigest: Sendable, Hashable, CustomStringConvertible {
    private var words = SIMD4<UInt64>()

    /// The digest of a token, given as UTF-8 bytes.
    package init(of token: some Sequence<UInt8>) {
        take(SHA256.hash(data: Array(token)))
    }

    /// Takes the 32 bytes of a digest; `nil` for any other number of bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        take(bytes)
    }

    init(_ code: HMAC<SHA256>.MAC) { take(code) }

    private mutating func take(_ bytes: some Sequence<UInt8>) {
        for (index, byte) in bytes.enumerated() { words[index / 8] = words[index / 8] << 8 | UInt64(byte) }
    }

    /// Reads 64 lower-case hexadecimal digits; `nil` for anything else.
    package init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 64, digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { return nil }
        for (index, digit) in digits.enumerated() {
            words[index / 16] = words[index / 16] << 4 | UInt64(digit < 0x3A ? digit - 0x30 : digit - 0x61 + 10)
        }
    }

    /// All ones if `other` is the same digest, else zero. The time does not depend on the digests.
    package func mask(of other: CredentialDigest) -> UInt {
        let parts = words ^ other.words
        let difference = parts[0] | parts[1] | parts[2] | parts[3]
        return UInt(truncatingIfNeeded: ((difference | (0 &- difference)) >> 63) &- 1)
    }

    package var bytes: [UInt8] {
        (0..<32).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64(56 - $0 % 8 * 8)) }
    }

    /// 64 lower-case hexadecimal digits.
    package var description: String { hexadecimal(bytes) }
}
