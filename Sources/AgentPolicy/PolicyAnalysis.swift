import AgentModel

extension Policy {
    /// What in this policy can have no effect, cannot be met, loosens the base or names what is not there. In the order
    /// of the rules.
    ///
    /// Only what is certain is reported: conditions on parameters, checks, times and subjects are taken as ones that
    /// may hold. `surroundings` is the configuration that the policy is for, `inventory` what there is in its
    /// environments, if these are known.
    package func findings(
        in surroundings: PolicySurroundings? = nil, with inventory: PolicyInventory? = nil
    ) -> [PolicyFinding] {
        let empty = groups.filter(\.value.isEmpty).keys.sorted().map {
            PolicyFinding(.neverMatches, nil, "group \($0) has no members")
        }
        let conditions = rules.map { Set($0.match.parts) }
        return empty
            + rules.enumerated().flatMap { index, rule -> [PolicyFinding] in
                let analysis = RuleAnalysis(rule, of: self)
                if let why = analysis.whyNever(in: surroundings) {
                    return [PolicyFinding(.neverMatches, rule.id, "never matches: \(why)")]
                }
                return analysis.partlyDead + analysis.idleEffect + useless(index, conditions)
                    + analysis.unmetDemands + (surroundings.map(analysis.unmetApprovals) ?? []) + analysis.loosening
                    + (surroundings.map(analysis.unknownLabels) ?? [])
                    + (inventory.map(analysis.unknownNames) ?? [])
            }
    }

    /// Whether another rule makes this one useless: one that matches wherever this one does, and outweighs it.
    private func useless(_ index: Int, _ conditions: [Set<RuleMatch>]) -> [PolicyFinding] {
        let rule = rules[index]
        for (place, other) in rules.enumerated() where place != index {
            // With fewer conditions, or the same ones, it matches more, or the same.
            guard conditions[place].isSubset(of: conditions[index]) else { continue }
            if !other.namesActions, rule.namesActions, !rule.reach.allSatisfy(\.isChange) { continue }
            let isSame = conditions[place] == conditions[index]
            switch (other.effect, rule.effect) {
            case (.deny, .deny) where isSame && place > index: continue
            case (.deny, _):
                return [
                    PolicyFinding(
                        .changesNothing, rule.id, "changes nothing: rule \(other.id) denies all that it matches")
                ]
            case (.require(let requirement), .allow) where requirement.approvals > 0:
                return [
                    PolicyFinding(
                        .changesNothing, rule.id,
                        "changes nothing: rule \(other.id) asks for an approval of all that it matches")
                ]
            case (let one, let two) where isSame && one == two && place < index:
                return [PolicyFinding(.changesNothing, rule.id, "changes nothing: rule \(other.id) is the same")]
            default: continue
            }
        }
        return []
    }
}

/// One rule, and the requests that it may match.
struct RuleAnalysis {
    let rule: PolicyRule
    let policy: Policy
    let reach: [RequestKind]

    init(_ rule: PolicyRule, of policy: Policy) {
        self.rule = rule
        self.policy = policy
        reach = rule.reach
    }

    var actions: Set<Action> { Set(reach.map(\.definition.action)) }

    func finding(_ kind: PolicyFinding.Kind, _ detail: String) -> PolicyFinding {
        PolicyFinding(kind, rule.id, detail)
    }

    // MARK: Rules that never match

    /// Why the rule matches nothing at all; `nil` if it may match something.
    func whyNever(in surroundings: PolicySurroundings?) -> String? {
        if reach.isEmpty { return clash }
        if !mayMatchSomebody { return "its groups have no members" }
        guard let surroundings else { return nil }
        let environments = surroundings.environments.map(facts)
        if !environments.isEmpty, !environments.contains(where: { rule.match.holds($0, nil) > .no }) {
            return "no environment of the configuration has these names and labels"
        }
        if !surroundings.principals.contains(where: mayAsk) {
            return "nobody in the configuration whom it means may ask for what it matches"
        }
        return nil
    }

    func facts(_ environment: EnvironmentSettings) -> RuleFacts {
        var facts = RuleFacts(environment: environment.name)
        facts.labels = environment.labels
        return facts
    }

    /// Whether it may match a request of that principal, who has the right to make one.
    func mayAsk(_ principal: Principal) -> Bool {
        var facts = RuleFacts(principal: principal.id)
        facts.roles = principal.roles
        let right: Right = reach.contains(where: \.isChange) ? .change : .view
        let mayRead = reach.contains { !$0.isChange } && principal.rights.contains(.view)
        return (principal.rights.contains(right) || mayRead) && rule.match.holds(facts, nil) > .no
    }

    private var mayMatchSomebody: Bool {
        let named = rule.match.conditions.reduce(into: Set<String>()) { names, condition in
            if case .principals(_, let ids) = condition { names.formUnion(ids) }
        }
        // No principal has an empty name: it stands for all that the rule does not name.
        return named.union([""]).contains { rule.match.holds(RuleFacts(principal: $0), nil) > .no }
    }

    /// The conditions on the request that exclude each other.
    private var clash: String {
        let words: [(key: String, why: String)] = [
            ("forms", "none of its actions takes a target of one of its forms"),
            ("risk", "none of its actions has one of its risks"),
            ("guests_at_least", "its actions reach one guest only"),
        ]
        for (key, why) in words {
            let parts = rule.match.parts
            let rest = parts.filter { $0.key != key }
            guard rest.count < parts.count else { continue }
            let without = PolicyRule(id: rule.id, match: .all(rest), effect: rule.effect)
            if !without.reach.isEmpty { return why }
        }
        return "its conditions exclude each other"
    }

    /// Actions that the rule names and can never match.
    var partlyDead: [PolicyFinding] {
        let looked = Set(reach.compactMap(\.facts.action))
        let dead = rule.match.parts.flatMap { part -> [Action] in
            guard case .actions(let spelled, let meant) = part else { return [] }
            return meant.filter { spelled.contains($0.rawValue) && !looked.contains($0) }
        }
        return dead.isEmpty
            ? []
            : [
                finding(
                    .neverMatches,
                    "never matches \(ActionList.short(Set(dead))), because of its other conditions; take the name out")
            ]
    }

    // MARK: Effects

    /// An effect that no request feels.
    var idleEffect: [PolicyFinding] {
        let changes = reach.filter(\.isChange)
        func idle(_ why: String) -> [PolicyFinding] { [finding(.changesNothing, "changes nothing: \(why)")] }
        switch rule.effect {
        case .deny: return []
        case .require, .windows, .limits:
            return changes.isEmpty ? idle("it covers reads alone, which only deny bounds") : []
        case .raiseRisk(let risk):
            if changes.isEmpty { return idle("it covers reads alone, which only deny bounds") }
            return changes.contains { $0.facts.risk.map { $0 < risk } ?? true }
                ? [] : idle("all that it matches has the risk \(risk.rawValue), or a higher one, already")
        case .allow:
            return approvable.isEmpty ? idle("nothing that it matches needs an approval by the catalogue") : []
        }
    }

    /// The actions among its own for which the catalogue asks for an approval, or may.
    private var approvable: Set<Action> {
        Set(
            reach.map(\.definition).filter { definition in
                definition.effect == .change
                    && (definition.needsApproval || definition.escalations.contains(where: \.needsApproval))
            }.map(\.action))
    }

    var loosening: [PolicyFinding] {
        guard rule.effect == .allow, !approvable.isEmpty else { return [] }
        return [
            finding(
                .loosens,
                "loosens the base: drops the approval that the catalogue asks for, of "
                    + ActionList.short(approvable))
        ]
    }
}
