package import AgentModel
import FoundationEssentials

/// What a decision comes to: whether, with how many approvals, and on which conditions. Two decisions that differ in
/// their reasons alone come to the same.
package struct PolicyOutcome: Sendable, Hashable {
    /// A condition that a request has to meet, as one word and in full.
    package struct Condition: Sendable, Hashable {
        package let word: String
        package let detail: String

        package init(word: String, detail: String) {
            self.word = word
            self.detail = detail
        }
    }

    package var isAllowed: Bool
    /// 0 if it needs none, or is denied.
    package var approvals: Int
    package var assurance: Assurance?
    /// `nil` if it is denied.
    package var risk: Risk?
    package var conditions: [Condition]

    package init(
        isAllowed: Bool, approvals: Int, assurance: Assurance?, risk: Risk?, conditions: [Condition] = []
    ) {
        self.isAllowed = isAllowed
        self.approvals = isAllowed ? approvals : 0
        self.assurance = isAllowed && approvals > 0 ? assurance : nil
        self.risk = isAllowed ? risk : nil
        self.conditions = isAllowed ? conditions : []
    }

    package init(_ decision: Decision) {
        self.init(
            isAllowed: decision.allowed, approvals: decision.requiresApproval ? decision.approvals : 0,
            assurance: decision.assurance, risk: decision.risk,
            conditions: decision.clauses.map { Condition(word: $0.phrase, detail: $0.phrase) })
    }

    /// `deny`, `yes`, `approval`, `2 approvals`, `signed`, `2 signed`, `hardware`.
    private var verdict: String {
        guard isAllowed else { return "deny" }
        guard approvals > 0 else { return "yes" }
        let kind =
            switch assurance {
            case nil, .declared, .verified: approvals == 1 ? "approval" : "approvals"
            case .signed: "signed"
            case .hardware: "hardware"
            }
        return approvals == 1 ? kind : "\(approvals) \(kind)"
    }

    /// The verdict, and one word for each condition: `2 signed, ticket`.
    package var word: String { ([verdict] + unique(conditions.map(\.word))).joined(separator: ", ") }

    /// The verdict, the conditions in full and, where it is not told by the action, the risk.
    package func text(withRisk: Bool) -> String {
        let risk = withRisk ? risk.map { ["\($0.rawValue) risk"] } ?? [] : []
        return ([verdict] + unique(conditions.map(\.detail)) + risk).joined(separator: ", ")
    }

    private func unique(_ words: [String]) -> [String] {
        words.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}

extension Decision {
    /// The ids of the configured rules that took part, without those that the catalogue and checks stand for.
    package var configuredRules: [String] {
        rules.filter { $0.hasPrefix("rule:") }.map { String($0.dropFirst("rule:".count)) }
    }
}

/// A policy to look at as a whole: as if it were the time of every rule that has one, and as if every request brought
/// along the reason, ticket, snapshot or backup that a rule requires. The outcomes name these as conditions.
package struct PolicyOverview: Sendable {
    package let policy: Policy
    private let plain: Policy
    private let byID: [String: PolicyRule]

    package init(_ policy: Policy) {
        self.policy = policy
        plain = Policy(rules: policy.rules.map(\.plain), groups: policy.groups)
        byID = Dictionary(policy.rules.map { ($0.id, $0) }) { first, _ in first }
    }

    /// What becomes of a request, and the ids of the rules that took part.
    package func outcome(of input: PolicyInput) -> (outcome: PolicyOutcome, rules: [String]) {
        // No rule looks at the time any more.
        let decision = plain.evaluate(input, at: Date(timeIntervalSince1970: 0))
        let ids = decision.configuredRules
        let rules = ids.compactMap { byID[$0] }
        var outcome = PolicyOutcome(decision)
        guard outcome.isAllowed, input.request.changes else { return (outcome, ids) }
        let cannotSnapshot =
            !input.request.definition.takesSafetySnapshot
            && rules.contains { $0.effect.requirement?.needsSafetySnapshot == true }
        if cannotSnapshot {
            return (PolicyOutcome(isAllowed: false, approvals: 0, assurance: nil, risk: nil), ids)
        }
        outcome.conditions += rules.flatMap(\.demands)
        return (outcome, ids)
    }

    /// The ids of rules that have a time among their conditions.
    package var timed: [String] {
        policy.rules.filter { rule in
            rule.match.conditions.contains { if case .time = $0 { true } else { false } }
        }.map(\.id)
    }
}

extension RuleRequirement {
    /// Without what it requires of the request itself.
    fileprivate var approvalsAlone: RuleRequirement {
        var alone = self
        alone.ticket = nil
        alone.needsReason = false
        alone.needsSafetySnapshot = false
        alone.backupSeconds = nil
        return alone
    }
}

extension PolicyRule {
    /// Without what depends on the time, and without what it requires of the request itself.
    fileprivate var plain: PolicyRule {
        let effect: PolicyEffect =
            switch self.effect {
            case .deny, .raiseRisk, .allow: self.effect
            case .windows, .limits: .require(RuleRequirement())
            case .require(let requirement): .require(requirement.approvalsAlone)
            }
        return PolicyRule(
            id: id, summary: summary, match: match.timeless(holding: self.effect != .allow), effect: effect,
            reason: reason)
    }

    /// What it requires of requests, beside approvals.
    fileprivate var demands: [PolicyOutcome.Condition] {
        switch effect {
        case .deny, .raiseRisk, .allow: return []
        case .windows: return [.init(word: "windows", detail: effect.description)]
        case .limits: return [.init(word: "limits", detail: effect.description)]
        case .require(let requirement):
            var demands: [PolicyOutcome.Condition] = []
            if let ticket = requirement.ticket { demands.append(.init(word: "ticket", detail: "a ticket \(ticket)")) }
            if requirement.needsReason { demands.append(.init(word: "reason", detail: "a reason")) }
            if requirement.needsSafetySnapshot {
                demands.append(.init(word: "snapshot", detail: "a safety snapshot"))
            }
            if let seconds = requirement.backupSeconds {
                demands.append(
                    .init(word: "backup", detail: "a backup of the last \(UsageLimit.text(seconds: seconds))"))
            }
            return demands
        }
    }
}

extension RuleMatch {
    /// The same without conditions on the time: each becomes one that makes the whole hold, or keeps it from holding.
    fileprivate func timeless(holding: Bool) -> RuleMatch {
        switch self {
        case .all(let parts): .all(parts.map { $0.timeless(holding: holding) })
        case .any(let parts): .any(parts.map { $0.timeless(holding: holding) })
        case .not(let part): .not(part.timeless(holding: !holding))
        case .time: holding ? .all([]) : .any([])
        default: self
        }
    }
}
