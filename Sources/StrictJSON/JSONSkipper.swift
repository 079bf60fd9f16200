/// Skips over JSON text and validates it, without keeping anything.
///
/// Every function starts on the first byte of what it skips, leaves ``at`` after the last, and returns whether it was
/// valid. It accepts what ``JSONParser`` accepts, and duplicate keys.
// SAFETY: it lives in the closure that lends it the buffer, and compares each index with the count before it reads.
@safe struct JSONSkipper {
    let bytes: UnsafeBufferPointer<UInt8>
    private(set) var at = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { unsafe self.bytes = unsafe bytes }

    /// Whether only space follows.
    mutating func isAtEndAfterSpace() -> Bool {
        space()
        return unsafe at == bytes.count
    }

    /// The current byte; at the end 0, which JSON does not have outside strings.
    @inline(__always)
    var byte: UInt8 { unsafe at < bytes.count ? bytes[at] : 0 }

    @inline(__always)
    mutating func take(_ wanted: UInt8) -> Bool {
        guard byte == wanted else { return false }
        at += 1
        return true
    }

    @inline(__always)
    mutating func space() {
        while unsafe at < bytes.count, unsafe bytes[at] <= 0x20 {
            switch unsafe bytes[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    /// Skips any value that is inside `depth` arrays and objects.
    mutating func value(depth: Int) -> Bool {
        switch byte {
        case UInt8(ascii: "\""): string()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): number()
        case UInt8(ascii: "{"): object(depth: depth)
        case UInt8(ascii: "["): array(depth: depth)
        case UInt8(ascii: "t"): literal(0x6575_7274, 4)  // "true", read as a little-endian number
        case UInt8(ascii: "f"): take(UInt8(ascii: "f")) && literal(0x6573_6C61, 4)  // "alse"
        case UInt8(ascii: "n"): literal(0x6C6C_756E, 4)  // "null"
        default: false
        }
    }

    private mutating func literal(_ word: UInt32, _ count: Int) -> Bool {
        guard unsafe at + count <= bytes.count, let base = unsafe bytes.baseAddress,
            unsafe UnsafeRawPointer(base + at).loadUnaligned(as: UInt32.self).littleEndian == word
        else { return false }
        at += count
        return true
    }

    private mutating func object(depth: Int) -> Bool {
        guard open(depth) else { return false }
        if take(UInt8(ascii: "}")) { return true }
        while true {
            guard key() != nil, value(depth: depth + 1) else { return false }
            guard next() else { return take(UInt8(ascii: "}")) }
        }
    }

    private mutating func array(depth: Int) -> Bool {
        guard open(depth) else { return false }
        if take(UInt8(ascii: "]")) { return true }
        while true {
            guard value(depth: depth + 1) else { return false }
            guard next() else { return take(UInt8(ascii: "]")) }
        }
    }

    /// Skips an opening bracket and the space after it.
    @inline(__always)
    mutating func open(_ depth: Int) -> Bool {
        guard depth < JSON.maximumDepth else { return false }
        at += 1
        space()
        return true
    }

    /// Skips a key and its colon, and returns the range of its text; `nil` if it is malformed.
    @inline(__always)
    mutating func key() -> Range<Int>? {
        let start = at + 1
        guard byte == UInt8(ascii: "\""), string() else { return nil }
        let range = start..<(at - 1)
        space()
        guard take(UInt8(ascii: ":")) else { return nil }
        space()
        return range
    }

    /// Skips the comma after a value, if there is one, and the space around it.
    @inline(__always)
    mutating func next() -> Bool {
        space()
        guard take(UInt8(ascii: ",")) else { return false }
        space()
        return true
    }
}

// MARK: - Numbers

extension JSONSkipper {
    private mutating func number() -> Bool {
        let start = at
        if byte == UInt8(ascii: "-") { at += 1 }
        let isZero = byte == UInt8(ascii: "0")
        let whole = digits()
        guard whole > 0, !isZero || whole == 1 else { return false }
        // Only numbers at least this long can be too large for a double.
        var isLarge = whole > 300
        if byte == UInt8(ascii: ".") {
            at += 1
            guard digits() > 0 else { return false }
        }
        if byte | 0x20 == UInt8(ascii: "e") {
            at += 1
            isLarge = true
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { at += 1 }
            guard digits() > 0 else { return false }
        }
        guard isLarge else { return true }
        return unsafe Double(String(decoding: bytes[start..<at], as: UTF8.self))?.isFinite ?? false
    }

    @inline(__always)
    private mutating func digits() -> Int {
        let start = at
        while unsafe at < bytes.count, unsafe bytes[at] &- UInt8(ascii: "0") < 10 { at += 1 }
        return at - start
    }
}

// MARK: - Strings

extension JSONSkipper {
    private mutating func string() -> Bool {
        at += 1
        while true {
            plainText()
            guard unsafe at < bytes.count else { return false }
            switch unsafe bytes[at] {
            case UInt8(ascii: "\""):
                at += 1
                return true
            case UInt8(ascii: "\\"): guard escape() else { return false }
            case 0x80...: guard scalar() else { return false }
            case 0..<0x20: return false
            default: at += 1
            }
        }
    }

    /// Skips plain ASCII, eight bytes at a time, up to the first other byte or the last seven of the text.
    @inline(__always)
    private mutating func plainText() {
        guard let base = unsafe bytes.baseAddress else { return }
        let ones: UInt64 = 0x0101_0101_0101_0101
        while unsafe at + 8 <= bytes.count {
            let word = unsafe UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self).littleEndian
            // This sets the high bit of the lowest byte that is a quote, a backslash, a control character or not ASCII.
            // The high bits of lower bytes stay clear.
            let special =
                (word | (word &- ones &* 0x20) | ((word ^ ones &* 0x22) &- ones) | ((word ^ ones &* 0x5C) &- ones))
                & ones &* 0x80
            guard special == 0 else {
                at += special.trailingZeroBitCount >> 3
                return
            }
            at += 8
        }
    }

    private mutating func escape() -> Bool {
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            at += 1
            return true
        case UInt8(ascii: "u"):
            at += 1
            guard let first = hexUnit() else { return false }
            guard first & 0xF800 == 0xD800 else { return true }
            guard first < 0xDC00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")), let second = hexUnit() else {
                return false
            }
            return second & 0xFC00 == 0xDC00
        default: return false
        }
    }

    private mutating func hexUnit() -> UInt16? {
        guard unsafe at + 4 <= bytes.count else { return nil }
        var unit: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch unsafe bytes[at] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = unsafe bytes[at] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = unsafe bytes[at] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = unsafe bytes[at] - UInt8(ascii: "A") + 10
            default: return nil
            }
            unit = unit << 4 | UInt16(digit)
            at += 1
        }
        return unit
    }

    /// Skips one multi-byte scalar; the bounds are from table 3-7 of the Unicode standard.
    private mutating func scalar() -> Bool {
        let second: ClosedRange<UInt8>
        let count: Int
        switch byte {
        case 0xC2...0xDF: (count, second) = (2, 0x80...0xBF)
        case 0xE0: (count, second) = (3, 0xA0...0xBF)
        case 0xE1...0xEC, 0xEE...0xEF: (count, second) = (3, 0x80...0xBF)
        case 0xED: (count, second) = (3, 0x80...0x9F)
        case 0xF0: (count, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (count, second) = (4, 0x80...0xBF)
        case 0xF4: (count, second) = (4, 0x80...0x8F)
        default: return false
        }
        guard unsafe at + count <= bytes.count, unsafe second.contains(bytes[at + 1]) else { return false }
        for offset in 2..<count where unsafe bytes[at + offset] & 0xC0 != 0x80 { return false }
        at += count
        return true
    }
}
