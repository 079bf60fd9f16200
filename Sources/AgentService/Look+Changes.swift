import AgentModel
import StrictJSON

/// What would be different afterwards, as far as it can be told beforehand.
extension Look {
    func changes() -> [Change] {
        switch request.definition.changes {
        case .none: []
        case .status(let next): [Change("status", from: .string(status), to: .string(next))]
        case .exists(let next): [Change("exists", from: .bool(!next), to: .bool(next))]
        case .node(let name):
            [
                Change(
                    "node", from: node.map { .string($0.description) } ?? .null, to: request.params[name] ?? .null)
            ]
        case .snapshot(let name, let exists):
            [
                Change(
                    "snapshot", from: exists ? .null : .string(text(name)), to: exists ? .string(text(name)) : .null)
            ]
        case .newGuest(let name):
            [Change("guest", from: .null, to: .string("\(guest?.kind.targetWord ?? "vm")/\(text(name))"))]
        case .object: calls.first.map(objectChanges) ?? []
        }
    }

    private func objectChanges(_ call: Call) -> [Change] {
        let shown = call.json["params"]?.object ?? [:]
        guard call.method != .delete else { return [Change("exists", from: true, to: false)] }
        let deleted = (shown["delete"]?.string ?? "").split(whereSeparator: { ", ;".contains($0) }).map(String.init)
        let removals = deleted.map { key in
            Change(key, from: ParameterDefinition.isSecret(key) ? .null : findings.object?[key] ?? .null, to: .null)
        }
        return removals
            + shown.members.filter { $0.key != "digest" && $0.key != "delete" }.map { member in
                guard call.method == .put, let now = findings.object?[member.key] else {
                    return Change(member.key, from: .null, to: member.value)
                }
                let hidden = ParameterDefinition.isSecret(member.key)
                // PVE answers numbers and texts where it was sent texts: one that reads the same is no change.
                let same = (now.string ?? now.text) == member.value.string
                return Change(member.key, from: hidden ? .null : same ? member.value : now, to: member.value)
            }
    }

    /// The request that takes this one back, where there is one.
    func undo() -> JSON? {
        switch request.definition.undo {
        case .none: nil
        case .action(let name):
            [
                "environment": .string(request.environment.description), "action": .string(name),
                "target": .string(request.target.description), "params": [:],
            ]
        }
    }
}
