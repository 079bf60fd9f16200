package import StrictJSON

/// Documents made by chance, the same for the same seed.
package struct RandomJSON {
    /// SplitMix64.
    package struct Generator: RandomNumberGenerator {
        private var state: UInt64

        package init(seed: UInt64) { state = seed }

        package mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    package var generator: Generator

    package init(seed: UInt64) { generator = Generator(seed: seed) }

    package mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    /// Half the time something, half the time nothing.
    package mutating func maybe<Value>(_ make: (inout RandomJSON) -> Value) -> Value? {
        Bool.random(using: &generator) ? make(&self) : nil
    }

    /// Any value, nested at most `depth` levels.
    package mutating func value(depth: Int = 4) -> JSON {
        switch below(depth > 0 ? 8 : 6) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &generator))
        case 2: return .integer(Int64(bitPattern: generator.next()) >> Int64(below(64)))
        case 3: return JSON(Double(bitPattern: generator.next()))
        case 4: return JSON(Double(below(1_000_000)) / 1000)
        case 5: return .string(text())
        case 6: return .array((0..<below(5)).map { _ in value(depth: depth - 1) })
        default:
            var object = JSONObject()
            for _ in 0..<below(6) { object[text()] = value(depth: depth - 1) }
            return .object(object)
        }
    }

    /// Text of all planes, with what has to be escaped.
    package mutating func text() -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<below(12) {
            let bound: UInt32 = [0x20, 0x80, 0x80, 0x800, 0x10000, 0x110000].randomElement(using: &generator) ?? 0x80
            if let scalar = UnicodeScalar(UInt32.random(in: 0..<bound, using: &generator)) { text.append(scalar) }
        }
        return String(text)
    }
}
