package import AgentModel
import StrictJSON

/// Decides what is allowed and what needs approvals: the catalogue's base, and rules that tighten it. Total and pure:
/// the same input, the same decision.
package struct Policy: Sendable, Hashable {
    package let rules: [PolicyRule]
    /// Names what is in force, `base@7d1c03f2` or `base@7d1c03f2+rules@90ab12cd`: another version may decide otherwise.
    package let version: String

    package init(rules: [PolicyRule] = []) {
        self.rules = rules
        version = Self.base + (rules.isEmpty ? "" : "+rules@" + PlanDigest.hash(.array(rules.map(\.json))).prefix(8))
    }

    private static let base: String = {
        let matrix = ActionCatalog.all.map { entry -> JSON in
            [
                "action": .string(entry.action.rawValue), "effect": .string(entry.effect.rawValue),
                "risk": .string(entry.risk.rawValue), "approval": .bool(entry.needsApproval),
                "touches": .array(
                    entry.touches.map { touch in
                        [
                            "id": .string(touch.id), "parameters": JSON(touch.parameters),
                            "when": .string(touch.when.text), "risk": .string(touch.risk.rawValue),
                            "approval": .bool(touch.needsApproval),
                        ]
                    }),
            ]
        }
        return "base@" + PlanDigest.hash(.array(matrix)).prefix(8)
    }()

    /// Decides on `request` as the world looks in `tags` (those of the guest) and `checks`; the most restrictive rule
    /// wins and all that spoke are named.
    package func evaluate(
        _ request: ActionRequest, by requester: Caller, in environment: EnvironmentFacts, tags: Set<String> = [],
        checks: [Check] = []
    ) -> Decision {
        let grade = request.grade
        var decision = Decision(
            allowed: true, risk: grade.risk, requiresApproval: grade.needsApproval && request.changes,
            reason: grade.reason, rules: grade.rules)
        if environment.readOnly, request.changes {
            decision.deny("env:read_only", "environment \(environment.name) is read-only")
        }
        for rule in rules where rule.applies(to: request, by: requester, tags: tags) {
            decision.tighten(by: rule, for: request)
        }
        if request.dryRun, request.definition.effect == .change {
            decision.rules.append("base:dry_run")
            decision.reason = "a dry run changes nothing"
        }
        for check in checks where check.level == .block { decision.deny("check:\(check.id)", check.detail) }
        return decision
    }

    /// What a decision asks for: approvals by principals of their own, or, where nobody has one, names that the
    /// holder of the shared token vouches for.
    package func requirement(
        of decision: Decision, in environment: EnvironmentFacts, among directory: Directory
    ) -> Requirement {
        Requirement(
            approvals: decision.allowed && decision.requiresApproval ? decision.approvals : 0,
            assurance: directory.isShared && environment.acceptsDeclaredApprovals ? .declared : .verified)
    }
}

extension Decision {
    /// The first to deny gives the reason.
    fileprivate mutating func deny(_ rule: String, _ why: String) {
        if allowed { reason = why }
        allowed = false
        rules.append(rule)
    }

    /// A dry run changes nothing: it is told of the rules, not bound by them.
    fileprivate mutating func tighten(by rule: PolicyRule, for request: ActionRequest) {
        let name = "rule:\(rule.id)"
        guard !request.dryRun else {
            rules.append(name)
            return
        }
        switch rule.effect {
        case .deny: deny(name, rule.reason ?? "rule \(rule.id) denies it")
        case .requireApproval:
            rules.append(name)
            guard request.changes else { return }
            let tightens = !requiresApproval || rule.approvals > approvals
            if tightens, allowed {
                let count = max(approvals, rule.approvals)
                reason =
                    rule.reason ?? "rule \(rule.id) asks for \(count == 1 ? "an approval" : "\(count) approvals")"
            }
            requiresApproval = true
            approvals = max(approvals, rule.approvals)
        }
    }
}
