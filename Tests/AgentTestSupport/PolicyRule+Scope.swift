package import AgentModel
package import AgentPolicy

/// Rules as tests write them.
extension PolicyRule {
    package enum Word {
        case deny, requireApproval
    }

    /// Conditions side by side; `nil` for none.
    package struct Scope {
        package var environments: Set<EnvironmentName>?
        package var actions: Set<Action>?
        package var targets: Set<TargetPattern>?
        package var tags: Set<String>?
        package var principals: Set<String>?

        package init() {}

        package var match: RuleMatch {
            .all(
                [
                    environments.map { .environments(NameSet(exactly: Set($0.map(\.description)))) },
                    actions.map { .actions(Set($0.map(\.rawValue)), $0) }, targets.map(RuleMatch.targets),
                    tags.map { .tags(NameSet(exactly: $0)) }, principals.map { .principals($0, $0) },
                ].compactMap(\.self))
        }
    }

    package init(
        id: String, effect: Word, approvals: Int = 1, assurance: Assurance? = nil, reason: String? = nil,
        scope: Scope = Scope()
    ) {
        self.init(
            id: id, match: scope.match,
            effect: effect == .deny ? .deny : .require(RuleRequirement(approvals: approvals, assurance: assurance)),
            reason: reason)
    }
}

extension Policy {
    /// Decides at some time on a request by a principal with no role.
    package func evaluate(
        _ request: ActionRequest, by requester: Caller, in environment: EnvironmentSettings, reach: Reach? = nil,
        checks: [Check] = []
    ) -> Decision {
        evaluate(
            PolicyInput(request, by: requester, roles: [], in: environment, reach: reach, checks: checks), at: .sample)
    }
}

extension Plan {
    /// Adds an approval, and as many are enough as the plan requires.
    package mutating func approve(_ approval: Approval) -> Bool {
        let needed = requires.approvals
        return approve(approval) { $0.count >= needed }
    }
}
