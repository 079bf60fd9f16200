package import AgentModel
package import FoundationEssentials

extension Policy {
    /// What applying the request would take of the limits of the rules that match it: one claim for each counter.
    /// Reads and dry runs take nothing.
    package func limitClaims(of input: PolicyInput, at now: Date) -> [LimitClaim] {
        guard input.request.changes else { return [] }
        guard rules.contains(where: { if case .limits = $0.effect { true } else { false } }) else { return [] }
        let view = RuleView(input, at: now)
        var claims: [LimitCounter: LimitClaim] = [:]
        for (rule, matched) in matches(in: view) {
            guard case .limits(let limits) = rule.effect else { continue }
            for (index, limit) in limits.enumerated() {
                for (key, amount) in view.amounts(limit, matched) where amount > 0 {
                    let claim = LimitClaim(rule: rule.id, index: index, key: key, amount: amount, limit: limit)
                    claims[claim.counter] = claim
                }
            }
        }
        return claims.values.sorted { ($0.rule, $0.index, $0.key) < ($1.rule, $1.index, $1.key) }
    }

    /// The limits of rules that concern one of these environments: the rule, the limit's place in it, and the limit.
    package func limits(in environments: [EnvironmentSettings]) -> [(rule: String, index: Int, limit: UsageLimit)] {
        rules(in: environments).flatMap { rule in
            guard case .limits(let limits) = rule.effect else {
                return [(rule: String, index: Int, limit: UsageLimit)]()
            }
            return limits.enumerated().map { (rule.id, $0.offset, $0.element) }
        }
    }

    /// The schedules of rules that concern one of these environments.
    package func windows(in environments: [EnvironmentSettings]) -> [(rule: String, schedule: ChangeSchedule)] {
        rules(in: environments).compactMap { rule in
            if case .windows(let schedule) = rule.effect { (rule.id, schedule) } else { nil }
        }
    }
}

extension RuleView {
    /// What the request takes of a limit, by the values of its scope.
    fileprivate func amounts(_ limit: UsageLimit, _ matched: [Int]) -> [String: Int64] {
        let environment = input.environment.name.description
        func keys(_ subject: Int) -> [String] {
            switch limit.by {
            case .all: [""]
            case .principal: [input.requester.principal]
            case .environment: [environment]
            // The same tag in another environment is another one.
            case .tag: facts[subject].tags.map { "\(environment)/\($0)" }
            case .pool: facts[subject].pools.map { "\(environment)/\($0)" }
            case .node: facts[subject].nodes.map { "\(environment)/\($0)" }
            }
        }
        var amounts: [String: Int64] = [:]
        for subject in matched {
            for key in Set(keys(subject)) {
                switch limit.count {
                case .operations, .concurrent: amounts[key] = 1
                case .guests: amounts[key, default: 0] += isChanged(subject) ? 1 : 0
                case .guestsDestroyed: amounts[key, default: 0] += destroys(subject) ? 1 : 0
                case .bytesDestroyed: amounts[key] = max(amounts[key] ?? 0, input.reach?.destroyedBytes ?? 0)
                }
            }
        }
        return amounts
    }

    /// Whether the request changes that guest, and does not only read from it.
    private func isChanged(_ subject: Int) -> Bool { facts[subject].isGuest && subjects[subject].role != .source }

    private func destroys(_ subject: Int) -> Bool {
        facts[subject].isGuest && [.target, .member].contains(subjects[subject].role) && destroysGuests
    }
}
