extension String {
    /// Whether both are the same code points: `==` without canonical equivalence.
    func isSameText(as other: String) -> Bool {
        utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
    }

    /// Whether the UTF-16 code units of this come before those of `other`; the order of keys in RFC 8785.
    func precedesInUTF16(_ other: String) -> Bool {
        for (a, b) in zip(utf8, other.utf8) where a != b { return Self.rank(a) < Self.rank(b) }
        return utf8.count < other.utf8.count
    }

    /// UTF-8 sorts like UTF-16, except that U+10000 and above, as surrogates, sort before U+E000.
    private static func rank(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0xF0...: byte - 2
        case 0xEE, 0xEF: byte + 0x10
        default: byte
        }
    }
}

extension JSON: Hashable {
    package static func == (a: JSON, b: JSON) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.isSameText(as: b)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        case (.null, _), (.bool, _), (.integer, _), (.number, _), (.string, _), (.array, _), (.object, _): false
        }
    }

    package func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .integer(let value): hasher.combine(value)
        case .number(let value): hasher.combine(value)
        case .string(let value): hasher.combine(value)
        case .array(let elements): hasher.combine(elements)
        case .object(let object): hasher.combine(object)
        }
    }
}

extension JSONObject: Hashable {
    package static func == (a: JSONObject, b: JSONObject) -> Bool {
        guard a.count == b.count else { return false }
        // Mostly both have the same keys in the same order. Sort only if not.
        if zip(a.members, b.members).allSatisfy({ $0.key.isSameText(as: $1.key) }) {
            return zip(a.members, b.members).allSatisfy { $0.value == $1.value }
        }
        return zip(a.sorted, b.sorted).allSatisfy { $0.key.isSameText(as: $1.key) && $0.value == $1.value }
    }

    package func hash(into hasher: inout Hasher) {
        for member in sorted {
            hasher.combine(member.key)
            hasher.combine(member.value)
        }
        hasher.combine(count)
    }

    private var sorted: [Member] { members.sorted { $0.key.precedesInUTF16($1.key) } }
}
