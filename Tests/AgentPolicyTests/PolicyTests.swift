import AgentModel
import AgentPolicy
import AgentTestSupport
import StrictJSON
import Testing

struct PolicyTests {
    private static let sharing = Caller(principal: "operator", label: nil, isShared: true)

    /// The environments that policy tells apart.
    static let environments: [(String, EnvironmentSettings)] = {
        guard let name = EnvironmentName("home") else { return [] }
        func settings(_ url: String, declared: Bool = false, readOnly: Bool) -> EnvironmentSettings {
            EnvironmentSettings(
                name: name, baseURL: url, tokenID: "agent@pve!home", trust: "system", readOnly: readOnly,
                acceptsDeclaredApprovals: declared)
        }
        return [false, true].flatMap { readOnly in
            let mode = readOnly ? "read_only" : "writable"
            return [
                ("simulator \(mode)", settings("simulator://home", readOnly: readOnly)),
                ("real \(mode)", settings("https://pve.lan:8006", readOnly: readOnly)),
                ("real+declared \(mode)", settings("https://pve.lan:8006", declared: true, readOnly: readOnly)),
            ]
        }
    }()

    @Test func `policy decides as the matrix says`() throws {
        var lines: [String] = []
        for action in Action.allCases {
            for dryRun in [false, true] {
                for (name, settings) in Self.environments {
                    let decision = Policy().evaluate(
                        try MinimalRequest.request(action, dryRun: dryRun), by: .labelled("alice"), in: settings)
                    let requires = Policy().requirement(of: decision, for: Self.sharing, in: settings, among: .shared)
                    lines.append(
                        "\(action.rawValue) \(dryRun ? "dry" : "real") | \(name) | "
                            + "\(decision.allowed ? "allowed" : "denied") \(decision.risk.rawValue) "
                            + "\(decision.requiresApproval ? "approval" : "no-approval") "
                            + "needs=\(requires.approvals) \(requires.assurance.rawValue) | "
                            + decision.rules.joined(separator: ","))
                }
            }
        }
        try expectGolden(lines, "policy-matrix.txt")
    }

    @Test(arguments: Action.allCases)
    func `a block denies and is named, warnings do not`(action: Action) throws {
        let (_, settings) = try #require(Self.environments.first)
        let checks = [
            Check("fine", .ok, "all is well"), Check("odd", .warn, "looks odd"),
            Check("first", .block, "the first cure"),
            Check("second", .block, "the second cure"),
        ]
        let request = try MinimalRequest.request(action)
        let denied = Policy().evaluate(request, by: .labelled("alice"), in: settings, checks: checks)
        #expect(!denied.allowed)
        #expect(denied.reason == "the first cure")
        #expect(denied.rules == ["base:\(action.rawValue)", "check:first", "check:second"])
        #expect(denied.risk == request.definition.risk)
        #expect(Policy().requirement(of: denied, for: Self.sharing, in: settings, among: .shared).approvals == 0)

        let warned = Policy().evaluate(request, by: .labelled("alice"), in: settings, checks: Array(checks.prefix(2)))
        #expect(warned == Policy().evaluate(request, by: .labelled("alice"), in: settings))
    }

    @Test func `a read-only environment's word stands before a check's`() throws {
        let (_, settings) = try #require(Self.environments.last)
        let decision = Policy().evaluate(
            try MinimalRequest.request(.startVM), by: .labelled("alice"), in: settings,
            checks: [Check("locked", .block, "it is locked")])
        #expect(decision.reason == "environment home is read-only")
        #expect(decision.rules == ["base:start_vm", "env:read_only", "check:locked"])
    }

    @Test(arguments: Action.allCases)
    func `every decision names a rule and says why`(action: Action) throws {
        for (_, settings) in Self.environments {
            let decision = Policy().evaluate(try MinimalRequest.request(action), by: .labelled("alice"), in: settings)
            #expect(!decision.rules.isEmpty && !decision.reason.isEmpty)
        }
    }

    @Test(
        arguments: [
            ([(1, nil)], nil, 1, "rule r0 asks for an approval"),
            ([(1, .signed)], .signed, 1, "rule r0 asks for a signed approval"),
            ([(2, nil), (1, .hardware)], .hardware, 2, "rule r1 asks for 2 approvals signed with security keys"),
            ([(1, .hardware), (1, .signed)], .hardware, 1, "rule r0 asks for an approval signed with a security key"),
            ([(1, .signed), (3, nil)], .signed, 3, "rule r1 asks for 3 signed approvals"),
        ] as [([(Int, Assurance?)], Assurance?, Int, String)])
    func `of rules about signatures the most restrictive wins`(
        row: (rules: [(Int, Assurance?)], assurance: Assurance?, approvals: Int, reason: String)
    ) throws {
        let rules = row.rules.enumerated().map { number, rule in
            PolicyRule(id: "r\(number)", effect: .requireApproval, approvals: rule.0, assurance: rule.1)
        }
        let (_, settings) = try #require(Self.environments.first)
        let policy = Policy(rules: rules)
        let team = Directory([Principal(id: "alice", roles: [.approver])])
        let request = try MinimalRequest.request(.startVM)
        let decision = policy.evaluate(request, by: .labelled("alice"), in: settings)
        #expect(decision.assurance == row.assurance && decision.reason == row.reason)
        #expect(
            policy.requirement(of: decision, for: Self.sharing, in: settings, among: team)
                == Requirement(approvals: row.approvals, assurance: row.assurance ?? .verified))
        // A dry run is bound by none of them.
        let dry = policy.evaluate(
            try MinimalRequest.request(.startVM, dryRun: true), by: .labelled("alice"), in: settings)
        #expect(
            dry.assurance == nil
                && policy.requirement(of: dry, for: Self.sharing, in: settings, among: team).approvals == 0)
    }

    @Test func `asking for a signature makes another version of the policy`() {
        let versions = [nil, Assurance.signed, .hardware].map { assurance in
            Policy(rules: [PolicyRule(id: "a", effect: .requireApproval, assurance: assurance)]).version
        }
        #expect(Set(versions).count == 3)
    }

    @Test func `the version of the policy is one for one matrix`() {
        #expect(Policy().version == Policy().version)
        #expect(Policy().version.hasPrefix("base@"))
        #expect(Policy().version.utf8.count == "base@".utf8.count + 8)
    }

    @Test func `what a request touches raises its risk as written down`() throws {
        var lines: [String] = []
        for action in Action.allCases where !ActionCatalog.definition(of: action).escalations.isEmpty {
            let definition = ActionCatalog.definition(of: action)
            let names = definition.escalations.flatMap(\.parameters)
            for variant in Variant.all(of: action) {
                lines.append(line(try variant.request()))
                for parameter in definition.parameters where names.contains(parameter.name) {
                    let key = parameter.count == nil ? parameter.name : "\(parameter.name.dropLast(3))0"
                    guard variant.params[key] == nil, let value = FormSamples.good(parameter.form).first,
                        let request = try? variant.request([key: value])
                    else { continue }
                    lines.append(line(request))
                }
            }
        }
        try expectGolden(lines, "policy-touches.txt")
    }

    private func line(_ request: ActionRequest) -> String {
        let assessment = request.assessment()
        return
            "\(request.action) \(request.target) \(request.params.keys.joined(separator: ",")) | \(assessment.risk.rawValue) "
            + "\(assessment.needsApproval ? "approval" : "no-approval") | \(assessment.rules.joined(separator: ","))"
    }
}
