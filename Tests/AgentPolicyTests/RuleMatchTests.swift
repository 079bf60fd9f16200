import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// What a rule's conditions hold for.
struct RuleMatchTests {
    private static let settings = EnvironmentSettings(
        name: .sample, baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home", trust: "system",
        labels: ["tier": "prod"])

    private static let reach = Reach(subjects: [
        Subject(
            .target, "vm/101", aliases: ["pool/prod/web", "pool/prod"], tags: ["web"], guestNames: ["web-1"],
            node: NodeName("pve1")),
        Subject(.affected, "node/pve1"), Subject(.affected, "storage/ceph"),
    ])

    private func decide(
        _ rules: String..., action: Action = .stopVM, params: JSON = [:], reach: Reach = reach, checks: [Check] = [],
        at now: Date = .sample
    ) throws -> Decision {
        let policy = try Policy(
            text: "{\"groups\": {\"ops\": [\"alice\"]}, \"rules\": [\(rules.joined(separator: ","))]}")
        return policy.evaluate(
            PolicyInput(
                try .sample(action, "vm/101", params), by: Caller(principal: "alice", label: nil), roles: [.operator],
                in: Self.settings, reach: reach, checks: checks), at: now)
    }

    private static let conditions: [(match: String, holds: Bool)] = [
        ("{}", true), (#"{"environments": ["ho*"]}"#, true), (#"{"environments": ["lab"]}"#, false),
        (#"{"labels": {"tier": ["prod"]}}"#, true), (#"{"labels": {"tier": ["prod"], "site": ["a"]}}"#, false),
        (#"{"actions": ["stop_*"]}"#, true), (#"{"actions": ["start_vm"]}"#, false), (#"{"risk": ["medium"]}"#, true),
        (#"{"risk": ["high"]}"#, false), (#"{"forms": ["vm"]}"#, true), (#"{"forms": ["node"]}"#, false),
        (#"{"principals": ["alice"]}"#, true), (#"{"principals": ["@ops"]}"#, true),
        (#"{"principals": ["bob"]}"#, false),
        (#"{"roles": ["operator"]}"#, true), (#"{"roles": ["viewer"]}"#, false),
        (#"{"targets": ["vm/*"]}"#, true), (#"{"targets": ["pool/prod"]}"#, true), (#"{"targets": ["lxc/*"]}"#, false),
        (#"{"vmids": ["100-199"]}"#, true), (#"{"vmids": [101]}"#, true), (#"{"vmids": ["200-299"]}"#, false),
        (#"{"names": ["web-*"]}"#, true), (#"{"names": ["db-*"]}"#, false), (#"{"tags": ["w?b"]}"#, true),
        (#"{"tags": ["db"]}"#, false), (#"{"pools": ["prod"]}"#, true), (#"{"pools": ["dev"]}"#, false),
        (#"{"nodes": ["pve1"]}"#, true), (#"{"nodes": ["pve2"]}"#, false), (#"{"storages": ["ceph"]}"#, true),
        (#"{"storages": ["local"]}"#, false),
        // Of one subject at a time.
        (#"{"tags": ["web"], "storages": ["ceph"]}"#, false),
        (#"{"all": [{"tags": ["web"]}, {"names": ["web-1"]}]}"#, true),
        (#"{"any": [{"tags": ["db"]}, {"storages": ["ceph"]}]}"#, true),
        // A rule about guests alone does not look at nodes and storages.
        (#"{"not": {"tags": ["web"]}}"#, false), (#"{"not": {"tags": ["db"]}}"#, true),
        (#"{"not": {"actions": ["stop_vm"]}}"#, false), (#"{"subjects_at_least": 3}"#, true),
        (#"{"guests_at_least": 2}"#, false), (#"{"checks": ["odd"]}"#, true), (#"{"checks": ["fine"]}"#, false),
        (#"{"time": {"zone": "UTC", "weekly": [{"days": ["mon-sun"], "from": "00:00", "to": "24:00"}]}}"#, true),
        (#"{"time": {"zone": "UTC", "open": [{"from": "2030-01-01T00:00", "to": "2030-01-02T00:00"}]}}"#, false),
    ]

    @Test(arguments: conditions)
    func `a condition holds for what it names`(row: (match: String, holds: Bool)) throws {
        let decision = try decide(
            #"{"id": "r", "effect": "deny", "match": \#(row.match)}"#,
            checks: [Check("odd", .warn, "odd"), Check("fine", .ok, "fine")])
        #expect(decision.allowed == !row.holds)
        #expect(decision.rules.contains("rule:r") == row.holds)
    }

    private static let parameters: [(test: String, params: String, holds: Bool)] = [
        (#"{"memory": {}}"#, #"{"memory": 1024}"#, true), (#"{"memory": {}}"#, #"{"cores": 1}"#, false),
        (#"{"memory": {"above": 65536}}"#, #"{"memory": 65536}"#, false),
        (#"{"memory": {"above": 65536}}"#, #"{"memory": 65537}"#, true),
        (#"{"memory": {"at_least": 65536}}"#, #"{"memory": 65536}"#, true),
        (#"{"cores": {"below": 4}}"#, #"{"cores": 3}"#, true), (#"{"cores": {"at_most": 4}}"#, #"{"cores": 5}"#, false),
        (#"{"net*": {}}"#, #"{"delete": ["net1"]}"#, true), (#"{"onboot": {"is": true}}"#, #"{"onboot": true}"#, true),
        (#"{"onboot": {"is": false}}"#, #"{"onboot": true}"#, false),
        (#"{"name": {"like": "db-*"}}"#, #"{"name": "db-7"}"#, true),
        (#"{"name": {"like": "db-*"}}"#, #"{"name": "web-7"}"#, false),
        // What cannot be compared counts against the request.
        (#"{"name": {"above": 5}}"#, #"{"name": "web-7"}"#, true),
        (#"{"memory": {"above": "16G"}}"#, #"{"memory": 512}"#, true),
    ]

    @Test(arguments: parameters)
    func `a parameter is compared by its value`(row: (test: String, params: String, holds: Bool)) throws {
        let decision = try decide(
            #"{"id": "r", "effect": "deny", "match": {"params": \#(row.test)}}"#,
            action: try #require(Action(rawValue: "configure_vm")), params: try JSON.parse(Array(row.params.utf8)))
        #expect(decision.allowed == !row.holds)
    }

    @Test(arguments: ["yes", "1", "ON", "true", "maybe"])
    func `a flag is the same in each way that it is written, and of other texts nothing is known`(text: String) throws {
        let params: JSON = ["endpoint": "/storage/ceph", "method": "PUT", "params": ["disable": .string(text)]]
        let request = try ActionRequest.sample(.storageEdit, "storage/ceph", params)
        let policy = try Policy.rules(#"{"id": "r", "effect": "deny", "match": {"params": {"disable": {"is": true}}}}"#)
        let input = PolicyInput(request, by: .labelled("a"), roles: [], in: Self.settings)
        #expect(!policy.evaluate(input, at: .sample).allowed)
    }

    @Test func `a dry run of a read is a read`() throws {
        let policy = try Policy.rules(#"{"id": "r", "effect": "deny", "match": {"actions": ["read_*"]}}"#)
        for dryRun in [false, true] {
            let input = PolicyInput(
                try .sample(.readVM, "vm/101", dryRun: dryRun), by: .labelled("a"), roles: [], in: Self.settings)
            #expect(!policy.evaluate(input, at: .sample).allowed)
        }
    }

    @Test(arguments: [#"{"tags": ["web"]}"#, #"{"vmids": [101]}"#, #"{"names": ["web-1"]}"#])
    func `a rule about a guest is about its firewall too`(match: String) throws {
        let reach = Reach(subjects: [
            Subject(.target, "firewall/vm/101", aliases: ["vm/101"], tags: ["web"], guestNames: ["web-1"])
        ])
        let decision = try decide(#"{"id": "r", "effect": "deny", "match": \#(match)}"#, reach: reach)
        #expect(!decision.allowed)
    }

    @Test func `a denial keeps its reason, whatever other rules say`() throws {
        let decision = try decide(
            #"{"id": "a", "effect": "deny", "reason": "not this week"}"#,
            #"{"id": "b", "effect": {"raise_risk": "high"}, "reason": "it is large"}"#,
            #"{"id": "c", "effect": "require_approval", "approvals": 2}"#)
        #expect(!decision.allowed && decision.risk == .high && decision.reason == "not this week")
    }

    @Test func `rules are shown without the names and patterns of other environments`() throws {
        let policy = try Policy.rules(
            #"{"id": "a", "effect": "deny", "match": {"environments": ["home", "acme-*", "lab"]}}"#,
            #"{"id": "b", "effect": "deny", "match": {"not": {"environments": ["acme-*"]}}}"#)
        let texts = policy.rules(in: [Self.settings]).map(\.match.document.text)
        #expect(texts == [#"{"environments":["home"]}"#, "{}"])
    }

    @Test func `what a guest is called is not known between its old name and its new one`() throws {
        let both = Reach(subjects: [Subject(.target, "vm/101", guestNames: ["prod-1", "scratch-1"])])
        for name in ["prod-*", "scratch-*"] {
            let denied = try decide(
                #"{"id": "r", "effect": "deny", "match": {"names": ["\#(name)"]}}"#, reach: both)
            #expect(!denied.allowed)
            let allowed = try decide(
                #"{"id": "r", "effect": {"allow": {"override_base": true}}, "match": {"names": ["\#(name)"]}}"#,
                reach: both)
            #expect(allowed.requiresApproval)
        }
    }

    @Test(arguments: [(["web"], false), (["web", "web"], false), (["web", "db"], true), (["db"], true)])
    func `an approval falls away only if every guest matches the rule that allows`(
        row: (tags: [String], needsApproval: Bool)
    ) throws {
        let guests = row.tags.enumerated().map {
            Subject($0.offset == 0 ? .target : .member, "vm/\(101 + $0.offset)", tags: [$0.element])
        }
        let decision = try decide(
            #"{"id": "free", "match": {"tags": ["web"]}, "effect": {"allow": {"override_base": true}}}"#,
            reach: Reach(subjects: guests + [Subject(.affected, "node/pve1")]))
        #expect(decision.requiresApproval == row.needsApproval)
        #expect(decision.rules.contains("override:free") == !row.needsApproval)
    }

    @Test func `what allows opens neither a read-only environment nor a check that blocks`() throws {
        let free = #"{"id": "free", "effect": {"allow": {"override_base": true}}}"#
        #expect(try !decide(free, checks: [Check("locked", .block, "it is locked")]).allowed)
        let policy = try Policy.rules(free)
        let closed = EnvironmentSettings(
            name: .sample, baseURL: "https://pve.lan:8006", tokenID: "a@pve!h", trust: "system", readOnly: true)
        let decision = policy.evaluate(
            PolicyInput(try .sample(.stopVM, "vm/101"), by: .labelled("a"), roles: [], in: closed), at: .sample)
        #expect(!decision.allowed)
    }

    @Test(arguments: [
        (#"{"id": "r", "match": {"tags": ["prod"]}, "effect": "deny"}"#, ["tag/prod"], [String](), true),
        (#"{"id": "r", "match": {"tags": ["prod"]}, "effect": "deny"}"#, [], ["tag/prod"], false),
        (#"{"id": "r", "match": {"not": {"tags": ["ok"]}}, "effect": "deny"}"#, [], ["tag/ok"], true),
        (#"{"id": "r", "match": {"not": {"tags": ["ok"]}}, "effect": "deny"}"#, ["tag/ok"], [], false),
        (
            #"{"id": "r", "match": {"tags": ["ok"]}, "effect": {"allow": {"override_base": true}}}"#, [], ["tag/ok"],
            true
        ),
        (#"{"id": "r", "match": {"names": ["db-*"]}, "effect": "deny"}"#, ["name/db-1"], [], true),
        (
            #"{"id": "r", "match": {"labels": {"tier": ["lab"]}, "tags": ["x"]}, "effect": "deny"}"#, ["tag/x"], [],
            false
        ),
    ])
    func `to take a mark from a guest or to give it one, by which rules know it, needs an approval`(
        row: (rule: String, losses: [String], gains: [String], isGuarded: Bool)
    ) throws {
        let decision = try decide(
            row.rule, action: .startVM,
            reach: Reach(
                subjects: [Subject(.target, "vm/101", tags: ["ok"])], losses: row.losses, gains: row.gains))
        #expect(decision.rules.contains("base:touches-rules") == row.isGuarded)
    }
}
