import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent policy explain`
struct PolicyExplain: AsyncParsableCommand, ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Show what policy says to a request, and which rules match it.",
        discussion: """
            Asks a running agent, which looks at the request as it does for a plan. Nothing is planned. A request that \
            changes something takes the right to change there; with --dry-run the right to view is enough, and rules are \
            listed that would bind the change itself.
            """)

    @Argument(help: ArgumentHelp("Where, such as home.", valueName: "environment"))
    var environment: String

    @Argument(help: ArgumentHelp("What, such as stop_vm; GET /v1/actions lists all.", valueName: "action"))
    var action: String

    @Argument(help: ArgumentHelp("On what, such as vm/101.", valueName: "target"))
    var target: String

    @Option(
        name: .customLong("param"),
        help: ArgumentHelp(
            "A parameter; may be repeated.",
            discussion: "The value is JSON where it reads as JSON, such as 4096, true or [\"web\"]; else it is a text.",
            valueName: "key=value"),
        transform: Parameter.init)
    var parameters: [Parameter] = []

    @Option(help: ArgumentHelp("Why; rules can ask for a reason.", valueName: "text"))
    var reason: String?

    @Option(help: ArgumentHelp("A ticket; rules can ask for one.", valueName: "text"))
    var ticket: String?

    @Flag(help: "Ask about a dry run.")
    var dryRun = false

    @OptionGroup var client: ClientOptions

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        let given = parameters.reduce(into: JSONObject()) { $0[$1.key] = $1.value }
        let request: JSON = [
            "environment": .string(environment), "action": .string(action), "target": .string(target),
            "params": given.isEmpty ? nil : .object(given), "reason": reason.map { .string($0) },
            "approval_ticket": ticket.map { .string($0) }, "dry_run": dryRun ? true : nil,
        ]
        let answer = try await agent.change(.post, "/v1/policy/explain", [], request)
        let head = "\(action) \(target) on \(environment): \(Self.decision(answer.json))"
        return Shown(answer: answer, lines: [head] + Self.reached(answer.json) + [""] + Self.rules(answer.json))
    }

    /// `key=value`
    struct Parameter: Sendable {
        let key: String
        let value: JSON

        init(_ text: String) throws {
            guard let split = text.firstIndex(of: "="), split > text.startIndex else {
                throw ValidationError("--param takes key=value, not \(text)")
            }
            key = String(text[..<split])
            let rest = String(text[text.index(after: split)...])
            value = (try? JSON.parse(Array(rest.utf8))) ?? .string(rest)
        }
    }

    // MARK: Text

    private static func decision(_ answer: JSON) -> String {
        let decision = answer["decision"]
        let count = answer["requires"]?["approvals"]?.integer ?? 0
        let assurance = decision?["assurance"]?.string.map { ", \($0)" } ?? ""
        let says =
            decision?["allowed"] == false
            ? "denied" : count == 0 ? "allowed" : "needs \(count) approval\(count == 1 ? "" : "s")\(assurance)"
        let rules = (decision?["rules"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
        let waits = (decision?["window"]?["rules"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
        let opening = decision?["window"]?["opens_at"]?.string ?? "400 days from now"
        let when = waits.isEmpty ? "" : ", not before \(opening) (\(waits))"
        let risk = "\(decision?["risk_level"]?.string ?? "") risk"
        return "\(says)\(when), \(risk): \(decision?["reason"]?.string ?? "") (\(rules))"
    }

    /// What the rules looked at, one subject a line.
    private static func reached(_ answer: JSON) -> [String] {
        table(
            (answer["subjects"]?.array ?? []).map { subject in
                let names = list(subject["guest_names"])
                let parts = [
                    names.isEmpty ? nil : "named \(names)", subject["node"].map { "on node \(PlanText.word($0))" },
                    subject["tags"].map { "tagged \(list($0))" }, subject["also"].map { "also \(list($0))" },
                ]
                return [
                    "  \(subject["role"]?.string ?? "")", PlanText.word(subject["name"]),
                    parts.compactMap(\.self).joined(separator: " · "),
                ]
            })
    }

    private static func list(_ values: JSON?) -> String {
        (values?.array ?? []).map { PlanText.word($0) }.joined(separator: ", ")
    }

    /// The rules that match, then the others.
    private static func rules(_ answer: JSON) -> [String] {
        let all = answer["rules"]?.array ?? []
        let version = "policy \(answer["version"]?.string ?? "")"
        guard !all.isEmpty else { return ["no rule concerns an environment that you see; \(version)"] }
        let matched = all.filter { $0["matched"] == true }.map { rule in
            ["matches", rule["sentence"]?.string ?? "", "\(list(rule["subjects"])): \(rule["why"]?.string ?? "")"]
        }
        let others = all.filter { $0["matched"] != true }.map { rule in
            ["does not", rule["sentence"]?.string ?? "", rule["why"]?.string ?? ""]
        }
        return table(matched + others) + ["", version]
    }
}
