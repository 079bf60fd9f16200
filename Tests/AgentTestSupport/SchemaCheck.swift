package import StrictJSON

/// Holds values against JSON Schemas, as far as the agent's own use the language. A keyword that it does not know is a
/// fault.
package struct SchemaCheck {
    /// The components, by the path that references have.
    private let components: [String: JSON]

    /// - Parameter document: an OpenAPI document, whose components schemas may refer to.
    package init(_ document: JSON) {
        let members = document["components"]?["schemas"]?.object?.members ?? []
        components = Dictionary(members.map { ("#/components/schemas/\($0.key)", $0.value) }) { first, _ in first }
    }

    /// What is wrong with a value, each with its place; empty if it fits.
    package func faults(of value: JSON, against schema: JSON, at place: String = "") -> [String] {
        guard let schema = schema.object else { return ["\(place): the schema is no object"] }
        return schema.members.flatMap { member in faults(of: value, member.key, member.value, schema, place) }
    }

    private func faults(
        of value: JSON, _ keyword: String, _ wanted: JSON, _ schema: JSONObject, _ place: String
    ) -> [String] {
        func fault(unless holds: Bool) -> [String] {
            holds ? [] : ["\(place): \(value.shown) does not fit \(keyword) \(wanted.shown)"]
        }
        func fits(_ schema: JSON) -> Bool { faults(of: value, against: schema, at: place).isEmpty }
        switch keyword {
        case "$ref":
            guard let name = wanted.string, let target = components[name] else {
                return ["\(place): no \(wanted.text)"]
            }
            return faults(of: value, against: target, at: place)
        case "type":
            let types = wanted.array?.compactMap(\.string) ?? [wanted.string ?? ""]
            return fault(unless: types.contains { Self.isOf(value, $0) })
        case "enum": return fault(unless: wanted.array?.contains(value) == true)
        case "const": return fault(unless: wanted == value)
        case "anyOf": return fault(unless: wanted.array?.contains(where: fits) == true)
        case "oneOf": return fault(unless: wanted.array?.count(where: fits) == 1)
        case "pattern":
            guard let text = value.string, let pattern = wanted.string else { return [] }
            guard let expression = try? Regex(pattern) else { return ["\(place): \(pattern) is no expression"] }
            return fault(unless: text.contains(expression))
        case "minLength":
            return fault(unless: value.string.map { $0.unicodeScalars.count >= wanted.integer ?? 0 } ?? true)
        case "maxLength":
            return fault(unless: value.string.map { $0.unicodeScalars.count <= wanted.integer ?? 0 } ?? true)
        case "minimum": return fault(unless: Self.number(value).map { $0 >= Self.number(wanted) ?? 0 } ?? true)
        case "maximum": return fault(unless: Self.number(value).map { $0 <= Self.number(wanted) ?? 0 } ?? true)
        case "minItems": return fault(unless: value.array.map { $0.count >= wanted.integer ?? 0 } ?? true)
        case "maxItems": return fault(unless: value.array.map { $0.count <= wanted.integer ?? 0 } ?? true)
        case "uniqueItems": return fault(unless: value.array.map { Set($0).count == $0.count } ?? true)
        case "items":
            return (value.array ?? []).enumerated().flatMap {
                faults(of: $0.element, against: wanted, at: "\(place)/\($0.offset)")
            }
        case "required":
            guard let object = value.object else { return [] }
            return (wanted.array ?? []).compactMap(\.string).filter { object[$0] == nil }.map {
                "\(place): \($0) is missing"
            }
        case "properties":
            return (value.object?.members ?? []).flatMap { member in
                wanted[member.key].map { faults(of: member.value, against: $0, at: "\(place)/\(member.key)") } ?? []
            }
        case "patternProperties", "additionalProperties":
            return keyword == "patternProperties" && schema["additionalProperties"] != nil
                ? [] : others(value, schema, place)
        case "description", "examples", "default", "format", "discriminator": return []
        default: return ["\(place): the keyword \(keyword) is not known here"]
        }
    }

    /// The members that the schema does not name.
    private func others(_ value: JSON, _ schema: JSONObject, _ place: String) -> [String] {
        let patterns = schema["patternProperties"]?.object?.members ?? []
        return (value.object?.members ?? []).filter { schema["properties"]?[$0.key] == nil }.flatMap { member in
            let fitting = patterns.filter { pattern in (try? Regex(pattern.key)).map(member.key.contains) ?? false }
            let at = "\(place)/\(member.key)"
            if !fitting.isEmpty { return fitting.flatMap { faults(of: member.value, against: $0.value, at: at) } }
            switch schema["additionalProperties"] {
            case .bool(false): return ["\(at): is not in the schema"]
            case .object(let rest): return faults(of: member.value, against: .object(rest), at: at)
            default: return []
            }
        }
    }

    private static func isOf(_ value: JSON, _ type: String) -> Bool {
        switch (type, value) {
        case ("null", .null), ("boolean", .bool), ("integer", .integer), ("number", .integer), ("number", .number),
            ("string", .string), ("array", .array), ("object", .object):
            true
        default: false
        }
    }

    private static func number(_ value: JSON) -> Double? {
        switch value {
        case .integer(let whole): Double(whole)
        case .number(let number): number
        default: nil
        }
    }
}
