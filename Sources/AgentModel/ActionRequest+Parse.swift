import FoundationEssentials
package import StrictJSON

/// Why a request cannot be planned.
package enum RequestError: Error, Sendable, Hashable {
    case unknownAction(String)
    /// The target does not have a form that the action takes.
    case invalidTarget(String)
    case invalid(JSONIssues)
}

extension ActionRequest {
    /// The fields of a request; anything else is refused.
    package static let fields = [
        "environment", "action", "target", "params", "dry_run", "reason", "expires_at", "approval_ticket",
        "apply_at", "approved_by",
    ]

    /// Reads a request from what a caller sent.
    ///
    /// - Throws: ``RequestError`` that lists every wrong field with its pointer. An unknown action and a target of the
    ///   wrong form have their own cases, because they have their own codes.
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
            applyAt: reader.parsed("apply_at", "window, or leave it out", ApplyTime.init(rawValue:)),
            approvedBy: reader.approver("approved_by"))
        reader.require("environment", "an environment's name")
        reader.require("action", "an action's name; see GET /v1/actions")
        reader.require("target", "a target such as vm/101")
        reader.refuseUnknown()
        guard let actionName, let targetText, let environment else { throw .invalid(JSONIssues(reader.issues)) }
        try self.init(
            FollowUp(environment: environment, action: actionName, target: targetText, params: given), dryRun: dryRun,
            notes, reader.issues)
    }

    /// Checks a request against the catalogue. `issues` are the problems found so far.
    ///
    /// - Throws: ``RequestError``, as ``init(parsing:)`` does.
    package init(
        _ asked: FollowUp, dryRun: Bool = false, _ notes: Notes = Notes(), _ issues: [JSONError] = []
    ) throws(RequestError) {
        guard let action = Action(rawValue: asked.action) else { throw .unknownAction(asked.action) }
        let definition = ActionCatalog.definition(of: action)
        guard let target = Target(asked.target), definition.targets.contains(target.form) else {
            let forms = definition.targets.map(\.rawValue).joined(separator: ", ")
            throw .invalidTarget("\(action.rawValue) takes \(forms); got \(JSON.string(asked.target).shown)")
        }
        let checked = ParameterCheck(definition, asked.params, on: target)
        let issues = issues + checked.issues
        if !issues.isEmpty { throw .invalid(JSONIssues(issues)) }
        self.init(
            environment: asked.environment, action: action, target: target, params: checked.params,
            secrets: checked.secrets, dryRun: dryRun, notes: notes)
        do throws(EndpointError) { _ = try calls(onNode: nil) } catch {
            let path = JSONPath([.key("params"), .key("endpoint")])
            throw .invalid(JSONIssues([JSONError(path: path, detail: error.detail)]))
        }
    }

    private static func text(_ text: String, _ form: TextForm) -> String? { form.matches(text) ? text : nil }
}

extension ObjectReader {
    /// The name of an approver. It must be a valid name of a principal.
    package mutating func approver(_ key: String) -> String? {
        parsed(key, "a person's name of 3 to 128 of A-Z a-z 0-9 . _ : @ / -, none that records give to the agent") {
            TextForm.label.matches($0) && !Principal.isReserved($0) ? $0 : nil
        }
    }
}
