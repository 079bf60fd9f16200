import StrictJSON

/// Checks parameters against their definitions.
struct ParameterCheck {
    private(set) var params = JSONObject()
    private(set) var secrets: [JSONPath: Secret] = [:]
    private(set) var issues: [JSONError] = []

    init(_ definition: ActionDefinition, _ given: JSONObject, on target: Target) {
        var reader = ObjectReader(given, at: JSONPath([.key("params")]))
        for parameter in definition.parameters {
            if parameter.requiredWhen?.holds(for: given, on: target) == true {
                reader.require(parameter.name, parameter.summary)
            }
            if parameter.count != nil { reader.mention(parameter.name) }
            for key in parameter.count == nil ? [parameter.name] : given.keys.filter(parameter.matches) {
                guard let value = check(parameter.form, key, &reader) else { continue }
                guard parameter.when.holds(for: given, on: target) else {
                    reader.report(key, "goes only \(parameter.when.text)")
                    continue
                }
                params[key] = hide(value, at: JSONPath([.key(key)]))
            }
        }
        reader.refuseUnknown()
        if reader.issues.isEmpty, issues.isEmpty {
            for rule in definition.rules { rule.check(params, of: definition, on: target, &reader) }
        }
        issues += reader.issues
        if issues.isEmpty, JSON.object(given).bytes.count > Self.maximumBytes {
            issues.append(JSONError(path: reader.path, detail: "more than \(Self.maximumBytes) bytes of parameters"))
        }
    }

    /// The limit for all parameters of one request together. PVE takes no more than half a megabyte.
    private static let maximumBytes = 128 << 10
    /// The limit for the members of one object of parameters.
    private static let maximumMembers = 256

    private mutating func check(
        _ form: ParameterDefinition.Form, _ key: String, _ reader: inout ObjectReader
    ) -> JSON? {
        switch form {
        case .boolean: return reader.bool(key).map { .bool($0) }
        case .integer(let bounds): return reader.integer(key, in: bounds).map { JSON($0) }
        case .number, .text, .choice:
            guard let value = reader.value(key) else { return nil }
            if let problem = form.problem(with: value, isSecret: ParameterDefinition.isSecret(key)) {
                reader.report(key, problem)
                return nil
            }
            return value
        case .list(let element, let limit): return list(element, limit, key, &reader)
        case .object:
            guard let object = reader.object(key) else { return nil }
            guard object.count <= Self.maximumMembers else {
                reader.report(key, "more than \(Self.maximumMembers) members")
                return nil
            }
            issues += object.members.compactMap { Self.issue(with: $0, at: reader.path.key(key).key($0.key)) }
            return .object(object)
        }
    }

    private mutating func list(
        _ element: ParameterDefinition.Form, _ limit: Int, _ key: String, _ reader: inout ObjectReader
    ) -> JSON? {
        guard let elements = reader.array(key) else { return nil }
        guard (1...limit).contains(elements.count) else {
            reader.report(key, "expected 1 to \(limit) elements, got \(elements.count)")
            return nil
        }
        let isSecret = ParameterDefinition.isSecret(key)
        let found = elements.enumerated().compactMap { index, value in
            let problem =
                element.problem(with: value, isSecret: isSecret)
                ?? value.string.flatMap { $0.withoutUserinfo == $0 ? nil : Self.noUserinfo }
            return problem.map { JSONError(path: reader.path.key(key).index(index), detail: $0) }
        }
        issues += found
        if found.isEmpty, Set(elements).count < elements.count {
            reader.report(key, "names something twice")
            return nil
        }
        return found.isEmpty ? .array(elements) : nil
    }

    /// A secret in a list cannot be stored separately.
    private static let noUserinfo = "holds a URL with a user name or password in it, which is not taken here"

    /// A parameter passed to PVE unchanged: a plain name, and a scalar whose text PVE accepts.
    private static func issue(with member: JSONObject.Member, at path: JSONPath) -> JSONError? {
        guard TextForm.word.matches(member.key) else {
            return JSONError(path: path, detail: "a PVE parameter's name is of the form \(TextForm.word.pattern)")
        }
        if member.key == "digest", member.value.string.map(TextForm.digest.matches) != true {
            return JSONError(
                path: path, detail: "a digest is 40 to 64 hexadecimal digits; leave it out for the observed one")
        }
        switch member.value {
        case .bool, .integer, .number: return nil
        case .string(let text) where TextForm.text(65_536).matches(text): return nil
        case .string:
            return JSONError(path: path, detail: "control characters or more than 65536 characters in a value")
        case .null, .array, .object:
            return JSONError(
                path: path, detail: "expected a string, a number or true/false, got \(member.value.kind)")
        }
    }

    /// Takes secrets out of a value and leaves a mark in their place.
    private mutating func hide(_ value: JSON, at path: JSONPath) -> JSON {
        if case .key(let name)? = path.steps.last, ParameterDefinition.isSecret(name), value.object == nil {
            secrets[path] = Secret(value.string ?? value.text)
            return .string(Secret("").description)
        }
        if let text = value.string, text.withoutUserinfo != text {
            secrets[path] = Secret(text)
            return .string(text.withoutUserinfo)
        }
        guard let object = value.object else { return value }
        var shown = JSONObject()
        for member in object.members { shown.append(member.key, hide(member.value, at: path.key(member.key))) }
        return .object(shown)
    }
}

extension ParameterDefinition.Form {
    /// What is wrong with a scalar, for the caller; `nil` if it has the form. The text does not repeat a secret's
    /// value.
    func problem(with value: JSON, isSecret: Bool) -> String? {
        let got = isSecret ? "another value, which is not repeated" : value.shown.withoutUserinfo
        switch self {
        case .boolean: return value.bool == nil ? "expected true or false, got \(got)" : nil
        case .integer(let bounds):
            let fits = value.integer.flatMap { Int(exactly: $0) }.map(bounds.contains) ?? false
            return fits
                ? nil : "expected an integer from \(bounds.lowerBound) to \(bounds.upperBound), got \(got)"
        case .number(let bounds):
            var number = value.integer.map { Double($0) }
            if case .number(let exact) = value { number = exact }
            let text = "\(JSON(bounds.lowerBound).text) to \(JSON(bounds.upperBound).text)"
            return number.map(bounds.contains) == true ? nil : "expected a number from \(text), got \(got)"
        case .text(let form):
            guard let text = value.string else { return "expected a string, got \(got)" }
            return form.matches(text) ? nil : "expected text of the form \(form.pattern), got \(got)"
        case .choice(let words):
            guard let text = value.string else { return "expected a string, got \(got)" }
            return words.contains(text) ? nil : "expected one of \(words.joined(separator: ", ")), got \(got)"
        case .list, .object: return "expected a plain value"
        }
    }
}
