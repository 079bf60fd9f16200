import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import Signatures
import StrictJSON
import Testing

/// What becomes of a signed approval whose key is taken out of the configuration, and comes back.
@Suite(.timeLimit(.minutes(1)))
struct WithdrawnSignatureTests {
    private static let token = SoftwareToken.ed25519
    private static let other = SoftwareToken.newEd25519()

    /// Stopping takes a signed approval; Alice signs with these keys.
    private static func team(_ keys: [SoftwareToken], approvals: Int = 1) throws -> Rules {
        func keyed(_ id: String, _ keys: [SoftwareToken]) throws -> Principal {
            Principal(id: id, roles: [.approver], approvalKeys: try keys.map { try ApprovalKey(line: $0.sshLine()) })
        }
        let rule = PolicyRule(id: "sign", effect: .requireApproval, approvals: approvals, assurance: .signed)
        return Rules(
            directory: Directory([TestPrincipals.agent, try keyed("alice", keys), try keyed("bob", [other])]),
            policy: Policy(rules: [rule]))
    }

    /// With Alice's key, and without it.
    private static func teams() throws -> (with: Rules, without: Rules) { (try team([token]), try team([])) }

    private func plan(_ world: TestService) async throws -> Plan {
        try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
    }

    @discardableResult
    private func approve(
        _ world: TestService, _ plan: Plan, _ rules: Rules, by name: String = "alice",
        _ token: SoftwareToken = token, reason: String = "seen"
    ) async throws -> Plan {
        let principal = try #require(rules.directory.principal(of: Caller(principal: name, label: nil)))
        let text = ApprovalText(
            agent: TestService.installation.origin, plan: "\(plan.id)", planHash: plan.planHash, decision: "approve",
            principal: name, reason: reason)
        let signature = ApprovalSignature.ssh(SoftwareToken.armour(try token.sshSignature(of: text.bytes)))
        return try await world.service.approvals.decide(
            plan.id, ApprovalRequest(.approve, planHash: plan.planHash, reason: reason, signature: signature),
            .by(principal))
    }

    private func refusal(_ body: () async throws -> Void) async throws -> ServiceError {
        do { try await body() } catch { return try #require(error as? ServiceError) }
        Issue.record("nothing was refused")
        throw ServiceError(.internalError, "nothing was refused")
    }

    private func reload(_ world: TestService, _ rules: Rules) async throws {
        world.service.access.replace(rules)
        try await world.service.approvals.withdrawSignatures()
    }

    private func stored(_ world: TestService, _ plan: Plan) async throws -> Plan {
        try #require(try await world.store.read { $0.plan(plan.id) })
    }

    @Test(arguments: [false, true])
    func `an approval by a key that was taken out stays void when the key is back`(atStart: Bool) async throws {
        let (with, without) = try Self.teams()
        var world = try TestService(rules: with)
        func put(_ rules: Rules) async throws {
            if atStart { world = try await world.restarted(rules: rules) } else { try await reload(world, rules) }
        }
        let plan = try await plan(world)
        let given = try await approve(world, plan, with)
        #expect(given.state == .approved)
        try await put(without)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        let key = try ApprovalKey(line: Self.token.sshLine()).fingerprint
        let record = try #require(world.audit.events.last)
        #expect(record.kind == .withdraw && record.planID == "\(plan.id)" && record.principal == "proxmox-agent")
        #expect(record.result?["state"] == "awaiting_approval")
        #expect(
            record.result?["approvals"] == [["approver": "alice", "assurance": "hardware", "key": .string(key)]])

        try await put(with)
        let after = try await stored(world, plan)
        #expect(after.approvals.isEmpty && after.standing.withdrawn == given.approvals)
        #expect(world.audit.kinds.count { $0 == .withdraw } == 1)
        #expect(await world.applyCode(plan) == .approvalRequired)
        let again = try await refusal { try await approve(world, plan, with) }
        #expect(again.code == .signatureInvalid && again.detail.contains("was withdrawn"), "\(again)")
        #expect(try await world.state(of: plan) == .awaitingApproval && world.pve.changes.isEmpty)
        // Who has the key signs another text.
        #expect(try await approve(world, plan, with, reason: "seen again").state == .approved)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `applying and approving withdraw it as well, before they judge`() async throws {
        let (with, without) = try Self.teams()
        let world = try TestService(rules: with)
        let (first, second) = (try await plan(world), try await plan(world))
        try await approve(world, first, with)
        try await approve(world, second, with)
        world.service.access.replace(without)
        #expect(await world.applyCode(first) == .approvalRequired)
        _ = try await refusal { try await approve(world, second, with, by: "bob") }
        for plan in [first, second] {
            let after = try await stored(world, plan)
            #expect(after.state == .awaitingApproval && after.standing.withdrawn.count == 1)
        }
        #expect(world.audit.kinds.suffix(4) == [.withdraw, .refuse, .withdraw, .refuse])
    }

    @Test func `what others signed still counts`() async throws {
        let (with, without) = (try Self.team([Self.token], approvals: 2), try Self.team([], approvals: 2))
        let world = try TestService(rules: with)
        let plan = try await plan(world)
        try await approve(world, plan, with)
        try await reload(world, without)
        try await reload(world, with)
        try await approve(world, plan, with, by: "bob", Self.other)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        let after = try await approve(world, plan, with, reason: "seen again")
        #expect(after.state == .approved && after.approvals.map(\.approver) == ["bob", "alice"])
    }

    @Test func `a signature that is on its way when its key is taken out is refused`() async throws {
        let (with, without) = try Self.teams()
        let world = try TestService(rules: with)
        let plan = try await plan(world)
        let access = world.service.access
        world.audit.refuse { event, _ in
            if event.kind == .approve { access.replace(without) }
            return false
        }
        let refused = try await refusal { try await approve(world, plan, with) }
        #expect(refused.code == .signatureInvalid, "\(refused)")
        #expect(try await stored(world, plan).approvals.isEmpty)
        #expect(world.audit.kinds == [.plan, .approve, .void, .refuse])
    }

    @Test func `a change that waits in the queue does not begin, though the key is back by then`() async throws {
        let (with, without) = try Self.teams()
        let (gate, entered) = (Gate(), Gate())
        let world = try TestService(rules: with) { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let (first, second) = (try await plan(world), try await plan(world))
        try await approve(world, first, with)
        try await approve(world, second, with)
        _ = try await world.apply(first, wait: .zero, as: .by(TestPrincipals.agent))
        await entered.wait()
        let queued = try await world.apply(second, wait: .zero, as: .by(TestPrincipals.agent))
        try await reload(world, without)
        try await reload(world, with)
        #expect(try await world.state(of: second) == .approved, "its operation judges")
        gate.open()
        let ended = try await world.service.operations.operation(
            queued.id, .by(TestPrincipals.agent), wait: .seconds(30))
        #expect(ended.state == .failed && ended.code == "approval_required", "\(ended)")
        #expect(try await world.state(of: second) == .awaitingApproval)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a withdrawal that was recorded and not stored is completed at the next start`() async throws {
        let (with, without) = try Self.teams()
        let world = try TestService(rules: with)
        let plan = try await plan(world)
        try await approve(world, plan, with)
        world.store.failWrites { true }
        world.audit.refuse { event, _ in event.kind == .void }
        _ = try await refusal { try await reload(world, without) }
        #expect(world.audit.kinds.last == .withdraw)
        world.store.failWrites { false }
        world.audit.refuse { _, _ in false }
        let next = try await world.restarted(rules: with)
        let after = try await stored(next, plan)
        #expect(after.state == .awaitingApproval && after.standing.withdrawn.count == 1)
        #expect(!world.audit.kinds.contains(.void))
    }

    @Test func `a state from a backup learns of it from the log`() async throws {
        let (with, without) = try Self.teams()
        let world = try TestService(rules: with)
        let plan = try await plan(world)
        try await approve(world, plan, with)
        let backup = try await world.backup()
        try await reload(world, without)
        let next = try await world.restored(backup, isMarked: true)
        let after = try await stored(next, plan)
        #expect(after.state == .awaitingApproval && after.standing.withdrawn.count == 1)
        #expect(await next.applyCode(plan) == .approvalRequired)
    }

    @Test func `an edited comment takes no key out`() async throws {
        let with = try Self.team([Self.token])
        let world = try TestService(rules: with)
        let plan = try await plan(world)
        try await approve(world, plan, with)
        var renamed = with
        renamed.directory = Directory([
            TestPrincipals.agent,
            Principal(
                id: "alice", roles: [.approver],
                approvalKeys: [try ApprovalKey(line: Self.token.sshLine() + " the blue one")]),
        ])
        try await reload(world, renamed)
        #expect(try await world.state(of: plan) == .approved && !world.audit.kinds.contains(.withdraw))
    }
}
