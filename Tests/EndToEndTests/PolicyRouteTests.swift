import AgentModel
import AgentTestSupport
import Glibc
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// What policy says to a request, and reloading it, over HTTP.
@Suite(.timeLimit(.minutes(2)))
struct PolicyRouteTests {
    private static let rules: JSON = [
        ["id": "two-for-prod", "effect": "require_approval", "approvals": 2, "match": ["tags": ["prod"]]],
        [
            "id": "keep-ci", "effect": "deny", "match": ["actions": ["delete_*"], "vmids": [136]],
            "reason": "it builds",
        ],
        ["id": "at-home", "effect": "deny", "match": ["environments": ["home"]]],
        ["id": "named", "effect": ["raise_risk": "high"], "match": ["names": ["web*"], "nodes": ["pve2"]]],
    ]

    private static func rule(_ id: String, of reply: Reply) throws -> JSON {
        try #require(reply["rules"]?.array?.first { $0["id"]?.string == id }, "\(id): \(reply)")
    }

    private static func explain(
        _ wish: PlanRequest, _ agent: some AgentUnderTest, by member: TestPrincipals
    ) async throws -> Reply {
        try await agent.send(.post, "/v1/policy/explain", wish.json, by: member)
    }

    // MARK: Explaining

    @Test func `an explanation says what planning decides, and why each rule matches or not`() async throws {
        try await withAgent(TestPrincipals.setup(rules: Self.rules)) { agent in
            let before = try agent.lines().count
            let reply = try await Self.explain(.stop, agent, by: .agent)
            #expect(reply.status == 200, "\(reply)")
            #expect(reply["rules"]?.array?.map { $0["id"] } == ["at-home", "keep-ci", "named", "two-for-prod"])
            let policy = try await agent.send(.get, "/v1/policy", by: .agent)
            #expect(reply["version"] == policy["version"])
            // Nothing is kept but the record.
            let records = try agent.lines().dropFirst(before)
            #expect(records.map { $0["kind"] } == ["read"])
            #expect(records.last?["result"]?["status"] == "explained" && records.last?["plan_id"] == nil)
            #expect(records.last?["request"]?["action"] == "stop_vm")
            #expect(records.last?["decision"]?["rules"] == reply["decision"]?["rules"])
            #expect(try await agent.send(.get, "/v1/plans", by: .agent)["plans"] == [])

            let subject = try #require(reply["subjects"]?.array?.first { $0["role"] == "target" })
            #expect(subject["name"] == "vm/100" && subject["guest_names"] == ["web1"] && subject["node"] == "pve2")
            let named = try Self.rule("named", of: reply)
            #expect(
                named["matched"] == true && named["subjects"] == ["vm/100"] && named["why"] == "every condition holds")
            #expect(named["sentence"] == "named: raise_risk (high) named web* on node pve2")
            let home = try Self.rule("at-home", of: reply)
            #expect(home["matched"] == false && home["why"] == "`in home` does not hold" && home["subjects"] == [])
            #expect(
                try Self.rule("keep-ci", of: reply)["why"]
                    == "`for delete_*` does not hold; `on vmid 136` does not hold for vm/100")

            let plan = try await agent.plan(.stop, by: .agent)
            for member in ["decision", "requires"] { #expect(plan[member] == reply[member], "\(member)") }
            let denied = try await Self.explain(.delete, agent, by: .agent)
            #expect(denied.status == 200 && denied["decision"]?["allowed"] == false)
            #expect(denied["decision"]?["reason"] == "it builds")
            #expect(try Self.rule("keep-ci", of: denied)["subjects"] == ["vm/136"])
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `it takes the right that planning takes, and shows no other environment`() async throws {
        try await withAgent(TestPrincipals.setup(rules: Self.rules)) { agent in
            let read = PlanRequest("read_vm", "vm/100")
            for (member, wish, status) in [
                (.watcher, .stop, 403), (.watcher, PlanRequest.stop.with("dry_run", true), 200), (.watcher, read, 200),
                (.alice, .stop, 403), (.auditor, read, 403), (.chief, .stop, 200),
                (.local, .stop, 400), (.local, PlanRequest("stop_vm", "vm/103", in: "home"), 200),
            ] as [(TestPrincipals, PlanRequest, Int)] {
                let reply = try await Self.explain(wish, agent, by: member)
                #expect(reply.status == status, "\(member) \(wish): \(reply)")
            }
            let ofRead = try await Self.explain(read, agent, by: .watcher)
            #expect(try Self.rule("named", of: ofRead)["why"] == "it names no actions, so it covers changes only")
            let dry = try await Self.explain(.delete.with("dry_run", true), agent, by: .watcher)
            #expect(try Self.rule("keep-ci", of: dry)["matched"] == true)
            for (body, code) in [
                (["environment": "cloud"], "invalid_request"),
                (["environment": "cloud", "action": "nonsense", "target": "vm/1"], "unknown_action"),
            ] as [(JSON, String)] {
                let before = try agent.records().count
                expectProblem(try await agent.send(.post, "/v1/policy/explain", body, by: .agent), 400, code)
                #expect(try agent.records().dropFirst(before).map { $0["kind"] } == ["refuse"])
            }
        }
    }

    @Test func `settings that a rule hides are not told by an explanation`() async throws {
        let blind: JSON = [
            "id": "blind", "effect": "deny",
            "match": ["actions": ["read_vm"], "vmids": [100], "principals": ["other-agent"]],
        ]
        let rules = JSON.array([blind] + (Self.rules.array ?? []))
        try await withAgent(TestPrincipals.setup(rules: rules)) { agent in
            let hidden = try await Self.explain(.stop, agent, by: .other)
            #expect(hidden["subjects"]?.array?.first == ["role": "target", "name": "vm/100"], "\(hidden)")
            #expect(hidden["subjects"]?.array?.allSatisfy { $0["tags"] == nil && $0["node"] == nil } == true)
            let why = try Self.rule("keep-ci", of: hidden)["why"]
            #expect(why == "`for delete_*` does not hold; the rest is hidden by rule:blind")
            #expect(!hidden.text.contains("web1"))
            let open = try await Self.explain(.stop, agent, by: .agent)
            #expect(open.text.contains("web1"))
        }
    }

    @Test func `the command line shows the decision, and the rules that match first`() async throws {
        try await withAgent(Person.setup(.simulated("cloud"), .simulated("home"), rules: Self.rules)) { agent in
            let shown = try await Person.agent.run(
                "policy", "explain", "cloud", "stop_vm", "vm/100", "--param", "timeout=30", "--reason", "new disk",
                at: agent)
            #expect(shown.status == 0, "\(shown)")
            let lines = shown.out.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            #expect(lines[0].hasPrefix("stop_vm vm/100 on cloud: needs "), "\(shown)")
            #expect(lines.contains { $0.hasPrefix("  target") && $0.contains("named web1 · on node pve2") }, "\(shown)")
            let rules = lines.filter { $0.hasPrefix("matches") || $0.hasPrefix("does not") }
            #expect(rules.count == 4 && rules[0].hasPrefix("matches   named: raise_risk (high)"), "\(shown)")
            #expect(shown.out.contains("`in home` does not hold"), "\(shown)")
            #expect(try agent.records().last?["request"]?["params"] == ["timeout": 30])

            let no = try await Person.alice.run("policy", "explain", "cloud", "stop_vm", "vm/100", at: agent)
            #expect(no.status == 1 && no.err.hasPrefix("forbidden: "), "\(no)")
            let dry = try await Person.alice.run(
                "policy", "explain", "cloud", "stop_vm", "vm/100", "--dry-run", at: agent)
            #expect(dry.status == 0 && dry.out.contains("named: raise_risk (high)"), "\(dry)")
            let wrong = try await Person.alice.run(
                "policy", "explain", "cloud", "stop_vm", "vm/100", "--param", "timeout", at: agent)
            #expect(wrong.status == 64 && wrong.err.contains("--param takes key=value"), "\(wrong)")
        }
    }

    // MARK: Reloading

    private static let admin = "token-of-admin-a41c-and-more"
    private static let localAdmin = "token-of-local-admin-a41c-and-more"

    /// With an administrator of all environments, and one of `home`.
    private static func setup(rules: JSON? = nil, settings: JSONObject = [:]) -> Setup {
        var setup = TestPrincipals.setup(rules: rules, settings: settings)
        let admins: [JSON] = [
            [
                "id": "admin", "roles": ["administrator"],
                "token_sha256": .string(CredentialDigest(of: admin.utf8).description),
            ],
            [
                "id": "local-admin", "roles": ["administrator"], "environments": ["home"],
                "token_sha256": .string(CredentialDigest(of: localAdmin.utf8).description),
            ],
        ]
        setup.settings["principals"] = .array((setup.settings["principals"]?.array ?? []) + admins)
        return setup
    }

    private static func reload(_ agent: ServedAgent, token: String? = admin) async throws -> Reply {
        try await agent.send(.post, "/v1/policy/reload", as: nil, token: token)
    }

    private static let wrong: JSON = [["id": "x", "effect": "deny", "actions": []]]
    private static let gauge = "proxmox_agent_policy_reload_failed"

    @Test func `a reload puts new rules in force, with a record that names the caller`() async throws {
        let agent = try await ServedAgent(Self.setup())
        let old = try await agent.send(.get, "/v1/policy", by: .watcher)["version"]
        let plan = try await agent.plan(.start, by: .agent)
        #expect(plan["state"] == "approved")

        let before = try agent.lines().count
        let same = try await Self.reload(agent)
        #expect(same.status == 200, "\(same)")
        #expect(same.json == ["version": old, "previous_version": old, "rules": 0, "changed": false])
        #expect(try agent.lines().count == before, "nothing has changed, so nothing is recorded")

        try agent.write(Self.setup(rules: [["id": "not-now", "effect": "deny", "reason": "moving house"]]))
        let changed = try await Self.reload(agent)
        let new = try await agent.send(.get, "/v1/policy", by: .watcher)["version"]
        #expect(changed.json == ["version": new, "previous_version": old, "rules": 1, "changed": true])
        #expect(new != old)
        let records = try agent.lines().dropFirst(before)
        #expect(records.map { $0["kind"] } == ["config"])
        let record = try #require(records.last)
        #expect(record["principal"] == "admin" && record["request_id"]?.string == changed.fields[.requestIDField])
        #expect(record["result"]?["status"] == "in_force" && record["result"]?["policy_version"] == new)

        // A plan that was approved under the older version is judged again.
        expectProblem(try await agent.apply(plan, by: .agent), 403, "policy_denied")
        #expect(agent.executed.isEmpty)
        #expect(try await agent.stop().status == 0)
    }

    @Test func `a reload takes the right to reload, everywhere`() async throws {
        let agent = try await ServedAgent(Self.setup())
        for token in [TestPrincipals.chief.token, TestPrincipals.auditor.token, Self.localAdmin] {
            expectProblem(try await Self.reload(agent, token: token), 403, "forbidden")
        }
        let refusals = try agent.records().filter { $0["kind"] == "refuse" }
        #expect(refusals.map { $0["principal"] } == ["chief", "auditor", "local-admin"])
        #expect(try await agent.send(.get, "/v1/inventory", as: nil, token: Self.admin).status == 200)
        #expect(try await agent.stop().status == 0)

        let shared = try await ServedAgent(Setup())
        #expect(try await Self.reload(shared, token: Setup.token)["changed"] == false)
        #expect(try await shared.stop().status == 0)
    }

    @Test(arguments: ["by route", "by SIGHUP"])
    func `a configuration with errors is refused, and says so until it is fixed`(way: String) async throws {
        let agent = try await ServedAgent(Self.setup(rules: Self.rules))
        func scrape() async throws -> Double? { try await agent.scrape()[Self.gauge] }
        func ready(_ token: String?) async throws -> Reply {
            try await agent.send(.get, "/readyz", as: nil, token: token)
        }
        let version = try await agent.send(.get, "/v1/policy", by: .watcher)["version"]
        #expect(try await scrape() == 0)
        let before = try agent.lines().count

        let wrong = Self.setup(rules: Self.wrong)
        let line = "policy.rules[0].actions: is empty"
        if way == "by route" {
            try agent.write(wrong)
            let refused = try await Self.reload(agent)
            expectProblem(refused, 422, "policy_invalid")
            #expect(refused["errors"]?.array?.count == 1)
            #expect(refused["errors"]?.array?[0]["detail"]?.string?.hasPrefix(line) == true, "\(refused)")
            _ = try await agent.program.line { $0.contains("not taken over: \(line)") }
        } else {
            try await agent.reload(wrong, until: "opened anew")
        }
        let records = try agent.lines().dropFirst(before)
        #expect(records.map { $0["kind"] } == ["config"])
        #expect(records.last?["principal"]?.string == (way == "by route" ? "admin" : "proxmox-agent"))
        let result = try #require(records.last?["result"])
        #expect(result["status"] == "refused" && result["policy_version"] == version)
        #expect(result["errors"]?.array?[0].string?.hasPrefix(line) == true, "\(result)")

        #expect(try await agent.send(.get, "/v1/policy", by: .watcher)["version"] == version)
        #expect(try await scrape() == 1)
        let anonymous = try await ready(nil)
        #expect(anonymous.status == 200 && anonymous["ok"] == true)
        #expect(anonymous["warnings"] == [["code": "policy_invalid"]], "\(anonymous)")
        let watcher = try await ready(TestPrincipals.watcher.token)["warnings"]?.array?.first
        #expect(watcher?["errors"] == nil && watcher?["detail"]?.string?.contains("not taken over at 20") == true)
        #expect(try await ready(Self.admin)["warnings"]?.array?.first?["errors"] == result["errors"])
        // A refused configuration is no event.
        let events = try await agent.send(.get, "/v1/audit?after=\(before)", by: .auditor)
        #expect(events["records"]?.array?.map { $0["kind"] } == ["config"])

        try agent.write(Self.setup(rules: Self.rules))
        #expect(try await Self.reload(agent)["changed"] == false)
        #expect(try await scrape() == 0)
        #expect(try await ready(nil)["warnings"] == nil)
        #expect(try agent.lines().count == before + 1)
        #expect(try await agent.stop().status == 0)
    }

    @Test func `a reload that cannot be recorded changes nothing`() async throws {
        let agent = try await ServedAgent(Self.setup())
        try agent.write(Self.setup(rules: [["id": "not-now", "effect": "deny"]]))
        #expect(chmod(agent.auditLog, 0o644) == 0)
        expectProblem(try await Self.reload(agent), 503, "audit_unavailable")
        #expect(chmod(agent.auditLog, 0o600) == 0)
        #expect(try await agent.send(.get, "/v1/policy", by: .watcher)["rules"] == [])
        #expect(try await agent.scrape()[Self.gauge] == 1)
        // As after every fault of the log, SIGHUP opens it anew; with it the rules are taken over.
        try await agent.reload(Self.setup(rules: [["id": "not-now", "effect": "deny"]]), until: "put in force")
        #expect(try await agent.send(.get, "/v1/policy", by: .watcher)["rules"]?.array?.count == 1)
        #expect(try await agent.stop().status == 0)
    }

    @Test func `reloads at once follow one another`() async throws {
        let agent = try await ServedAgent(Self.setup())
        try agent.write(Self.setup(rules: [["id": "not-now", "effect": "deny"]]))
        let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
            for _ in 0..<6 { group.addTask { try await Self.reload(agent) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.allSatisfy { $0.status == 200 })
        #expect(replies.count { $0["changed"] == true } == 1)
        #expect(try agent.records().count { $0["kind"] == "config" } == 1)
        #expect(try await agent.stop().status == 0)
    }
}
