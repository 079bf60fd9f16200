package import AgentModel

/// Something in a policy that its author may not have meant, or should know of.
package struct PolicyFinding: Sendable, Hashable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable, CaseIterable {
        case neverMatches, changesNothing, cannotBeMet, loosens, unknownName
    }

    package let kind: Kind
    /// The rule's id; `nil` for a finding about a group.
    package let rule: String?
    package let detail: String

    init(_ kind: Kind, _ rule: String?, _ detail: String) {
        self.kind = kind
        self.rule = rule
        self.detail = detail
    }

    /// On one line: `rule no-deletes: never matches: …`.
    package var description: String { (rule.map { "rule \($0): " } ?? "") + detail }
}

/// What a configuration has that rules refer to.
package struct PolicySurroundings: Sendable {
    package let environments: [EnvironmentSettings]
    package let principals: [Principal]

    package init(environments: [EnvironmentSettings], principals: [Principal]) {
        self.environments = environments
        self.principals = principals
    }

    package var directory: Directory { Directory(principals) }
}

/// What there is in the environments of a running agent, by the names that rules use.
package struct PolicyInventory: Sendable {
    package var tags: Set<String> = []
    package var pools: Set<String> = []
    package var nodes: Set<String> = []
    package var storages: Set<String> = []
    /// Names of guests.
    package var names: Set<String> = []
    /// `vm/101`, `lxc/200`.
    package var guests: Set<String> = []

    package init() {}
}
