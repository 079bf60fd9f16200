import AgentModel
import Signatures

/// What rules require and nobody can give.
extension RuleAnalysis {
    /// What no request for some of its actions can bring along.
    var unmetDemands: [PolicyFinding] {
        guard let requirement = rule.effect.requirement, requirement.needsSafetySnapshot else { return [] }
        let without = reach.map(\.definition).filter { $0.effect == .change && !$0.takesSafetySnapshot }
        guard !without.isEmpty else { return [] }
        return [
            finding(
                .cannotBeMet,
                "denies \(ActionList.short(Set(without.map(\.action)))), which cannot take the safety snapshot that it "
                    + "requires")
        ]
    }

    /// Approvals that nobody in the configuration can give.
    func unmetApprovals(_ surroundings: PolicySurroundings) -> [PolicyFinding] {
        guard let requirement = rule.effect.requirement, requirement.approvals > 0, !reach.allSatisfy({ !$0.isChange })
        else { return [] }
        let places = surroundings.environments.filter { rule.match.holds(facts($0), nil) > .no }
        return idleApprovers(requirement, surroundings, places)
            + tooFewApprovers(requirement, surroundings, places)
    }

    /// Approvers by name, role or group of whom nobody may approve.
    private func idleApprovers(
        _ requirement: RuleRequirement, _ surroundings: PolicySurroundings, _ places: [EnvironmentSettings]
    ) -> [PolicyFinding] {
        let approvers = surroundings.principals.filter { principal in
            !principal.isShared && places.contains { principal.may(.approve, in: $0.name) }
        }
        let ids = Set(approvers.map(\.id))
        let people = requirement.principals.sorted().filter { !ids.contains($0) }.map {
            "names \($0) as an approver, who has no right to approve there"
        }
        let roles = requirement.roles.sorted { $0.rawValue < $1.rawValue }.filter { role in
            !approvers.contains { $0.roles.contains(role) }
        }.map { "names the role \($0.rawValue) for approvers, and nobody who has it may approve there" }
        let groups = requirement.groups.sorted().filter { ids.isDisjoint(with: policy.groups[$0] ?? []) }.map {
            "names the group \($0) for approvers, of which nobody may approve there"
        }
        return (people + roles + groups).map { finding(.cannotBeMet, $0) }
    }

    /// Requests for which there are fewer approvers than the rule asks for.
    private func tooFewApprovers(
        _ requirement: RuleRequirement, _ surroundings: PolicySurroundings, _ places: [EnvironmentSettings]
    ) -> [PolicyFinding] {
        var stuck: [String: (places: [String], most: Int)] = [:]
        var fine = 0
        for place in places {
            for requester in surroundings.principals where requester.may(.change, in: place.name) && mayAsk(requester) {
                let count = approvers(requirement, of: requester, in: place, surroundings)
                guard count < requirement.approvals else {
                    fine += 1
                    continue
                }
                let before = stuck[requester.id] ?? ([], 0)
                stuck[requester.id] = (before.places + [place.name.description], max(before.most, count))
            }
        }
        guard !stuck.isEmpty else { return [] }
        let needed = Requirement(
            approvals: requirement.approvals, assurance: requirement.assurance ?? .verified
        ).phrase
        func people(_ count: Int) -> String { count == 0 ? "nobody" : "\(count)" }
        if fine == 0 {
            let most = stuck.values.map(\.most).max() ?? 0
            return [
                finding(
                    .cannotBeMet,
                    "asks for \(needed), and \(people(most)) in the configuration can give "
                        + "\(needed == "1 approval" ? "it" : "one"): what it matches can never be applied")
            ]
        }
        return stuck.sorted { $0.key < $1.key }.map { id, found in
            finding(
                .cannotBeMet,
                "asks for \(needed), and for requests of \(id) in \(found.places.joined(separator: ", ")) "
                    + "\(people(found.most)) can give one")
        }
    }

    /// How many principals can give an approval that counts for what the requester asks for there.
    private func approvers(
        _ requirement: RuleRequirement, of requester: Principal, in place: EnvironmentSettings,
        _ surroundings: PolicySurroundings
    ) -> Int {
        let directory = surroundings.directory
        let clause = requirement.clause(of: rule.id)
        // The holder of the shared token declares as many as are asked for.
        if directory.isShared {
            return place.acceptsDeclaredApprovals && clause == nil && requirement.assurance == nil ? .max : 0
        }
        let caller = Caller(principal: requester.id, label: nil)
        return surroundings.principals.count { approver in
            approver.id.lowercased() != requester.id.lowercased() && approver.may(.approve, in: place.name)
                && (clause.map { policy.counts(approver.id, for: $0, of: caller, among: directory) } ?? true)
                && canSign(approver, requirement.assurance)
        }
    }

    private func canSign(_ approver: Principal, _ assurance: Assurance?) -> Bool {
        switch assurance {
        case nil, .declared, .verified: true
        case .signed: !approver.approvalKeys.isEmpty
        case .hardware: approver.approvalKeys.contains(where: \.isHardware)
        }
    }
}

/// Names in rules that nothing has.
extension RuleAnalysis {
    func unknownLabels(_ surroundings: PolicySurroundings) -> [PolicyFinding] {
        rule.match.conditions.compactMap { condition in
            guard case .label(let key, let values) = condition else { return nil }
            let known = surroundings.environments.compactMap { $0.labels[key] }
            guard !known.contains(where: values.matches) else { return nil }
            let wanted = values.spelled.sorted().joined(separator: ", ")
            return known.isEmpty
                ? finding(.unknownName, "no environment has a label \(key)")
                : finding(.unknownName, "no environment has \(wanted) as its label \(key)")
        }
    }

    /// Reports names and patterns that nothing in the inventory has, each once.
    func unknownNames(_ inventory: PolicyInventory) -> [PolicyFinding] {
        func unknown(_ names: NameSet, _ known: Set<String>, _ what: String) -> [String] {
            names.spelled.sorted().filter { text in
                Glob(text).map { glob in !known.contains(where: glob.matches) } ?? false
            }.map { "\(what) \($0)" }
        }
        let texts = rule.match.conditions.flatMap { condition -> [String] in
            switch condition {
            case .tags(let names): unknown(names, inventory.tags, "no guest has the tag")
            case .pools(let names): unknown(names, inventory.pools, "there is no pool")
            case .nodes(let names): unknown(names, inventory.nodes, "there is no node")
            case .storages(let names): unknown(names, inventory.storages, "there is no storage")
            case .names(let names): unknown(names, inventory.names, "no guest has the name")
            case .ids(let ranges): unknownIDs(ranges, inventory)
            case .targets(let patterns): unknownTargets(patterns, inventory)
            case .all, .any, .not, .environments, .label, .actions, .risks, .forms, .principals, .roles, .parameter,
                .guests, .subjects, .checks, .time:
                []
            }
        }
        var seen: Set<String> = []
        return texts.filter { seen.insert($0).inserted }.map { finding(.unknownName, $0) }
    }

    private func unknownIDs(_ ranges: Set<ClosedRange<UInt32>>, _ inventory: PolicyInventory) -> [String] {
        let ids = inventory.guests.compactMap { Target($0)?.guest?.id.rawValue }
        return ranges.sorted { $0.lowerBound < $1.lowerBound }.filter { range in !ids.contains(where: range.contains) }
            .map { range in
                range.count == 1
                    ? "no guest has the number \(range.lowerBound)"
                    : "no guest has a number from \(range.lowerBound) to \(range.upperBound)"
            }
    }

    private func unknownTargets(_ patterns: Set<TargetPattern>, _ inventory: PolicyInventory) -> [String] {
        let names =
            inventory.guests.union(inventory.guests.map { "firewall/\($0)" })
            .union(inventory.nodes.flatMap { ["node/\($0)", "firewall/node/\($0)"] })
            .union(inventory.storages.map { "storage/\($0)" }).union(inventory.pools.map { "pool/\($0)" })
            .union(["cluster", "nodes/all", "firewall/cluster", "*"])
        return patterns.sorted { $0.description < $1.description }.filter { pattern in
            pattern.description != "*" && !names.contains(where: pattern.matches)
        }.map { "nothing has the name \($0)" }
    }
}
