package import AgentModel
import StrictJSON

/// One rule of the configuration. It can only tighten what the catalogue says: it denies, or requires approvals. Data,
/// no code.
package struct PolicyRule: Sendable, Hashable, CustomStringConvertible {
    package enum Effect: String, Sendable, Hashable, CaseIterable {
        case deny
        case requireApproval = "require_approval"
    }

    package let id: String
    package let effect: Effect
    /// How many approvals ``Effect/requireApproval`` requires.
    package let approvals: Int
    /// How they must be signed: ``Assurance/signed`` or ``Assurance/hardware``; `nil` if they need no signature.
    package let assurance: Assurance?
    package let reason: String?
    /// What the rule is about; `nil` is everything, an empty set nothing.
    package let scope: Scope

    /// A rule applies if all of these match.
    package struct Scope: Sendable, Hashable {
        package var environments: Set<EnvironmentName>?
        /// Without actions a rule covers all changes; a read is covered only if it is named.
        package var actions: Set<Action>?
        package var targets: Set<TargetPattern>?
        /// The guest must have at least one of these.
        package var tags: Set<String>?
        /// Ids of the requesting principals.
        package var principals: Set<String>?

        package init() {}
    }

    package init(
        id: String, effect: Effect, approvals: Int = 1, assurance: Assurance? = nil, reason: String? = nil,
        scope: Scope = Scope()
    ) {
        self.id = id
        self.effect = effect
        self.approvals = approvals
        self.assurance = assurance
        self.reason = reason
        self.scope = scope
    }

    /// The rule's effect and scope, in one line.
    package var description: String {
        let conditions = [
            list("in", scope.environments?.map(\.description)), list("for", scope.actions?.map(\.rawValue)),
            list("on", scope.targets?.map(\.description)), list("tagged", scope.tags), list("by", scope.principals),
        ].compactMap(\.self)
        let number = assurance.map { "\(approvals), \($0.rawValue)" } ?? "\(approvals)"
        return ([effect == .deny ? "\(id): deny" : "\(id): require_approval (\(number))"] + conditions)
            .joined(separator: " ")
    }

    private func list(_ word: String, _ values: (some Sequence<String>)?) -> String? {
        values.map { word + " " + $0.sorted().joined(separator: ", ") }
    }

    /// Whether the rule covers such requests, whatever they reach. `actions` are the request's own action and those
    /// that it performs under another name.
    func covers(_ request: ActionRequest, doing actions: Set<Action>, by requester: Caller) -> Bool {
        (scope.actions.map { !$0.isDisjoint(with: actions) } ?? (request.definition.effect == .change))
            && concerns(request.environment, requester)
    }

    func concerns(_ environment: EnvironmentName, _ caller: Caller) -> Bool {
        scope.environments?.contains(environment) ?? true && scope.principals?.contains(caller.principal) ?? true
    }

    /// Whether it denies the caller a read of settings in that environment.
    func hidesSettings(in environment: EnvironmentName, from caller: Caller) -> Bool {
        hidesSettings(in: environment) && concerns(environment, caller)
    }

    /// Whether it denies anybody a read of settings in that environment.
    func hidesSettings(in environment: EnvironmentName) -> Bool {
        effect == .deny && scope.actions?.isDisjoint(with: ActionCatalog.settingReads) == false
            && scope.environments?.contains(environment) ?? true
    }

    /// Whether the rule covers only some subjects.
    var isAboutSubjects: Bool { scope.targets != nil || scope.tags != nil }

    /// Whether the rule covers the subject, by any of its names and by its tags.
    func matches(_ subject: Subject) -> Bool {
        scope.targets?.contains { pattern in subject.names.contains(where: pattern.matches) } ?? true
            && scope.tags.map { !$0.isDisjoint(with: subject.tags) } ?? true
    }

    /// Whether the rule selects guests of that environment by this tag or pool, `tag/web` or `pool/prod`.
    func names(_ mark: String, in environment: EnvironmentName) -> Bool {
        guard scope.environments?.contains(environment) ?? true else { return false }
        if mark.hasPrefix("tag/") { return scope.tags?.contains(String(mark.dropFirst("tag/".count))) == true }
        return scope.targets?.contains { $0.description != "*" && $0.matches(mark) } == true
    }

    /// The rule as part of the hash in the policy's version.
    var canonicalForm: JSON {
        [
            "id": .string(id), "effect": .string(effect.rawValue), "approvals": JSON(approvals),
            "assurance": assurance.map { .string($0.rawValue) },
            "environments": scope.environments.map { JSON($0.map(\.description).sorted()) },
            "actions": scope.actions.map { JSON($0.map(\.rawValue).sorted()) },
            "targets": scope.targets.map { JSON($0.map(\.description).sorted()) },
            "tags": scope.tags.map { JSON($0.sorted()) }, "principals": scope.principals.map { JSON($0.sorted()) },
        ]
    }
}

/// A target, or a prefix with `*`: `vm/101`, `vm/*`, `firewall/*`, `*`. A guest's pattern also matches its firewall.
package struct TargetPattern: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    /// `nil` unless it is a target, or a target's prefix followed by `*`.
    package init?(_ text: String) {
        if text.hasSuffix("*") {
            let stem = String(text.dropLast())
            let begins = stem.isEmpty || Self.beginnings.contains { stem.hasPrefix($0) || $0.hasPrefix(stem) }
            guard begins, !stem.contains("*"), stem.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        } else {
            guard Target(text) != nil else { return nil }
        }
        description = text
    }

    private static let beginnings = ["vm/", "lxc/", "node/", "nodes/", "storage/", "pool/", "cluster", "firewall/"]

    func matches(_ target: String) -> Bool {
        description.hasSuffix("*") ? target.hasPrefix(description.dropLast()) : target == description
    }
}
