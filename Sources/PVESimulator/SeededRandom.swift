/// SplitMix64: the same seed, the same numbers.
struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// Seeded with the FNV-1a hash of `text`.
    init(_ text: String) { state = text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension RandomNumberGenerator {
    /// A number below `bound`.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// An address with the prefix that Proxmox uses for its guests.
    mutating func macAddress() -> String {
        let value = next()
        return "BC:24:11"
            + [value & 0xFF, value >> 8 & 0xFF, value >> 16 & 0xFF].map { ":\(hex($0, digits: 2))" }.joined()
            .uppercased()
    }

    mutating func uuid() -> String {
        let high = hex(next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, digits: 16)
        let low = hex(next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000, digits: 16)
        return "\(high.prefix(8))-\(high.dropFirst(8).prefix(4))-\(high.dropFirst(12))-\(low.prefix(4))"
            + "-\(low.dropFirst(4))"
    }
}

/// `value` in hexadecimal, with leading zeros.
func hex(_ value: some BinaryInteger, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
