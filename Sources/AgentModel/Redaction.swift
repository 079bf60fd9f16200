package import StrictJSON

/// Takes secrets out of what came from elsewhere: PVE's errors, logs and answers may repeat what they were sent.
package struct Redaction: Sendable {
    /// UTF-8 of everything to look for, the longest first.
    private let wanted: [[UInt8]]
    private static let mark = Array(Secret("").description.utf8)

    /// Knows the secrets of `calls`: whole, without white space around them, line by line, and percent-encoded.
    package init(_ calls: [Call]) {
        var texts: Set<String> = []
        for case .secret(let secret) in calls.flatMap(\.parameters).map(\.value) {
            let text = secret.reveal()
            let lines = text.split(whereSeparator: \.isNewline).map(Self.trimmed)
            for form in [text, Self.trimmed(text[...])] + lines.filter({ $0.utf8.count >= 6 }) {
                texts.formUnion([form, form.percentEncoded])
            }
        }
        wanted = texts.filter { !$0.isEmpty }.map { Array($0.utf8) }.sorted { $0.count > $1.count }
    }

    package func callAsFunction(_ text: String) -> String {
        guard !wanted.isEmpty else { return text }
        var bytes = Array(text.utf8)
        for secret in wanted { bytes = Self.replace(secret, in: bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The same for every text in `value`; members that are secrets by their name are taken out whole.
    package func callAsFunction(_ value: JSON) -> JSON {
        switch value {
        case .string(let text): return .string(self(text))
        case .array(let elements): return .array(elements.map { self($0) })
        case .object(let object):
            var out = JSONObject()
            for member in object.members {
                let isSecret = ParameterDefinition.isSecret(member.key)
                out.append(member.key, isSecret ? .string(Secret("").description) : self(member.value))
            }
            return .object(out)
        case .null, .bool, .integer, .number: return value
        }
    }

    private static func replace(_ secret: [UInt8], in bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            if bytes[at] == secret[0], bytes[at...].starts(with: secret) {
                out += mark
                at += secret.count
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
