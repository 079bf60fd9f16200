import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// Whose yes counts, for what, and for how long.
@Suite(.timeLimit(.minutes(1)))
struct ApproveTests {
    @Test func `another principal's yes to this hash lets the plan be applied`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(plan.requires == Requirement(approvals: 1, assurance: .verified))
        #expect(await world.applyCode(plan) == .approvalRequired)
        let approved = try await world.decide(plan, .approve, by: TestPrincipals.alice)
        #expect(approved.state == .approved)
        #expect(approved.approvals.map(\.approver) == ["alice"])
        #expect(approved.approvals.first?.assurance == .verified)
        #expect(approved.planHash == plan.planHash)
        #expect(await world.applyCode(plan) == nil)
        #expect(world.audit.kinds == [.plan, .refuse, .approve, .applyIntent, .apply])
    }

    @Test(arguments: [
        (TestPrincipals.agent, ErrorCode.forbidden), (TestPrincipals.watcher, .forbidden),
        (TestPrincipals.auditor, .planNotFound),
        (TestPrincipals.stranger, .planNotFound),
    ])
    func `who may not approve does not`(who: Principal, code: ErrorCode) async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        for verdict in [ApprovalRequest.Verdict.approve, .reject] {
            #expect(await world.code(plan, verdict, by: who) == code)
        }
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.audit.kinds == [.plan, .refuse, .refuse])
    }

    @Test func `nobody approves their own plan, whatever roles they have and however they call themselves`()
        async throws
    {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.chief, label: "somebody-else"))
        #expect(await world.code(plan, by: TestPrincipals.chief) == .selfApproval)
        #expect(await world.applyCode(plan, by: TestPrincipals.chief, approvedBy: "alice") == .approvalRequired)
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        #expect(await world.applyCode(plan, by: TestPrincipals.chief) == nil)
    }

    @Test func `a name in the body is no approval where principals have tokens`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.applyCode(plan, approvedBy: "alice") == .approvalRequired)
        #expect(world.pve.changes.isEmpty)
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test(arguments: ["alice", "ALICE", "operator"])
    func `a name declared after the rules were tightened may not be the requester's either`(name: String) async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        world.service.access.replace(Rules(policy: Policy(rules: [PolicyRule(id: "ask", effect: .requireApproval)])))
        let early = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(early?.code == .approvalRequired)
        var code: ErrorCode?
        do throws(ServiceError) { try await world.apply(plan, approvedBy: name) } catch { code = error.code }
        #expect(code == .selfApproval)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `with another token, or in another case, an approver is the same person`() async throws {
        let two = PolicyRule(id: "two", effect: .requireApproval, approvals: 2)
        let world = try TestService(team: TestPrincipals.rules([two]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        // Tokens are no part of what an approval is: who comes with a new one has the same id.
        let renamed = Principal(id: "Alice", roles: [.approver])
        let requester = Principal(id: "PI-Agent", roles: [.operator, .approver])
        let others = TestPrincipals.all.filter { ![TestPrincipals.alice, TestPrincipals.agent].contains($0) }
        world.service.access.replace(
            Rules(directory: Directory(others + [renamed, requester]), policy: Policy(rules: [two])))
        #expect(await world.code(plan, by: renamed) == .alreadyApproved)
        #expect(await world.code(plan, by: requester) == .selfApproval)
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test(arguments: ["proxmox-agent", "Proxmox-Agent", "anonymous", "unauthenticated", "file"])
    func `a name that records give to the agent approves nothing`(name: String) async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        let refused = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, approvedBy: name)
        }
        #expect(refused?.code == .forbidden)
        let whole: JSONObject = [
            "environment": "home", "action": "stop_vm", "target": "vm/101", "approved_by": .string(name),
        ]
        #expect(throws: RequestError.self) { try ActionRequest(parsing: whole) }
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `a yes to another hash counts for nothing`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let other = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.code(plan, by: TestPrincipals.alice, hash: other.planHash) == .planHashMismatch)
        #expect(await world.code(plan, .reject, by: TestPrincipals.alice, hash: other.planHash) == .planHashMismatch)
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test func `one word each, and none after the last`() async throws {
        let two = PolicyRule(id: "two", effect: .requireApproval, approvals: 2)
        let world = try TestService(team: TestPrincipals.rules([two]))
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(plan.requires.approvals == 2)
        #expect(plan.decision.rules.contains("rule:two"))
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        #expect(await world.code(plan, by: TestPrincipals.alice) == .alreadyApproved)
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.code(plan, by: TestPrincipals.bob) == nil)
        #expect(await world.code(plan, by: TestPrincipals.chief) == .alreadyApproved)
        #expect(await world.code(plan, .reject, by: TestPrincipals.chief) == .alreadyApproved)
        #expect(await world.applyCode(plan) == nil)
        #expect(await world.code(plan, by: TestPrincipals.chief) == .planConsumed)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a no ends the plan`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let rejected = try await world.decide(plan, .reject, by: TestPrincipals.alice)
        #expect(rejected.state == .rejected)
        #expect(rejected.standing.rejection?.approver == "alice")
        #expect(rejected.standing.rejection?.reason == "looked at it")
        #expect(await world.applyCode(plan) == .planRejected)
        for who in [TestPrincipals.alice, TestPrincipals.bob] {
            #expect(await world.code(plan, by: who) == .planRejected)
        }
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `words come too late for a plan that expired, was cancelled or denied, or needs none`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let expired = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        world.clock.move(by: 3601)
        #expect(await world.code(expired, by: TestPrincipals.alice) == .planExpired)
        let cancelled = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        _ = try await world.service.workflow.cancelPlan(cancelled.id, .by(TestPrincipals.alice))
        #expect(await world.code(cancelled, by: TestPrincipals.alice) == .planCancelled)
        let denied = try await world.plan(.deleteVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.code(denied, by: TestPrincipals.alice) == .policyDenied)
        let free = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(await world.code(free, by: TestPrincipals.alice) == .alreadyApproved)
        #expect(
            await world.code(Plan.sample(try .sample(.startVM, "vm/102"), number: 99), by: TestPrincipals.alice)
                == .planNotFound)
    }

    @Test func `an approver who lost the role has not approved`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        world.service.access.replace(TestPrincipals.rules(without: TestPrincipals.alice))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.pve.changes.isEmpty)
        #expect(await world.code(plan, by: TestPrincipals.bob) == nil)
        #expect(await world.applyCode(plan) == nil)
        #expect(world.audit.kinds == [.plan, .approve, .refuse, .approve, .applyIntent, .apply])
    }

    @Test func `the role is looked at again when a queued change has its turn`() async throws {
        let entered = Gate()
        let gate = Gate()
        let world = try TestService(team: TestPrincipals.rules()) { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let first = try await world.plan(.startVM, "vm/101", as: .by(TestPrincipals.agent))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        let running = try await world.apply(first, wait: .zero, as: .by(TestPrincipals.agent))
        await entered.wait()
        let queued = try await world.apply(plan, wait: nil, as: .by(TestPrincipals.agent))
        #expect(queued.state == .queued)
        world.service.access.replace(TestPrincipals.rules(without: TestPrincipals.alice))
        gate.open()
        _ = try await world.service.operations.operation(running.id, .by(TestPrincipals.agent), wait: .seconds(30))
        let ended = try await world.service.operations.operation(
            queued.id, .by(TestPrincipals.agent), wait: .seconds(30))
        #expect(ended.state == .failed)
        #expect(ended.code == ErrorCode.approvalRequired.rawValue)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a requester who lost the role applies nothing`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        world.service.access.replace(TestPrincipals.rules(without: TestPrincipals.agent))
        #expect(await world.applyCode(plan) == .forbidden)
        #expect(try await world.state(of: plan) == .approved)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `a rule that came later asks for its approvals all the same`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(plan.state == .approved)
        world.service.access.replace(
            TestPrincipals.rules([PolicyRule(id: "late", effect: .requireApproval, approvals: 2)]))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.code(plan, by: TestPrincipals.bob) == nil)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `a rule that came later takes no yes of the requester's own, and none twice`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        world.service.access.replace(
            Rules(policy: Policy(rules: [.init(id: "late", effect: .requireApproval, approvals: 2)])))
        func code(_ approvedBy: String?) async -> ErrorCode? {
            do throws(ServiceError) { try await world.apply(plan, approvedBy: approvedBy) } catch { return error.code }
            return nil
        }
        #expect(await code(nil) == .approvalRequired)
        #expect(await code("Alice") == .selfApproval)
        #expect(await code("bob") == .approvalRequired)
        #expect(try await world.state(of: plan) == .awaitingApproval, "one of two")
        #expect(await code("Bob") == .alreadyApproved)
        #expect(world.pve.changes.isEmpty)
        #expect(await code("carol") == nil)
        #expect(
            world.audit.kinds == [.plan] + [.refuse, .refuse, .approve, .refuse, .refuse] + [
                .approve, .applyIntent, .apply,
            ])
    }

    @Test func `a rule that came later takes no name in the body where principals have tokens`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        world.service.access.replace(TestPrincipals.rules([PolicyRule(id: "late", effect: .requireApproval)]))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.applyCode(plan, approvedBy: "alice") == .approvalRequired)
        #expect(world.audit.kinds == [.plan, .refuse, .refuse], "nobody approved anything")
        #expect(try await world.store.read { $0.operations(OperationFilter()) }.isEmpty)
    }

    @Test func `an approved plan has as many approvals as the rules ask for by now`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        world.service.access.replace(
            TestPrincipals.rules([PolicyRule(id: "late", effect: .requireApproval, approvals: 2)]))
        #expect(try await world.decide(plan, .approve, by: TestPrincipals.alice).state == .awaitingApproval)
        #expect(try await world.decide(plan, .approve, by: TestPrincipals.bob).state == .approved)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `a rule that denies later denies`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        world.service.access.replace(
            TestPrincipals.rules([PolicyRule(id: "stop", effect: .deny, reason: "not this week")]))
        #expect(await world.applyCode(plan) == .policyDenied)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `only who asked applies; requester and approvers cancel`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(await world.applyCode(plan, by: TestPrincipals.chief) == .forbidden)
        #expect(await world.applyCode(plan, by: TestPrincipals.watcher) == .forbidden)
        #expect(await world.applyCode(plan, by: TestPrincipals.stranger) == .planNotFound)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.workflow.cancelPlan(plan.id, .by(TestPrincipals.watcher))
        }
        #expect(refused?.code == .forbidden)
        #expect(
            try await world.service.workflow.cancelPlan(plan.id, .by(TestPrincipals.agent, label: "later")).state
                == .cancelled)
        let other = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(try await world.service.workflow.cancelPlan(other.id, .by(TestPrincipals.bob)).state == .cancelled)
    }

    @Test func `a viewer reads and tries, and changes nothing`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        #expect(
            try await world.plan(.stopVM, "vm/101", dryRun: true, as: .by(TestPrincipals.watcher)).state == .approved)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.watcher))
        }
        #expect(refused?.code == .forbidden)
        let unseen = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.stranger))
        }
        #expect(unseen?.code == .unknownEnvironment)
        #expect(unseen?.detail.contains("home,") == false)
    }

    @Test func `the shared token's holder may say no, and its yes is worth nothing here`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        #expect(await world.code(plan, by: .shared) == .forbidden)
        #expect(await world.code(plan, .reject, by: .shared) == nil)
        #expect(try await world.state(of: plan) == .rejected)
    }

    @Test func `of many who race to approve, reject, expire and apply, one order is kept and one change sent`()
        async throws
    {
        for round in 0..<20 {
            let world = try TestService(team: TestPrincipals.rules())
            let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
            await withTaskGroup(of: Void.self) { group in
                for who in [TestPrincipals.alice, TestPrincipals.bob, TestPrincipals.chief] {
                    group.addTask { _ = await world.code(plan, round % 3 == 0 ? .reject : .approve, by: who) }
                }
                for _ in 0..<4 { group.addTask { _ = await world.applyCode(plan) } }
                group.addTask { if round % 2 == 0 { world.clock.move(by: 3601) } }
                group.addTask { try? await world.service.workflow.expireDue() }
            }
            let state = try await world.state(of: plan)
            #expect(world.pve.changes.count == (state == .applied ? 1 : 0))
            #expect(try world.audit.isTrue(of: plan.id, state), "round \(round): \(world.audit.kinds), \(state as Any)")
        }
    }
}

extension FlakyAuditSink {
    /// Whether the records of a plan tell the story that ends in `state`: each transition once, at most.
    func isTrue(of plan: RecordID, _ state: PlanState?) throws -> Bool {
        let own = events.filter { $0.planID == plan.description }
        let voided = own.filter { $0.kind == .void }.count
        func count(_ kind: AuditKind) -> Int { own.count { $0.kind == kind } }
        guard count(.apply) + count(.reject) + count(.expire) + count(.cancel) - voided <= 1 else { return false }
        switch state {
        case .applied: return count(.apply) == 1 && count(.applyIntent) == 1
        case .rejected: return count(.reject) >= 1
        case .expired: return count(.expire) >= 1 || own.contains { $0.result?["code"] == "plan_expired" }
        default: return count(.apply) == 0
        }
    }
}
