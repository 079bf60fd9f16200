package import AgentModel
import StrictJSON

/// What two policies decide differently, over all actions, environments, roles, and the tags and pools that either
/// names.
///
/// Rules may also look at what this does not vary, such as parameters, numbers of guests or single principals. Changed
/// rules that show in nothing that was compared are listed by themselves.
package struct PolicyComparison: Sendable {
    /// Requests that are decided differently in the same way, on one line each.
    package struct Difference: Sendable, Hashable {
        package let was: String
        package let now: String
        /// `rule deny-prod` or `no rule`.
        package let rulesBefore: [String]
        package let rulesNow: [String]
        /// Which requests: `delete_vm in home by operator tagged prod`.
        package let requests: [String]
    }

    package let differences: [Difference]
    /// Rules that were added, changed or taken out, and show in no difference.
    package let unseen: [String]

    package var isEmpty: Bool { differences.isEmpty && unseen.isEmpty }

    /// `environments` are those of the configuration; if none are known, what stands for those that the rules name.
    package init(_ old: Policy, _ new: Policy, environments: [EnvironmentSettings]) {
        let scenes = Scenes([old, new], environments)
        let overviews = (PolicyOverview(old), PolicyOverview(new))
        var found: [Change: Set<[String]>] = [:]
        for definition in ActionCatalog.all {
            var byForm: [(form: String, changes: [Change: Set<[String]>])] = []
            for request in PolicySamples.requests(definition) {
                var changes: [Change: Set<[String]>] = [:]
                scenes.each(request) { input, place in
                    let change = Change(overviews.0.outcome(of: input), overviews.1.outcome(of: input))
                    if change.was != change.now { changes[change, default: []].insert(place) }
                }
                byForm.append((request.target.form.rawValue, changes.mapValues(scenes.collapsed)))
            }
            let isSame = byForm.allSatisfy { $0.changes == byForm[0].changes }
            for (form, changes) in isSame ? Array(byForm.prefix(1)) : byForm {
                let name = definition.action.rawValue + (isSame ? "" : " on \(form)")
                for (change, places) in changes { found[change, default: []].formUnion(places.map { [name] + $0 }) }
            }
        }
        differences = found.map { scenes.difference($0.key, $0.value) }.sorted {
            ($0.was, $0.now, $0.requests.first ?? "") < ($1.was, $1.now, $1.requests.first ?? "")
        }
        unseen = Self.unseen(old, new, Set(found.keys.flatMap { $0.rulesBefore + $0.rulesNow }))
    }

    /// Two outcomes, and the rules behind each.
    fileprivate struct Change: Hashable {
        let was: String
        let now: String
        let rulesBefore: [String]
        let rulesNow: [String]

        init(
            _ before: (outcome: PolicyOutcome, rules: [String]), _ after: (outcome: PolicyOutcome, rules: [String])
        ) {
            // The risk is told only where it differs.
            let withRisk =
                before.outcome.risk != after.outcome.risk && before.outcome.isAllowed && after.outcome.isAllowed
            was = before.outcome.text(withRisk: withRisk)
            now = after.outcome.text(withRisk: withRisk)
            rulesBefore = before.rules
            rulesNow = after.rules
        }
    }

    private static func unseen(_ old: Policy, _ new: Policy, _ seen: Set<String>) -> [String] {
        func byID(_ policy: Policy) -> [String: PolicyRule] {
            Dictionary(policy.rules.map { ($0.id, $0) }) { first, _ in first }
        }
        let (before, after) = (byID(old), byID(new))
        return Set(before.keys).union(after.keys).subtracting(seen).sorted().compactMap { id in
            switch (before[id], after[id]) {
            case (let rule?, nil): return "- rule \(rule)"
            case (nil, let rule?): return "+ rule \(rule)"
            case (let one?, let two?):
                return one.match == two.match && one.effect == two.effect ? nil : "~ rule \(two)"
            case (nil, nil): return nil
            }
        }
    }
}

/// The requests that are compared.
private struct Scenes {
    private let environments: [EnvironmentSettings]
    private let marks: [SampleMark]
    /// Roles make no difference where no rule speaks of them.
    private let looksAtRoles: Bool

    init(_ policies: [Policy], _ environments: [EnvironmentSettings]) {
        self.environments = environments.isEmpty ? PolicySamples.environments(of: policies) : environments
        marks = SampleMark.all(of: policies)
        looksAtRoles = policies.flatMap(\.rules).flatMap(\.match.conditions).contains { condition in
            if case .roles = condition { true } else { false }
        }
    }

    /// The roles of those who may ask, with the right that the request takes.
    private func requesters(_ isChange: Bool) -> [(name: String, roles: Set<Role>)] {
        guard looksAtRoles else { return [("", [isChange ? .operator : .viewer])] }
        let right: Right = isChange ? .change : .view
        let main = Role.allCases.filter { $0.rights.contains(right) }
        let more = isChange ? Role.allCases.filter { !main.contains($0) } : []
        return main.map { ($0.rawValue, [$0]) }
            + main.flatMap { one in more.map { ("\(one.rawValue) and \($0.rawValue)", [one, $0]) } }
    }

    /// Calls `body` with each input for the request, and where it is: environment, role, mark.
    func each(_ request: ActionRequest, _ body: (PolicyInput, [String]) -> Void) {
        for mark in marks {
            guard let reach = mark.reach(of: request) else { continue }
            let markText = request.target.guest == nil ? "" : mark.text
            for environment in environments {
                for requester in requesters(request.definition.effect == .change) {
                    let input = PolicyInput(
                        request, by: PolicySamples.requester, roles: requester.roles, in: environment, reach: reach)
                    body(input, [environment.name.description, requester.name, markText])
                }
            }
        }
    }

    /// The difference with its requests in as few lines as it takes.
    func difference(_ change: PolicyComparison.Change, _ rows: Set<[String]>) -> PolicyComparison.Difference {
        let lines = Self.factors(rows).map { parts -> String in
            let actions = Set(parts[0].compactMap(Action.init(rawValue:)))
            let forms = parts[0].filter { Action(rawValue: $0) == nil }
            let names = (actions.isEmpty ? [] : [ActionList.full(actions)]) + forms
            let places = parts[1].count == environments.count ? [] : ["in \(parts[1].joined(separator: ", "))"]
            let roles = parts[2] == [""] ? [] : ["by \(parts[2].joined(separator: ", "))"]
            let guests = parts[3] == [""] ? [] : [parts[3].joined(separator: " or ")]
            return ([names.joined(separator: ", ")] + places + roles + guests).joined(separator: " ")
        }
        return PolicyComparison.Difference(
            was: change.was, now: change.now, rulesBefore: change.rulesBefore, rulesNow: change.rulesNow,
            requests: lines.sorted())
    }

    /// The rows without marks where all of them have the difference.
    func collapsed(_ rows: Set<[String]>) -> Set<[String]> {
        let places = Dictionary(grouping: rows) { $0.dropLast() }
        return Set(places.flatMap { place, all in all.count == marks.count ? [Array(place) + [""]] : all })
    }

    /// The rows as few products of lists.
    private static func factors(_ rows: Set<[String]>) -> [[[String]]] {
        guard let width = rows.first?.count, width > 0 else { return [[]] }
        let rests = Dictionary(grouping: rows) { $0[0] }.mapValues { Set($0.map { Array($0.dropFirst()) }) }
        return Dictionary(grouping: rests.keys) { rests[$0] ?? [] }.flatMap { rest, firsts in
            factors(rest).map { [firsts.sorted()] + $0 }
        }
    }
}
