extension JSON {
    /// The value as text for people: what fits into `width` characters is on one line, the rest is indented by two
    /// blanks a level.
    package func indentedText(width: Int = 100) -> String { indented(width, prefix: "") }

    private func indented(_ width: Int, prefix: String) -> String {
        let line = onOneLine
        if prefix.count + line.count <= width, !prefix.isEmpty || !isContainer { return line }
        let inner = prefix + "  "
        switch self {
        case .array(let elements) where !elements.isEmpty:
            let lines = elements.map { inner + $0.indented(width, prefix: inner) }
            return "[\n" + lines.joined(separator: ",\n") + "\n\(prefix)]"
        case .object(let object) where !object.isEmpty:
            let lines = object.members.map { member in
                "\(inner)\(JSON.string(member.key).text): \(member.value.indented(width, prefix: inner))"
            }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(prefix)}"
        case .null, .bool, .integer, .number, .string, .array, .object: return line
        }
    }

    private var isContainer: Bool {
        switch self {
        case .array, .object: true
        case .null, .bool, .integer, .number, .string: false
        }
    }

    private var onOneLine: String {
        switch self {
        case .array(let elements): "[" + elements.map(\.onOneLine).joined(separator: ", ") + "]"
        case .object(let object):
            "{" + object.members.map { "\(JSON.string($0.key).text): \($0.value.onOneLine)" }.joined(separator: ", ")
                + "}"
        case .null, .bool, .integer, .number, .string: text
        }
    }
}
