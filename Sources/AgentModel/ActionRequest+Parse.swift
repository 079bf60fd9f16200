import FoundationEssentials
package import StrictJSON

/// Why a request is no wish that could be planned.
package enum RequestError: Error, Sendable, Hashable {
    case unknownAction(String)
    /// The target has not the form, or not one of the forms, that the action takes.
    case invalidTarget(String)
    case invalid(JSONIssues)
}

extension ActionRequest {
    /// The fields of the seed's request; anything else is refused.
    package static let fields = [
        "environment", "action", "target", "params", "dry_run", "reason", "expires_at", "approval_ticket",
        "approved_by",
    ]

    /// Reads a request from what a caller sent.
    ///
    /// - Throws: ``RequestError`` that names every wrong field with its pointer; an unknown action and a target of
    ///   the wrong form have cases of their own, as they have codes of their own.
    package init(parsing object: JSONObject) throws(RequestError) {
        var reader = ObjectReader(object)
        let environment = reader.parsed("environment", "an environment's name", EnvironmentName.init)
        let actionName = reader.string("action")
        let targetText = reader.string("target")
        let given = reader.object("params") ?? JSONObject()
        let dryRun = reader.bool("dry_run") ?? false
        let notes = Notes(
            reason: reader.parsed("reason", "text of at most 4096 characters") { Self.text($0, .text(4096)) },
            expiresAt: reader.parsed("expires_at", "a time as 2026-11-22T21:29:03Z (RFC 3339)", Date.init(rfc3339:)),
            approvalTicket: reader.parsed("approval_ticket", "text of at most 256 characters") {
                Self.text($0, .text(256))
            },
            approvedBy: reader.parsed("approved_by", "a name of 3 to 128 of A-Z a-z 0-9 . _ : @ / -") {
                Self.text($0, .label)
            })
        reader.require("environment", "an environment's name")
        reader.require("action", "an action's name; see GET /v1/actions")
        reader.require("target", "a target such as vm/101")
        reader.refuseUnknown()
        guard let actionName, let targetText, let environment else { throw .invalid(JSONIssues(reader.issues)) }
        guard let action = Action(rawValue: actionName) else { throw .unknownAction(actionName) }
        let definition = ActionCatalog.definition(of: action)
        guard let target = Target(targetText), definition.targets.contains(target.form) else {
            let forms = definition.targets.map(\.rawValue).joined(separator: ", ")
            throw .invalidTarget("\(action.rawValue) takes \(forms); got \(JSON.string(targetText).shown)")
        }
        let checked = ParameterCheck(definition, given)
        reader.report(checked.issues)
        if !reader.issues.isEmpty { throw .invalid(JSONIssues(reader.issues)) }
        self.init(
            environment: environment, action: action, target: target, params: checked.params,
            secrets: checked.secrets, dryRun: dryRun, notes: notes)
        do throws(EndpointError) { _ = try calls(onNode: nil) } catch {
            let path = JSONPath([.key("params"), .key("endpoint")])
            throw .invalid(JSONIssues([JSONError(path: path, detail: error.detail)]))
        }
    }

    private static func text(_ text: String, _ form: TextForm) -> String? { form.matches(text) ? text : nil }
}

/// Parameters held against their definitions.
struct ParameterCheck {
    private(set) var params = JSONObject()
    private(set) var secrets: [JSONPath: Secret] = [:]
    private(set) var issues: [JSONError] = []

    init(_ definition: ActionDefinition, _ given: JSONObject) {
        var reader = ObjectReader(given, at: JSONPath([.key("params")]))
        for parameter in definition.parameters {
            if parameter.required { reader.require(parameter.name, parameter.summary) }
            guard let value = check(parameter, &reader) else { continue }
            params[parameter.name] = hide(value, at: JSONPath([.key(parameter.name)]))
        }
        reader.refuseUnknown()
        issues += reader.issues
        if issues.isEmpty, JSON.object(given).bytes.count > Self.maximumBytes {
            issues.append(JSONError(path: reader.path, detail: "more than \(Self.maximumBytes) bytes of parameters"))
        }
    }

    /// All parameters of one request together; PVE takes no more than half a megabyte.
    private static let maximumBytes = 128 << 10
    /// Members of one object of parameters.
    private static let maximumMembers = 256

    private mutating func check(_ parameter: ParameterDefinition, _ reader: inout ObjectReader) -> JSON? {
        switch parameter.form {
        case .boolean: return reader.bool(parameter.name).map { .bool($0) }
        case .integer(let bounds): return reader.integer(parameter.name, in: bounds).map { JSON($0) }
        case .text(let form):
            return reader.parsed(parameter.name, "text of the form \(form.pattern)") {
                form.matches($0) ? .string($0) : nil
            }
        case .choice(let words):
            return reader.parsed(parameter.name, "one of \(words.joined(separator: ", "))") {
                words.contains($0) ? .string($0) : nil
            }
        case .object:
            guard let object = reader.object(parameter.name) else { return nil }
            guard object.count <= Self.maximumMembers else {
                reader.report(parameter.name, "more than \(Self.maximumMembers) members")
                return nil
            }
            issues += object.members.compactMap {
                Self.issue(with: $0, at: reader.path.key(parameter.name).key($0.key))
            }
            return .object(object)
        }
    }

    /// A parameter passed to PVE as it is: a plain name, and a scalar whose text PVE can take.
    private static func issue(with member: JSONObject.Member, at path: JSONPath) -> JSONError? {
        guard TextForm.word.matches(member.key) else {
            return JSONError(path: path, detail: "a PVE parameter's name is of the form \(TextForm.word.pattern)")
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

    /// Takes secrets out of a value, leaving a mark in their place.
    private mutating func hide(_ value: JSON, at path: JSONPath) -> JSON {
        if case .key(let name)? = path.steps.last, ParameterDefinition.isSecret(name), value.object == nil {
            secrets[path] = Secret(value.string ?? value.text)
            return .string(Secret("").description)
        }
        guard let object = value.object else { return value }
        var shown = JSONObject()
        for member in object.members { shown.append(member.key, hide(member.value, at: path.key(member.key))) }
        return .object(shown)
    }
}
