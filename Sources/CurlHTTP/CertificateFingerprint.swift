/// The SHA-256 digest of a server certificate, as Proxmox VE shows it: `AB:CD:…`, 32 pairs of digits.
package struct CertificateFingerprint: Sendable, Hashable, CustomStringConvertible {
    /// 32 bytes.
    package let bytes: [UInt8]

    /// Takes the 32 bytes of a digest.
    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Reads exactly 32 pairs of hexadecimal digits, upper or lower case, with a colon between pairs.
    package init?(parsing text: String) {
        let pairs = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        let bytes = pairs.compactMap { pair -> UInt8? in
            let digits = pair.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            return pair.count == 2 && digits.count == 2 ? UInt8(digits[0] << 4 | digits[1]) : nil
        }
        guard pairs.count == 32, bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// The form that `init(parsing:)` reads, in upper case.
    package var description: String {
        bytes.map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return digits.count == 1 ? "0" + digits : digits
        }.joined(separator: ":")
    }
}
