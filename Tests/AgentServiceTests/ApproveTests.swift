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
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        #expect(plan.requires == Requirement(approvals: 1, assurance: .verified))
        #expect(await world.applyCode(plan) == .approvalRequired)
        let approved = try await world.decide(plan, .approve, by: Team.alice)
        #expect(approved.state == .approved)
        #expect(approved.approvals.map(\.approver) == ["alice"])
        #expect(approved.approvals.first?.assurance == .verified)
        #expect(approved.planHash == plan.planHash)
        #expect(await world.applyCode(plan) == nil)
        #expect(world.audit.kinds == [.plan, .refuse, .approve, .applyIntent, .apply])
    }

    @Test(arguments: [
        (Team.agent, ErrorCode.forbidden), (Team.watcher, .forbidden), (Team.auditor, .planNotFound),
        (Team.stranger, .planNotFound),
    ])
    func `who may not approve does not`(who: Principal, code: ErrorCode) async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        for verdict in [ApprovalRequest.Verdict.approve, .reject] {
            #expect(await world.code(plan, verdict, by: who) == code)
        }
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.audit.kinds == [.plan, .refuse, .refuse])
    }

    @Test func `nobody approves their own plan, whatever roles they have and however they call themselves`()
        async throws
    {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.chief, label: "somebody-else"))
        #expect(await world.code(plan, by: Team.chief) == .selfApproval)
        #expect(await world.applyCode(plan, by: Team.chief, approvedBy: "alice") == .approvalRequired)
        #expect(await world.code(plan, by: Team.alice) == nil)
        #expect(await world.applyCode(plan, by: Team.chief) == nil)
    }

    @Test func `a name in the body is no approval where principals have tokens`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        #expect(await world.applyCode(plan, approvedBy: "alice") == .approvalRequired)
        #expect(world.pve.changes.isEmpty)
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test(arguments: ["alice", "ALICE", "operator"])
    func `a name declared after the rules were tightened may not be the requester's either`(name: String) async throws {
        let world = try World()
        let plan = try await world.plan(.startVM, "vm/102")
        world.service.replace(Rules(policy: Policy(rules: [PolicyRule(id: "ask", effect: .requireApproval)])))
        let early = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(early?.code == .approvalRequired)
        var code: ErrorCode?
        do throws(ServiceError) { try await world.apply(plan, approvedBy: name) } catch { code = error.code }
        #expect(code == .selfApproval)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `with another token, or in another case, an approver is the same person`() async throws {
        let two = PolicyRule(id: "two", effect: .requireApproval, approvals: 2)
        let world = try World(team: Team.rules([two]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        #expect(await world.code(plan, by: Team.alice) == nil)
        // Tokens are no part of what an approval is: who comes with a new one has the same id.
        let renamed = Principal(id: "Alice", roles: [.approver])
        let requester = Principal(id: "PI-Agent", roles: [.operator, .approver])
        let others = Team.all.filter { ![Team.alice, Team.agent].contains($0) }
        world.service.replace(
            Rules(directory: Directory(others + [renamed, requester]), policy: Policy(rules: [two])))
        #expect(await world.code(plan, by: renamed) == .alreadyApproved)
        #expect(await world.code(plan, by: requester) == .selfApproval)
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test(arguments: ["proxmox-agent", "Proxmox-Agent", "anonymous", "unauthenticated", "file"])
    func `a name that records give to the agent approves nothing`(name: String) async throws {
        let world = try World()
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
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        let other = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        #expect(await world.code(plan, by: Team.alice, hash: other.planHash) == .planHashMismatch)
        #expect(await world.code(plan, .reject, by: Team.alice, hash: other.planHash) == .planHashMismatch)
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test func `one word each, and none after the last`() async throws {
        let two = PolicyRule(id: "two", effect: .requireApproval, approvals: 2)
        let world = try World(team: Team.rules([two]))
        let plan = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        #expect(plan.requires.approvals == 2)
        #expect(plan.decision.rules.contains("rule:two"))
        #expect(await world.code(plan, by: Team.alice) == nil)
        #expect(await world.code(plan, by: Team.alice) == .alreadyApproved)
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.code(plan, by: Team.bob) == nil)
        #expect(await world.code(plan, by: Team.chief) == .alreadyApproved)
        #expect(await world.code(plan, .reject, by: Team.chief) == .alreadyApproved)
        #expect(await world.applyCode(plan) == nil)
        #expect(await world.code(plan, by: Team.chief) == .planConsumed)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a no ends the plan`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        let rejected = try await world.decide(plan, .reject, by: Team.alice)
        #expect(rejected.state == .rejected)
        #expect(rejected.standing.rejection?.approver == "alice")
        #expect(rejected.standing.rejection?.reason == "looked at it")
        #expect(await world.applyCode(plan) == .planRejected)
        for who in [Team.alice, Team.bob] { #expect(await world.code(plan, by: who) == .planRejected) }
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `words come too late for a plan that expired, was cancelled or denied, or needs none`() async throws {
        let world = try World(team: Team.rules())
        let expired = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        world.clock.move(by: 3601)
        #expect(await world.code(expired, by: Team.alice) == .planExpired)
        let cancelled = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        _ = try await world.service.cancelPlan(cancelled.id, .by(Team.alice))
        #expect(await world.code(cancelled, by: Team.alice) == .planCancelled)
        let denied = try await world.plan(.deleteVM, "vm/101", as: .by(Team.agent))
        #expect(await world.code(denied, by: Team.alice) == .policyDenied)
        let free = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        #expect(await world.code(free, by: Team.alice) == .alreadyApproved)
        #expect(
            await world.code(Plan.sample(try .sample(.startVM, "vm/102"), number: 99), by: Team.alice) == .planNotFound)
    }

    @Test func `an approver who lost the role has not approved`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        #expect(await world.code(plan, by: Team.alice) == nil)
        world.service.replace(Team.rules(without: Team.alice))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.pve.changes.isEmpty)
        #expect(await world.code(plan, by: Team.bob) == nil)
        #expect(await world.applyCode(plan) == nil)
        #expect(world.audit.kinds == [.plan, .approve, .refuse, .approve, .applyIntent, .apply])
    }

    @Test func `the role is looked at again when a queued change has its turn`() async throws {
        let entered = Gate()
        let gate = Gate()
        let world = try World(team: Team.rules()) { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let first = try await world.plan(.startVM, "vm/101", as: .by(Team.agent))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        #expect(await world.code(plan, by: Team.alice) == nil)
        let running = try await world.apply(first, wait: .zero, as: .by(Team.agent))
        await entered.wait()
        let queued = try await world.apply(plan, wait: nil, as: .by(Team.agent))
        #expect(queued.state == .queued)
        world.service.replace(Team.rules(without: Team.alice))
        gate.open()
        _ = try await world.service.operation(running.id, .by(Team.agent), wait: .seconds(30))
        let ended = try await world.service.operation(queued.id, .by(Team.agent), wait: .seconds(30))
        #expect(ended.state == .failed)
        #expect(ended.code == ErrorCode.approvalRequired.rawValue)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a requester who lost the role applies nothing`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        world.service.replace(Team.rules(without: Team.agent))
        #expect(await world.applyCode(plan) == .forbidden)
        #expect(try await world.state(of: plan) == .approved)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `a rule that came later asks for its approvals all the same`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        #expect(plan.state == .approved)
        world.service.replace(Team.rules([PolicyRule(id: "late", effect: .requireApproval, approvals: 2)]))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.code(plan, by: Team.alice) == nil)
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.code(plan, by: Team.bob) == nil)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `a rule that came later takes no yes of the requester's own, and none twice`() async throws {
        let world = try World()
        let plan = try await world.plan(.startVM, "vm/102")
        world.service.replace(Rules(policy: Policy(rules: [.init(id: "late", effect: .requireApproval, approvals: 2)])))
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
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        world.service.replace(Team.rules([PolicyRule(id: "late", effect: .requireApproval)]))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(await world.applyCode(plan, approvedBy: "alice") == .approvalRequired)
        #expect(world.audit.kinds == [.plan, .refuse, .refuse], "nobody approved anything")
        #expect(try await world.store.read { $0.operations(OperationFilter()) }.isEmpty)
    }

    @Test func `an approved plan has as many approvals as the rules ask for by now`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
        world.service.replace(Team.rules([PolicyRule(id: "late", effect: .requireApproval, approvals: 2)]))
        #expect(try await world.decide(plan, .approve, by: Team.alice).state == .awaitingApproval)
        #expect(try await world.decide(plan, .approve, by: Team.bob).state == .approved)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `a rule that denies later denies`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        world.service.replace(Team.rules([PolicyRule(id: "stop", effect: .deny, reason: "not this week")]))
        #expect(await world.applyCode(plan) == .policyDenied)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `only who asked applies; requester and approvers cancel`() async throws {
        let world = try World(team: Team.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        #expect(await world.applyCode(plan, by: Team.chief) == .forbidden)
        #expect(await world.applyCode(plan, by: Team.watcher) == .forbidden)
        #expect(await world.applyCode(plan, by: Team.stranger) == .planNotFound)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.cancelPlan(plan.id, .by(Team.watcher))
        }
        #expect(refused?.code == .forbidden)
        #expect(try await world.service.cancelPlan(plan.id, .by(Team.agent, label: "later")).state == .cancelled)
        let other = try await world.plan(.startVM, "vm/102", as: .by(Team.agent))
        #expect(try await world.service.cancelPlan(other.id, .by(Team.bob)).state == .cancelled)
    }

    @Test func `a viewer reads and tries, and changes nothing`() async throws {
        let world = try World(team: Team.rules())
        #expect(try await world.plan(.stopVM, "vm/101", dryRun: true, as: .by(Team.watcher)).state == .approved)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/102", as: .by(Team.watcher))
        }
        #expect(refused?.code == .forbidden)
        let unseen = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/102", as: .by(Team.stranger))
        }
        #expect(unseen?.code == .unknownEnvironment)
        #expect(unseen?.detail.contains("home,") == false)
    }

    @Test func `the shared token's holder may say no, and its yes is worth nothing here`() async throws {
        let world = try World()
        let plan = try await world.plan(.stopVM, "vm/101")
        #expect(await world.code(plan, by: .shared) == .forbidden)
        #expect(await world.code(plan, .reject, by: .shared) == nil)
        #expect(try await world.state(of: plan) == .rejected)
    }

    @Test func `of many who race to approve, reject, expire and apply, one order is kept and one change sent`()
        async throws
    {
        for round in 0..<20 {
            let world = try World(team: Team.rules())
            let plan = try await world.plan(.stopVM, "vm/101", as: .by(Team.agent))
            await withTaskGroup(of: Void.self) { group in
                for who in [Team.alice, Team.bob, Team.chief] {
                    group.addTask { _ = await world.code(plan, round % 3 == 0 ? .reject : .approve, by: who) }
                }
                for _ in 0..<4 { group.addTask { _ = await world.applyCode(plan) } }
                group.addTask { if round % 2 == 0 { world.clock.move(by: 3601) } }
                group.addTask { try? await world.service.expireDue() }
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
