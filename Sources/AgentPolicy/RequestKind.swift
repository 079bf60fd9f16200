import AgentModel

/// The requests of the catalogue, as far as they differ without parameters and subjects: an action on a form of target,
/// with one of its risks, and one of the actions that it may amount to.
struct RequestKind: Sendable {
    let definition: ActionDefinition
    let facts: RuleFacts

    var isChange: Bool { definition.effect == .change }
    /// Whether the request is looked at as the action that it names, not as another one that it amounts to.
    var isOwn: Bool { facts.action == definition.action }

    static let all: [RequestKind] = ActionCatalog.all.flatMap { definition in
        let risks = Set([definition.risk] + definition.escalations.map { max($0.risk, definition.risk) })
        return definition.targets.compactMap { Target($0.example) }.flatMap { target in
            definition.possibleEquivalents(on: target).sorted { $0.rawValue < $1.rawValue }.flatMap { action in
                risks.sorted().map { risk in
                    var facts = RuleFacts(action: action)
                    facts.target = target
                    facts.risk = risk
                    if definition.readsOneGuest, target.guest != nil { (facts.guests, facts.subjects) = (1, nil) }
                    return RequestKind(definition: definition, facts: facts)
                }
            }
        }
    }
}

extension ActionDefinition {
    /// Whether it can reach no guest but its target. A change may reach the guests that share a disk with it.
    fileprivate var readsOneGuest: Bool {
        effect == .read && parameters.allSatisfy { $0.name != "vmid" && $0.name != "guests" }
    }
}

extension PolicyRule {
    /// The kinds of requests that it may match, whoever asks, wherever and about whatever.
    var reach: [RequestKind] {
        RequestKind.all.filter { kind in
            (namesActions || kind.isChange) && (effect != .allow || kind.isOwn)
                && match.holds(kind.facts, nil) > .no
        }
    }
}

/// Names of actions for people.
enum ActionList {
    /// All of them, or the first of many and how many there are.
    static func short(_ actions: Set<Action>) -> String {
        let names = actions.map(\.rawValue).sorted()
        guard names.count > 6 else { return names.joined(separator: ", ") }
        return names.prefix(5).joined(separator: ", ") + " and \(names.count - 5) more"
    }

    /// All of them: `every change`, `every change but start_vm`, or their names.
    static func full(_ actions: Set<Action>) -> String {
        let changes = Set(ActionCatalog.all.filter { $0.effect == .change }.map(\.action))
        for (group, name) in [(Set(Action.allCases), "every action"), (changes, "every change")]
        where actions.isSubset(of: group) {
            let left = group.subtracting(actions)
            if left.isEmpty { return name }
            if left.count <= 5, actions.count > 10 { return "\(name) but \(short(left))" }
        }
        return actions.map(\.rawValue).sorted().joined(separator: ", ")
    }
}
