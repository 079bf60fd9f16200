import AgentModel
import AgentPolicy
import AgentTestSupport
import StrictJSON
import Testing

/// What an analysis of a policy finds, and what it does not.
struct PolicyFindingTests {
    private static let groups = #""groups":{"ops":["alice","bob"],"leads":["carol"]}"#

    static func policy(_ rules: String...) throws -> Policy {
        let document = try JSON.parse("{\(groups),\"rules\":[\(rules.joined(separator: ","))]}")
        var reader = ObjectReader(try #require(document.object))
        var policies = PolicyReader { (_: String) throws(PolicyReader.ZoneError) in .utc }
        let policy = policies.policy(&reader)
        #expect(reader.issues.isEmpty, "\(reader.issues)")
        return policy
    }

    private static func settings(_ name: String, _ labels: [String: String] = [:]) throws -> EnvironmentSettings {
        EnvironmentSettings(
            name: try #require(EnvironmentName(name)), baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home",
            trust: "system", labels: labels)
    }

    private static func team() throws -> PolicySurroundings {
        PolicySurroundings(
            environments: [try settings("home", ["tier": "prod"]), try settings("lab")],
            principals: [
                Principal(id: "pi-agent", roles: [.operator]), Principal(id: "alice", roles: [.operator, .approver]),
                Principal(id: "bob", roles: [.approver], environments: [try #require(EnvironmentName("home"))]),
                Principal(id: "carol", roles: [.viewer, .auditor]),
            ])
    }

    // MARK: By itself

    @Test(
        arguments: [
            (
                #"{"id":"a","match":{"actions":["delete_vm"],"forms":["storage"]},"effect":"deny"}"#,
                "rule a: never matches: none of its actions takes a target of one of its forms"
            ),
            (
                #"{"id":"a","match":{"actions":["delete_vm"],"risk":["low"]},"effect":"deny"}"#,
                "rule a: never matches: none of its actions has one of its risks"
            ),
            (
                #"{"id":"a","match":{"actions":["read_vm"],"guests_at_least":2},"effect":"deny"}"#,
                "rule a: never matches: its actions reach one guest only"
            ),
            (
                #"{"id":"a","match":{"actions":["delete_vm"],"not":{"actions":["delete_*"]}},"effect":"deny"}"#,
                "rule a: never matches: its conditions exclude each other"
            ),
            (
                #"{"id":"a","match":{"actions":["delete_vm","delete_container"],"forms":["vm"]},"effect":"deny"}"#,
                "rule a: never matches delete_container, because of its other conditions; take the name out"
            ),
            (
                #"{"id":"a","match":{"actions":["start_vm"]},"effect":{"raise_risk":"high"}}"#,
                nil
            ),
            (
                #"{"id":"a","match":{"actions":["rollback_snapshot"]},"effect":{"raise_risk":"high"}}"#,
                "rule a: changes nothing: all that it matches has the risk high, or a higher one, already"
            ),
            (
                #"{"id":"a","match":{"actions":["read_vm"]},"effect":{"raise_risk":"high"}}"#,
                "rule a: changes nothing: it covers reads alone, which only deny bounds"
            ),
            (
                #"{"id":"a","match":{"actions":["start_vm"]},"effect":{"allow":{"override_base":true}}}"#,
                "rule a: changes nothing: nothing that it matches needs an approval by the catalogue"
            ),
            (
                #"{"id":"a","match":{"actions":["delete_vm"]},"effect":{"allow":{"override_base":true}}}"#,
                "rule a: loosens the base: drops the approval that the catalogue asks for, of delete_vm"
            ),
            (
                #"{"id":"a","match":{"actions":["delete_vm"]},"effect":{"require":{"safety_snapshot":true}}}"#,
                "rule a: denies restore_backup, which cannot take the safety snapshot that it requires"
            ),
            (#"{"id":"a","match":{"actions":["bulk_shutdown"],"guests_at_least":2},"effect":"deny"}"#, nil),
            // A bulk shutdown of a node amounts to shutting machines down.
            (#"{"id":"a","match":{"actions":["shutdown_vm"],"forms":["node"]},"effect":"deny"}"#, nil),
            (#"{"id":"a","match":{"principals":["@ops"],"tags":["prod"]},"effect":"require_approval"}"#, nil),
            (#"{"id":"a","effect":"deny"}"#, nil),
        ] as [(String, String?)])
    func `a rule that does nothing or loosens is named, and no other`(rule: String, finding: String?) throws {
        #expect(try Self.policy(rule).findings().map(\.description) == (finding.map { [$0] } ?? []))
    }

    @Test func `an empty group and a choice of nothing never match`() throws {
        let rules = [
            PolicyRule(id: "a", match: .principals(["@none"], []), effect: .deny),
            PolicyRule(id: "b", match: .any([]), effect: .deny),
        ]
        #expect(
            Policy(rules: rules, groups: ["none": []]).findings().map(\.description) == [
                "group none has no members", "rule a: never matches: its groups have no members",
                "rule b: never matches: its conditions exclude each other",
            ])
    }

    @Test(
        arguments: [
            (
                [
                    #"{"id":"a","match":{"tags":["prod"]},"effect":"deny"}"#,
                    #"{"id":"b","match":{"tags":["prod"]},"effect":"require_approval"}"#,
                ], ["rule b: changes nothing: rule a denies all that it matches"]
            ),
            (
                [
                    #"{"id":"a","match":{"actions":["delete_vm"],"tags":["prod"]},"effect":"require_approval"}"#,
                    #"{"id":"b","match":{"actions":["delete_vm"]},"effect":"deny"}"#,
                ], ["rule a: changes nothing: rule b denies all that it matches"]
            ),
            (
                [
                    #"{"id":"a","match":{"tags":["prod"]},"effect":"deny"}"#,
                    #"{"id":"b","match":{"tags":["prod"]},"effect":"deny"}"#,
                ], ["rule b: changes nothing: rule a denies all that it matches"]
            ),
            (
                [
                    #"{"id":"a","match":{"tags":["prod"]},"effect":{"require":{"approvals":2}}}"#,
                    #"{"id":"b","match":{"tags":["prod"]},"effect":{"require":{"approvals":2}}}"#,
                ], ["rule b: changes nothing: rule a is the same"]
            ),
            (
                [
                    #"{"id":"a","match":{"actions":["delete_vm"]},"effect":"require_approval"}"#,
                    #"{"id":"b","match":{"actions":["delete_vm"]},"effect":{"allow":{"override_base":true}}}"#,
                ],
                [
                    "rule b: changes nothing: rule a asks for an approval of all that it matches",
                    "rule b: loosens the base: drops the approval that the catalogue asks for, of delete_vm",
                ]
            ),
            // A rule without actions covers no reads.
            (
                [
                    #"{"id":"a","match":{"tags":["prod"]},"effect":"deny"}"#,
                    #"{"id":"b","match":{"actions":["read_vm"],"tags":["prod"]},"effect":"deny"}"#,
                ], []
            ),
            (
                [
                    #"{"id":"a","match":{"tags":["prod"]},"effect":"deny"}"#,
                    #"{"id":"b","match":{"tags":["lab"]},"effect":"require_approval"}"#,
                ], []
            ),
        ] as [([String], [String])])
    func `a rule that another one makes useless is named`(rules: [String], findings: [String]) throws {
        let document = try JSON.parse("{\(Self.groups),\"rules\":[\(rules.joined(separator: ","))]}")
        var reader = ObjectReader(try #require(document.object))
        var policies = PolicyReader { (_: String) throws(PolicyReader.ZoneError) in .utc }
        #expect(policies.policy(&reader).findings().map(\.description) == findings)
    }

    // MARK: With a configuration

    @Test(
        arguments: [
            (
                #"{"id":"a","match":{"environments":["prod-*"]},"effect":"deny"}"#,
                ["rule a: never matches: no environment of the configuration has these names and labels"]
            ),
            (
                #"{"id":"a","match":{"principals":["carol"]},"effect":"deny"}"#,
                [
                    "rule a: never matches: nobody in the configuration whom it means may ask for what it matches"
                ]
            ),
            (
                #"{"id":"a","match":{"labels":{"zone":["eu"]}},"effect":"deny"}"#,
                ["rule a: never matches: no environment of the configuration has these names and labels"]
            ),
            (
                #"{"id":"a","match":{"any":[{"labels":{"zone":["eu"],"tier":["lab"]}},{"tags":["x"]}]},"effect":"deny"}"#,
                ["rule a: no environment has a label zone", "rule a: no environment has lab as its label tier"]
            ),
            (
                #"{"id":"a","match":{"environments":["home"]},"effect":{"require":{"approvers":{"principals":["carol","bob"]}}}}"#,
                ["rule a: names carol as an approver, who has no right to approve there"]
            ),
            (
                #"{"id":"a","match":{"environments":["home"]},"effect":{"require":{"approvers":{"roles":["auditor","approver"]}}}}"#,
                ["rule a: names the role auditor for approvers, and nobody who has it may approve there"]
            ),
            (
                #"{"id":"a","effect":{"require":{"approvals":1,"approvers":{"groups":["leads"]}}}}"#,
                [
                    "rule a: names the group leads for approvers, of which nobody may approve there",
                    "rule a: asks for 1 approval, and nobody in the configuration can give it: what it matches can never be applied",
                ]
            ),
            (
                #"{"id":"a","effect":{"require":{"approvals":3}}}"#,
                [
                    "rule a: asks for 3 approvals, and 2 in the configuration can give one: what it matches can never be applied"
                ]
            ),
            (
                #"{"id":"a","match":{"environments":["home"]},"effect":{"require":{"approvals":2}}}"#,
                ["rule a: asks for 2 approvals, and for requests of alice in home 1 can give one"]
            ),
            (
                #"{"id":"a","match":{"environments":["home"]},"effect":{"require":{"distinct_from":"group"}}}"#,
                ["rule a: asks for 1 approval, and for requests of alice in home nobody can give one"]
            ),
            (
                #"{"id":"a","match":{"environments":["home"]},"effect":"require_approval"}"#, []
            ),
            (
                #"{"id":"a","match":{"environments":["home"]},"effect":{"require":{"assurance":"signed"}}}"#,
                [
                    "rule a: asks for 1 signed approval, and nobody in the configuration can give one: what it matches can never be applied"
                ]
            ),
            (#"{"id":"a","match":{"labels":{"tier":["pr*"]},"roles":["operator"]},"effect":"deny"}"#, []),
        ] as [(String, [String])])
    func `what the configuration cannot give is named`(rule: String, findings: [String]) throws {
        #expect(try Self.policy(rule).findings(in: Self.team()).map(\.description) == findings)
    }

    @Test func `the holder of the shared token declares approvals, but only those that no rule gives to others`() throws
    {
        let shared = PolicySurroundings(
            environments: [
                EnvironmentSettings(
                    name: .sample, baseURL: "simulator://home", tokenID: "agent@pve!home", trust: "system")
            ], principals: [.shared])
        #expect(try Self.policy(#"{"id":"a","effect":{"require":{"approvals":3}}}"#).findings(in: shared).isEmpty)
        let findings = try Self.policy(
            #"{"id":"a","effect":{"require":{"approvals":1,"approvers":{"roles":["approver"]}}}}"#
        ).findings(in: shared)
        #expect(findings.allSatisfy { $0.kind == .cannotBeMet } && findings.count == 2, "\(findings)")
    }

    // MARK: With what there is

    @Test(
        arguments: [
            (#"{"tags":["prod","stage"]}"#, ["no guest has the tag stage"]),
            (#"{"tags":["p*","x*"]}"#, ["no guest has the tag x*"]),
            (#"{"pools":["a","a/b","c"]}"#, ["there is no pool c"]),
            (#"{"nodes":["pve1","pve9"]}"#, ["there is no node pve9"]),
            (#"{"storages":["local","nas"]}"#, ["there is no storage nas"]),
            (#"{"names":["web-*","db"]}"#, ["no guest has the name db"]),
            (
                #"{"vmids":[101,102,"200-299","300-399"]}"#,
                [
                    "no guest has the number 102", "no guest has a number from 300 to 399",
                ]
            ),
            (
                #"{"targets":["vm/101","vm/102","vm/*","lxc/*","node/pve1","storage/nas","pool/a","firewall/vm/101","*"]}"#,
                ["nothing has the name storage/nas", "nothing has the name vm/102"]
            ),
            (#"{"not":{"tags":["stage"]}}"#, ["no guest has the tag stage"]),
        ] as [(String, [String])])
    func `names that nothing has are named`(match: String, findings: [String]) throws {
        var inventory = PolicyInventory()
        inventory.tags = ["prod"]
        inventory.pools = ["a", "a/b"]
        inventory.nodes = ["pve1"]
        inventory.storages = ["local"]
        inventory.names = ["web-1"]
        inventory.guests = ["vm/101", "lxc/200"]
        let policy = try Self.policy(#"{"id":"a","match":\#(match),"effect":"deny"}"#)
        #expect(policy.findings(with: inventory).map(\.description) == findings.map { "rule a: \($0)" })
        #expect(policy.findings().isEmpty)
    }
}
