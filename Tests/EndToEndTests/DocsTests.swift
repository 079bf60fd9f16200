import AgentAPI
import AgentAudit
import AgentModel
import AgentService
import FoundationEssentials
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// Holds the documents against the code that they describe.
struct DocsTests {
    @Test func `the documents list every setting as the program knows it`() throws {
        let expected = AgentConfig.keys.map { "| `\($0.key)` | \($0.meaning) |" }
        #expect(try Documents.rows("docs/configuration.md", under: "| key | meaning; default |") == expected)
    }

    @Test func `the documents list every route as the program knows it`() throws {
        let expected = Route.all.map { route in
            let query = route.query.map { "`\($0.name)`" }.joined(separator: ", ")
            return
                "| `\(route.method.rawValue) \(route.path)` | \(query) | \(route.access.rawValue) | \(route.summary) |"
        }
        #expect(try Documents.rows("docs/api.md", under: "| route | query | access | what it does |") == expected)
    }

    @Test func `the documents give each role the rights that it has`() throws {
        let rows = try Documents.rows("docs/principals-and-policy.md", under: "| role | rights |")
        let rights = Role.allCases.map { role in Right.allCases.filter(role.rights.contains).map { "`\($0.rawValue)`" }
        }
        let expected = zip(Role.allCases, rights).map { "| `\($0.rawValue)` | \($1.joined(separator: ", ")) |" }
        #expect(rows == expected)
        let text = try Documents.text("docs/principals-and-policy.md")
        for right in Right.allCases { #expect(text.contains("`\(right.rawValue)`"), "\(right)") }
    }

    @Test func `the documents give the token the privileges that check looks for`() throws {
        try Documents.expectLines(
            "docs/configuration.md", beginning: "pveum role add", [9, 8].map(EnvironmentReport.roleCommand(on:)))
    }

    @Test func `the matrix of actions is the catalogue`() throws {
        let header = "| action | target | parameters | risk | approval | why | calls to PVE |"
        try Documents.expectTable("docs/actions.md", under: header, ActionCatalog.all.map(Self.row))
    }

    private static func row(of entry: ActionDefinition) -> String {
        let cells = [
            "`\(entry.action.rawValue)`", entry.targets.map { "`\($0.rawValue)`" }.joined(separator: ", "),
            entry.parameters.map { $0.required ? "**`\($0.name)`**" : "`\($0.name)`" }.joined(separator: ", "),
            entry.risk.rawValue, entry.needsApproval ? "yes" : "no", entry.reason,
            entry.shownCalls.map { "`\($0)`" }.joined(separator: ", "),
        ]
        return "| " + cells.joined(separator: " | ") + " |"
    }

    /// How the document puts what values, and what the target itself, must be.
    private static let words = [
        "existing_disk": "with a volume, a path or a device that is there",
        "no_template": "with anything but a template",
        "off": "set to false", "not_on": "unless it is true",
        "host_device": "with `virtio-gl` or `/dev/hwrng`",
        "copies_host": "of a guest that has such a hold, or of a privileged container",
        "drops_firewall": "without `firewall=1`, on a guest that has it on a device",
    ]

    @Test func `the table of what raises the risk is the catalogue`() throws {
        let rows = ActionCatalog.all.flatMap { entry in
            entry.escalations.map { touch in
                let own = Set(entry.parameters.map(\.name))
                let names = touch.parameters.filter(own.contains).map { "`\($0)`" }.joined(separator: ", ")
                let value = Self.words[touch.live?.rawValue ?? touch.value.rawValue] ?? ""
                let raisedBy = [names, value, touch.when.text].filter { !$0.isEmpty }.joined(separator: "; ")
                return "| `\(entry.action)` | `base:\(touch.id)` | \(raisedBy) | \(touch.risk.rawValue) | "
                    + "\(touch.needsApproval ? "yes" : "no") | \(touch.reason) |"
            }
        }
        try Documents.expectTable(
            "docs/actions.md", under: "| action | rule | raised by | risk | approval | why |", rows)
    }

    @Test func `every check that planning can make is explained`() throws {
        let rows = try Documents.rows("docs/actions.md", under: "| check | level | when |")
        let explained = Set(rows.flatMap { Documents.codes(in: String($0.split(separator: "|")[0])) })
        var made: Set<String> = []
        for folder in ["Sources/PVEPlanning/", "Sources/AgentService/"] {
            let files = try FileManager.default.contentsOfDirectory(
                atPath: Documents.root.appending(path: folder).path)
            for file in files where file.hasSuffix(".swift") {
                let text = try Documents.text(folder + file)
                for match in text.matches(of: /(?:Check\(|as:|as id: String =|note\()\s*"([a-z-]+)"/) {
                    made.insert(String(match.output.1))
                }
            }
        }
        #expect(made.count > 40)
        #expect(explained == made)
    }

    @Test func `the table of parameters is the catalogue`() throws {
        var users: [ParameterDefinition: [String]] = [:]
        for entry in ActionCatalog.all {
            for parameter in entry.parameters { users[parameter, default: []].append("`\(entry.action)`") }
        }
        let rows = users.map { parameter, actions in
            let when = parameter.when.text
            return "| `\(parameter.name)` | \(actions.joined(separator: ", ")) | \(Self.form(parameter.form)) | "
                + "\(parameter.summary)\(when.isEmpty ? "" : " (only \(when))") |"
        }.sorted()
        try Documents.expectTable("docs/actions.md", under: "| parameter | of | form | meaning |", rows)
    }

    /// A form in a few words; what a regular expression says is in `GET /v1/actions`.
    private static func form(_ form: ParameterDefinition.Form) -> String {
        switch form {
        case .boolean: "true, false"
        case .integer(let bounds): "\(bounds.lowerBound) to \(bounds.upperBound)"
        case .number(let bounds): "\(JSON(bounds.lowerBound).text) to \(JSON(bounds.upperBound).text)"
        case .text(.text(let limit)): "text, up to \(limit)"
        case .text(.line(let limit)): "a line, up to \(limit)"
        case .text: "a name or word of its form"
        case .choice(let words): words.map { "`\($0)`" }.joined(separator: ", ")
        case .list(let element, let limit): "a list of up to \(limit): \(self.form(element))"
        case .object: "an object of plain values"
        }
    }

    @Test func `secret parameters are the ones that the document names`() throws {
        let text = try Documents.text("docs/actions.md")
        let sentence = try #require(text.split(separator: "\n\n").first { $0.contains("are secrets wherever") })
        let names = Documents.codes(in: String(sentence))
        #expect(!names.isEmpty)
        for name in names { #expect(ParameterDefinition.isSecret(name), "\(name)") }
    }

    @Test func `every error code has one section that begins with its status and title`() throws {
        let sections = try Documents.text("docs/errors.md").split(separator: "\n### ").dropFirst()
        let names = sections.compactMap { $0.split(separator: "\n").first.map { String($0) } }
        #expect(names.sorted() == ErrorCode.allCases.map(\.rawValue).sorted())
        for section in sections {
            let lines = section.split(separator: "\n")
            let code = try #require(ErrorCode(rawValue: String(lines[0])))
            let beginning = "Status \(Problem.status(of: code).code): \(Problem.title(of: code)). "
            #expect(lines[1].hasPrefix(beginning), "\(code.rawValue)")
        }
    }

    @Test func `the runtime contract says what to do on every code`() throws {
        let rows = try Documents.rows("docs/runtime-contract.md", under: "| code | do |")
        let named = Documents.codes(in: rows.joined(separator: "\n"))
        for code in ErrorCode.allCases { #expect(named.contains(code.rawValue), "\(code.rawValue)") }
    }

    @Test func `the runtime contract explains every kind of audit record`() throws {
        let rows = try Documents.rows("docs/runtime-contract.md", under: "| kind | written | `result` holds |")
        let written = Set(rows.flatMap { Documents.codes(in: String($0.split(separator: "|")[0])) })
        #expect(written == Set(AuditKind.allCases.map(\.rawValue)))
    }

    @Test func `the runtime contract explains every state`() throws {
        let plans = try Documents.rows("docs/runtime-contract.md", under: "| plan | meaning | may become |")
        let operations = try Documents.rows("docs/runtime-contract.md", under: "| operation | meaning | may become |")
        func states(_ rows: [String]) -> Set<String> {
            Set(rows.flatMap { Documents.codes(in: String($0.split(separator: "|")[0])) })
        }
        #expect(states(plans) == Set(PlanState.allCases.map(\.rawValue)))
        #expect(states(operations) == Set(OperationState.allCases.map(\.rawValue)))
    }

    @Test func `each row of the threat model names tests that there are`() throws {
        let rows = try Documents.lines("docs/threat-model.md").filter { $0.hasPrefix("| ") && !$0.hasPrefix("| tries") }
        #expect(rows.count > 30)
        let tests = try Documents.tests()
        for row in rows {
            let cells = row.split(separator: " | ")
            let shown = cells.count == 3 ? String(cells[2]) : ""
            let named = Documents.codes(in: shown)
            #expect(!named.isEmpty, "\(row)")
            for name in named { #expect(tests.contains(name), "\(name)") }
        }
    }

    @Test func `every relative link leads somewhere`() throws {
        for document in try Documents.all() {
            let folder = document.lastIndex(of: "/").map { String(document[...$0]) } ?? ""
            for link in try Documents.links(document) where !link.contains("://") {
                let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
                let path = parts[0].isEmpty ? document : folder + parts[0]
                guard Documents.exists(path) else {
                    Issue.record("\(document): \(link)")
                    continue
                }
                guard parts.count == 2 else { continue }
                let anchors = try Documents.headings(path).map(\.anchor)
                #expect(anchors.contains(String(parts[1])), "\(document): \(link)")
            }
        }
    }

    @Test func `every decision has its four parts and its place in the index`() throws {
        let linked = Set(try Documents.links("docs/adr/README.md"))
        let decisions = try Documents.all().filter { $0.hasPrefix("docs/adr/0") }
        #expect(!decisions.isEmpty)
        for decision in decisions {
            let headings = try Documents.headings(decision).dropFirst().map(\.text)
            #expect(headings == ["Context", "Decision", "Consequences", "Alternatives"], "\(decision)")
            #expect(linked.contains(String(decision.dropFirst("docs/adr/".count))), "\(decision)")
        }
    }

    @Test func `every make target in the documents exists`() throws {
        let makefile = try Documents.lines("Makefile")
        for document in try Documents.all() {
            for mention in Documents.codes(in: try Documents.text(document)) where mention.hasPrefix("make ") {
                let target = mention.split(separator: " ")[1]
                #expect(makefile.contains { $0.hasPrefix("\(target):") }, "\(document): \(mention)")
            }
        }
    }

    @Test func `the architecture knows every target`() throws {
        let rows = try Documents.rows("docs/architecture.md", under: "| target | holds | knows nothing of |")
        let names = rows.map { $0.split(separator: "|")[0].filter { $0 != " " } }
        let sources = try FileManager.default.contentsOfDirectory(
            atPath: Documents.root.appending(path: "Sources").path)
        #expect(names.sorted() == sources.sorted())
    }

    @Test func `the changelog knows the version of the program`() throws {
        #expect(try Documents.text("CHANGELOG.md").contains(Version.text))
    }
}
