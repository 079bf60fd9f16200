package import FoundationEssentials
package import StrictJSON

/// One validated request: what `POST /v1/actions/plan` takes.
package struct ActionRequest: Sendable {
    package let environment: EnvironmentName
    package let action: Action
    package let target: Target
    /// The parameters as given, with `<redacted>` in place of secrets.
    package let params: JSONObject
    /// The secrets, by their place below `params`.
    package private(set) var secrets: [JSONPath: Secret]
    package let dryRun: Bool
    package let reason: String?
    package let expiresAt: Date?
    package let approvalTicket: String?
    /// When the agent applies the plan by itself; `nil` if it waits for its requester.
    package let applyAt: ApplyTime?
    package let approvedBy: String?

    package var definition: ActionDefinition { ActionCatalog.definition(of: action) }
    /// Whether applying this may change anything: no read and no dry run.
    package var changes: Bool { definition.effect == .change && !dryRun }

    /// A request that needs no validation: a read that the server makes for a simple route.
    package init(reading action: Action, on target: Target, in environment: EnvironmentName, params: JSONObject = [:]) {
        self.environment = environment
        self.action = action
        self.target = target
        self.params = params
        secrets = [:]
        dryRun = false
        reason = nil
        expiresAt = nil
        approvalTicket = nil
        applyAt = nil
        approvedBy = nil
    }

    /// A request that has been validated before: by the parser, or before it was stored.
    package init(
        environment: EnvironmentName, action: Action, target: Target, params: JSONObject,
        secrets: [JSONPath: Secret], dryRun: Bool, notes: Notes
    ) {
        self.environment = environment
        self.action = action
        self.target = target
        self.params = params
        self.secrets = secrets
        self.dryRun = dryRun
        reason = notes.reason
        expiresAt = notes.expiresAt
        approvalTicket = notes.approvalTicket
        applyAt = notes.applyAt
        approvedBy = notes.approvedBy
    }

    /// The fields that say why and until when, not what.
    package struct Notes: Sendable {
        package var reason: String?
        package var expiresAt: Date?
        package var approvalTicket: String?
        package var applyAt: ApplyTime?
        package var approvedBy: String?

        package init(
            reason: String? = nil, expiresAt: Date? = nil, approvalTicket: String? = nil, applyAt: ApplyTime? = nil,
            approvedBy: String? = nil
        ) {
            self.reason = reason
            self.expiresAt = expiresAt
            self.approvalTicket = approvalTicket
            self.applyAt = applyAt
            self.approvedBy = approvedBy
        }
    }

    /// Erases the secrets. Called when the plan ends.
    package mutating func eraseSecrets() { secrets = [:] }

    /// A ready plan request in the same environment, for the same target or for another one.
    package func followUp(_ action: String, _ params: JSONObject, on target: String? = nil) -> FollowUp {
        FollowUp(environment: environment, action: action, target: target ?? self.target.description, params: params)
    }

    /// The node that the caller named.
    package var node: NodeName? { params["node"]?.string.flatMap(NodeName.init) }
}

/// When the agent applies a plan by itself.
package enum ApplyTime: String, Sendable, Hashable, CaseIterable {
    /// As soon as it is approved and the change windows of policy are open.
    case window
}

/// A request that a caller may send next, such as one that undoes a change.
package struct FollowUp: Sendable, Hashable {
    package let environment: EnvironmentName
    package let action: String
    package let target: String
    package var params: JSONObject

    package init(environment: EnvironmentName, action: String, target: String, params: JSONObject) {
        self.environment = environment
        self.action = action
        self.target = target
        self.params = params
    }
}
