/// Base64 as RFC 4648 has it. Every text has one meaning, and every value has one text: no blanks, no other characters,
/// no bits left over.
package enum Base64 {
    /// The alphabet with `+` and `/`, and with padding.
    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        let text = encoded(bytes, standard)
        return text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
    }

    /// The alphabet with `-` and `_`, without padding, as WebAuthn has it.
    package static func encodeURL(_ bytes: some Collection<UInt8>) -> String { encoded(bytes, urlSafe) }

    /// Reads ``encode(_:)``; `nil` for anything else.
    package static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        let bytes = Array(text)
        guard bytes.count % 4 == 0 else { return nil }
        let body = bytes.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
        return decoded(bytes.dropLast(body), standardValues)
    }

    /// Reads ``encodeURL(_:)``; `nil` for anything else.
    package static func decodeURL(_ text: some Sequence<UInt8>) -> [UInt8]? { decoded(Array(text)[...], urlSafeValues) }

    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
    private static let standard = letters + Array("+/".utf8)
    private static let urlSafe = letters + Array("-_".utf8)
    private static let standardValues = values(standard)
    private static let urlSafeValues = values(urlSafe)

    /// What each byte stands for; 64 for none.
    private static func values(_ alphabet: [UInt8]) -> [UInt8] {
        var table = [UInt8](repeating: 64, count: 256)
        for (value, letter) in alphabet.enumerated() { table[Int(letter)] = UInt8(value) }
        return table
    }

    private static func encoded(_ bytes: some Collection<UInt8>, _ alphabet: [UInt8]) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count / 3 * 4 + 4)
        var (bits, count) = (UInt32(0), 0)
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                out.append(alphabet[Int(bits >> UInt32(count) & 63)])
            }
            bits &= 63
        }
        if count > 0 { out.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
        return String(decoding: out, as: UTF8.self)
    }

    private static func decoded(_ text: ArraySlice<UInt8>, _ table: [UInt8]) -> [UInt8]? {
        guard text.count % 4 != 1 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(text.count / 4 * 3 + 3)
        var (bits, count) = (UInt32(0), 0)
        for letter in text {
            let value = table[Int(letter)]
            guard value < 64 else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            bits &= 0xFF
        }
        // Bits that are left over carry nothing, and must be zero.
        return bits & (1 << UInt32(count) - 1) == 0 ? out : nil
    }
}
