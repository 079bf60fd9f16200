import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

struct ActionRequestTests {
    /// A target that the action takes.
    static func target(of action: Action) -> String {
        switch ActionCatalog.definition(of: action).targets[0] {
        case .vm: "vm/101"
        case .container: "lxc/200"
        case .node: "node/pve1"
        case .nodesAll: "nodes/all"
        case .storage: "storage/nas"
        case .pool: "pool/prod"
        case .cluster: "cluster"
        case .inventoryAll: "inventory/all"
        case .inventoryRunning: "inventory/running"
        case .tasksAll: "tasks/all"
        case .task: "task/UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:"
        case .firewallCluster: "firewall/cluster"
        case .firewallNode: "firewall/node/pve1"
        case .firewallVM: "firewall/vm/101"
        case .firewallContainer: "firewall/lxc/200"
        }
    }

    /// The least parameters that the action takes.
    static func least(of action: Action) -> JSONObject {
        switch action {
        case .snapshotVM: ["snapname": "before"]
        case .cloneVM: ["newid": 900]
        case .migrateVM: ["target": "pve2"]
        case .storageEdit: ["endpoint": "/storage/nas", "method": "PUT"]
        case .firewallEdit: ["endpoint": "/cluster/firewall/options", "method": "PUT"]
        case .readVM, .readInventory, .readNodes, .readTasks, .readTaskStatus, .startVM, .stopVM, .deleteVM: [:]
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let action: Action
        let parameter: ParameterDefinition
        var testDescription: String { "\(action.rawValue) \(parameter.name)" }

        static let all = ActionCatalog.all.flatMap { entry in
            entry.parameters.map { Case(action: entry.action, parameter: $0) }
        }

        func values() -> (good: [JSON], bad: [JSON]) {
            switch parameter.form {
            case .boolean: ([true, false], [1, 0, "true", "1", [:], []])
            case .integer(let bounds):
                (
                    [JSON(bounds.lowerBound), JSON(bounds.upperBound)],
                    [
                        JSON(bounds.lowerBound - 1), JSON(bounds.upperBound + 1), .number(100.5), .number(1e30), "100",
                        true, [:], .null,
                    ]
                )
            case .choice(let words):
                (words.map { .string($0) }, words.map { .string($0.lowercased() + "x") } + ["", 1, true, .null, [:]])
            case .text(let form): (good(form), bad(form) + [1, true, .null, [], [:]])
            case .object:
                (
                    [[:], ["a": 1, "b": "x", "c": true, "d": .number(1.5)]],
                    [
                        [], "a", 1, .null, ["a": [:]], ["a": []], ["a": .null], ["a b": 1], ["a;b": 1], ["": 1],
                        ["a": "\u{0}"],
                    ]
                )
            }
        }

        private func good(_ form: TextForm) -> [JSON] {
            switch form {
            // The whole of the two is tested on its own.
            case .text where parameter.name == "endpoint":
                ActionRequestTests.least(of: action)["endpoint"].map { [$0] } ?? []
            case .text(let limit): ["", "Größe\n\t\u{1F600}", .string(String(repeating: "x", count: limit))]
            case .storageMap: ["local", "1", "aa:bb,cc:dd"]
            case .node, .storage, .pool, .environment, .snapshot, .dnsName, .word, .label: ["abc", "a-1"]
            }
        }

        private func bad(_ form: TextForm) -> [JSON] {
            guard case .text(let limit) = form else {
                return ["", "a b", "a;b", "a\n", "ä", "%2f", "../x", "-"].filter { !form.matches($0) }.map {
                    .string($0)
                }
            }
            return ["\u{0}", "\u{7F}", "a\rb", .string(String(repeating: "x", count: limit + 1))]
        }
    }

    @Test(arguments: Action.allCases)
    func `each action is read with the least it needs, and defaults are filled in`(action: Action) throws {
        let request = try ActionRequest(
            parsing: [
                "environment": "home", "action": .string(action.rawValue), "target": .string(Self.target(of: action)),
                "params": Self.least(of: action).isEmpty ? nil : .object(Self.least(of: action)),
            ])
        #expect(request.action == action)
        #expect(request.target.description == Self.target(of: action))
        #expect(request.params == Self.least(of: action))
        #expect(!request.dryRun)
        #expect(request.json["dry_run"] == false)
        #expect(request.json["params"] == .object(Self.least(of: action)))
    }

    @Test(arguments: Case.all)
    func `each parameter takes its values and no others`(given: Case) throws {
        let values = given.values()
        for value in values.good {
            var params = Self.least(of: given.action)
            params[given.parameter.name] = value
            let request = try accepted(given.action, params, whereMethodIs: value)
            #expect(request.params[given.parameter.name] == value)
        }
        for value in values.bad {
            var params = Self.least(of: given.action)
            params[given.parameter.name] = value
            let pointers = issues(given.action, params).map(\.path.pointer)
            #expect(pointers.contains { $0.hasPrefix("/params/\(given.parameter.name)") }, "\(value.text)")
        }
    }

    /// The endpoint actions take each method only with an endpoint that has it.
    private func accepted(_ action: Action, _ params: JSONObject, whereMethodIs value: JSON) throws -> ActionRequest {
        var params = params
        if value == "POST" {
            params["endpoint"] = action == .storageEdit ? "/storage" : "/cluster/firewall/rules"
            params["params"] = action == .storageEdit ? ["storage": "nas"] : nil
        } else if value == "DELETE" {
            params["endpoint"] = action == .storageEdit ? "/storage/nas" : "/cluster/firewall/rules/0"
        }
        return try .sample(action, Self.target(of: action), .object(params))
    }

    private func issues(_ action: Action, _ params: JSONObject) -> [JSONError] {
        do throws(RequestError) {
            _ = try ActionRequest.sample(action, Self.target(of: action), .object(params))
            return []
        } catch {
            guard case .invalid(let issues) = error else { return [] }
            return issues.issues
        }
    }

    @Test(arguments: Case.all.filter(\.parameter.required))
    func `what is required is missed by name`(given: Case) {
        var params = Self.least(of: given.action)
        params[given.parameter.name] = nil
        let found = issues(given.action, params)
        #expect(found.map(\.path.pointer) == ["/params/\(given.parameter.name)"])
        #expect(found.first?.detail.contains("is missing") == true)
    }

    @Test(arguments: Action.allCases)
    func `each action refuses a parameter it does not know, and lists those it does`(action: Action) {
        var params = Self.least(of: action)
        params["skiplock"] = true
        let found = issues(action, params)
        #expect(found.map(\.path.pointer) == ["/params/skiplock"])
        for parameter in ActionCatalog.definition(of: action).parameters {
            #expect(found.first?.detail.contains(parameter.name) == true)
        }
    }

    @Test(arguments: Action.allCases)
    func `each action refuses targets of other forms`(action: Action) throws {
        let forms = ActionCatalog.definition(of: action).targets
        for (text, form) in TargetTests.good where !forms.contains(form) {
            #expect {
                try ActionRequest.sample(action, text, .object(Self.least(of: action)))
            } throws: {
                guard case .invalidTarget(let detail) = $0 as? RequestError else { return false }
                return forms.allSatisfy { detail.contains($0.rawValue) } && detail.contains(action.rawValue)
            }
        }
    }

    @Test func `all that is wrong is told at once, each with its pointer`() throws {
        let body: JSONObject = [
            "environment": "home", "action": "clone_vm", "target": "vm/101", "dry_run": "yes", "reason": 5,
            "expires_at": "tomorrow", "approved_by": "x", "approval_ticket": "\u{0}", "extra": 1,
            "params": ["newid": 5, "full": 1, "format": "vhd", "colour": "red", "name": "a b"],
        ]
        #expect(throws: RequestError.self) { try ActionRequest(parsing: body) }
        do throws(RequestError) { _ = try ActionRequest(parsing: body) } catch {
            guard case .invalid(let issues) = error else { return #expect(Bool(false), "\(error)") }
            let pointers = issues.issues.map(\.path.pointer)
            #expect(
                Set(pointers) == [
                    "/dry_run", "/reason", "/expires_at", "/approved_by", "/approval_ticket", "/extra", "/params/newid",
                    "/params/full", "/params/format", "/params/colour", "/params/name",
                ])
            #expect(pointers.count == Set(pointers).count)
        }
    }

    @Test(
        arguments: [
            ([:], ["/environment", "/action", "/target"]),
            (["environment": 1, "action": 2, "target": 3], ["/environment", "/action", "/target"]),
            (["environment": "a b", "action": "start_vm", "target": "vm/101"], ["/environment"]),
            (["environment": "home", "action": "start_vm", "target": "vm/101", "params": []], ["/params"]),
            (["environment": "home", "action": "start_vm", "target": "vm/101", "Params": [:]], ["/Params"]),
            (["environment": "home", "action": "start_vm", "target": "vm/101", "a/b~": 1], ["/a~1b~0"]),
        ] as [(JSONObject, [String])])
    func `what is missing or of a wrong type is pointed at`(body: JSONObject, pointers: [String]) {
        #expect {
            try ActionRequest(parsing: body)
        } throws: {
            guard case .invalid(let issues) = $0 as? RequestError else { return false }
            return issues.issues.map(\.path.pointer).sorted() == pointers.sorted()
        }
    }

    @Test(arguments: ["", "START_VM", "start-vm", "startvm", "reboot_vm", " start_vm"])
    func `an action has one spelling`(name: String) {
        #expect(throws: RequestError.unknownAction(name)) {
            try ActionRequest(parsing: ["environment": "home", "action": .string(name), "target": "vm/101"])
        }
    }

    @Test func `the notes are kept apart from what is asked for`() throws {
        let request = try ActionRequest(
            parsing: [
                "environment": "home", "action": "start_vm", "target": "vm/101", "reason": "patch\nday",
                "expires_at": "2026-11-22T21:14:03.122Z", "approval_ticket": "CHG-1",
                "approved_by": "alice@example.org",
            ])
        #expect(request.reason == "patch\nday")
        #expect(request.expiresAt?.rfc3339 == "2026-11-22T21:14:03.122Z")
        #expect(request.approvalTicket == "CHG-1")
        #expect(request.approvedBy == "alice@example.org")
        let again = try ActionRequest(parsing: try #require(request.json.object))
        #expect(again.json == request.json)
    }

    @Test(arguments: Action.allCases)
    func `a dry run changes nothing, and neither does a read`(action: Action) throws {
        let target = Self.target(of: action)
        let params = JSON.object(Self.least(of: action))
        #expect(try !ActionRequest.sample(action, target, params, dryRun: true).changes)
        let changes = try ActionRequest.sample(action, target, params).changes
        #expect(changes == (ActionCatalog.definition(of: action).effect == .change))
    }
}
