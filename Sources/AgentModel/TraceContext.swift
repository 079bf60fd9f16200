/// The trace that a request belongs to, as in W3C Trace Context, level 1.
package struct TraceContext: Sendable, Hashable {
    /// The trace of the request that this task works for, or followed from; `nil` if none was the cause. Lines of the log
    /// have it.
    @TaskLocal package static var current: TraceContext?

    private let high: UInt64
    private let low: UInt64
    /// The caller's span; 0 if it named none.
    private let parent: UInt64

    /// A new trace by 128 random bits.
    package init(random high: UInt64, _ low: UInt64) {
        self.high = high
        // All zeros would be no trace.
        self.low = high == 0 && low == 0 ? 1 : low
        parent = 0
    }

    /// Reads the value of a `traceparent`: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`. `nil` if it is not
    /// well-formed. Of a version after 00 the parts that 00 has count.
    package init?(traceparent text: String) {
        let bytes = Array(text.utf8.prefix(56))
        let dash = UInt8(ascii: "-")
        guard bytes.count >= 55, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
            let version = Self.number(bytes[0..<2]), version != 0xFF, Self.number(bytes[53..<55]) != nil,
            bytes.count == 55 || (version > 0 && bytes[55] == dash)
        else { return nil }
        self.init(bytes[3..<35], parent: bytes[36..<52])
    }

    /// Reads the ids as ``traceID`` and ``parentID`` have them.
    package init?(traceID: String, parentID: String?) {
        self.init(Array(traceID.utf8)[...], parent: parentID.map { Array($0.utf8)[...] })
    }

    private init?(_ trace: ArraySlice<UInt8>, parent: ArraySlice<UInt8>?) {
        guard trace.count == 32, let high = Self.number(trace.prefix(16)), let low = Self.number(trace.suffix(16)),
            high != 0 || low != 0
        else { return nil }
        (self.high, self.low) = (high, low)
        guard let parent else {
            self.parent = 0
            return
        }
        guard parent.count == 16, let parent = Self.number(parent), parent != 0 else { return nil }
        self.parent = parent
    }

    /// 32 lower-case hexadecimal digits.
    package var traceID: String { Self.text([high, low]) }

    /// The id of the caller's span, 16 lower-case hexadecimal digits; `nil` if the trace began here.
    package var parentID: String? { parent == 0 ? nil : Self.text([parent]) }

    /// At most 16 digits; `nil` if there is anything but lower-case hexadecimal digits.
    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var number: UInt64 = 0
        for digit in digits {
            switch digit {
            case 0x30...0x39: number = number << 4 | UInt64(digit - 0x30)
            case 0x61...0x66: number = number << 4 | UInt64(digit - 0x61 + 10)
            default: return nil
            }
        }
        return number
    }

    private static func text(_ words: [UInt64]) -> String {
        String(unsafeUninitializedCapacity: words.count * 16) { buffer in
            for (index, word) in words.enumerated() {
                for place in 0..<16 {
                    let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - place * 4)) & 15
                    buffer[index * 16 + place] = digit < 10 ? 0x30 + digit : 0x61 + digit - 10
                }
            }
            return words.count * 16
        }
    }
}
