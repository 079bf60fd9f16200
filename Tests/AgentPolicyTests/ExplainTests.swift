import AgentModel
import AgentPolicy
import AgentTestSupport
import StrictJSON
import Testing

/// Why rules match a request or do not.
struct ExplainTests {
    private static let settings = EnvironmentSettings(
        name: .sample, baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home", trust: "system")

    private static func policy(_ rules: JSON) throws -> Policy {
        var reader = ObjectReader(["rules": rules])
        var policies = PolicyReader { _ throws(PolicyReader.ZoneError) in throw .init("no time zones here") }
        let policy = policies.policy(&reader)
        try #require(reader.issues.isEmpty, "\(reader.issues)")
        return policy
    }

    private static func input(
        _ action: Action = .stopVM, _ target: String = "vm/101", _ params: JSON = [:], reach: [Subject]? = nil
    ) throws -> PolicyInput {
        PolicyInput(
            try .sample(action, target, params), by: Caller(principal: "pi-agent", label: nil), roles: [.operator],
            in: settings, reach: reach.map { Reach(subjects: $0) })
    }

    private static let web = Subject(.target, "vm/101", tags: ["web"], guestNames: ["web-1"], node: NodeName("pve1"))
    private static let database = Subject(.member, "vm/102", tags: ["prod"], guestNames: ["db"], node: NodeName("pve2"))

    private func explained(_ rule: JSON, _ input: PolicyInput) throws -> RuleExplanation {
        var rule = try #require(rule.object)
        rule["id"] = "r"
        if rule["effect"] == nil { rule["effect"] = "deny" }
        return try #require(try Self.policy([.object(rule)]).explain(input, at: .sample).first)
    }

    @Test func `a rule that matches names the subjects that it matches`() throws {
        let input = try Self.input(reach: [Self.web, Self.database])
        let one = try explained(["match": ["tags": ["prod"], "actions": ["stop_*"]]], input)
        #expect(one.isMatched && one.subjects == ["vm/102"])
        #expect(one.reasons.map(\.description) == ["every condition holds"])
        #expect(!one.reasons[0].isAboutSubject)
        // As in decisions, a rule about the request stands at its target.
        let all = try explained(["match": ["actions": ["stop_*"]]], input)
        #expect(all.isMatched && all.subjects == ["vm/101"])
        let always = try explained([:], input)
        #expect(always.isMatched && always.subjects == ["vm/101"])
        #expect(always.reasons.map(\.description) == ["it has no conditions, and covers every change"])
    }

    @Test(
        arguments: [
            (["tags": ["prod"]], ["`tagged prod` does not hold for vm/101"]),
            (["actions": ["delete_*"]], ["`for delete_*` does not hold"]),
            (
                ["environments": ["home"], "principals": ["alice"], "nodes": ["pve9"]],
                ["`by alice` does not hold", "`on node pve9` does not hold for vm/101"]
            ),
            (["not": ["tags": ["web"]]], ["`not (tagged web)` does not hold for vm/101"]),
            (
                ["any": [["risk": ["high"]], ["pools": ["prod"]]]],
                ["`(of high risk) or (in pool prod)` does not hold for vm/101"]
            ),
            (["params": ["timeout": ["above": 60]]], ["`with timeout above 60` does not hold"]),
        ] as [(JSON, [String])])
    func `a rule that does not match says which conditions fail`(match: JSON, reasons: [String]) throws {
        let found = try explained(["match": match], try Self.input(reach: [Self.web]))
        #expect(!found.isMatched && found.subjects.isEmpty)
        #expect(found.reasons.map(\.description) == reasons)
        #expect(found.reasons.allSatisfy { $0.isAboutSubject == $0.description.contains(" for vm/101") })
    }

    @Test func `of several subjects the one counts that comes nearest`() throws {
        let input = try Self.input(reach: [Self.web, Self.database])
        let found = try explained(["match": ["tags": ["prod"], "vmids": [102], "nodes": ["pve1"]]], input)
        #expect(found.reasons.map(\.description) == ["`on node pve1` does not hold for vm/102"])
        // What fails for the request fails for each of them.
        let other = try explained(["match": ["tags": ["prod"], "roles": ["viewer"]]], input)
        #expect(other.reasons.map(\.description) == ["`by role viewer` does not hold"])
    }

    @Test func `what is not known counts as holding, and is named`() throws {
        let nameless = Subject(.target, "vm/101", tags: ["web"])
        let found = try explained(
            ["match": ["tags": ["web"], "names": ["db-*"]]], try Self.input(reach: [nameless]))
        #expect(found.isMatched && found.subjects == ["vm/101"])
        #expect(
            found.reasons.map(\.description) == [
                "`named db-*` is not known for vm/101", "what is not known counts as holding",
            ])
        #expect(found.reasons.map(\.isAboutSubject) == [true, false])
    }

    @Test func `a rule that allows needs every subject`() throws {
        let allow: JSON = ["allow": ["override_base": true]]
        let input = try Self.input(reach: [Self.web, Self.database])
        let found = try explained(["match": ["tags": ["web"]], "effect": allow], input)
        #expect(!found.isMatched)
        #expect(
            found.reasons.map(\.description) == [
                "`tagged web` does not hold for vm/102", "a rule that allows must be known to hold for every subject",
            ])
        let unknown = try explained(
            ["match": ["names": ["web-*"]], "effect": allow], try Self.input(reach: [Subject(.target, "vm/101")]))
        #expect(!unknown.isMatched)
        #expect(unknown.reasons.first?.description == "`named web-*` is not known for vm/101")
        let whole = try explained(["match": ["vmids": ["101-102"]], "effect": allow], input)
        #expect(whole.isMatched && whole.subjects == ["vm/101", "vm/102"])
    }

    @Test func `a rule that names no actions covers no read`() throws {
        let found = try explained(["match": ["vmids": [101]]], try Self.input(.readVM))
        #expect(!found.isMatched)
        #expect(found.reasons.map(\.description) == ["it names no actions, so it covers changes only"])
    }

    @Test func `rules about environments that the reader does not see are left out, and so are those names`() throws {
        let policy = try Self.policy([
            ["id": "both", "effect": "deny", "match": ["environments": ["cloud", "home"], "tags": ["prod"]]],
            ["id": "cloud", "effect": "deny", "match": ["environments": ["cloud"]]],
        ])
        let found = policy.explain(try Self.input(reach: [Self.web]), at: .sample, seeing: [Self.settings])
        #expect(found.map(\.rule.id) == ["both"])
        #expect(found[0].rule.description == "both: deny in home tagged prod")
        #expect(policy.explain(try Self.input(), at: .sample).map(\.rule.id) == ["both", "cloud"])
    }

    @Test(arguments: Action.allCases)
    func `the rules that are said to match are those of the decision`(action: Action) throws {
        let policy = try Self.policy([
            ["id": "always", "effect": "deny"], ["id": "web", "effect": "deny", "match": ["tags": ["web"]]],
            ["id": "name", "effect": "require_approval", "match": ["names": ["d*"], "actions": ["*"]]],
            ["id": "high", "effect": ["raise_risk": "high"], "match": ["risk": ["medium"], "forms": ["vm", "node"]]],
            ["id": "many", "effect": "deny", "match": ["guests_at_least": 2, "not": ["nodes": ["pve1"]]]],
            ["id": "free", "effect": ["allow": ["override_base": true]], "match": ["vmids": ["100-999"]]],
            ["id": "delete", "effect": "deny", "match": ["any": [["actions": ["delete_*"]], ["pools": ["x"]]]]],
        ])
        let request = try MinimalRequest.request(action)
        for reach in [
            Reach(), Reach(subjects: [Self.web]), Reach(subjects: [Self.web, Self.database]),
            Reach(subjects: [Subject(.target, request.target.description), Subject(.affected, "vm/103")]),
        ] {
            let input = PolicyInput(
                request, by: .labelled("alice"), roles: [.operator], in: Self.settings, reach: reach)
            let decision = policy.evaluate(input, at: .sample)
            let found = policy.explain(input, at: .sample)
            #expect(found.count == 7 && found.allSatisfy { !$0.reasons.isEmpty })
            let named = Set(decision.rules.filter { $0.hasPrefix("rule:") })
            #expect(Set(found.filter(\.isMatched).map { "rule:\($0.rule.id)" }) == named)
            for rule in found {
                let judged = decision.subjects.filter { $0.rules.contains("rule:\(rule.rule.id)") }.map(\.name)
                #expect(rule.subjects == judged, "\(rule.rule.id)")
            }
        }
    }
}
