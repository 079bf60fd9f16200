import AgentModel
package import StrictJSON

/// A JSON Schema, in the dialect of OpenAPI 3.1 (JSON Schema 2020-12).
package struct Schema: Sendable, Hashable {
    package var json: JSONObject

    init(_ json: JSONObject) { self.json = json }

    /// Any value.
    static let any = Schema([:])
    static let boolean = Schema(["type": "boolean"])
    static let text = Schema(["type": "string"])
    /// Text in a query, where control characters are refused.
    static let line = pattern(#"^[^\u0000-\u001f\u007f]*$"#)
    /// The number of an audit record: no more than every reader of JSON can hold (RFC 8259, 6).
    static let recordNumber = integer(recordNumbers)
    static let recordNumbers = 0...9_007_199_254_740_991
    /// RFC 3339, in UTC, with milliseconds.
    static let time = Schema(["type": "string", "format": "date-time"])
    /// SHA-256 in lower-case hexadecimal digits.
    static let hash = pattern("^[0-9a-f]{64}$")
    /// An object with members of any name.
    static let object = Schema(["type": "object"])

    static func pattern(_ pattern: String) -> Schema { Schema(["type": "string", "pattern": .string(pattern)]) }

    static func id(_ kind: RecordID.Kind) -> Schema { pattern("^\(kind.rawValue)[0-9abcdefghjkmnpqrstvwxyz]{20}$") }

    static func words(_ words: [String]) -> Schema { Schema(["type": "string", "enum": JSON(words)]) }

    static func words<Words: RawRepresentable<String> & CaseIterable>(_ type: Words.Type) -> Schema {
        words(type.allCases.map(\.rawValue))
    }

    static func constant(_ word: String) -> Schema { Schema(["type": "string", "const": .string(word)]) }

    /// A whole number. Without bounds it is at least 0.
    static func integer(_ bounds: ClosedRange<Int>? = nil) -> Schema {
        Schema([
            "type": "integer", "minimum": JSON(bounds?.lowerBound ?? 0), "maximum": bounds.map { JSON($0.upperBound) },
        ])
    }

    static func list(_ element: Schema) -> Schema { Schema(["type": "array", "items": .object(element.json)]) }

    /// One of the components.
    static func named(_ name: String) -> Schema { Schema(["$ref": .string("#/components/schemas/\(name)")]) }

    /// Any of several; for bodies with more than one form.
    static func anyOf(_ choices: [Schema]) -> Schema { Schema(["anyOf": .array(choices.map { .object($0.json) })]) }

    /// Values of the schema, or null.
    var orNull: Schema {
        guard let type = json["type"]?.string, json["enum"] == nil else {
            return .anyOf([self, Schema(["type": "null"])])
        }
        var json = json
        json["type"] = [.string(type), "null"]
        return Schema(json)
    }

    /// The same with a description.
    func described(_ text: String) -> Schema {
        guard !text.isEmpty else { return self }
        var json = json
        json["description"] = .string(text)
        return Schema(json)
    }

    /// An object of these members. `isOpen` lets it have others too.
    static func object(
        _ properties: KeyValuePairs<String, Schema>, optional: Set<String> = [], isOpen: Bool = true
    ) -> Schema {
        Schema([
            "type": "object", "additionalProperties": isOpen ? nil : false,
            "required": JSON(properties.map(\.key).filter { !optional.contains($0) }),
            "properties": .object(properties.reduce(into: JSONObject()) { $0.append($1.key, .object($1.value.json)) }),
        ])
    }
}

extension Schema {
    /// Text of a form.
    init(_ form: TextForm) {
        switch form {
        // The length apart from the pattern: a repetition of thousands is more than many engines take.
        case .text(let limit):
            self.init([
                "type": "string", "maxLength": JSON(limit), "pattern": #"^[^\u0000-\u0008\u000b-\u001f\u007f]*$"#,
            ])
        case .line(let limit):
            self.init([
                "type": "string", "minLength": 1, "maxLength": JSON(limit), "pattern": #"^[^\u0000-\u001f\u007f]*$"#,
            ])
        default: self = .pattern(form.pattern)
        }
    }

    /// A parameter of an action.
    init(_ form: ParameterDefinition.Form) {
        switch form {
        case .boolean: self = .boolean
        case .integer(let bounds): self = .integer(bounds)
        case .number(let bounds):
            self.init(["type": "number", "minimum": JSON(bounds.lowerBound), "maximum": JSON(bounds.upperBound)])
        case .text(let form): self.init(form)
        case .choice(let words): self = .words(words)
        case .list(let element, let limit):
            self.init([
                "type": "array", "items": .object(Schema(element).json), "minItems": 1, "maxItems": JSON(limit),
                "uniqueItems": true,
            ])
        case .object: self = .object
        }
    }
}

/// The form of a value in answers: a table of fields, from which both its JSON and its schema are made.
package struct View<Value>: Sendable {
    struct Field: Sendable {
        let name: String
        let schema: Schema
        let isOptional: Bool
        let value: @Sendable (Value) -> JSON?

        /// A field that every value has.
        static func always(
            _ name: String, _ schema: Schema, _ summary: String = "", _ value: @escaping @Sendable (Value) -> JSON
        ) -> Field {
            Field(name: name, schema: schema.described(summary), isOptional: false, value: value)
        }

        /// A field that is left out when it is `nil`.
        static func maybe(
            _ name: String, _ schema: Schema, _ summary: String = "", _ value: @escaping @Sendable (Value) -> JSON?
        ) -> Field {
            Field(name: name, schema: schema.described(summary), isOptional: true, value: value)
        }
    }

    /// The name of the schema among the components.
    let name: String
    let summary: String
    let fields: [Field]

    init(_ name: String, _ summary: String, _ fields: [Field]) {
        self.name = name
        self.summary = summary
        self.fields = fields
    }

    /// The value as answers show it.
    package func callAsFunction(_ value: Value) -> JSON { .object(object(value)) }

    func object(_ value: Value) -> JSONObject {
        var object = JSONObject()
        for field in fields {
            if let json = field.value(value) { object.append(field.name, json) }
        }
        return object
    }

    /// A reference to the schema.
    var schema: Schema { .named(name) }

    /// The schema itself, for the list of components.
    var component: (name: String, schema: Schema) {
        let properties = fields.reduce(into: JSONObject()) { $0.append($1.name, .object($1.schema.json)) }
        let schema = Schema([
            "type": "object", "required": JSON(fields.filter { !$0.isOptional }.map(\.name)),
            "properties": .object(properties),
        ])
        return (name, schema.described(summary))
    }
}

/// A schema that the description of the API lists by its name.
struct Component: Sendable {
    let name: String
    let form: Schema

    init(_ name: String, _ form: Schema) {
        self.name = name
        self.form = form
    }

    /// A reference to it.
    var schema: Schema { .named(name) }
}
