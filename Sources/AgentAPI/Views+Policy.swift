import AgentModel
import AgentService
import StrictJSON

extension Views {
    static let rule: View<RuleInForce> = {
        func list(
            _ name: String, _ summary: String, _ value: @escaping @Sendable (RuleInForce) -> [String]?
        ) -> View<RuleInForce>.Field {
            .maybe(name, .list(.text), summary) { value($0).map { JSON($0) } }
        }
        return View(
            "PolicyRule", "A policy rule. It tightens what the catalogue of actions says.",
            [
                .always("id", .text) { .string($0.id) },
                .always("effect", .words(["deny", "require_approval"])) { .string($0.effect) },
                .always("approvals", .integer(1...10), "how many `require_approval` asks for") { JSON($0.approvals) },
                .maybe("assurance", .words(["signed", "hardware"]), "how these must be signed") {
                    $0.assurance.map { .string($0) }
                },
                .maybe("reason", .text) { $0.reason.map { .string($0) } },
                list("environments", "where it holds, of those that the caller sees; everywhere") { $0.environments },
                list("actions", "to which actions it applies; to all that change something") { $0.actions },
                list("targets", "to what reaches one of these; to all") { $0.targets },
                list("tags", "to what reaches a guest with one of these; to all") { $0.tags },
                list("principals", "to requests of these; of all") { $0.principals },
            ])
    }()
}

extension Envelopes {
    static let policy = Component(
        "PolicyInForce", Schema.object(["version": .text, "rules": .list(Views.rule.schema)]))
}
