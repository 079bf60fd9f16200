import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentService

/// A state from a backup is brought to what the log says happened since.
@Suite(.timeLimit(.minutes(1)))
struct ReplayTests {
    private func intent(_ plan: Plan, _ number: UInt64 = 5) -> AuditEvent {
        AuditEvent(
            kind: .applyIntent, actor: "alice", principal: "operator", label: "alice", environment: "home",
            planID: "\(plan.id)", operationID: "\(RecordID.sample(number, .operation))", request: plan.request.auditForm
        )
    }

    private func end(_ world: TestService, _ id: RecordID) async throws -> AgentModel.Operation {
        try await world.service.operations.operation(id, TestService.alice, wait: .seconds(30))
    }

    @Test(arguments: [true, false])
    func `what was applied after the backup is not applied again`(isMarked: Bool) async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let guarded = try await world.plan(.stopVM, "vm/101")
        let backup = try await world.backup()
        let applied = try await world.apply(plan)
        let other = try await world.apply(guarded, approvedBy: "bob")
        let next = try await world.restored(backup, isMarked: isMarked)
        for (plan, operation) in [(plan, applied), (guarded, other)] {
            #expect(try await next.state(of: plan) == .applied)
            let again = await next.refusal { () async throws(ServiceError) in try await next.apply(plan) }
            #expect(again?.code == .planConsumed && again?.operationID == operation.id)
            #expect(try await end(next, operation.id).state == .succeeded)
        }
        #expect(world.pve.changes.count == 2)
        #expect(!world.audit.kinds.contains(.void))
        let count = world.audit.kinds.count
        _ = try await next.restarted()
        #expect(world.audit.kinds.count == count, "it is brought up to date once")
    }

    @Test func `a plan that only the log knows is gone, and its operation has its end`() async throws {
        let world = try TestService()
        _ = try await world.plan(.startVM, "vm/101")
        let backup = try await world.backup()
        let plan = try await world.plan(.startVM, "vm/102")
        let applied = try await world.apply(plan)
        let next = try await world.restored(backup, isMarked: false)
        #expect(try await next.state(of: plan) == nil)
        let again = await next.refusal { () async throws(ServiceError) in try await next.apply(plan) }
        #expect(again?.code == .planNotFound)
        let operation = try await end(next, applied.id)
        #expect(operation.state == .succeeded && operation.action == .startVM && "\(operation.target)" == "vm/102")
        #expect(operation.requester.actor == "alice" && operation.planID == plan.id)
        #expect(world.pve.changes.count == 1)
    }

    @Test(arguments: [
        ([], OperationState.unknown, PlanState.unknown),
        (["UPID:pve1:00000001:0187B2D5:START:qmstart:102:agent@pve!home:"], .succeeded, .applied),
        (["UPID:pve1:00000001:0187B2D5:START:qmstop:102:agent@pve!home:"], .unknown, .unknown),
    ])
    func `an intent without an outcome is in doubt, and looked for at PVE`(
        tasks: [String], state: OperationState, planState: PlanState
    ) async throws {
        var limits = Limits()
        limits.traceLooks = 1
        let world = try TestService(limits: limits)
        let plan = try await world.plan(.startVM, "vm/102")
        let backup = try await world.backup()
        // The chain of a log in memory tells the time of the machine.
        let start = String(UInt32(Date().timeIntervalSince1970), radix: 16).uppercased()
        world.pve.taskList = tasks.map { $0.replacing("START", with: start) }
        try await world.audit.append(intent(plan), .now)
        let next = try await world.restored(backup, isMarked: false)
        let operation = try await end(next, .sample(5, .operation))
        #expect(operation.state == state, "\(operation.message)")
        #expect(try await next.state(of: plan) == planState)
        let again = await next.refusal { () async throws(ServiceError) in try await next.apply(plan) }
        #expect(again?.code == .planConsumed)
        #expect(world.pve.changes.isEmpty)
        #expect(world.audit.kinds.count { $0 == .apply } == 1 && !world.audit.kinds.contains(.void))
    }

    @Test(arguments: [true, false])
    func `an operation that waited or had begun in the backup may have been sent since`(hadBegun: Bool) async throws {
        var limits = Limits()
        limits.traceLooks = 1
        let world = try TestService(limits: limits)
        let plan = try await world.plan(.startVM, "vm/102")
        let id = RecordID.sample(5, .operation)
        let now = world.clock.now
        try await world.store.write { records in
            guard var plan = records.plan(plan.id) else { return }
            plan.claim(by: id)
            var operation = Operation(id: id, plan: plan, approvals: [], createdAt: now)
            if hadBegun {
                _ = plan.move(to: .applying, at: now)
                _ = operation.move(to: .running, at: now)
            }
            records.put(plan)
            records.put(operation)
        }
        if hadBegun { try await world.audit.append(intent(plan), .now) }
        try await world.service.noteHead()
        let backup = try await world.backup()
        if !hadBegun { try await world.audit.append(intent(plan), .now) }
        let next = try await world.restored(backup, isMarked: true)
        #expect(try await end(next, id).state == .unknown)
        #expect(try await next.state(of: plan) == .unknown)
        #expect(!world.audit.kinds.contains(.void))
    }

    @Test func `what waited in the backup and never began can be applied again`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let id = RecordID.sample(5, .operation)
        let now = world.clock.now
        try await world.store.write { records in
            guard var plan = records.plan(plan.id) else { return }
            plan.claim(by: id)
            records.put(plan)
            records.put(Operation(id: id, plan: plan, approvals: [], createdAt: now))
        }
        let next = try await world.restored(try await world.backup(), isMarked: true)
        #expect(try await end(next, id).code == "not_executed")
        #expect(try await next.state(of: plan) == .approved)
    }

    @Test(arguments: [AuditKind.reject, .cancel, .expire, .refuse])
    func `a plan that was ended after the backup stays ended`(kind: AuditKind) async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        if kind == .refuse { _ = try await world.decide(plan, .approve, by: TestPrincipals.alice) }
        let backup = try await world.backup()
        let state: PlanState
        switch kind {
        case .reject:
            _ = try await world.decide(plan, .reject, by: TestPrincipals.alice)
            state = .rejected
        case .cancel:
            _ = try await world.service.workflow.cancelPlan(plan.id, .by(TestPrincipals.agent))
            state = .cancelled
        case .expire:
            world.clock.move(by: 86_400)
            try await world.service.workflow.expireDue()
            state = .expired
            world.clock.move(by: -86_400)
        default:
            world.pve.put("vm/101", status: "stopped")
            #expect(await world.applyCode(plan) == .planStale)
            world.pve.put("vm/101", status: "running")
            state = .stale
        }
        #expect(try await world.state(of: plan) == state)
        let next = try await world.restored(backup, isMarked: true)
        #expect(try await next.state(of: plan) == state)
        #expect(await next.code(plan, by: TestPrincipals.alice) != nil)
        #expect(await next.applyCode(plan) != nil)
        #expect(world.pve.changes.isEmpty && !world.audit.kinds.contains(.void))
    }

    @Test func `freezes of after the backup hold, and those of the backup stay`() async throws {
        func freeze(_ world: TestService, _ reason: String, _ by: Principal, ttl: Int? = nil) async throws -> Freeze {
            let request = FreezeRequest(environment: "home", reason: reason, ttl: ttl)
            return try await world.service.freezes.freeze(request, .by(by))
        }
        let world = try TestService(team: TestPrincipals.rules())
        let before = try await freeze(world, "before", TestPrincipals.agent)
        let backup = try await world.backup()
        func lift(_ freeze: Freeze) async throws {
            _ = try await world.service.freezes.unfreeze(
                FreezeChoice(id: freeze.id?.description), .by(TestPrincipals.alice))
        }
        try await lift(before)
        try await lift(try await freeze(world, "set and lifted", TestPrincipals.bob))
        _ = try await freeze(world, "after", TestPrincipals.alice)
        _ = try await freeze(world, "over", TestPrincipals.chief, ttl: 60)
        world.clock.move(by: 61)
        let next = try await world.restored(backup, isMarked: true)
        // Who lifted the first may have had reason to; in doubt nothing changes.
        #expect(Set(next.service.freezes.inForce(.by(TestPrincipals.alice)).map(\.reason)) == ["before", "after"])
    }

    @Test func `a new state beside an old log has its freezes, and nothing else of it`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        try await world.apply(plan)
        _ = try await world.service.freezes.freeze(FreezeRequest(reason: "stop"), TestService.alice)
        let empty = TestService.Backup(plans: [], operations: [], freezes: [], mark: nil)
        let kinds = world.audit.kinds
        let next = try await world.restored(empty, isMarked: false)
        #expect(next.service.freezes.inForce(TestService.alice).map(\.reason) == ["stop"])
        #expect(try await next.store.read { $0.operations(OperationFilter()).isEmpty })
        #expect(world.audit.kinds == kinds)
    }

    @Test func `what was settled by hand after the backup stays settled`() async throws {
        let world = try TestService { _ throws(HypervisorError) in throw .timeout(sent: true) }
        let plan = try await world.plan(.startVM, "vm/102")
        let backup = try await world.backup()
        let applied = try await world.apply(plan)
        #expect(applied.state == .unknown)
        _ = try await world.service.operations.resolve(applied.id, succeeded: true, reason: "looked", TestService.alice)
        let next = try await world.restored(backup, isMarked: false)
        #expect(try await end(next, applied.id).state == .succeeded)
        #expect(try await next.state(of: plan) == .applied)
    }

    @Test(arguments: [1, 2])
    func `another process that opened the log since shows that the state is older`(openings: Int) async throws {
        var limits = Limits()
        limits.traceLooks = 1
        let world = try TestService(limits: limits)
        let plan = try await world.plan(.startVM, "vm/102")
        let id = RecordID.sample(5, .operation)
        let now = world.clock.now
        try await world.store.write { records in
            guard var plan = records.plan(plan.id) else { return }
            plan.claim(by: id)
            records.put(plan)
            records.put(Operation(id: id, plan: plan, approvals: [], createdAt: now))
        }
        try await world.audit.append(intent(plan), .now)
        for _ in 0..<openings {
            let opened = AuditEvent(
                kind: .log, actor: "proxmox-agent", principal: "proxmox-agent", result: ["event": "opened"])
            try await world.audit.append(opened, .now)
        }
        let next = try await world.restarted()
        // The first is that of the process that starts now: the one before it died between intent and consumption.
        #expect(try await end(next, id).state == (openings == 1 ? .failed : .unknown))
        #expect(try await next.state(of: plan) == (openings == 1 ? .approved : .unknown))
        #expect(world.audit.kinds.contains(.void) == (openings == 1))
    }
}
