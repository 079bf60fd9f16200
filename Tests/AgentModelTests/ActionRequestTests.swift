import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

struct ActionRequestTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let action: Action
        let parameter: ParameterDefinition
        var testDescription: String { "\(action.rawValue) \(parameter.name)" }

        static let all = ActionCatalog.all.flatMap { entry in
            entry.parameters.map { Case(action: entry.action, parameter: $0) }
        }

        /// The parameter's own name, or the first and the last of its family.
        var keys: [String] {
            guard let count = parameter.count else { return [parameter.name] }
            let stem = parameter.name.dropLast("[n]".count)
            return ["\(stem)0", "\(stem)\(count - 1)"]
        }

        /// The requests that may have it.
        func variants(with value: JSON) -> [Variant] {
            Variant.all(of: action).filter { variant in
                guard let target = Target(variant.target) else { return false }
                var params = variant.params
                params[keys[0]] = value
                return parameter.when.holds(for: params, on: target)
            }
        }
    }

    @Test(arguments: Action.allCases)
    func `each action is read with the least it needs, and defaults are filled in`(action: Action) throws {
        let request = try ActionRequest(
            parsing: [
                "environment": "home", "action": .string(action.rawValue),
                "target": .string(MinimalRequest.target(of: action)),
                "params": MinimalRequest.params(of: action).isEmpty ? nil : .object(MinimalRequest.params(of: action)),
            ])
        #expect(request.action == action)
        #expect(request.target.description == MinimalRequest.target(of: action))
        #expect(request.params == MinimalRequest.params(of: action))
        #expect(!request.dryRun)
    }

    @Test(arguments: Case.all)
    func `each parameter takes its values and no others`(given: Case) throws {
        // The whole of an endpoint is tested on its own.
        let good =
            given.parameter.name == "endpoint"
            ? MinimalRequest.params(of: given.action)["endpoint"].map { [$0] } ?? []
            : FormSamples.good(given.parameter.form)
        #expect(!good.isEmpty)
        for key in given.keys {
            for value in good {
                let request = given.variants(with: value).lazy.compactMap { try? $0.request([key: value]) }.first
                guard ParameterDefinition.isSecret(key) else {
                    #expect(request?.params[key] == value, "\(key) \(value.text)")
                    continue
                }
                #expect(request?.params[key] == .string(Secret("").description))
                #expect(request?.secrets[JSONPath([.key(key)])]?.reveal() == value.string)
            }
            for value in FormSamples.bad(given.parameter.form) {
                for variant in given.variants(with: value) {
                    let pointers = issues(variant, [key: value]).map(\.path.pointer)
                    #expect(pointers.contains { $0.hasPrefix("/params/\(key)") }, "\(variant) \(key) \(value.text)")
                }
            }
        }
    }

    @Test(arguments: Case.all.filter { $0.parameter.count != nil })
    func `a family has no more members than PVE's`(given: Case) throws {
        let stem = given.parameter.name.dropLast("[n]".count)
        for number in ["\(given.parameter.count ?? 0)", "00", "01", "", "-1", "x"] {
            let variant = try #require(given.variants(with: "x").first)
            #expect(issues(variant, ["\(stem)\(number)": "x"]).map(\.path.pointer) == ["/params/\(stem)\(number)"])
        }
    }

    @Test(arguments: Case.all.filter { $0.parameter.when != .always })
    func `what a parameter does not go with is told`(given: Case) throws {
        let value = try #require(FormSamples.good(given.parameter.form).first)
        for variant in Variant.all(of: given.action) where variant.params[given.keys[0]] == nil {
            let target = try #require(Target(variant.target))
            var params = variant.params
            params[given.keys[0]] = value
            guard !given.parameter.when.holds(for: params, on: target) else { continue }
            let found = issues(variant, [given.keys[0]: value]).first { $0.path.pointer == "/params/\(given.keys[0])" }
            #expect(found?.detail.contains("goes only") == true, "\(variant)")
        }
    }

    private func issues(_ variant: Variant, _ more: JSONObject) -> [JSONError] {
        do throws(RequestError) {
            _ = try variant.request(more)
            return []
        } catch {
            guard case .invalid(let issues) = error else { return [] }
            return issues.issues
        }
    }

    private func issues(_ action: Action, _ params: JSONObject) -> [JSONError] {
        issues(Variant(action: action, target: MinimalRequest.target(of: action), params: [:]), params)
    }

    @Test(arguments: Case.all.filter(\.parameter.required))
    func `what is required is missed by name`(given: Case) {
        var params = MinimalRequest.params(of: given.action)
        params[given.parameter.name] = nil
        let found = issues(given.action, params)
        #expect(found.map(\.path.pointer) == ["/params/\(given.parameter.name)"])
        #expect(found.first?.detail.contains("is missing") == true)
    }

    @Test(arguments: Action.allCases)
    func `each action refuses a parameter it does not know, and lists those it does`(action: Action) {
        var params = MinimalRequest.params(of: action)
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
                try ActionRequest.sample(action, text, .object(MinimalRequest.params(of: action)))
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

    @Test(arguments: ["", "START_VM", "start-vm", "startvm", "reboot", " start_vm"])
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
    }

    @Test(arguments: Action.allCases)
    func `a dry run changes nothing, and neither does a read`(action: Action) throws {
        let target = MinimalRequest.target(of: action)
        let params = JSON.object(MinimalRequest.params(of: action))
        #expect(try !ActionRequest.sample(action, target, params, dryRun: true).changes)
        let changes = try ActionRequest.sample(action, target, params).changes
        #expect(changes == (ActionCatalog.definition(of: action).effect == .change))
    }
}
