import AgentTestSupport
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// What an approver looks at: plans that await them, the rules in force, and what was recorded.
@Suite(.timeLimit(.minutes(2)))
struct InboxTests {
    private static func awaiting(
        _ member: TestPrincipals, _ agent: RunningAgent, _ query: String = ""
    ) async throws -> [String] {
        let reply = try await agent.send(.get, "/v1/plans?awaiting=me\(query)", by: member)
        #expect(reply.status == 200, "\(reply)")
        return (reply["plans"]?.array ?? []).compactMap { $0["plan_id"]?.string }
    }

    @Test func `a plan awaits those who could approve it now`() async throws {
        let rules: JSON = [["id": "two", "effect": "require_approval", "approvals": 2]]
        try await withAgent(TestPrincipals.setup(rules: rules)) { agent in
            let plan = try await agent.plan(PlanRequest.stop, by: .chief)
            let id = try #require(plan["plan_id"]?.string)
            #expect(plan["state"] == "awaiting_approval")
            // Neither whoever asked, nor who may not approve there or anywhere.
            for member in TestPrincipals.allCases where member != .auditor {
                let expected = [.alice, .bob].contains(member) ? [id] : []
                #expect(try await Self.awaiting(member, agent) == expected, "\(member)")
            }
            #expect(try await agent.decide("approve", plan, by: .alice)["state"] == "awaiting_approval")
            #expect(try await Self.awaiting(.alice, agent).isEmpty)
            #expect(try await Self.awaiting(.bob, agent, "&environment=home").isEmpty)
            #expect(try await Self.awaiting(.bob, agent, "&environment=cloud") == [id])
            #expect(try await agent.decide("approve", plan, by: .bob)["state"] == "approved")
            #expect(try await Self.awaiting(.chief, agent).isEmpty)
            let wrong = try await agent.send(.get, "/v1/plans?awaiting=you", by: .alice)
            expectProblem(wrong, 400, "invalid_request")
        }
    }

    @Test func `pages of what awaits hold nothing twice and nothing else`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            var made: [String] = []
            for round in 0..<4 {
                let reply = try await agent.plan(PlanRequest.stop, by: round.isMultiple(of: 2) ? .chief : .agent)
                made.append(try #require(reply["plan_id"]?.string))
            }
            var (found, before): ([String], String?) = ([], nil)
            repeat {
                let next = before.map { "&before=\($0)" } ?? ""
                let page = try await agent.send(.get, "/v1/plans?awaiting=me&limit=1\(next)", by: .chief)
                found += (page["plans"]?.array ?? []).compactMap { $0["plan_id"]?.string }
                before = page["next"]?.string
            } while before != nil && found.count < 9
            #expect(found == [made[3], made[1]])
        }
    }

    @Test func `the rules are shown as far as they concern environments that the caller sees`() async throws {
        let rules: JSON = [
            [
                "id": "both", "effect": "deny", "environments": ["cloud", "home"], "reason": "no",
                "actions": ["delete_vm"],
            ],
            [
                "id": "cloud-only", "effect": "require_approval", "approvals": 2, "assurance": "signed",
                "environments": ["cloud"], "tags": ["prod"],
            ],
            ["id": "all", "effect": "deny", "targets": ["vm/101", "pool/x"], "principals": ["pi-agent"]],
        ]
        try await withAgent(TestPrincipals.setup(rules: rules)) { agent in
            let all = try await agent.send(.get, "/v1/policy", by: .watcher)
            #expect(all["version"]?.string?.contains("+rules@") == true)
            #expect(all["rules"]?.array?.map { $0["id"] } == ["all", "both", "cloud-only"])
            #expect(
                all["rules"]?.array?[2] == [
                    "id": "cloud-only", "effect": "require_approval", "approvals": 2, "assurance": "signed",
                    "environments": ["cloud"], "tags": ["prod"],
                    "match": ["environments": ["cloud"], "tags": ["prod"]],
                    "does": ["require": ["approvals": 2, "assurance": "signed"]],
                    "sentence": "cloud-only: require_approval (2, signed) in cloud tagged prod",
                ])
            let some = try await agent.send(.get, "/v1/policy", by: .local)
            #expect(some["rules"]?.array?.map { $0["id"] } == ["all", "both"])
            #expect(some["rules"]?.array?[1]["environments"] == ["home"])
            expectProblem(try await agent.send(.get, "/v1/policy", by: .auditor), 403, "forbidden")
        }
    }

    @Test func `audit records are found by kind, principal, plan and environment`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let plan = try await agent.plan(PlanRequest.stop, by: .agent)
            let id = try #require(plan["plan_id"]?.string)
            _ = try await agent.plan(PlanRequest.stop, by: .other)
            _ = try await agent.decide("approve", plan, by: .alice)
            func kinds(_ query: String) async throws -> [JSON?] {
                let reply = try await agent.send(.get, "/v1/audit?\(query)", by: .auditor)
                #expect(reply.status == 200 && reply["next"] == .null, "\(reply)")
                return (reply["records"]?.array ?? []).map { $0["kind"] }
            }
            #expect(try await kinds("plan_id=\(id)") == ["plan", "approve"])
            #expect(try await kinds("kind=plan") == ["plan", "plan"])
            #expect(try await kinds("kind=plan&principal=other-agent") == ["plan"])
            #expect(try await kinds("principal=alice") == ["approve"])
            #expect(try await kinds("environment=home").isEmpty)
            #expect(try await kinds("environment=cloud&limit=1000").count == 3)
            for query in ["kind=nonsense", "principal=", "principal=a%20b", "plan_id=x", "environment=a%20b"] {
                let wrong = try await agent.send(.get, "/v1/audit?\(query)", by: .auditor)
                expectProblem(wrong, 400, "invalid_request")
            }
        }
    }
}
