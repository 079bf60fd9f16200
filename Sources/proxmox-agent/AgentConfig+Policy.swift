import AgentModel
import AgentPolicy
import StrictJSON

/// Reads the rules that tighten policy.
extension ConfigReading {
    func rules(_ reader: inout ObjectReader, in environments: ConfigNames, by principals: ConfigNames) -> [PolicyRule] {
        var rules: [PolicyRule] = []
        each("rules", &reader) { _, reader in
            let id = reader.parsed("id", "1 to 64 of a-z 0-9 - _ .") { Self.isRuleID($0) ? $0 : nil }
            reader.require("id", "a name such as two-for-prod")
            if let id, rules.contains(where: { $0.id == id }) {
                reader.report("id", "\"\(id)\" is taken by another rule; ids are unique")
            }
            let effect = reader.parsed("effect", "deny or require_approval", PolicyRule.Effect.init(rawValue:))
            reader.require("effect", "deny or require_approval")
            let approvals = reader.integer("approvals", in: 1...10)
            if approvals != nil, effect == .deny {
                reader.report("approvals", "is for require_approval; what is denied cannot be approved")
            }
            let assurance = reader.parsed("assurance", "signed or hardware") {
                ["signed": Assurance.signed, "hardware": .hardware][$0]
            }
            if assurance != nil, effect == .deny {
                reader.report("assurance", "is for require_approval; what is denied cannot be approved")
            }
            let reason = reader.parsed("reason", "a text of 1 to 500 characters on one line") {
                !$0.isEmpty && TextForm.text(500).matches($0) && !$0.contains("\n") ? $0 : nil
            }
            let scope = self.scope(&reader, in: environments, by: principals)
            if effect == .requireApproval, let actions = scope.actions, !actions.isEmpty,
                actions.allSatisfy({ ActionCatalog.definition(of: $0).effect == .read })
            {
                reader.report("actions", "names reads alone, which take no approval; deny bounds them")
            }
            guard let id, let effect else { return }
            rules.append(
                PolicyRule(
                    id: id, effect: effect, approvals: approvals ?? 1, assurance: assurance, reason: reason,
                    scope: scope))
        }
        return rules
    }

    private func scope(
        _ reader: inout ObjectReader, in environments: ConfigNames, by principals: ConfigNames
    ) -> PolicyRule.Scope {
        var scope = PolicyRule.Scope()
        scope.environments = self.environments(&reader, among: environments)
        scope.actions = set("actions", "an action, as GET /v1/actions lists them", &reader, Action.init(rawValue:))
        scope.targets = set(
            "targets", "a target such as vm/101, or the beginning of one with a * behind it, as in vm/*", &reader,
            TargetPattern.init)
        scope.tags = set("tags", "a tag, of A-Z a-z 0-9 _ - + . and not beginning with - + .", &reader) {
            Self.isTag($0) ? $0.lowercased() : nil
        }
        scope.principals = set("principals", principals.form(of: "principal"), &reader, principals.known)
        return scope
    }

    private static func isRuleID(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || "-_.".utf8.contains($0)
            }
    }

    /// PVE's `pve-tag`: a letter, digit or `_`, then these and `-`, `+`, `.`.
    private static func isTag(_ text: String) -> Bool {
        let isEdge = { (byte: UInt8) in
            (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "_")
        }
        return text.utf8.first.map(isEdge) == true && text.utf8.allSatisfy { isEdge($0) || "-+.".utf8.contains($0) }
    }
}
