import AgentAudit
import HTTPTypes
import StrictJSON
import Testing

/// One asks, another approves, each under a token of their own.
@Suite(.timeLimit(.minutes(2)))
struct PrincipalFlowTests {
    @Test func `a change goes from a plan over the yes of another to its end`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.stop, by: .agent)
            #expect(plan["state"] == "awaiting_approval", "\(plan)")
            #expect(plan["requires"] == ["approvals": 1, "assurance": "verified"])
            let early = try await agent.apply(plan, by: .agent)
            expectProblem(early, 403, "approval_required")
            #expect(early["detail"]?.string?.contains("/approvals") == true, "the cure is named: \(early)")
            let declared: JSON = ["plan_id": plan["plan_id"] ?? .null, "approved_by": "alice"]
            expectProblem(
                try await agent.send(.post, "/v1/actions/apply", declared, by: .agent), 403, "approval_required")

            let approved = try await agent.decide("approve", plan, by: .alice)
            #expect(approved.status == 200 && approved["state"] == "approved", "\(approved)")
            let approval = try #require(approved["approvals"]?.array?.first)
            #expect(approval["approver"] == "alice" && approval["assurance"] == "verified")
            #expect(approval["reason"] == "looked at it")
            #expect(agent.executed.isEmpty, "an approval applies nothing")

            let applied = try await agent.apply(plan, by: .agent)
            #expect(applied["result"]?["status"] == "succeeded", "\(applied)")
            #expect(applied["operation"]?["approvals"]?.array?.first?["approver"] == "alice")
            #expect(try await agent.state(of: plan) == "applied")
            #expect(agent.executed.count == 1)
            let kinds = try agent.kinds(of: plan)
            #expect(kinds == ["plan", "refuse", "refuse", "approve", "apply_intent", "apply"])
            let record = try #require(try agent.records().first { $0["kind"] == "approve" })
            #expect(record["actor"] == "alice" && record["principal"] == "alice")
            #expect(record["result"]?["assurance"] == "verified" && record["result"]?["approvals"] == "1/1")
            #expect(record["result"]?["plan_hash"] == plan["plan_hash"])
        }
    }

    /// A word that does not count.
    struct Word: Sendable, CustomTestStringConvertible {
        var by = TestPrincipals.alice
        var word = "approve"
        var hash: JSON?
        let status: Int
        let code: String

        var testDescription: String { "\(by) says \(word): \(code)" }

        static let all = [
            Word(hash: .string(String(repeating: "0", count: 64)), status: 409, code: "plan_hash_mismatch"),
            Word(
                word: "reject", hash: .string(String(repeating: "f", count: 64)), status: 409,
                code: "plan_hash_mismatch"),
            Word(hash: "c90a51d2", status: 400, code: "invalid_request"),
            Word(hash: .null, status: 400, code: "invalid_request"),
            Word(word: "maybe", status: 400, code: "invalid_request"),
            Word(by: .agent, status: 403, code: "forbidden"),
            Word(by: .agent, word: "reject", status: 403, code: "forbidden"),
            Word(by: .watcher, status: 403, code: "forbidden"), Word(by: .auditor, status: 403, code: "forbidden"),
            Word(by: .local, status: 404, code: "plan_not_found"),
        ]
    }

    @Test(arguments: Word.all)
    func `a word that does not count is turned away and recorded, and the plan waits on`(word: Word) async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.stop, by: .agent)
            let before = try agent.records().count
            let reply = try await agent.decide(word.word, plan, hash: word.hash, by: word.by)
            expectProblem(reply, word.status, word.code)
            let new = try agent.records().dropFirst(before)
            #expect(new.map { $0["kind"] } == ["refuse"] && new.first?["principal"]?.string == word.by.rawValue)
            #expect(try await agent.state(of: plan) == "awaiting_approval")
            expectProblem(try await agent.apply(plan, by: .agent), 403, "approval_required")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `who asked does not approve, whatever their roles`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.stop, by: .chief)
            expectProblem(try await agent.decide("approve", plan, by: .chief), 403, "self_approval")
            #expect(try await agent.decide("approve", plan, by: .alice)["state"] == "approved")
            #expect(try await agent.apply(plan, by: .chief)["result"]?["status"] == "succeeded")
        }
    }

    @Test func `where two are asked for, two different ones have to say yes`() async throws {
        let rules: JSON = [["id": "two", "effect": "require_approval", "approvals": 2]]
        try await withAgent(TestPrincipals.setup(rules: rules)) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            #expect(
                plan["requires"]?["approvals"] == 2 && plan["decision"]?["rules"]?.text.contains("rule:two") == true)
            #expect(try await agent.decide("approve", plan, by: .alice)["state"] == "awaiting_approval")
            expectProblem(try await agent.decide("approve", plan, by: .alice), 409, "already_approved")
            expectProblem(try await agent.apply(plan, by: .agent), 403, "approval_required")
            #expect(try await agent.decide("approve", plan, by: .bob)["state"] == "approved")
            for member in [TestPrincipals.alice, .chief] {
                expectProblem(try await agent.decide("approve", plan, by: member), 409, "already_approved")
            }
            expectProblem(try await agent.decide("reject", plan, by: .alice), 409, "already_approved")
            #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
            #expect(agent.executed.count == 1)
        }
    }

    @Test func `a plan that was rejected stays so`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.stop, by: .agent)
            let rejected = try await agent.decide("reject", plan, by: .alice)
            #expect(rejected.status == 200 && rejected["state"] == "rejected", "\(rejected)")
            #expect(rejected["rejection"]?["approver"] == "alice" && rejected["ended_at"]?.string != nil)
            expectProblem(try await agent.decide("approve", plan, by: .bob), 409, "plan_rejected")
            expectProblem(try await agent.apply(plan, by: .agent), 409, "plan_rejected")
            let path = "/v1/plans/\(plan["plan_id"]?.string ?? "")"
            expectProblem(try await agent.send(.delete, path, by: .agent), 409, "plan_rejected")
            #expect(agent.executed.isEmpty)
            #expect(try agent.kinds(of: plan) == ["plan", "reject", "refuse", "refuse", "refuse"])
            let record = try #require(try agent.records().first { $0["kind"] == "reject" })
            #expect(record["actor"] == "alice" && record["result"]?["assurance"] == "verified")
        }
    }

    @Test func `the yes of somebody who lost the role does not count any more`() async throws {
        let agent = try await ServedAgent(TestPrincipals.setup())
        let plan = try await agent.plan(.stop, by: .agent)
        #expect(try await agent.decide("approve", plan, by: .alice)["state"] == "approved")
        try await agent.reload(
            TestPrincipals.setup(TestPrincipals.allCases.filter { $0 != .alice }), until: "put in force")
        expectProblem(try await agent.apply(plan, by: .agent), 403, "approval_required")
        #expect(try await agent.state(of: plan) == "awaiting_approval")
        #expect(agent.executed.isEmpty)
        #expect(try await agent.decide("approve", plan, by: .bob)["state"] == "approved")
        #expect(try await agent.apply(plan, by: .agent)["result"]?["status"] == "succeeded")
        #expect(try agent.kinds(of: plan) == ["plan", "approve", "refuse", "approve", "apply_intent", "apply"])
        #expect(try await agent.stop().status == 0)
    }

    @Test func `only who asked applies, and who asked or an approver cancels`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            for canceller in [TestPrincipals.agent, .alice] {
                let plan = try await agent.plan(.start, by: .agent)
                let path = "/v1/plans/\(plan["plan_id"]?.string ?? "")"
                for member in [TestPrincipals.other, .alice, .watcher] {
                    expectProblem(try await agent.apply(plan, by: member), 403, "forbidden")
                }
                let whole = try await agent.send(.post, "/v1/actions/apply", PlanRequest.start.json, by: .other)
                expectProblem(whole, 409, "plan_required")
                for member in [TestPrincipals.other, .watcher, .auditor] {
                    expectProblem(try await agent.send(.delete, path, by: member), 403, "forbidden")
                }
                #expect(try await agent.send(.delete, path, by: canceller)["state"] == "cancelled")
                expectProblem(try await agent.apply(plan, by: .agent), 409, "plan_cancelled")
            }
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `a viewer looks, dry runs too, and changes nothing`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(.start, by: .agent)
            for path in [
                "/v1/inventory?environment=cloud", "/v1/nodes?environment=cloud", "/v1/plans", "/v1/operations",
                "/v1/freeze", "/v1/plans/\(plan["plan_id"]?.string ?? "")",
            ] {
                let reply = try await agent.send(.get, path, by: .watcher)
                #expect(reply.status == 200, "\(path): \(reply)")
            }
            let dry = PlanRequest.start.with("dry_run", true)
            let run = try await agent.send(.post, "/v1/actions/apply", dry.json, by: .watcher)
            #expect(run["result"]?["status"] == "planned", "\(run)")
            #expect(try await agent.plan(dry, by: .watcher)["state"] == "approved")
            expectProblem(try await agent.plan(.start, by: .watcher), 403, "forbidden")
            for path in ["/v1/audit", "/v1/audit/head"] {
                expectProblem(try await agent.send(.get, path, by: .watcher), 403, "forbidden")
            }
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `an auditor reads the records page by page, as they stand in the log`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            for member in [TestPrincipals.agent, .other] { _ = try await agent.plan(.start, by: member) }
            _ = try await agent.plan(PlanRequest("start_vm", "vm/103", in: "home"), by: .agent)
            let lines = try agent.lines()
            var found: [JSON] = []
            var after: Int64? = 0
            while let seq = after {
                let page = try await agent.send(.get, "/v1/audit?after=\(seq)&limit=2", by: .auditor)
                #expect(page.status == 200 && (page["records"]?.array?.count ?? 9) <= 2, "\(page)")
                found += page["records"]?.array ?? []
                after = page["next"]?.integer
                if found.count > lines.count { break }
            }
            #expect(found == lines)
            #expect(Array(found.map { $0["seq"]?.integer ?? 0 }) == Array(1...Int64(lines.count)))
            let head = try await agent.send(.get, "/v1/audit/head", by: .auditor)
            #expect(head["seq"] == lines.last?["seq"] && head["hash"] == lines.last?["hash"], "\(head)")
            for path in ["/v1/plans", "/v1/inventory", "/v1/operations", "/v1/freeze"] {
                expectProblem(try await agent.send(.get, path, by: .auditor), 403, "forbidden")
            }
            for query in ["after=-1", "limit=0", "limit=1001", "before=3"] {
                let reply = try await agent.send(.get, "/v1/audit?\(query)", by: .auditor)
                expectProblem(reply, 400, "invalid_request")
            }
        }
    }

    @Test func `an auditor of one environment reads what is about it, and no more`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            _ = try await agent.plan(.start, by: .agent)
            _ = try await agent.plan(PlanRequest("start_vm", "vm/103", in: "home"), by: .agent)
            _ = try await agent.send(.get, "/v1/inventory", by: .agent)
            for limit in [1, 100] {
                let page = try await agent.send(.get, "/v1/audit?limit=\(limit)", by: .local)
                #expect(page["records"]?.array?.map { $0["environment"] } == ["home"], "\(page)")
            }
        }
    }
}
