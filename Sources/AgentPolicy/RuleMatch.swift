package import AgentModel
package import StrictJSON

/// What a rule is about: conditions on the request, and on one subject of it at a time.
package indirect enum RuleMatch: Sendable, Hashable {
    case all([RuleMatch])
    case any([RuleMatch])
    case not(RuleMatch)

    // Of the request.
    case environments(NameSet)
    case label(String, NameSet)
    /// The names and patterns as written, and the actions that they stand for.
    case actions(Set<String>, Set<Action>)
    case risks(Set<Risk>)
    /// The first words of targets: `vm`, `storage`.
    case forms(Set<String>)
    /// The ids and groups as written, and the ids that they stand for.
    case principals(Set<String>, Set<String>)
    case roles(Set<Role>)
    case parameter(Glob, ParameterTest)
    case guests(atLeast: Int)
    case subjects(atLeast: Int)
    case checks(NameSet)
    case time(ChangeSchedule)

    // Of a subject.
    case targets(Set<TargetPattern>)
    case ids(Set<ClosedRange<UInt32>>)
    case names(NameSet)
    case tags(NameSet)
    case pools(NameSet)
    case nodes(NameSet)
    case storages(NameSet)

    /// Everything.
    package static let always = RuleMatch.all([])

    /// The parts that must all hold.
    package var parts: [RuleMatch] {
        if case .all(let parts) = self { parts } else { [self] }
    }
}

extension RuleMatch {
    /// Whether it holds for the request and the subject; unknown where that depends on what is not known. Without a
    /// subject, its conditions on one are unknown.
    func holds(_ facts: RuleFacts, _ subject: SubjectFacts?) -> Truth {
        switch self {
        case .all(let parts):
            var truth = Truth.yes
            for part in parts where truth > .no { truth = min(truth, part.holds(facts, subject)) }
            return truth
        case .any(let parts):
            var truth = Truth.no
            for part in parts where truth < .yes { truth = max(truth, part.holds(facts, subject)) }
            return truth
        case .not(let part): return !part.holds(facts, subject)
        case .environments, .label, .actions, .risks, .forms, .principals, .roles, .parameter, .guests, .subjects,
            .checks, .time:
            return holds(facts)
        case .targets, .ids, .names, .tags, .pools, .nodes, .storages:
            return subject.flatMap { holds(on: [$0], at: [0]).first } ?? .unknown
        }
    }

    /// Whether it holds for each of the subjects at these places. Each condition is read once, not once per subject.
    func holds(_ facts: RuleFacts, on subjects: [SubjectFacts], at places: [Int]) -> [Truth] {
        switch self {
        case .all(let parts):
            return parts.reduce(Array(repeating: .yes, count: places.count)) { truths, part in
                zip(truths, part.holds(facts, on: subjects, at: places)).map { min($0, $1) }
            }
        case .any(let parts):
            return parts.reduce(Array(repeating: .no, count: places.count)) { truths, part in
                zip(truths, part.holds(facts, on: subjects, at: places)).map { max($0, $1) }
            }
        case .not(let part): return part.holds(facts, on: subjects, at: places).map { !$0 }
        case .environments, .label, .actions, .risks, .forms, .principals, .roles, .parameter, .guests, .subjects,
            .checks, .time:
            return Array(repeating: holds(facts), count: places.count)
        case .targets, .ids, .names, .tags, .pools, .nodes, .storages: return holds(on: subjects, at: places)
        }
    }

    private func holds(_ facts: RuleFacts) -> Truth {
        func test<Value>(_ fact: Value?, _ isMet: (Value) -> Bool) -> Truth {
            fact.map { Truth(isMet($0)) } ?? .unknown
        }
        return switch self {
        case .environments(let names): test(facts.environment) { names.matches($0.description) }
        case .label(let key, let values): test(facts.labels) { $0[key].map(values.matches) ?? false }
        case .actions(_, let actions): test(facts.action, actions.contains)
        case .risks(let risks): test(facts.risk, risks.contains)
        case .forms(let forms): test(facts.target) { forms.contains($0.form.word) }
        case .principals(_, let ids): test(facts.principal, ids.contains)
        case .roles(let roles): test(facts.roles) { !roles.isDisjoint(with: $0) }
        case .parameter(let key, let test): facts.parameters.map { Self.holds(key, test, $0) } ?? .unknown
        case .guests(let least): test(facts.guests) { $0 >= least }
        case .subjects(let least): test(facts.subjects) { $0 >= least }
        case .checks(let ids): test(facts.checks) { $0.contains(where: ids.matches) }
        case .time(let schedule): test(facts.now, schedule.isOpen)
        default: .unknown
        }
    }

    private static func holds(
        _ key: Glob, _ test: ParameterTest, _ parameters: [(key: String, value: JSON?)]
    ) -> Truth {
        var truth = Truth.no
        for parameter in parameters where key.matches(parameter.key) {
            if test.isEmpty { return .yes }
            truth = max(truth, parameter.value.map(test.holds(for:)) ?? .unknown)
        }
        return truth
    }

    private func holds(on subjects: [SubjectFacts], at places: [Int]) -> [Truth] {
        switch self {
        case .targets(let patterns):
            places.map { place in Truth(patterns.contains { subjects[place].names.contains(where: $0.matches) }) }
        case .ids(let ranges):
            places.map { place in
                Truth(subjects[place].ids.contains { id in ranges.contains { $0.contains(id.rawValue) } })
            }
        case .names(let names):
            places.map { place in
                subjects[place].guestNames.map { own in
                    // Between an old name and a new one it is not known which counts.
                    own.contains(where: names.matches) ? (own.allSatisfy(names.matches) ? .yes : .unknown) : .no
                } ?? .unknown
            }
        case .tags(let tags): places.map { Truth(subjects[$0].tags.contains(where: tags.matches)) }
        case .pools(let pools): places.map { Truth(subjects[$0].pools.contains(where: pools.matches)) }
        case .nodes(let nodes): places.map { Truth(subjects[$0].nodes.contains(where: nodes.matches)) }
        case .storages(let storages): places.map { Truth(subjects[$0].storages.contains(where: storages.matches)) }
        default: places.map { _ in .unknown }
        }
    }
}

extension RuleMatch {
    /// Itself and every condition inside.
    package var conditions: [RuleMatch] {
        switch self {
        case .all(let parts), .any(let parts): parts.flatMap(\.conditions)
        case .not(let part): part.conditions
        default: [self]
        }
    }

    /// Without the names of other environments than these.
    func narrowed(to environments: Set<String>) -> RuleMatch {
        switch self {
        case .all(let parts): .all(parts.map { $0.narrowed(to: environments) }.filter { $0 != .always })
        case .any(let parts): .any(parts.map { $0.narrowed(to: environments) })
        case .not(.environments(let names)) where names.narrowed(to: environments).isEmpty: .always
        case .not(.all(let parts)) where parts.count == 1: RuleMatch.not(parts[0]).narrowed(to: environments)
        case .not(let part): .not(part.narrowed(to: environments))
        case .environments(let names): .environments(names.narrowed(to: environments))
        default: self
        }
    }

    /// The conditions that rules had before there was `match`, where they stand side by side: the key, and the list.
    package var plain: [String: JSON] {
        let flat = parts.filter { PolicyReader.flatKeys.contains($0.key) }
        return Dictionary(flat.map { ($0.key, $0.value) }) { first, _ in first }
    }

    /// Whether it speaks of actions. A rule that does not covers changes only.
    var namesActions: Bool {
        conditions.contains { if case .actions = $0 { true } else { false } }
    }

    /// Whether it depends on the subject.
    var isAboutSubjects: Bool {
        conditions.contains { condition in
            switch condition {
            case .targets, .ids, .names, .tags, .pools, .nodes, .storages, .guests, .subjects: true
            default: false
            }
        }
    }

    /// Whether it has conditions on guests and pools, and none on other subjects.
    var isAboutGuests: Bool {
        let kinds = conditions.compactMap { condition -> Bool? in
            switch condition {
            case .ids, .names, .tags, .pools: true
            case .targets, .nodes, .storages: false
            default: nil
            }
        }
        return !kinds.isEmpty && kinds.allSatisfy(\.self)
    }

    /// Whether a condition selects guests by this mark, which they may lose or gain: `tag/web`, `pool/prod`, `name/db`.
    /// `isNegated` asks for conditions behind an odd number of `not`, else for the others.
    func names(_ mark: String, isNegated: Bool = false) -> Bool {
        let value = String(mark.drop { $0 != "/" }.dropFirst())
        switch self {
        case .all(let parts), .any(let parts): return parts.contains { $0.names(mark, isNegated: isNegated) }
        case .not(let part): return part.names(mark, isNegated: !isNegated)
        default: break
        }
        guard !isNegated else { return false }
        return switch self {
        case .tags(let tags) where mark.hasPrefix("tag/"): tags.matches(value)
        case .names(let names) where mark.hasPrefix("name/"): names.matches(value)
        case .pools(let pools) where mark.hasPrefix("pool/"): pools.matches(value)
        case .targets(let patterns): patterns.contains { $0.description != "*" && $0.matches(mark) }
        default: false
        }
    }

    /// The guests that it names one by one.
    var namedGuests: [VMID] {
        conditions.flatMap { condition -> [VMID] in
            switch condition {
            case .targets(let patterns): patterns.compactMap { Target($0.description)?.guest?.id }
            case .ids(let ranges): ranges.filter { $0.count == 1 }.compactMap { VMID(rawValue: $0.lowerBound) }
            default: []
            }
        }
    }
}

extension TargetForm {
    /// The first word of such targets: `vm`, `firewall`.
    package var word: String { String(rawValue.prefix { $0 != "/" }) }
}
