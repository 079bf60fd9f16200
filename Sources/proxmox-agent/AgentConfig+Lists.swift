import AgentModel
import StrictJSON

/// The names that a configuration defines, for references to them.
struct ConfigNames {
    let all: [String]

    /// The names of the objects in a list. Other errors in these are reported elsewhere.
    init(_ key: String, of list: JSON?, or fallback: [String] = []) {
        let found = (list?.array ?? []).compactMap { $0[key]?.string }
        all = found.isEmpty ? fallback : found
    }

    func known(_ text: String) -> String? { all.contains(text) ? text : nil }

    /// What an error text expects in place of a wrong name.
    func form(of kind: String) -> String {
        let names = all.isEmpty ? "there is none" : all.prefix(10).joined(separator: ", ")
        return "the name of one \(kind) here (\(names)\(all.count > 10 ? ", …" : ""))"
    }
}

/// Reads lists.
extension ConfigReading {
    /// Reads each object of an optional list and collects the errors in it.
    func each(_ key: String, _ reader: inout ObjectReader, _ read: (_ index: Int, inout ObjectReader) -> Void) {
        for (index, element) in (reader.array(key) ?? []).enumerated() {
            let path = reader.path.key(key).index(index)
            guard let object = element.object else {
                reader.report([JSONError(path: path, detail: "expected an object, got \(element.kind)")])
                continue
            }
            var inner = ObjectReader(object, at: path)
            read(index, &inner)
            inner.refuseUnknown()
            reader.report(inner.issues)
        }
    }

    /// Reads an optional list of texts without duplicates. Refuses an empty one, which would match nothing.
    func set<Value: Hashable>(
        _ key: String, _ expected: String, _ reader: inout ObjectReader, _ read: (String) -> Value?
    ) -> Set<Value>? {
        guard let elements = reader.array(key) else { return nil }
        if elements.isEmpty { reader.report(key, "is empty; expected \(expected)") }
        var found: Set<Value> = []
        for (index, element) in elements.enumerated() {
            let path = reader.path.key(key).index(index)
            guard let value = element.string.flatMap(read) else {
                reader.report([JSONError(path: path, detail: "expected \(expected), got \(element.shown)")])
                continue
            }
            if !found.insert(value).inserted {
                reader.report([JSONError(path: path, detail: "\(element.shown) stands there already; name it once")])
            }
        }
        return found
    }

    /// Reads an optional list of environments.
    func environments(_ reader: inout ObjectReader, among names: ConfigNames) -> Set<EnvironmentName>? {
        set("environments", names.form(of: "environment"), &reader) { names.known($0).flatMap(EnvironmentName.init) }
    }
}
