package import AgentModel
import StrictJSON

/// Decides what is allowed and what needs an approval. Total and pure: the same input, the same decision.
package enum Policy {
    /// Decides on `request` as the world looks in `checks`; the most restrictive rule wins and all that spoke are named.
    package static func evaluate(
        _ request: ActionRequest, in environment: EnvironmentFacts, checks: [Check] = []
    ) -> Decision {
        let grade = request.grade
        var decision = Decision(
            allowed: true, risk: grade.risk, requiresApproval: grade.needsApproval && request.changes,
            reason: grade.reason, rules: grade.rules)
        if request.dryRun, request.definition.effect == .change {
            decision.rules.append("base:dry_run")
            decision.reason = "a dry run changes nothing"
        }
        if environment.readOnly, request.changes {
            decision.allowed = false
            decision.rules.append("env:read_only")
            decision.reason = "environment \(environment.name) is read-only"
        }
        for check in checks where check.level == .block {
            if decision.allowed { decision.reason = check.detail }
            decision.allowed = false
            decision.rules.append("check:\(check.id)")
        }
        return decision
    }

    /// What a decision asks for: nothing, or one approval of the best worth the environment can have.
    package static func requirement(of decision: Decision, in environment: EnvironmentFacts) -> Requirement {
        Requirement(
            approvals: decision.allowed && decision.requiresApproval ? 1 : 0,
            assurance: environment.acceptsDeclaredApprovals ? .declared : .verified)
    }

    /// Names the rules in force: another version may decide otherwise.
    package static let version: String = {
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
}
