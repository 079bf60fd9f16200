extension JSON {
    /// The default for the deepest nesting of arrays and objects that `parse` accepts.
    package static let maximumDepth = 64

    /// Parses one complete document (RFC 8259), strictly.
    ///
    /// Refuses malformed text, bytes after the value, duplicate keys, nesting deeper than `maximumDepth`, invalid
    /// UTF-8, lone surrogates, and numbers too large for a finite double. An integer of more than 64 bits becomes the
    /// nearest double.
    package static func parse(
        _ bytes: some Collection<UInt8>, maximumDepth: Int = JSON.maximumDepth
    ) throws(JSONError) -> JSON {
        let result = bytes.withContiguousStorageIfAvailable { buffer in unsafe parse(buffer, maximumDepth) }
        if let result { return try result.get() }
        return try unsafe Array(bytes).withUnsafeBufferPointer { buffer in unsafe parse(buffer, maximumDepth) }.get()
    }

    /// Parses `text` as ``parse(_:maximumDepth:)`` does.
    package static func parse(_ text: String) throws(JSONError) -> JSON { try parse(text.utf8) }

    private static func parse(_ buffer: UnsafeBufferPointer<UInt8>, _ depth: Int) -> Result<JSON, JSONError> {
        Result { () throws(JSONError) -> JSON in
            var parser = unsafe JSONParser(bytes: buffer, maximumDepth: depth)
            return try parser.document()
        }
    }
}

/// A recursive-descent parser; the nesting bound keeps the stack small.
// SAFETY: it lives in the closure that lends it the buffer, and compares each index with the count before it reads.
@safe struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    private(set) var at = 0
    private let maximumDepth: Int
    private var depth = 0
    /// How many more values are accepted: each costs memory, however short its text.
    private var left = 4_000_000

    init(bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int = JSON.maximumDepth) {
        unsafe self.bytes = unsafe bytes
        self.maximumDepth = maximumDepth
    }

    mutating func document() throws(JSONError) -> JSON {
        let value = try self.value()
        skipSpace()
        guard unsafe at == bytes.count else { throw error("unexpected text after the end of the document") }
        return value
    }

    /// An error at this place. Callers add their part of the path, so that a valid document needs no paths.
    private func error(_ detail: String, at offset: Int? = nil) -> JSONError {
        JSONError(path: JSONPath(), offset: offset ?? at, detail: detail)
    }

    private mutating func skipSpace() {
        while unsafe at < bytes.count {
            switch unsafe bytes[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    private mutating func value() throws(JSONError) -> JSON {
        skipSpace()
        guard unsafe at < bytes.count else { throw error("unexpected end of the document") }
        left -= 1
        guard left >= 0 else { throw error("more values than are taken in one document") }
        switch unsafe bytes[at] {
        case UInt8(ascii: "{"): return try nested { (self) throws(JSONError) in try self.object() }
        case UInt8(ascii: "["): return try nested { (self) throws(JSONError) in try self.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("expected a JSON value")
        }
    }

    private mutating func literal(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let end = at + word.utf8CodeUnitCount
        guard unsafe end <= bytes.count,
            unsafe bytes[at..<end].elementsEqual(
                UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        else { throw error("expected a JSON value") }
        at = end
        return value
    }

    private mutating func nested(
        _ body: (inout JSONParser) throws(JSONError) -> JSON
    ) throws(JSONError) -> JSON {
        guard depth < maximumDepth else { throw error("nested deeper than \(maximumDepth) levels") }
        depth += 1
        defer { depth -= 1 }
        at += 1
        skipSpace()
        return try body(&self)
    }

    private mutating func take(_ byte: UInt8) throws(JSONError) -> Bool {
        guard unsafe at < bytes.count else { throw error("unexpected end of the document") }
        guard unsafe bytes[at] == byte else { return false }
        at += 1
        return true
    }
}

// MARK: - Objects and arrays

extension JSONParser {
    private mutating func object() throws(JSONError) -> JSON {
        var members: [JSONObject.Member] = []
        var seen: Set<[UInt8]> = []
        if try take(UInt8(ascii: "}")) { return .object(JSONObject()) }
        while true {
            skipSpace()
            guard unsafe at < bytes.count, unsafe bytes[at] == UInt8(ascii: "\"") else {
                throw error("expected a key in quotes")
            }
            let start = at
            let key = try string()
            do throws(JSONError) {
                guard isNew(key, among: members, seen: &seen) else { throw error("key given twice", at: start) }
                skipSpace()
                guard try take(UInt8(ascii: ":")) else { throw error("expected ':' after the key") }
                members.append(.init(key: key, value: try value()))
            } catch {
                throw error.under(.key(key))
            }
            skipSpace()
            if try take(UInt8(ascii: ",")) { continue }
            guard try take(UInt8(ascii: "}")) else { throw error("expected ',' or '}'") }
            return .object(JSONObject(unique: members))
        }
    }

    /// Linear for small objects, with a set for large ones, so that many keys do not take quadratic time.
    ///
    /// The set contains bytes: strings hash by canonical equivalence, which would put different keys into one bucket.
    private func isNew(_ key: String, among members: [JSONObject.Member], seen: inout Set<[UInt8]>) -> Bool {
        guard members.count >= 16 else { return !members.contains { $0.key.isSameText(as: key) } }
        if seen.isEmpty { seen = Set(members.map { Array($0.key.utf8) }) }
        return seen.insert(Array(key.utf8)).inserted
    }

    private mutating func array() throws(JSONError) -> JSON {
        var elements: [JSON] = []
        if try take(UInt8(ascii: "]")) { return .array([]) }
        while true {
            do throws(JSONError) {
                elements.append(try value())
            } catch {
                throw error.under(.index(elements.count))
            }
            skipSpace()
            if try take(UInt8(ascii: ",")) { continue }
            guard try take(UInt8(ascii: "]")) else { throw error("expected ',' or ']'") }
            return .array(elements)
        }
    }
}

// MARK: - Numbers

extension JSONParser {
    private mutating func number() throws(JSONError) -> JSON {
        let start = at
        var isInteger = true
        if unsafe bytes[at] == UInt8(ascii: "-") { at += 1 }
        let leading = at
        guard digits() > 0 else { throw error("expected a digit") }
        guard unsafe bytes[leading] != UInt8(ascii: "0") || at == leading + 1 else {
            throw error("a number must not start with 0", at: start)
        }
        if unsafe at < bytes.count, unsafe bytes[at] == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            guard digits() > 0 else { throw error("expected a digit after the decimal point") }
        }
        if unsafe at < bytes.count, unsafe bytes[at] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            at += 1
            if unsafe at < bytes.count, unsafe bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") {
                at += 1
            }
            guard digits() > 0 else { throw error("expected a digit in the exponent") }
        }
        if isInteger, let value = integer(from: start, digits: leading) { return value }
        guard let value = unsafe Double(String(decoding: slice(start), as: UTF8.self)), value.isFinite else {
            throw error("number out of range", at: start)
        }
        return .number(value)
    }

    /// The text from `start` to here as a 64-bit integer, if it fits; `-0` is not an integer.
    private func integer(from start: Int, digits first: Int) -> JSON? {
        let isNegative = first > start
        guard at - first <= 18 else {
            return unsafe Int64(String(decoding: slice(start), as: UTF8.self)).map { .integer($0) }
        }
        var value: Int64 = 0
        for offset in first..<at { value = unsafe value * 10 + Int64(bytes[offset] - UInt8(ascii: "0")) }
        if isNegative { return value == 0 ? .number(-0.0) : .integer(-value) }
        return .integer(value)
    }

    private mutating func digits() -> Int {
        let start = at
        while unsafe at < bytes.count, unsafe (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[at]) { at += 1 }
        return at - start
    }

    private func slice(_ start: Int) -> UnsafeBufferPointer<UInt8> {
        unsafe UnsafeBufferPointer(rebasing: bytes[start..<at])
    }
}

// MARK: - Strings

extension JSONParser {
    /// Reads a string from its opening quote.
    private mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        while unsafe at < bytes.count, unsafe bytes[at] != UInt8(ascii: "\""), unsafe bytes[at] != UInt8(ascii: "\\"),
            unsafe bytes[at] >= 0x20
        {
            at += 1
        }
        guard unsafe at < bytes.count else { throw error("string without an end", at: start) }
        guard unsafe bytes[at] == UInt8(ascii: "\"") else { return try escapedString(from: start) }
        guard let text = unsafe String(validating: slice(start), as: UTF8.self) else {
            throw error("string is not valid UTF-8", at: start)
        }
        at += 1
        return text
    }

    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var text = unsafe Array(slice(start))
        while unsafe at < bytes.count {
            let byte = unsafe bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw error("string is not valid UTF-8", at: start)
                }
                at += 1
                return string
            case UInt8(ascii: "\\"):
                at += 1
                try escape(into: &text)
            case 0..<0x20:
                throw error("control character in a string; write it as \\u00XX")
            default:
                text.append(byte)
                at += 1
            }
        }
        throw error("string without an end", at: start)
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard unsafe at < bytes.count else { throw error("string without an end") }
        let byte = unsafe bytes[at]
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try unicodeEscape()).utf8)
        default: throw error("unknown escape in a string")
        }
        at += 1
    }

    /// Reads the digits after a `u`, and the second half of a pair. Leaves `at` on the last digit.
    private mutating func unicodeEscape() throws(JSONError) -> Character {
        let start = at - 1
        let first = try hexUnit()
        if let scalar = UnicodeScalar(first) { return Character(scalar) }
        if UTF16.isLeadSurrogate(first), unsafe at + 2 < bytes.count, unsafe bytes[at + 1] == UInt8(ascii: "\\"),
            unsafe bytes[at + 2] == UInt8(ascii: "u")
        {
            at += 2
            let second = try hexUnit()
            if UTF16.isTrailSurrogate(second),
                let scalar = UnicodeScalar(0x10000 + UInt32(first & 0x3FF) << 10 + UInt32(second & 0x3FF))
            {
                return Character(scalar)
            }
        }
        throw error("\\u escape of half a surrogate pair", at: start)
    }

    private mutating func hexUnit() throws(JSONError) -> UInt16 {
        guard unsafe at + 4 < bytes.count else { throw error("string without an end") }
        var unit: UInt16 = 0
        for offset in 1...4 {
            let byte = unsafe bytes[at + offset]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw error("expected four hexadecimal digits after \\u")
            }
            unit = unit << 4 | UInt16(digit)
        }
        at += 4
        return unit
    }
}
