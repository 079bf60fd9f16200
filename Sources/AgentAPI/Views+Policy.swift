import AgentModel
import AgentService
import FoundationEssentials
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

extension Views {
    static let window = View<WindowsInForce>(
        "ChangeWindows", "The change windows of a policy rule.",
        [
            .always("rule", .text) { .string($0.rule) },
            .always("schedule", .text, "in words, by the clock of the zone") { .string($0.schedule) },
            .always("zone", .text) { .string($0.zone) },
            .always("is_open", .boolean) { .bool($0.isOpen) },
            .maybe("opens_at", .time, "when it opens next") { $0.opensAt.map { .string($0.rfc3339) } },
            .maybe("reason", .text, "why it is closed") { $0.reason.map { .string($0) } },
            .always("open", .list(period.schema), "when it is open in the coming week") {
                .array($0.open.map { period($0) })
            },
        ])

    static let period = View<Range<Date>>(
        "Period", "A time from `from` until right before `to`.",
        [
            .always("from", .time) { .string($0.lowerBound.rfc3339) },
            .always("to", .time) { .string($0.upperBound.rfc3339) },
        ])

    static let limit = View<LimitInForce>(
        "PolicyLimit", "A limit of a policy rule.",
        [
            .always("rule", .text) { .string($0.rule) },
            .always("limit", .text, "in words") { .string($0.limit) },
            .always("count", .text, "what is counted") { .string($0.counts) },
            .always("most", .integer()) { .integer($0.most) },
            .maybe("period_seconds", .integer(), "the length of the sliding period") { $0.seconds.map { JSON($0) } },
            .always("by", .text, "what is counted together") { .string($0.by) },
            .always("uses", .list(limitUse.schema)) { .array($0.uses.map { limitUse($0) }) },
        ])

    static let limitUse = View<LimitInForce.Use>(
        "LimitUse", "What was taken of a limit, for one value of its scope.",
        [
            .always("key", .text, "the principal, environment, tag, pool or node; empty for all") { .string($0.key) },
            .always("used", .integer()) { .integer($0.used) },
            .always("left", .integer()) { .integer($0.left) },
            .maybe("comes_back", .time, "when there is room for one more") { $0.comesBack.map { .string($0.rfc3339) } },
        ])

    static let explanation = View<PolicyExplanation>(
        "PolicyExplanation", "What policy says to a request, and how each rule stands to it. Nothing was planned.",
        [
            .always("decision", decision.schema) { decision($0.decision) },
            .always("requires", requirement.schema, "the approvals that a plan would need") {
                requirement($0.requires)
            },
            .always("subjects", .list(explainedSubject.schema), "what the rules looked at") {
                .array($0.subjects.map { explainedSubject($0) })
            },
            .always("rules", .list(explainedRule.schema), "those that concern an environment that the caller sees") {
                .array($0.rules.map { explainedRule($0) })
            },
            .always("version", .text, "the policy's version") { .string($0.version) },
        ])

    static let explainedSubject = View<Subject>(
        "ExplainedSubject", "Something that an action would touch, with all that rules look at.",
        [
            .always("role", .words(Subject.Role.self)) { .string($0.role.rawValue) },
            .always("name", .text) { .string($0.name) },
            .maybe("also", .list(.text), "other names of it") { $0.aliases.isEmpty ? nil : JSON($0.aliases) },
            .maybe("tags", .list(.text)) { $0.tags.isEmpty ? nil : JSON($0.tags.sorted()) },
            .maybe("guest_names", .list(.text), "a guest's own name, and the one that it gets") {
                $0.guestNames.isEmpty ? nil : JSON($0.guestNames)
            },
            .maybe("node", .text, "the node that a guest is on") { $0.node.map { .string($0.description) } },
        ])

    static let explainedRule = View<ExplainedRule>(
        "ExplainedRule", "A policy rule, and whether and why it matches a request.",
        [
            .always("id", .text) { .string($0.id) },
            .always("sentence", .text, "effect and conditions in words") { .string($0.sentence) },
            .always("matched", .boolean) { .bool($0.isMatched) },
            .always("subjects", .list(.text), "the names of the subjects that it matches") { JSON($0.subjects) },
            .always("why", .text, "what does not hold, or what is not known, in words") { .string($0.why) },
        ])

    static let reloaded = View<Reloaded>(
        "PolicyReload", "What a reload of the configuration came to.",
        [
            .always("version", .text, "the policy's version") { .string($0.version) },
            .always("previous_version", .text, "the one before") { .string($0.previousVersion) },
            .always("rules", .integer(), "how many rules are in force") { JSON($0.rules) },
            .always("changed", .boolean, "whether callers or rules are others than before") { .bool($0.isChanged) },
        ])
}

extension Envelopes {
    static let windows = Component("PolicyWindows", Schema.object(["windows": .list(Views.window.schema)]))
    static let limits = Component("PolicyLimits", Schema.object(["limits": .list(Views.limit.schema)]))
    static let policy = Component(
        "PolicyInForce", Schema.object(["version": .text, "rules": .list(Views.rule.schema)]))
}
