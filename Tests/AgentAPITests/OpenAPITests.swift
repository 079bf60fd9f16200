import AgentAPI
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

struct OpenAPITests {
    private static let document = OpenAPI.document(of: Route.described)
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/openapi.json")

    @Test func `the committed description is what the agent serves`() throws {
        let text = Self.document.indentedText() + "\n"
        if GoldenFile.isWriting { try Data(text.utf8).write(to: Self.file) }
        let committed = String(decoding: try Data(contentsOf: Self.file), as: UTF8.self)
        #expect(committed == text, "docs/openapi.json differs; make golden rewrites it")
    }

    @Test func `every reference and every link of the description leads somewhere`() throws {
        var (references, operations): (Set<String>, Set<String>) = ([], [])
        func walk(_ value: JSON) {
            for member in value.object?.members ?? [] {
                if member.key == "$ref", let name = member.value.string { references.insert(name) }
                if member.key == "operationId", let name = member.value.string { operations.insert(name) }
                walk(member.value)
            }
            for element in value.array ?? [] { walk(element) }
        }
        walk(Self.document)
        #expect(references.count > 100)
        for name in references {
            let path = name.split(separator: "/").dropFirst().map { String($0) }
            #expect(path.reduce(Self.document as JSON?) { $0?[$1] } != nil, "\(name)")
        }
        #expect(operations == Set(Route.described.map(\.name)))
        #expect(Set(Route.described.map(\.name)).count == Route.described.count)
    }

    @Test func `answers fit the schemas that are made from the same tables`() throws {
        let plan = try Plan.whole(secret: "s3cret")
        let operation = Operation.whole(of: plan)
        let check = SchemaCheck(Self.document)
        let values: [(String, JSON)] = [
            ("Plan", Views.plan(plan)), ("PlanSummary", Views.summary(PlanSummary(plan))),
            ("Operation", Views.operation(operation)), ("PartialResult", Views.partial(operation)),
            ("MCPResponse", ["jsonrpc": "2.0", "id": -1, "error": ["code": -32601, "message": "no such method"]]),
        ]
        for (name, whole) in values {
            var value = whole
            // The sample's hashes are short words.
            if var object = value.object, object["plan_hash"] != nil {
                for hash in ["plan_hash", "request_hash"] { object[hash] = .string(String(repeating: "0", count: 64)) }
                value = .object(object)
            }
            #expect(check.faults(of: value, against: Self.reference(name)) == [], "\(name)")
        }
        for entry in ActionCatalog.all {
            #expect(check.faults(of: Views.action(entry), against: Self.reference("Action")) == [])
        }
    }

    private static let unfit: [(String, JSON)] = [
        ("plan_id", "pln_1"), ("state", "gone"), ("requires", ["approvals": -1]), ("approvals", ["alice"]),
        ("expires_at", 5),
    ]

    @Test(arguments: unfit)
    func `an answer that does not fit its schema is found`(field: String, value: JSON) throws {
        var plan = try #require(Views.plan(try Plan.whole(secret: "s3cret")).object)
        plan[field] = value
        #expect(!SchemaCheck(Self.document).faults(of: .object(plan), against: Self.reference("Plan")).isEmpty)
    }

    @Test(arguments: ActionCatalog.all)
    func `every example of an action fits its schema, and no other action's`(entry: ActionDefinition) throws {
        let check = SchemaCheck(Self.document)
        for params in entry.examples.isEmpty ? [[:]] : entry.examples {
            let body: JSONObject = [
                "environment": "home", "action": .string(entry.action.rawValue),
                "target": .string(entry.targets[0].example), "params": .object(params),
            ]
            _ = try ActionRequest(parsing: body)
            #expect(check.faults(of: .object(body), against: Self.reference("PlanRequest")) == [])
        }
    }

    @Test(arguments: TargetForm.allCases)
    func `the expression of a target's form takes what the form takes`(form: TargetForm) throws {
        let expression = try Regex("^(\(form.expression))$")
        for text in TargetForm.allCases.map(\.example) + ["vm/99", "vm/0100", "node/-a", "pool/../x", "task/UPID:x"] {
            #expect(text.contains(expression) == (Target(text)?.form == form), "\(text)")
        }
    }

    private static func reference(_ name: String) -> JSON { ["$ref": .string("#/components/schemas/\(name)")] }
}
