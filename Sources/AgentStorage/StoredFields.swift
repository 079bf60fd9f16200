import AgentModel
import FoundationEssentials
import StrictJSON

/// Why a row is not one that this program wrote.
struct RowDecodingError: Error, Sendable, Hashable {
    let detail: String

    static let otherForm = RowDecodingError(detail: "has values of another form")
}

/// A value with a form for the store's documents, and its decoding.
protocol Stored {
    var stored: JSON { get }
    init(stored fields: inout StoredFields) throws(RowDecodingError)
}

/// Takes the members of a stored object one by one. A missing, malformed or extra member is a flaw.
struct StoredFields {
    private let object: JSONObject
    private let path: JSONPath
    private var taken = 0

    private init(_ value: JSON, at path: JSONPath) throws(RowDecodingError) {
        guard let object = value.object else { throw Self.flaw(path, "expected an object, got \(value.kind)") }
        self.object = object
        self.path = path
    }

    /// Reads a whole value and throws if it has unknown members.
    static func read<T: Stored>(_: T.Type, _ value: JSON, at path: JSONPath = JSONPath()) throws(RowDecodingError) -> T
    {
        var fields = try StoredFields(value, at: path)
        let result = try T(stored: &fields)
        guard fields.taken == fields.object.count else {
            throw flaw(path, "holds members that this version does not know")
        }
        return result
    }

    private static func flaw(_ path: JSONPath, _ what: String) -> RowDecodingError {
        RowDecodingError(detail: path.steps.isEmpty ? what : "\(path.dotted): \(what)")
    }

    /// The member; `nil` if there is none.
    mutating func find<T>(_ key: String, _ read: (JSON) -> T?) throws(RowDecodingError) -> T? {
        guard let value = object[key] else { return nil }
        taken += 1
        guard let result = read(value) else { throw Self.flaw(path.key(key), "has a value of another form") }
        return result
    }

    mutating func find<T: Stored>(_ key: String, _ type: T.Type = T.self) throws(RowDecodingError) -> T? {
        guard let value = object[key] else { return nil }
        taken += 1
        return try Self.read(type, value, at: path.key(key))
    }

    mutating func get<T>(_ key: String, _ read: (JSON) -> T?) throws(RowDecodingError) -> T {
        guard let result = try find(key, read) else { throw Self.flaw(path.key(key), "is missing") }
        return result
    }

    mutating func get<T: Stored>(_ key: String, _ type: T.Type = T.self) throws(RowDecodingError) -> T {
        guard let result = try find(key, type) else { throw Self.flaw(path.key(key), "is missing") }
        return result
    }

    mutating func list<T: Stored>(_ key: String, _ type: T.Type = T.self) throws(RowDecodingError) -> [T] {
        guard let result = try findList(key, type) else { throw Self.flaw(path.key(key), "is missing") }
        return result
    }

    mutating func findList<T: Stored>(_ key: String, _ type: T.Type = T.self) throws(RowDecodingError) -> [T]? {
        guard let elements = try find(key, \.array) else { return nil }
        var result: [T] = []
        for (index, element) in elements.enumerated() {
            result.append(try Self.read(type, element, at: path.key(key).index(index)))
        }
        return result
    }

    // MARK: Scalars

    mutating func text(_ key: String) throws(RowDecodingError) -> String { try get(key, \.string) }
    mutating func flag(_ key: String) throws(RowDecodingError) -> Bool { try get(key, \.bool) }
    mutating func texts(_ key: String) throws(RowDecodingError) -> [String] { try get(key, Self.texts) }
    mutating func date(_ key: String) throws(RowDecodingError) -> Date { try parsed(key, Date.init(rfc3339:)) }

    mutating func number(_ key: String) throws(RowDecodingError) -> Int {
        try get(key) { $0.integer.flatMap { Int(exactly: $0) } }
    }

    mutating func parsed<T>(_ key: String, _ read: (String) -> T?) throws(RowDecodingError) -> T {
        try get(key) { $0.string.flatMap(read) }
    }

    mutating func findParsed<T>(_ key: String, _ read: (String) -> T?) throws(RowDecodingError) -> T? {
        try find(key) { $0.string.flatMap(read) }
    }

    static func texts(_ value: JSON) -> [String]? {
        guard let elements = value.array else { return nil }
        let texts = elements.compactMap(\.string)
        return texts.count == elements.count ? texts : nil
    }
}

extension JSON {
    init(_ list: [some Stored]) { self = .array(list.map(\.stored)) }
    init(_ date: Date) { self = .string(date.rfc3339) }
    init(describing value: some CustomStringConvertible) { self = .string(value.description) }
    init(_ value: some RawRepresentable<String>) { self = .string(value.rawValue) }
}
