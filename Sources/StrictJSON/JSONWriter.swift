extension JSON {
    /// The value as compact UTF-8 text, keys in their own order.
    package var bytes: [UInt8] {
        var out: [UInt8] = []
        write(to: &out, canonical: false)
        return out
    }

    /// The value as RFC 8785 canonical JSON: keys sorted by UTF-16 code units, numbers as ECMAScript writes them.
    package var canonicalBytes: [UInt8] {
        var out: [UInt8] = []
        write(to: &out, canonical: true)
        return out
    }

    /// The compact text as a string.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Appends the compact text to `out`.
    package func write(to out: inout [UInt8]) { write(to: &out, canonical: false) }

    private func write(to out: inout [UInt8], canonical: Bool) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value):
            if canonical, value.magnitude > 1 << 53 {
                out.append(contentsOf: Self.ecmaScript(Double(value)).utf8)
            } else {
                out.append(contentsOf: String(value).utf8)
            }
        case .number(let value): out.append(contentsOf: Self.ecmaScript(value).utf8)
        case .string(let value): Self.writeString(value, to: &out)
        case .array(let elements):
            out.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                element.write(to: &out, canonical: canonical)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let object):
            let members =
                canonical
                ? object.members.sorted { $0.key.utf16.lexicographicallyPrecedes($1.key.utf16) } : object.members
            out.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                Self.writeString(member.key, to: &out)
                out.append(UInt8(ascii: ":"))
                member.value.write(to: &out, canonical: canonical)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    /// Appends `text` in quotes, with the escapes that RFC 8785 prescribes.
    package static func writeString(_ text: String, to out: inout [UInt8]) {
        let hex = Array("0123456789abcdef".utf8)
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case 0x22: out.append(contentsOf: [0x5C, 0x22])
            case 0x5C: out.append(contentsOf: [0x5C, 0x5C])
            case 0x08: out.append(contentsOf: [0x5C, UInt8(ascii: "b")])
            case 0x09: out.append(contentsOf: [0x5C, UInt8(ascii: "t")])
            case 0x0A: out.append(contentsOf: [0x5C, UInt8(ascii: "n")])
            case 0x0C: out.append(contentsOf: [0x5C, UInt8(ascii: "f")])
            case 0x0D: out.append(contentsOf: [0x5C, UInt8(ascii: "r")])
            case 0..<0x20:
                out.append(contentsOf: "\\u00".utf8)
                out.append(hex[Int(byte >> 4)])
                out.append(hex[Int(byte & 15)])
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    /// A finite number as `Number::toString` of ECMA-262 writes it; Swift's shortest digits are the same digits.
    static func ecmaScript(_ value: Double) -> String {
        guard value != 0 else { return "0" }
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

    /// Shortest decimal digits and the position of the point: value = 0.digits × 10^exponent.
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
