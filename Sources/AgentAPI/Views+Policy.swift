import AgentModel
import AgentService
import StrictJSON

extension Views {
    static let rule: View<RuleInForce> = {
        func list(_ name: String, _ summary: String) -> View<RuleInForce>.Field {
            .maybe(name, .list(.text), summary) { $0.plain[name] }
        }
        return View(
            "PolicyRule", "A policy rule, by which the decisions of the catalogue of actions become stricter.",
            [
                .always("id", .text) { .string($0.id) },
                .maybe("description", .text) { $0.summary.map { .string($0) } },
                .always("effect", .words(RuleInForce.effects)) { .string($0.effect) },
                .always("approvals", .integer(0...10), "how many approvals the rule asks for") {
                    JSON($0.approvals)
                },
                .maybe("assurance", .words(["signed", "hardware"]), "how these must be signed") {
                    $0.assurance.map { .string($0) }
                },
                .maybe("reason", .text) { $0.reason.map { .string($0) } },
                list("environments", "where it holds, of those that the caller sees; everywhere"),
                list("actions", "to which actions it applies; to all that change something"),
                list("targets", "to what reaches one of these; to all"),
                list("tags", "to what reaches a guest with one of these; to all"),
                list("principals", "to requests of these; of all"),
                .always("match", .object, "all conditions, as a policy file has them") { $0.match },
                .always("does", .any, "the whole effect, as a policy file has it") { $0.does },
                .always("sentence", .text, "effect and conditions in words") { .string($0.sentence) },
            ])
    }()
}

extension Envelopes {
    static let policy = Component(
        "PolicyInForce", Schema.object(["version": .text, "rules": .list(Views.rule.schema)]))
}
