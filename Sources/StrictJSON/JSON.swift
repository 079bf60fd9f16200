/// A JSON value (RFC 8259) whose objects keep the order of their keys.
///
/// Texts and keys are equal if their code points are; Swift's `String` would also consider "é" and "e\u{301}" equal.
package enum JSON: Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction or exponent that fits 64 bits.
    case integer(Int64)
    /// Any other number; always finite.
    case number(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

/// The members of a JSON object, in order, each key once. Equality ignores the order.
package struct JSONObject: Sendable {
    package struct Member: Sendable {
        package let key: String
        package var value: JSON
    }

    package private(set) var members: [Member]

    package init() { members = [] }

    /// For the parser, which checks for duplicate keys itself.
    init(unique members: [Member]) { self.members = members }

    package var isEmpty: Bool { members.isEmpty }
    package var count: Int { members.count }
    package var keys: [String] { members.map(\.key) }

    /// The value of `key`. Setting `nil` removes the member; a new key goes to the end.
    package subscript(key: String) -> JSON? {
        get { members.first { $0.key.isSameText(as: key) }?.value }
        set {
            guard let index = members.firstIndex(where: { $0.key.isSameText(as: key) }) else {
                if let newValue { members.append(Member(key: key, value: newValue)) }
                return
            }
            if let newValue { members[index].value = newValue } else { members.remove(at: index) }
        }
    }
}

extension JSONObject {
    /// Adds a member at the end without checking for the key; the caller must know that it is new.
    package mutating func append(_ newKey: String, _ value: JSON) {
        assert(self[newKey] == nil, "key given twice")
        members.append(Member(key: newKey, value: value))
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// Leaves out members whose value is `nil`.
    package init(dictionaryLiteral elements: (String, JSON?)...) {
        self.init()
        for (key, value) in elements { self[key] = value }
    }
}

extension JSON: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(stringLiteral value: String) { self = .string(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    /// Leaves out members whose value is `nil`.
    package init(dictionaryLiteral elements: (String, JSON?)...) {
        var object = JSONObject()
        for (key, value) in elements { object[key] = value }
        self = .object(object)
    }
}

extension JSON {
    /// A number if it is finite, else null.
    package init(_ value: Double) { self = value.isFinite ? .number(value) : .null }
    package init(_ value: Int) { self = .integer(Int64(value)) }
    package init(_ value: some Sequence<String>) { self = .array(value.map { .string($0) }) }

    package var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }
    package var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }
    package var integer: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }
    package var array: [JSON]? {
        guard case .array(let value) = self else { return nil }
        return value
    }
    package var object: JSONObject? {
        guard case .object(let value) = self else { return nil }
        return value
    }
    package var isNull: Bool { self == .null }

    /// The member `key` of an object; `nil` if it is missing or if this is not an object.
    package subscript(key: String) -> JSON? { object?[key] }

    /// Whether arrays and objects are nested more than `levels` deep.
    package func isNested(deeperThan levels: Int) -> Bool {
        switch self {
        case .null, .bool, .integer, .number, .string: false
        case .array(let elements): levels < 1 || elements.contains { $0.isNested(deeperThan: levels - 1) }
        case .object(let object): levels < 1 || object.members.contains { $0.value.isNested(deeperThan: levels - 1) }
        }
    }

    /// The kind of this value, for error messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}
