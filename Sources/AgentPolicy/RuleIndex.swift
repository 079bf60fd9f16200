import AgentModel

/// Finds the rules that a request could match, without trying each of a thousand.
///
/// A rule is found by something that must be there for it to match: an action, a tag, a target and so on. A rule of which
/// nothing like that is known is always tried.
struct RuleIndex: Sendable, Hashable {
    /// What a request, or one of its subjects, has and a rule may ask for.
    enum Key: Sendable, Hashable {
        case action(Action)
        case environment(String)
        case principal(String)
        case target(String)
        case id(UInt32)
        case tag(String)
        case pool(String)
        case node(String)
        case storage(String)

        /// The larger, the fewer requests have the same.
        fileprivate var rank: Int {
            switch self {
            case .target, .id: 5
            case .tag, .pool: 4
            case .principal: 3
            case .storage, .node: 2
            case .action: 1
            case .environment: 0
            }
        }
    }

    private var places: [Key: [Int]] = [:]
    private var others: [Int] = []
    private let count: Int

    init(_ rules: [PolicyRule]) {
        count = rules.count
        for (place, rule) in rules.enumerated() {
            guard let keys = rule.match.keys else {
                others.append(place)
                continue
            }
            for key in keys { places[key, default: []].append(place) }
        }
    }

    /// The places of rules that could match, in their order, each with the places of the subjects that it could match;
    /// `nil` for all of them. `isPossible` is asked once about each rule that is found, and leaves it out if it is not.
    func candidates(for view: RuleView, where isPossible: (Int) -> Bool) -> [(rule: Int, subjects: [Int]?)] {
        var found = Found(count: count)
        func take(_ key: Key) { for rule in places[key] ?? [] { found.take(rule, where: isPossible) } }
        for rule in others { found.take(rule, where: isPossible) }
        take(.environment(view.input.environment.name.description))
        take(.principal(view.input.requester.principal))
        for action in view.actions { take(.action(action)) }
        for (index, subject) in view.facts.enumerated() {
            func take(_ key: Key) { for rule in places[key] ?? [] { found.take(rule, at: index, where: isPossible) } }
            for name in subject.names { take(.target(name)) }
            for id in subject.ids { take(.id(id.rawValue)) }
            for tag in subject.tags { take(.tag(tag)) }
            for pool in subject.pools { take(.pool(pool)) }
            for node in subject.nodes { take(.node(node)) }
            for storage in subject.storages { take(.storage(storage)) }
        }
        return found.candidates
    }

    /// The rules found so far.
    private struct Found {
        private enum State {
            case new, impossible
            case everywhere
            /// The place of its subjects.
            case some(Int)
        }

        private var states: [State]
        private var subjects: [[Int]] = []

        init(count: Int) { states = Array(repeating: .new, count: count) }

        mutating func take(_ rule: Int, where isPossible: (Int) -> Bool) {
            if case .new = states[rule] { states[rule] = isPossible(rule) ? .everywhere : .impossible }
        }

        mutating func take(_ rule: Int, at subject: Int, where isPossible: (Int) -> Bool) {
            switch states[rule] {
            case .impossible, .everywhere: break
            case .some(let place): if subjects[place].last != subject { subjects[place].append(subject) }
            case .new where isPossible(rule):
                states[rule] = .some(subjects.count)
                subjects.append([subject])
            case .new: states[rule] = .impossible
            }
        }

        var candidates: [(rule: Int, subjects: [Int]?)] {
            states.enumerated().compactMap { rule, state in
                switch state {
                case .new, .impossible: nil
                case .everywhere: (rule, nil)
                case .some(let place): (rule, subjects[place])
                }
            }
        }
    }
}

extension RuleMatch {
    /// Of these, a request must have one for the conditions to hold, or not to be known; `nil` where there is no such
    /// list.
    fileprivate var keys: Set<RuleIndex.Key>? {
        func exact(_ names: NameSet, _ key: (String) -> RuleIndex.Key) -> Set<RuleIndex.Key>? {
            names.isExact ? Set(names.exact.map(key)) : nil
        }
        switch self {
        case .all(let parts):
            return parts.compactMap(\.keys).max { Self.selectivity($0) < Self.selectivity($1) }
        case .any(let parts):
            let lists = parts.map(\.keys)
            return lists.contains(nil) ? nil : lists.reduce(into: []) { $0.formUnion($1 ?? []) }
        case .environments(let names): return exact(names, RuleIndex.Key.environment)
        case .actions(_, let actions): return Set(actions.map(RuleIndex.Key.action))
        case .principals(_, let ids): return Set(ids.map(RuleIndex.Key.principal))
        case .targets(let patterns):
            let names = patterns.map(\.description)
            return names.contains { $0.hasSuffix("*") } ? nil : Set(names.map(RuleIndex.Key.target))
        case .ids(let ranges):
            return ranges.contains { $0.count > 1 } ? nil : Set(ranges.map { RuleIndex.Key.id($0.lowerBound) })
        case .tags(let names): return exact(names, RuleIndex.Key.tag)
        case .pools(let names): return exact(names, RuleIndex.Key.pool)
        case .nodes(let names): return exact(names, RuleIndex.Key.node)
        case .storages(let names): return exact(names, RuleIndex.Key.storage)
        case .not, .label, .risks, .forms, .roles, .parameter, .guests, .subjects, .checks, .time, .names: return nil
        }
    }

    private static func selectivity(_ keys: Set<RuleIndex.Key>) -> (Int, Int) {
        (keys.map(\.rank).min() ?? 9, -keys.count)
    }
}
