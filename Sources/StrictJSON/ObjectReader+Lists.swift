/// Reads lists.
extension ObjectReader {
    /// Reads each object of an optional list and collects the errors in it, unknown keys among them unless they are left
    /// alone.
    package mutating func each(
        _ key: String, leavingUnknown: Bool = false, _ read: (_ index: Int, inout ObjectReader) -> Void
    ) {
        for (index, element) in (array(key) ?? []).enumerated() {
            let path = path.key(key).index(index)
            guard let object = element.object else {
                report([JSONError(path: path, detail: "expected an object, got \(element.kind)")])
                continue
            }
            var inner = ObjectReader(object, at: path)
            read(index, &inner)
            if !leavingUnknown { inner.refuseUnknown() }
            report(inner.issues)
        }
    }

    /// Reads an optional object and collects the errors in it.
    package mutating func section(_ key: String, _ read: (inout ObjectReader) -> Void) {
        guard let object = object(key) else { return }
        var inner = ObjectReader(object, at: path.key(key))
        read(&inner)
        inner.refuseUnknown()
        report(inner.issues)
    }

    /// Reads an optional list of texts without duplicates. Refuses an empty one, which would match nothing.
    package mutating func set<Value: Hashable>(
        _ key: String, _ expected: String, _ read: (String) -> Value?
    ) -> Set<Value>? {
        guard let elements = array(key) else { return nil }
        if elements.isEmpty { report(key, "is empty; expected \(expected)") }
        var found: Set<Value> = []
        for (index, element) in elements.enumerated() {
            let path = path.key(key).index(index)
            guard let value = element.string.flatMap(read) else {
                report([JSONError(path: path, detail: "expected \(expected), got \(element.shown)")])
                continue
            }
            if !found.insert(value).inserted {
                report([JSONError(path: path, detail: "\(element.shown) stands there already; name it once")])
            }
        }
        return found
    }
}

/// The names that a document defines, for references to them.
package struct KnownNames: Sendable {
    /// `nil` where the names are not known, and any is taken.
    package let all: [String]?

    /// Takes any name.
    package static let any = KnownNames()

    private init() { all = nil }

    /// The names of the objects in a list. Other errors in these are reported elsewhere.
    package init(_ key: String, of list: JSON?, or fallback: [String] = []) {
        let found = (list?.array ?? []).compactMap { $0[key]?.string }
        all = found.isEmpty ? fallback : found
    }

    package func known(_ text: String) -> String? { all?.contains(text) ?? true ? text : nil }

    /// What an error text expects in place of a wrong name.
    package func form(of kind: String) -> String {
        let all = all ?? []
        let names = all.isEmpty ? "there is none" : all.prefix(10).joined(separator: ", ")
        return "the name of one \(kind) here (\(names)\(all.count > 10 ? ", …" : ""))"
    }
}
