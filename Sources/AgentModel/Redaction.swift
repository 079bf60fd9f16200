package import StrictJSON

/// Takes secrets out of text from other systems. PVE's errors, logs and answers may repeat what was sent to PVE.
package struct Redaction: Sendable {
    /// Everything to look for as UTF-8, the longest first.
    private let wanted: [[UInt8]]
    private static let mark = Array(Secret("").description.utf8)

    /// Finds the secrets of `calls` as a whole, without surrounding white space, line by line, and as the part after a
    /// `=`. It finds all of these percent-encoded as well.
    package init(_ calls: [Call]) {
        var texts: Set<String> = []
        for case .secret(let secret) in calls.flatMap(\.parameters).map(\.value) {
            let text = secret.reveal()
            let lines = text.split(whereSeparator: \.isNewline).map(Self.trimmed)
            // Environment variables are written `NAME=value`, and PVE may repeat the value alone.
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

    /// Redacts every text in `value`. Members with a secret's name are taken out whole, and so are the values of rows
    /// whose `key` is such a name.
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
                // The beginning of a secret, where a text was cut.
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
    /// The text with `<redacted>` in place of every user name and password in a URL, `https://user:pass@host/`.
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

    /// Whether a byte cannot occur in the part of a URL that contains user, host and port.
    private static func endsAuthority(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == 0x7F || #"/?#\"<>"#.utf8.contains(byte)
    }
}
