import AgentTestSupport
import Glibc
import HTTPTypes
import StrictJSON
import Testing

/// A freeze: who sets and lifts it, what it stops, and when it ends.
@Suite(.timeLimit(.minutes(1)))
struct FreezeRouteTests {
    private func freeze(
        _ agent: some AgentUnderTest, _ body: JSON = ["reason": "moving house"], by member: TestPrincipals = .agent
    ) async throws -> Reply { try await agent.send(.post, "/v1/freeze", body, by: member) }

    private func freezes(_ agent: some AgentUnderTest, by member: TestPrincipals = .agent) async throws -> [JSON] {
        try await agent.send(.get, "/v1/freeze", by: member)["freezes"]?.array ?? []
    }

    private func lift(
        _ agent: some AgentUnderTest, _ query: String = "", by member: TestPrincipals = .alice
    ) async throws -> Reply {
        try await agent.send(.delete, "/v1/freeze\(query)", by: member)
    }

    @Test func `while it holds nothing starts, and all goes on when it is lifted`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            #expect(try await freezes(agent).isEmpty)
            let set = try await freeze(agent)
            #expect(set.status == 200, "\(set)")
            #expect(set["by"] == "pi-agent" && set["reason"] == "moving house" && set["environment"] == .null)
            #expect(set["ends_at"] == .null && set["set_at"]?.string != nil)
            #expect(try await freezes(agent, by: .watcher) == [set.json])

            let refused = try await agent.apply(plan, by: .agent)
            expectProblem(refused, 503, "frozen")
            #expect(refused.fields[.retryAfter] != nil)
            for word in ["pi-agent", "moving house"] {
                #expect(refused["detail"]?.string?.contains(word) == true, "\(refused)")
            }
            #expect(try await agent.state(of: plan) == "approved", "it lives on")
            #expect(try await agent.plan(.snapshot, by: .agent)["state"] == "approved", "planning changes nothing")
            let read = try await agent.send(.get, "/v1/inventory?environment=cloud", by: .agent)
            #expect(read.status == 200)
            let dry = try await agent.send(
                .post, "/v1/actions/apply", PlanRequest.start.with("dry_run", true).json, by: .agent)
            #expect(dry["result"]?["status"] == "planned", "\(dry)")
            #expect(agent.executed.isEmpty)

            expectProblem(try await lift(agent, by: .other), 403, "forbidden")
            let lifted = try await lift(agent)
            #expect(lifted.status == 200 && lifted["lifted"] == set.json, "\(lifted)")
            let nothing = try await lift(agent)
            #expect(nothing.status == 200 && nothing["lifted"] == .null, "\(nothing)")
            #expect(try await freezes(agent).isEmpty)
            #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
            let told = try agent.records().filter { ["freeze", "unfreeze"].contains($0["kind"]) }
            #expect(told.map { $0["kind"] } == ["freeze", "unfreeze"])
            #expect(told.map { $0["principal"] } == ["pi-agent", "alice"])
            #expect(told[0]["result"]?["reason"] == "moving house")
        }
    }

    @Test func `one of an environment leaves the others alone, and a caller's new one replaces the old one`()
        async throws
    {
        try await withAgent(TestPrincipals.setup()) { agent in
            for reason in ["disks", "more disks"] {
                let set = try await freeze(agent, ["environment": "cloud", "reason": .string(reason)], by: .bob)
                #expect(set["environment"] == "cloud", "\(set)")
            }
            #expect(try await freezes(agent).map { $0["reason"] } == ["more disks"])
            #expect(try await freezes(agent, by: .local).isEmpty, "of what one does not see nothing is told")
            expectProblem(try await agent.apply(agent.plan(.start, by: .agent), by: .agent), 503, "frozen")
            let home = try await agent.plan(PlanRequest("start_vm", "vm/103", in: "home"), by: .agent)
            #expect(try await agent.apply(home, by: .agent)["result"]?["status"] == "succeeded")
            #expect(try await lift(agent)["lifted"] == .null, "the global one is another")
            #expect(try await lift(agent, "?environment=cloud")["lifted"]?["reason"] == "more disks")
            #expect(try await freezes(agent).isEmpty)
        }
    }

    @Test func `freezes of several callers add up, and each is lifted by its id or by whose it is`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let own = try await freeze(agent, ["environment": "cloud", "reason": "disks"], by: .alice)
            let brief = try await freeze(agent, ["environment": "cloud", "reason": "a moment", "ttl": 1], by: .agent)
            #expect(try await freezes(agent) == [own.json, brief.json])
            let plan = try await agent.plan(.start, by: .agent)
            let deadline = ContinuousClock.now + .seconds(20)
            while try await freezes(agent).count > 1, ContinuousClock.now < deadline {}
            expectProblem(try await agent.apply(plan, by: .agent), 503, "frozen")
            #expect(try await freezes(agent) == [own.json], "an operator's second took nothing from an approver's")

            let third = try await freeze(agent, ["environment": "cloud", "reason": "mine", "ttl": 900], by: .agent)
            let which = try await lift(agent, "?environment=cloud")
            expectProblem(which, 400, "invalid_request")
            for id in [own["id"], third["id"]] {
                #expect(which["detail"]?.string?.contains(id?.string ?? "?") == true, "\(which)")
            }
            let others = try await lift(agent, "?id=\(own["id"]?.string ?? "")", by: .agent)
            expectProblem(others, 403, "forbidden")
            expectProblem(try await lift(agent, "?environment=cloud&by=alice", by: .agent), 403, "forbidden")
            expectProblem(try await lift(agent, "?id=frz_00000000000000000000"), 404, "not_found")
            let both = try await lift(agent, "?id=\(own["id"]?.string ?? "")&environment=cloud")
            expectProblem(both, 400, "invalid_request")
            let ended = try await lift(agent, "?environment=cloud", by: .agent)
            #expect(ended["lifted"] == third.json, "one's own is the only one that one may lift")
            #expect(ended["freezes"] == [own.json], "and what still holds is said")
            #expect(try await lift(agent, "?environment=cloud&by=alice", by: .bob)["lifted"] == own.json)
            #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
        }
    }

    /// Who asks for what, and what they hear.
    struct Ask: Sendable, CustomTestStringConvertible {
        let by: TestPrincipals
        var method = HTTPRequest.Method.post
        var environment: String?
        let code: String?

        var testDescription: String { "\(by) \(method) \(environment ?? "everywhere")" }

        static let all = [
            Ask(by: .agent, code: nil), Ask(by: .alice, code: nil), Ask(by: .watcher, code: "forbidden"),
            Ask(by: .auditor, code: "forbidden"), Ask(by: .local, code: "forbidden"),
            Ask(by: .local, environment: "home", code: nil),
            Ask(by: .local, environment: "cloud", code: "unknown_environment"),
            Ask(by: .agent, method: .delete, code: nil), Ask(by: .alice, method: .delete, code: nil),
            Ask(by: .watcher, method: .delete, code: "forbidden"),
            Ask(by: .auditor, method: .delete, code: "forbidden"),
            Ask(by: .local, method: .delete, code: "forbidden"),
            Ask(by: .local, method: .delete, environment: "home", code: nil),
            Ask(by: .local, method: .delete, environment: "cloud", code: "unknown_environment"),
        ]
    }

    @Test(arguments: Ask.all)
    func `operators and approvers set one, approvers lift it, and everywhere takes a principal without a limit`(
        ask: Ask
    ) async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let reply =
                ask.method == .post
                ? try await freeze(
                    agent, ["environment": ask.environment.map { .string($0) }, "reason": "why"], by: ask.by)
                : try await lift(agent, ask.environment.map { "?environment=\($0)" } ?? "", by: ask.by)
            guard let code = ask.code else { return #expect(reply.status == 200, "\(reply)") }
            expectProblem(reply, code == "forbidden" ? 403 : 400, code)
            let record = try #require(try agent.records().last)
            #expect(record["kind"] == "refuse" && record["principal"]?.string == ask.by.rawValue)
            #expect(try await freezes(agent).isEmpty)
        }
    }

    @Test(
        arguments: [
            ([:], "/reason"), (["reason": ""], "/reason"), (["reason": 1], "/reason"),
            (["reason": "x", "ttl": 0], "/ttl"), (["reason": "x", "ttl": -1], "/ttl"),
            (["reason": "x", "ttl": 2_592_001], "/ttl"), (["reason": "x", "ttl": "60"], "/ttl"),
            (["reason": "x", "until": "tomorrow"], "/until"), (["reason": "x", "environment": 7], "/environment"),
        ] as [(JSON, String)])
    func `a word of another form freezes nothing`(body: JSON, pointer: String) async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let reply = try await freeze(agent, body)
            expectProblem(reply, 400, "invalid_request")
            #expect(reply["errors"]?.array?.first?["pointer"]?.string == pointer, "\(reply)")
            #expect(try await freezes(agent).isEmpty)
        }
    }

    @Test func `one with an end is over by itself, but not because the clock is set forward`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            let start = ContinuousClock.now
            let set = try await freeze(agent, ["reason": "for a moment", "ttl": 2])
            #expect(set["ends_at"]?.string != nil, "\(set)")
            agent.clock.advance(seconds: 50)
            let early = try await agent.apply(plan, by: .agent)
            // On a machine so slow that its time was over by then, this tells nothing.
            if ContinuousClock.now < start + .seconds(2) { expectProblem(early, 503, "frozen") }
            let deadline = start + .seconds(30)
            while try await !freezes(agent).isEmpty, ContinuousClock.now < deadline {}
            #expect(ContinuousClock.now >= start + .seconds(2))
            #expect(try await freezes(agent).isEmpty)
            #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
        }
    }

    @Test func `a file does the same, and only its removal ends it`() async throws {
        let place = try TemporaryDirectory()
        let file = "\(place.path)/freeze"
        try await withAgent(TestPrincipals.setup(settings: ["freeze_path": .string(file)])) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            try write("", to: file)
            expectProblem(try await agent.apply(plan, by: .agent), 503, "frozen")
            let held = try await freezes(agent)
            #expect(held.map { $0["by"] } == ["file"] && held.first?["reason"]?.string?.contains(file) == true)
            #expect(try await lift(agent)["lifted"] == .null)
            expectProblem(try await agent.apply(plan, by: .agent), 503, "frozen")
            #expect(agent.executed.isEmpty)
            #expect(unlink(file) == 0)
            // A link to nothing is there as well.
            #expect(symlink("/nowhere", file) == 0)
            expectProblem(try await agent.apply(plan, by: .agent), 503, "frozen")
            #expect(unlink(file) == 0)
            #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
        }
    }

    @Test func `it holds through a kill`() async throws {
        let agent = try CrashableAgent(TestPrincipals.setup())
        try await agent.start()
        let plan = try await agent.plan(.start, by: .agent)
        let set = try await freeze(agent, ["reason": "moving house", "ttl": 3600])
        try await agent.die()
        try await agent.start()
        #expect(try await freezes(agent) == [set.json])
        expectProblem(try await agent.apply(plan, by: .agent), 503, "frozen")
        #expect(try await lift(agent)["lifted"] == set.json)
        #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
        #expect(agent.executed.count == 1)
        try await agent.stop()
    }
}
