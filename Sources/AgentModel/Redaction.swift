package import StrictJSON

/// Takes secrets out of texts that came from elsewhere: PVE's errors and logs may repeat what they were sent.
package struct Redaction: Sendable {
    private let secrets: [String]

    /// Knows the secrets of `calls`; a longer one is looked for before one that is a part of it.
    package init(_ calls: [Call]) {
        secrets = calls.flatMap(\.parameters).compactMap { parameter in
            guard case .secret(let secret) = parameter.value, !secret.reveal().isEmpty else { return nil }
            return secret.reveal()
        }.sorted { $0.utf8.count > $1.utf8.count }
    }

    package func callAsFunction(_ text: String) -> String {
        secrets.reduce(text) { text, secret in
            text.split(separator: secret, omittingEmptySubsequences: false).joined(
                separator: Secret(secret).description)
        }
    }

    package func callAsFunction(_ value: JSON) -> JSON {
        switch value {
        case .string(let text): return .string(self(text))
        case .array(let elements): return .array(elements.map { self($0) })
        case .object(let object):
            return .object(object.members.reduce(into: JSONObject()) { $0[$1.key] = self($1.value) })
        case .null, .bool, .integer, .number: return value
        }
    }
}
