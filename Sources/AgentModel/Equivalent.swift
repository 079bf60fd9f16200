/// Other actions that an action amounts to. A rule against one of them applies to this action too.
package struct Equivalent: Sendable, Hashable {
    /// `delete_backup`; `stop_*` means the action for the target's kind of guest, or for both kinds if the target is
    /// not a guest.
    private let names: [String]
    private let when: Condition

    init(_ names: String..., when: Condition = .always) {
        self.names = names
        self.when = when
    }

    fileprivate func actions(in request: ActionRequest) -> [Action] {
        when.holds(for: request.params, on: request.target) ? possible(on: request.target) : []
    }

    /// Whatever the parameters.
    fileprivate func possible(on target: Target) -> [Action] {
        let kinds = target.guest.map { [$0.kind] } ?? GuestKind.allCases
        return names.flatMap { name in
            name.hasSuffix("_*") ? kinds.map { $0.action(String(name.dropLast("_*".count))) } : [name]
        }.compactMap(Action.init(rawValue:))
    }
}

extension ActionDefinition {
    /// The action, and every other action that a request for it on that target may amount to.
    package func possibleEquivalents(on target: Target) -> Set<Action> {
        let all = equivalents.flatMap { $0.possible(on: target) } + escalations.compactMap(\.equivalent)
        return Set(all).union([action])
    }
}

extension ActionRequest {
    /// The action and the other actions that the request amounts to.
    package var equivalents: Set<Action> {
        Set(definition.equivalents.flatMap { $0.actions(in: self) }).union([action])
    }
}
