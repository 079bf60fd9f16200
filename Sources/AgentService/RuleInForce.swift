import AgentModel
import AgentPolicy

/// A policy rule as a caller sees it.
package struct RuleInForce: Sendable {
    package let id: String
    /// `deny` or `require_approval`.
    package let effect: String
    package let approvals: Int
    /// `signed` or `hardware`; `nil` if they need no signature.
    package let assurance: String?
    package let reason: String?
    /// Where it holds, of those that the caller sees; `nil` for everywhere.
    package let environments: [String]?
    package let actions: [String]?
    package let targets: [String]?
    package let tags: [String]?
    package let principals: [String]?
}

extension AccessControl {
    /// The policy's version, and the rules that concern an environment that the caller sees.
    package func rulesInForce(_ context: Context) -> (version: String, rules: [RuleInForce]) {
        let visible = Set(visibleEnvironments(context).map(\.settings.name))
        let policy = currentRules.policy
        let rules = policy.rules.compactMap { rule -> RuleInForce? in
            let environments = rule.scope.environments.map { $0.intersection(visible) }
            guard environments?.isEmpty != true else { return nil }
            return RuleInForce(
                id: rule.id, effect: rule.effect.rawValue, approvals: rule.approvals,
                assurance: rule.assurance?.rawValue, reason: rule.reason,
                environments: environments?.map(\.description).sorted(),
                actions: rule.scope.actions?.map(\.rawValue).sorted(),
                targets: rule.scope.targets?.map(\.description).sorted(), tags: rule.scope.tags?.sorted(),
                principals: rule.scope.principals?.sorted())
        }
        return (policy.version, rules)
    }
}
