import AgentAPI
import AgentAudit
import AgentModel
import AgentStorage
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// Callers with tokens of their own: who gets in, who waits, and how that changes while the agent runs.
@Suite(.timeLimit(.minutes(2)))
struct CallerTests {
    private static let alice = "token-of-alice-a41c-and-more"
    private static let agent = "token-of-agent-5b7e-and-more"
    private static let other = "token-of-agent-9d20-and-more"

    private static func principal(_ id: String, _ token: String, _ roles: JSON, in environments: JSON? = nil) -> JSON {
        [
            "id": .string(id), "token_sha256": .string(CredentialDigest(of: token.utf8).description), "roles": roles,
            "environments": environments,
        ]
    }

    /// A set-up with these principals, and no shared token.
    private static func setup(_ principals: JSON..., rules: JSON? = nil, limits: JSON? = nil) -> Setup {
        var setup = Setup(
            .simulated("cloud"),
            settings: [
                "principals": .array(principals), "policy": rules.map { ["rules": $0] }, "limits": limits,
            ])
        setup.token = nil
        return setup
    }

    @Test func `each caller is known by the token, whatever label is sent along`() async throws {
        let setup = Self.setup(
            Self.principal("alice", Self.alice, ["approver"]), Self.principal("pi-agent", Self.agent, ["operator"]))
        try await withAgent(setup) { agent in
            let plan = try await agent.send(
                .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, as: "alice", token: Self.agent)
            #expect(plan.status == 200, "\(plan)")
            let record = try #require(try agent.records().last)
            #expect(record["actor"] == "pi-agent" && record["principal"] == "pi-agent")
            #expect(record["label"] == "alice")
            for (token, status) in [(Self.alice, 200), (Self.agent, 200), (Self.other, 401), (Setup.token, 401)] {
                #expect(try await agent.send(.get, "/v1/environments", token: token).status == status)
            }
            let label = try await agent.send(
                .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, as: "a b", token: Self.agent)
            expectProblem(label, 400, "invalid_request")
            let refusal = try #require(try agent.records().last)
            #expect(refusal["kind"] == "refuse" && refusal["principal"] == "pi-agent")
        }
    }

    @Test func `while wrong tokens wait, a valid one from the same address does not, and more are turned away`()
        async throws
    {
        let setup = Self.setup(
            Self.principal("pi-agent", Self.agent, ["operator"]), limits: ["auth_delay_ms": 10_000])
        let agent = try await RunningAgent(setup)
        let clients = try [Client(of: agent.address), Client(of: agent.address)]
        let wrong = OutgoingRequest(
            method: .get, target: "/v1/plans", fields: [.authorization: "Bearer \(Self.other)"], body: nil,
            once: false, timeout: .seconds(60))
        try await withThrowingTaskGroup(of: Reply.self) { group in
            for number in 0...AuthFailures.maximumWaits {
                group.addTask { try await clients[number % 2].send(wrong) }
            }
            let first = try #require(try await group.next())
            expectProblem(first, 429, "rate_limited")
            #expect(first.fields[.retryAfter] != nil)
            for path in ["/v1/environments", "/readyz", "/healthz"] {
                let honest = try await agent.send(.get, path, token: Self.agent)
                #expect(honest.status == 200, "\(honest)")
            }
            #expect(try await agent.send(.get, "/healthz", token: nil).status == 200)
            expectProblem(try await agent.send(.get, "/readyz", token: Self.other), 429, "rate_limited")
            await agent.stop()
            for try await reply in group { expectProblem(reply, 401, "unauthenticated") }
        }
        for client in clients { await client.stop() }
        let failed = try agent.records().filter { $0["kind"] == "auth_failures" }
        let counts = failed.compactMap { $0["result"]?["count"]?.integer }
        #expect(counts.reduce(0, +) == Int64(AuthFailures.maximumWaits + 2))
        #expect(failed.allSatisfy { $0["result"]?["source"] == "127.0.0.1" })
    }

    @Test func `after SIGHUP the new tokens and rules count, and the old ones do not`() async throws {
        let agent = try await ServedAgent(
            Self.setup(
                Self.principal("alice", Self.alice, ["approver"]), Self.principal("pi-agent", Self.agent, ["operator"]))
        )
        func status(_ token: String) async throws -> Int {
            try await agent.send(.get, "/v1/environments", token: token).status
        }
        func plan(_ token: String) async throws -> Reply {
            try await agent.send(.post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, token: token)
        }
        #expect(try await plan(Self.agent)["decision"]?["allowed"] == true)

        let rules: JSON = [["id": "not-now", "effect": "deny", "reason": "moving house"]]
        try await agent.reload(
            Self.setup(Self.principal("pi-agent", Self.other, ["operator"]), rules: rules), until: "put in force")
        #expect(try await status(Self.alice) == 401)
        #expect(try await status(Self.agent) == 401)
        #expect(try await status(Self.other) == 200)
        let denied = try await plan(Self.other)
        #expect(denied["decision"]?["allowed"] == false)
        #expect(denied["decision"]?["reason"] == "moving house")

        let record = try #require(try agent.records().first { $0["kind"] == "config" })
        #expect(record["actor"] == "proxmox-agent")
        #expect(record["result"]?["principals"] == 1 && record["result"]?["rules"] == 1)
        #expect(record["result"]?["policy_version"]?.string?.contains("+rules@") == true)
        #expect(record["result"]?["principals_digest"]?.string?.utf8.count == 64)
        #expect(!record.text.contains("\(CredentialDigest(of: Self.other.utf8))"))

        let end = try await agent.stop()
        #expect(end.status == 0, "\(end)")
        for token in [Self.alice, Self.agent, Self.other] { #expect(!"\(end)".contains(token)) }
        #expect(try AuditVerifier.verify(files: [agent.auditLog]).records > 0)
    }

    @Test func `a file that is wrong changes nothing and is told line by line`() async throws {
        let good = Self.setup(Self.principal("pi-agent", Self.agent, ["operator"]))
        let agent = try await ServedAgent(good)
        let wrong = Self.setup(
            Self.principal("pi-agent", Self.other, ["boss"]),
            rules: [["id": "x", "effect": "deny", "actions": []]])
        try await agent.reload(wrong, until: "not taken over: policy.rules[0].actions: is empty")
        _ = try await agent.program.line { $0.contains("not taken over: principals[0].roles[0]: expected one of") }
        #expect(try await agent.send(.get, "/v1/environments", token: Self.agent).status == 200)
        #expect(try await agent.send(.get, "/v1/environments", token: Self.other).status == 401)
        func configs() throws -> [JSON?] {
            try agent.records().filter { $0["kind"] == "config" }.map { $0["result"]?["status"] }
        }
        #expect(try configs() == ["refused"])

        // The same as before is nothing new, whatever was tried in between.
        try await agent.reload(good, until: "callers and rules are as they were")
        #expect(try configs() == ["refused"])
        #expect(try await agent.stop().status == 0)
    }

    @Test func `what needs a restart is named, and does not keep the rest`() async throws {
        let agent = try await ServedAgent(Self.setup(Self.principal("pi-agent", Self.agent, ["operator"])))
        var new = Self.setup(
            Self.principal("pi-agent", Self.agent, ["operator"]), Self.principal("alice", Self.alice, ["approver"]),
            limits: ["threads": 1])
        new.environments[0].settings = ["timeout_ms": 1234]
        new.environments.append(.simulated("home", settings: ["base_url": "simulator://home"]))
        try await agent.reload(
            new, until: "changed but needs a restart: environments[0].timeout_ms, environments[1], limits.threads")
        _ = try await agent.program.line { $0.contains("put in force") }
        #expect(try await agent.send(.get, "/v1/environments", token: Self.alice).status == 200)
        #expect(try await agent.stop().status == 0)
    }

    @Test func `a token in a file is read again`() async throws {
        let place = try ConfigFile()
        let token = "\(place.directory)/token"
        try write(Self.agent, to: token)
        let setup = Self.setup(["id": "pi-agent", "token_file": .string(token), "roles": ["operator"]])
        try await withAgent(setup) { agent in
            func status(_ token: String) async throws -> Int {
                try await agent.send(.get, "/v1/environments", token: token).status
            }
            let document = setup.document(auditLog: agent.auditLog, addresses: agent.datacenter.addresses)
            let config = try place.write(try #require(document.object))
            #expect(try await status(Self.agent) == 200)
            try write(Self.other + "\n", to: token)
            #expect(try await status(Self.other) == 401)
            await agent.agent.reload(config, variables: setup.variables())
            #expect(try await status(Self.other) == 200)
            #expect(try await status(Self.agent) == 401)
            try write("too-short", to: token)
            await agent.agent.reload(config, variables: setup.variables())
            #expect(try await status(Self.other) == 200)
        }
    }

    @Test func `an approver with a new token is no second person`() async throws {
        let place = try ConfigFile()
        let rules: JSON = [["id": "two", "effect": "require_approval", "approvals": 2]]
        func setup(_ token: String, _ id: String) -> Setup {
            Self.setup(
                Self.principal("pi-agent", Self.agent, ["operator"]), Self.principal(id, token, ["approver"]),
                Self.principal("bob", "token-of-bob-77f1-and-more", ["approver"]), rules: rules)
        }
        try await withAgent(setup(Self.alice, "alice")) { agent in
            let plan = try await agent.send(
                .post, "/v1/actions/plan", body: PlanRequest.stop.json.bytes, token: Self.agent)
            let id = try #require(plan["plan_id"]?.string, "\(plan)")
            let word: JSON = ["decision": "approve", "plan_hash": plan["plan_hash"]]
            func approve(_ token: String) async throws -> Reply {
                try await agent.send(.post, "/v1/plans/\(id)/approvals", body: word.bytes, token: token)
            }
            #expect(try await approve(Self.alice)["state"] == "awaiting_approval")
            for name in ["alice", "Alice"] {
                let next = setup(Self.other, name)
                let document = next.document(auditLog: agent.auditLog, addresses: agent.datacenter.addresses)
                let config = try place.write(try #require(document.object))
                await agent.agent.reload(config, variables: next.variables())
                #expect(try await approve(Self.alice).status == 401)
                expectProblem(try await approve(Self.other), 409, "already_approved")
            }
        }
    }

    @Test func `what cannot be recorded is not put in force`() async throws {
        let agent = try await RunningAgent(Self.setup(Self.principal("pi-agent", Self.agent, ["operator"])))
        let place = try ConfigFile()
        let new = Self.setup(Self.principal("pi-agent", Self.other, ["operator"]))
        let file = "\(place.directory)/config.json"
        try write(new.document(auditLog: agent.auditLog, addresses: agent.datacenter.addresses).text, to: file)
        #expect(chmod(agent.auditLog, 0o644) == 0)
        await agent.agent.reload(file, variables: new.variables())
        #expect(agent.log.lines.contains { $0.contains("cannot be recorded") })
        #expect(try await agent.send(.get, "/v1/environments", token: Self.agent).status == 200)
        #expect(try await agent.send(.get, "/v1/environments", token: Self.other).status == 401)
        #expect(chmod(agent.auditLog, 0o600) == 0)
        await agent.agent.reload(file, variables: new.variables())
        #expect(try await agent.send(.get, "/v1/environments", token: Self.agent).status == 401)
        #expect(try await agent.send(.get, "/v1/environments", token: Self.other).status == 200)
        await agent.stop()
    }
}
