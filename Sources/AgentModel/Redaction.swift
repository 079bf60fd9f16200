package import StrictJSON

/// Takes secrets out of what came from elsewhere: PVE's errors, logs and answers may repeat what they were sent.
package struct Redaction: Sendable {
    /// UTF-8 of everything to look for, the longest first.
    private let wanted: [[UInt8]]
    private static let mark = Array(Secret("").description.utf8)

    /// Knows the secrets of `calls`: whole, without white space around them, line by line, what is behind a `=`, and all of
    /// that percent-encoded.
    package init(_ calls: [Call]) {
        var texts: Set<String> = []
        for case .secret(let secret) in calls.flatMap(\.parameters).map(\.value) {
            let text = secret.reveal()
            let lines = text.split(whereSeparator: \.isNewline).map(Self.trimmed)
            // Of `NAME=value`, which is how environments are written, the value alone may be repeated.
            let values = lines.compactMap { line in
                line.firstIndex(of: "=").map { String(line[line.index(after: $0)...]) }
            }
            for form in [text, Self.trimmed(text[...])] + (lines + values).filter({ $0.utf8.count >= 6 }) {
                texts.formUnion([form, form.percentEncoded])
            }
        }
        wanted = texts.filter { !$0.isEmpty }.map { Array($0.utf8) }.sorted { $0.count > $1.count }
    }

    package func callAsFunction(_ text: String) -> String {
        guard !wanted.isEmpty else { return text.withoutUserinfo }
        var bytes = Array(text.utf8)
        for secret in wanted { bytes = Self.replace(secret, in: bytes) }
        return String(decoding: bytes, as: UTF8.self).withoutUserinfo
    }

    /// The same for every text in `value`; members that are secrets by their name are taken out whole, and so are the
    /// values of rows that name one in `key`.
    package func callAsFunction(_ value: JSON) -> JSON {
        switch value {
        case .string(let text): return .string(self(text))
        case .array(let elements): return .array(elements.map { self($0) })
        case .object(let object):
            var out = JSONObject()
            let isRow = object["key"]?.string.map(ParameterDefinition.isSecret) ?? false
            for member in object.members {
                let isSecret =
                    ParameterDefinition.isSecret(member.key) || (isRow && ["value", "pending"].contains(member.key))
                out.append(member.key, isSecret ? .string(Secret("").description) : self(member.value))
            }
            return .object(out)
        case .null, .bool, .integer, .number: return value
        }
    }

    package func callAsFunction(_ upstream: PVERejection) -> PVERejection {
        PVERejection(
            status: upstream.status, reason: self(upstream.reason), errors: upstream.errors.mapValues { self($0) })
    }

    private static func replace(_ secret: [UInt8], in bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            if bytes[at] == secret[0], bytes[at...].starts(with: secret) {
                out += mark
                at += secret.count
            } else if bytes.count - at >= 4, bytes[at] == secret[0], secret.starts(with: bytes[at...]) {
                // The beginning of one, where a text was cut.
                out += mark
                at = bytes.count
            } else {
                out.append(bytes[at])
                at += 1
            }
        }
        return out
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}

extension String {
    /// The text with `<redacted>` for every user name and password in a URL, `https://user:pass@host/`.
    package var withoutUserinfo: String {
        guard contains("://"), contains("@") else { return self }
        var out: [UInt8] = []
        var rest = Array(utf8)[...]
        while let found = rest.firstRange(of: Array("://".utf8)) {
            out += rest[..<found.upperBound]
            rest = rest[found.upperBound...]
            let authority = rest.prefix { !Self.endsAuthority($0) }
            guard let at = authority.lastIndex(of: UInt8(ascii: "@")) else { continue }
            out += Secret("").description.utf8
            rest = rest[at...]
        }
        return String(decoding: out + rest, as: UTF8.self)
    }

    /// Whether a byte cannot stand in the part of a URL that names user, host and port.
    private static func endsAuthority(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == 0x7F || #"/?#\"<>"#.utf8.contains(byte)
    }
}
