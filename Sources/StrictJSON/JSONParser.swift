extension JSON {
    /// Deepest nesting that `parse` takes.
    package static let maximumDepth = 64

    /// Parses one complete document (RFC 8259), strictly.
    ///
    /// Refused beside malformed text: bytes after the value, duplicate keys, nesting deeper than ``maximumDepth``,
    /// invalid UTF-8, lone surrogates, and numbers that no finite double holds.
    package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON {
        let result = bytes.withUnsafeBufferPointer { buffer in
            Result { () throws(JSONError) -> JSON in
                var parser = JSONParser(bytes: buffer)
                return try parser.document()
            }
        }
        return try result.get()
    }

    /// Parses `text` as ``parse(_:)-([UInt8])`` does.
    package static func parse(_ text: String) throws(JSONError) -> JSON { try parse(Array(text.utf8)) }
}

/// A recursive-descent parser; the nesting bound keeps the stack small.
struct JSONParser {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    private var path: [JSONPath.Step] = []

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func document() throws(JSONError) -> JSON {
        let value = try self.value()
        skipSpace()
        guard at == bytes.count else { throw error("unexpected text after the end of the document") }
        return value
    }

    private func error(_ detail: String, at offset: Int? = nil) -> JSONError {
        JSONError(path: JSONPath(path), offset: offset ?? at, detail: detail)
    }

    private mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    private mutating func value() throws(JSONError) -> JSON {
        skipSpace()
        guard at < bytes.count else { throw error("unexpected end of the document") }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("expected a JSON value")
        }
    }

    private mutating func literal(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for offset in 0..<word.utf8CodeUnitCount {
            guard at + offset < bytes.count, bytes[at + offset] == word.utf8Start[offset] else {
                throw error("expected a JSON value")
            }
        }
        at += word.utf8CodeUnitCount
        return value
    }

    private mutating func enter(_ step: JSONPath.Step) throws(JSONError) {
        guard path.count < JSON.maximumDepth else {
            throw error("nested deeper than \(JSON.maximumDepth) levels")
        }
        path.append(step)
    }

    private mutating func object() throws(JSONError) -> JSON {
        at += 1
        var members: [JSONObject.Member] = []
        var seen: Set<String> = []
        skipSpace()
        if try take(UInt8(ascii: "}")) { return .object(JSONObject()) }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw error("expected a key in quotes") }
            let start = at
            let key = try string()
            try enter(.key(key))
            guard isNew(key, among: members, seen: &seen) else { throw error("key given twice", at: start) }
            skipSpace()
            guard try take(UInt8(ascii: ":")) else { throw error("expected ':' after the key") }
            members.append(.init(key: key, value: try value()))
            path.removeLast()
            skipSpace()
            if try take(UInt8(ascii: ",")) { continue }
            guard try take(UInt8(ascii: "}")) else { throw error("expected ',' or '}'") }
            return .object(JSONObject(unique: members))
        }
    }

    /// Linear for small objects, by a set for large ones, so that many keys cost no quadratic time.
    private func isNew(_ key: String, among members: [JSONObject.Member], seen: inout Set<String>) -> Bool {
        guard members.count >= 16 else { return !members.contains { $0.key == key } }
        if seen.isEmpty { seen = Set(members.map(\.key)) }
        return seen.insert(key).inserted
    }

    private mutating func array() throws(JSONError) -> JSON {
        at += 1
        var elements: [JSON] = []
        skipSpace()
        if try take(UInt8(ascii: "]")) { return .array([]) }
        while true {
            try enter(.index(elements.count))
            elements.append(try value())
            path.removeLast()
            skipSpace()
            if try take(UInt8(ascii: ",")) { continue }
            guard try take(UInt8(ascii: "]")) else { throw error("expected ',' or ']'") }
            return .array(elements)
        }
    }

    private mutating func take(_ byte: UInt8) throws(JSONError) -> Bool {
        guard at < bytes.count else { throw error("unexpected end of the document") }
        guard bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = at
        var isInteger = true
        if bytes[at] == UInt8(ascii: "-") { at += 1 }
        let leading = at
        guard digits() > 0 else { throw error("expected a digit") }
        guard bytes[leading] != UInt8(ascii: "0") || at == leading + 1 else {
            throw error("a number must not start with 0", at: start)
        }
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            guard digits() > 0 else { throw error("expected a digit after the decimal point") }
        }
        if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            at += 1
            if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
            guard digits() > 0 else { throw error("expected a digit in the exponent") }
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger, let value = Int64(text) { return text == "-0" ? .number(-0.0) : .integer(value) }
        guard let value = Double(text), value.isFinite else { throw error("number out of range", at: start) }
        return .number(value)
    }

    private mutating func digits() -> Int {
        let start = at
        while at < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[at]) { at += 1 }
        return at - start
    }

    private mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
            at += 1
        }
        guard at < bytes.count else { throw error("string without an end", at: start) }
        if bytes[at] == UInt8(ascii: "\"") {
            guard let text = String(validating: bytes[start..<at], as: UTF8.self) else {
                throw error("string is not valid UTF-8", at: start)
            }
            at += 1
            return text
        }
        return try escapedString(from: start)
    }

    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var text = Array(bytes[start..<at])
        while at < bytes.count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw error("string is not valid UTF-8", at: start)
                }
                at += 1
                return string
            case UInt8(ascii: "\\"):
                at += 1
                text += try escape()
            case 0..<0x20:
                throw error("control character in a string; write it as \\u00XX")
            default:
                text.append(byte)
                at += 1
            }
        }
        throw error("string without an end", at: start)
    }

    private mutating func escape() throws(JSONError) -> [UInt8] {
        guard at < bytes.count else { throw error("string without an end") }
        defer { at += 1 }
        switch bytes[at] {
        case UInt8(ascii: "\""): return [0x22]
        case UInt8(ascii: "\\"): return [0x5C]
        case UInt8(ascii: "/"): return [0x2F]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var units = [try hexUnit()]
            if UTF16.isLeadSurrogate(units[0]), at + 2 < bytes.count,
                bytes[at + 1] == UInt8(ascii: "\\"), bytes[at + 2] == UInt8(ascii: "u")
            {
                at += 2
                units.append(try hexUnit())
            }
            guard let text = String(validating: units, as: UTF16.self) else {
                throw error("\\u escape of half a surrogate pair")
            }
            return Array(text.utf8)
        default: throw error("unknown escape in a string")
        }
    }

    /// Reads the four digits after a `u`, leaving `at` on the last of them.
    private mutating func hexUnit() throws(JSONError) -> UInt16 {
        guard at + 4 < bytes.count else { throw error("string without an end") }
        var unit: UInt16 = 0
        for offset in 1...4 {
            guard let digit = Character(UnicodeScalar(bytes[at + offset])).hexDigitValue else {
                throw error("expected four hexadecimal digits after \\u")
            }
            unit = unit << 4 | UInt16(digit)
        }
        at += 4
        return unit
    }
}
