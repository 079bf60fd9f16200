import AgentModel
import AgentPolicy
package import StrictJSON

/// A policy rule as a caller sees it.
package struct RuleInForce: Sendable {
    package let id: String
    package let summary: String?
    /// One of ``PolicyEffect/words``.
    package let effect: String
    /// How many approvals it asks for, if any.
    package let approvals: Int
    /// `signed` or `hardware`; `nil` if they need no signature.
    package let assurance: String?
    package let reason: String?
    /// The conditions that stand side by side, by their keys: `environments`, `actions`, `targets`, `tags`, `principals`.
    package let plain: [String: JSON]
    /// All conditions, as a policy file has them.
    package let match: JSON
    /// The effect, as a policy file has it.
    package let does: JSON
    /// Effect and conditions in words.
    package let sentence: String

    /// The words for effects, one each.
    package static let effects = PolicyEffect.words

    fileprivate init(_ rule: PolicyRule) {
        id = rule.id
        summary = rule.summary
        effect = rule.effect.word
        approvals = rule.effect.requirement?.approvals ?? 0
        assurance = rule.effect.requirement?.assurance?.rawValue
        reason = rule.reason
        plain = rule.match.plain
        match = rule.match.document
        does = rule.effect.document
        sentence = rule.description
    }
}

extension AccessControl {
    /// The policy's version, and the rules that concern an environment that the caller sees, without the names of
    /// others.
    package func rulesInForce(_ context: Context) -> (version: String, rules: [RuleInForce]) {
        let visible = visibleEnvironments(context).map(\.settings)
        let policy = currentRules.policy
        return (policy.version, policy.rules(in: visible).map(RuleInForce.init))
    }
}
