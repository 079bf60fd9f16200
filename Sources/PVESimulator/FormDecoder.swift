import HTTPMessage
import HTTPTypes
import StrictJSON

/// A parameter as it arrived, before any check.
enum RawValue: Sendable, Hashable {
    case text(String)
    /// The same name several times, or a JSON array.
    case list([String])
    /// A JSON object.
    case nested
    case null
}

/// Reads parameters the way Proxmox VE's HTTP server does.
enum FormDecoder {
    /// Splits at `&` and `;`, and cuts a value at a second `=`.
    static func parse(_ text: String) -> [String: RawValue] {
        var values: [String: RawValue] = [:]
        for pair in text.split(whereSeparator: { $0 == "&" || $0 == ";" }) {
            let parts = pair.split(separator: "=", omittingEmptySubsequences: false)
            let name = decode(parts[0], plus: true)
            let value = parts.count > 1 ? decode(parts[1], plus: true) : ""
            switch values[name] {
            case .text(let first): values[name] = .list([first, value])
            case .list(let before): values[name] = .list(before + [value])
            default: values[name] = .text(value)
            }
        }
        return values
    }

    /// Percent-decodes; a malformed escape stays as it is.
    static func decode(_ text: some StringProtocol, plus: Bool = false) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else {
            return String(text)
        }
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = digit(bytes[at + 1]),
                let low = digit(bytes[at + 2])
            {
                out.append(high << 4 | low)
                at += 3
            } else {
                out.append(plus && bytes[at] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[at])
                at += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(UnicodeScalar(byte)).hexDigitValue.map { UInt8($0) }
    }

    /// The parameters of a request: those of the query win over those of the body.
    static func parameters(of request: Request) throws(Failure) -> [String: RawValue] {
        var values: [String: RawValue] = [:]
        if !request.body.isEmpty {
            guard request.method == .post || request.method == .put else {
                throw .server(501, "Unexpected content for method '\(request.method.rawValue)'")
            }
            let type = request.fields[.contentType].map { $0.prefix { $0 != ";" }.lowercased() }
            switch type {
            case nil, "application/x-www-form-urlencoded": values = parse(String(decoding: request.body, as: UTF8.self))
            case "application/json": values = try json(request.body)
            default: throw .server(506, "upload 'Content-Type '\(type ?? "")' not implemented")
            }
        }
        if let query = request.query { values.merge(parse(query)) { _, last in last } }
        values["_dc"] = nil
        return values
    }

    private static func json(_ body: [UInt8]) throws(Failure) -> [String: RawValue] {
        let place = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line"
        let value: JSON
        do { value = try JSON.parse(body) } catch {
            throw .server(
                500,
                "malformed JSON string, neither tag, array, object, number, string or atom, at character offset "
                    + "\(error.offset ?? 0) (before \"(end of string)\") \(place) 934.\n")
        }
        guard let object = value.object else { throw .server(500, "Not a HASH reference \(place) 978.\n") }
        return object.members.reduce(into: [:]) { $0[$1.key] = rawValue($1.value) }
    }

    private static func rawValue(_ value: JSON) -> RawValue {
        switch value {
        case .null: .null
        case .bool(let flag): .text(flag ? "1" : "0")
        case .integer, .number: .text(value.text)
        case .string(let text): .text(text)
        case .array(let items): .list(items.map { $0.string ?? $0.text })
        case .object: .nested
        }
    }
}
