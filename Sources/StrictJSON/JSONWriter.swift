extension JSON {
    /// How closely a text follows RFC 8785.
    package enum Form: Sendable, Hashable {
        /// Keys in their own order, integers with all their digits.
        case plain
        /// As `plain`, but a number that is not an integer stays one: `1.0`. Parsing gives an equal value.
        case exact
        /// Keys in their own order, numbers as RFC 8785 writes them: an integer beyond 2⁵³ as the nearest double.
        case canonicalNumbers
        /// RFC 8785: keys sorted by UTF-16 code units, numbers as ECMAScript writes them.
        case canonical
    }

    /// The value as compact UTF-8 text, keys in their own order.
    package var bytes: [UInt8] { bytes(.plain) }

    /// The value as RFC 8785 canonical JSON: keys sorted by UTF-16 code units, numbers as ECMAScript writes them.
    package var canonicalBytes: [UInt8] { bytes(.canonical) }

    /// The value as compact UTF-8 text in the given form.
    package func bytes(_ form: Form) -> [UInt8] {
        var out: [UInt8] = []
        write(to: &out, form)
        return out
    }

    /// The compact text as a string.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Appends the compact text to `out`.
    package func write(to out: inout [UInt8], _ form: Form = .plain) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value):
            if form == .canonical || form == .canonicalNumbers, value.magnitude > 1 << 53 {
                out.append(contentsOf: Self.ecmaScript(Double(value)).utf8)
            } else {
                out.append(contentsOf: String(value).utf8)
            }
        case .number(let value):
            out.append(contentsOf: (form == .exact ? value.description : Self.ecmaScript(value)).utf8)
        case .string(let value): Self.writeString(value, to: &out)
        case .array(let elements):
            out.append(UInt8(ascii: "["))
            var isFirst = true
            for element in elements {
                if !isFirst { out.append(UInt8(ascii: ",")) }
                isFirst = false
                element.write(to: &out, form)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let object):
            let members =
                form == .canonical ? object.members.sorted { $0.key.precedesInUTF16($1.key) } : object.members
            out.append(UInt8(ascii: "{"))
            var isFirst = true
            for member in members {
                if !isFirst { out.append(UInt8(ascii: ",")) }
                isFirst = false
                Self.writeString(member.key, to: &out)
                out.append(UInt8(ascii: ":"))
                member.value.write(to: &out, form)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    /// Appends `text` in quotes, with the escapes that RFC 8785 prescribes.
    package static func writeString(_ text: String, to out: inout [UInt8]) {
        var text = text
        out.append(UInt8(ascii: "\""))
        text.withUTF8 { utf8 in
            var written = 0
            for index in utf8.indices {
                let byte = unsafe utf8[index]
                guard byte < 0x20 || byte == 0x22 || byte == 0x5C else { continue }
                unsafe out.append(contentsOf: utf8[written..<index])
                writeEscape(byte, to: &out)
                written = index + 1
            }
            unsafe out.append(contentsOf: utf8[written...])
        }
        out.append(UInt8(ascii: "\""))
    }

    private static func writeEscape(_ byte: UInt8, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x08: out.append(UInt8(ascii: "b"))
        case 0x09: out.append(UInt8(ascii: "t"))
        case 0x0A: out.append(UInt8(ascii: "n"))
        case 0x0C: out.append(UInt8(ascii: "f"))
        case 0x0D: out.append(UInt8(ascii: "r"))
        case 0..<0x20:
            let low = byte & 15
            out.append(contentsOf: "u00".utf8)
            out.append(byte >> 4 + UInt8(ascii: "0"))
            out.append(low < 10 ? low + UInt8(ascii: "0") : low - 10 + UInt8(ascii: "a"))
        default: out.append(byte)
        }
    }
}

// MARK: - Numbers

extension JSON {
    /// A number as `Number::toString` of ECMA-262 writes it; Swift's shortest digits are the same.
    ///
    /// JSON has no non-finite numbers; they become `null`, as in `JSON.stringify`.
    static func ecmaScript(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        if let integer = Int64(exactly: value), integer.magnitude <= 1 << 53 { return String(integer) }
        let sign = value < 0 ? "-" : ""
        let (digits, exponent) = decimal(value.magnitude)
        let count = digits.count
        if exponent > 21 || exponent < -5 {
            let shown = exponent - 1
            let mantissa = count == 1 ? digits : "\(digits.prefix(1)).\(digits.dropFirst())"
            return "\(sign)\(mantissa)e\(shown < 0 ? "-" : "+")\(shown.magnitude)"
        }
        if exponent >= count { return sign + digits + String(repeating: "0", count: exponent - count) }
        if exponent > 0 { return "\(sign)\(digits.prefix(exponent)).\(digits.dropFirst(exponent))" }
        return "\(sign)0.\(String(repeating: "0", count: -exponent))\(digits)"
    }

    /// The shortest decimal digits and the position of the point: value = 0.digits × 10^exponent.
    private static func decimal(_ value: Double) -> (digits: String, exponent: Int) {
        let text = value.description
        let parts = text.split(separator: "e", maxSplits: 1)
        let power = parts.count == 2 ? Int(parts[1]) ?? 0 : 0
        let mantissa = parts[0].split(separator: ".", maxSplits: 1)
        let fraction = mantissa.count == 2 ? mantissa[1] : ""
        let all = String(mantissa[0]) + String(fraction)
        let leading = all.prefix { $0 == "0" }.count
        var digits = all.dropFirst(leading)
        while digits.last == "0" { digits.removeLast() }
        return (String(digits), mantissa[0].count - leading + power)
    }
}
