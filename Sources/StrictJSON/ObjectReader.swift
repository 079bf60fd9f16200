/// All errors of one document, in the order in which they were found. The type does not ensure that there is one.
package struct JSONIssues: Error, Sendable, Hashable {
    package let issues: [JSONError]

    package init(_ issues: [JSONError]) { self.issues = issues }
}

/// Takes the members of an object one by one, collects errors, and refuses members that were not taken.
package struct ObjectReader {
    private let object: JSONObject
    package let path: JSONPath
    private var known: [String] = []
    private var mentioned: [String] = []
    package private(set) var issues: [JSONError] = []

    package init(_ object: JSONObject, at path: JSONPath = JSONPath()) {
        self.object = object
        self.path = path
    }

    /// The raw member, which counts as taken from now on.
    package mutating func value(_ key: String) -> JSON? {
        known.append(key)
        return object[key]
    }

    /// Adds a pattern of keys to the known keys that the error about an unknown one lists.
    package mutating func mention(_ family: String) { mentioned.append(family) }

    package mutating func string(_ key: String) -> String? { take(key, "a string", \.string) }
    package mutating func bool(_ key: String) -> Bool? { take(key, "true or false", \.bool) }
    package mutating func object(_ key: String) -> JSONObject? { take(key, "an object", \.object, got: \.kind) }
    package mutating func array(_ key: String) -> [JSON]? { take(key, "an array", \.array, got: \.kind) }

    package mutating func strings(_ key: String) -> [String]? {
        guard let elements = array(key) else { return nil }
        return elements.enumerated().compactMap { index, element in
            if element.string == nil {
                issues.append(
                    JSONError(path: path.key(key).index(index), detail: "expected a string, got \(element.kind)"))
            }
            return element.string
        }
    }

    /// An integer within `bounds`. The error text shows the bounds with `unit`.
    package mutating func integer(_ key: String, in bounds: ClosedRange<Int>, unit: String = "") -> Int? {
        guard let value = value(key) else { return nil }
        if let exact = value.wholeNumber, bounds.contains(exact) { return exact }
        let suffix = unit.isEmpty ? "" : " (\(unit))"
        report(
            key, "expected an integer from \(bounds.lowerBound) to \(bounds.upperBound)\(suffix), got \(value.shown)")
        return nil
    }

    /// The member as `read` parses it. `read` returns `nil` for a text that is not of the form `expected`.
    package mutating func parsed<T>(_ key: String, _ expected: String, _ read: (String) -> T?) -> T? {
        guard let text = string(key) else { return nil }
        if let value = read(text) { return value }
        report(key, "expected \(expected), got \(JSON.string(text).shown)")
        return nil
    }

    /// Reports `key` as missing unless it is present (even with an error, which was reported already).
    package mutating func require(_ key: String, _ expected: String) {
        if object[key] == nil { report(key, "is missing; expected \(expected)") }
    }

    package mutating func report(_ key: String, _ detail: String) {
        issues.append(JSONError(path: path.key(key), detail: detail))
    }

    package mutating func report(_ more: [JSONError]) { issues += more }

    /// Reports members that were not taken, at most 16.
    package mutating func refuseUnknown() {
        // A few tell the caller as much as thousands.
        for key in object.keys.filter({ !known.contains($0) }).prefix(16) {
            report(key, "unknown key; known here: \(Set(known + mentioned).sorted().joined(separator: ", "))")
        }
    }

    /// Ends the reading; throws if anything was wrong or left over.
    package mutating func finish() throws(JSONIssues) {
        refuseUnknown()
        if !issues.isEmpty { throw JSONIssues(issues) }
    }

    /// `got` shows a value of the wrong form in the error. For a value in place of a list or an object it must not
    /// repeat the value, which may be a secret.
    private mutating func take<T>(
        _ key: String, _ expected: String, _ form: (JSON) -> T?, got: (JSON) -> String = \.shown
    ) -> T? {
        guard let value = value(key) else { return nil }
        if let found = form(value) { return found }
        report(key, "expected \(expected), got \(got(value))")
        return nil
    }
}

extension JSON {
    /// The value as an error message shows it: short scalars unchanged, else only the kind.
    package var shown: String {
        switch self {
        case .array, .object, .null: return kind
        case .bool, .integer, .number: return text
        case .string(let string): return string.utf8.count <= 80 ? text : "a string of \(string.utf8.count) bytes"
        }
    }
}

extension JSON {
    /// An integer in any spelling: `5`, `5.0` and `5e0` are the same number (JSON Schema 2020-12, 6.1.1).
    fileprivate var wholeNumber: Int? {
        switch self {
        case .integer(let number): Int(exactly: number)
        case .number(let number): Int(exactly: number)
        default: nil
        }
    }
}
