/// Actions that an action does as well, by another name: a rule against them is one against it.
package struct Equivalent: Sendable, Hashable {
    /// `delete_backup`; `stop_*` is that of the target's kind of guest, or of both where the target is none.
    private let names: [String]
    private let when: Condition

    init(_ names: String..., when: Condition = .always) {
        self.names = names
        self.when = when
    }

    fileprivate func actions(in request: ActionRequest) -> [Action] {
        guard when.holds(for: request.params, on: request.target) else { return [] }
        let kinds = request.target.guest.map { [$0.kind] } ?? GuestKind.allCases
        return names.flatMap { name in
            name.hasSuffix("_*") ? kinds.map { $0.action(String(name.dropLast("_*".count))) } : [name]
        }.compactMap(Action.init(rawValue:))
    }
}

extension ActionRequest {
    /// The action, and those that the request does as well.
    package var equivalents: Set<Action> {
        Set(definition.equivalents.flatMap { $0.actions(in: self) }).union([action])
    }
}
