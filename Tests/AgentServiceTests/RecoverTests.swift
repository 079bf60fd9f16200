import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// What a process leaves behind, the next one settles by log, store and PVE; nothing is sent again.
@Suite(.timeLimit(.minutes(1)))
struct RecoverTests {
    /// A plan that was consumed, with an operation as far as `change` takes it.
    private func interrupted(
        _ world: TestService, _ action: Action = .startVM, _ target: String = "vm/102", _ params: JSON = [:],
        approvedBy: String? = nil, _ change: @escaping @Sendable (inout Operation, Date) -> Void
    ) async throws -> (plan: Plan, operation: RecordID) {
        let plan = try await world.plan(action, target, params)
        let id = RecordID.sample(7, .operation)
        let now = world.clock.now
        try await world.store.write { records in
            guard var plan = records.plan(plan.id) else { return }
            if let approvedBy { _ = plan.approve(Approval(approver: approvedBy, assurance: .declared, at: now)) }
            plan.claim(by: id)
            _ = plan.move(to: .applying, at: now)
            var operation = Operation(id: id, plan: plan, approvals: plan.approvals, createdAt: now)
            _ = operation.move(to: .running, at: now)
            change(&operation, now)
            records.put(plan)
            records.put(operation)
        }
        return (plan, id)
    }

    /// A UPID of the agent's token for vm/102 on pve1, begun so many seconds after the world's beginning.
    private static func upid(
        _ type: String = "qmstart", at offset: Double = 0, number: Int = 1, user: String = "agent@pve!home",
        id: String = "102"
    ) -> String {
        let start = UInt32(Date.sample.timeIntervalSince1970 + offset)
        let (pid, time) = (String(number, radix: 16), String(start, radix: 16))
        func padded(_ text: String) -> String { String(repeating: "0", count: 8 - text.count) + text.uppercased() }
        return "UPID:pve1:\(padded(pid)):0187B2D5:\(padded(time)):\(type):\(id):\(user):"
    }

    private func end(_ world: TestService, _ id: RecordID) async throws -> Operation {
        try await world.service.operations.operation(id, TestService.alice, wait: .seconds(30))
    }

    @Test func `what waited is not executed, and its plan is good again`() async throws {
        let entered = Gate()
        let world = try TestService { _ in
            entered.open()
            await Gate().wait()
            return .done(.null)
        }
        let plans = [try await world.plan(.startVM, "vm/101"), try await world.plan(.startVM, "vm/101")]
        let running = try await world.apply(plans[0], wait: .zero)
        await entered.wait()
        let queued = try await world.apply(plans[1], wait: nil)
        let next = try await world.restarted()
        let freed = try await end(next, queued.id)
        #expect(freed.state == .failed)
        #expect(freed.code == "not_executed")
        #expect(try await next.state(of: plans[1]) == .approved)
        #expect(try await end(next, running.id).state == .unknown, "sent, and no answer was stored")
        #expect(world.pve.changes.count == 1)
        let stored = try await next.store.read { $0.plan(plans[1].id)?.operationID }
        #expect(stored == nil)
    }

    @Test func `what was consumed and never sent has failed`() async throws {
        let world = try TestService()
        let (plan, id) = try await interrupted(world) { _, _ in }
        let next = try await world.restarted()
        let ended = try await end(next, id)
        #expect(ended.state == .failed)
        #expect(ended.code == "not_executed")
        #expect(try await next.state(of: plan) == .failed)
        #expect(world.pve.changes.isEmpty)
        #expect(world.audit.kinds == [.plan, .apply])
    }

    @Test(
        arguments: [
            ([], OperationState.unknown), ([upid()], .succeeded), ([upid(at: 200)], .succeeded),
            ([upid(), upid(number: 2)], .unknown), ([upid(at: 301)], .unknown), ([upid(at: -301)], .unknown),
            ([upid(user: "root@pam")], .unknown), ([upid("qmstop")], .unknown), ([upid(id: "101")], .unknown),
            ([upid(number: 9)], .unknown), ([upid(number: 9), upid()], .succeeded), (["UPID:nonsense"], .unknown),
        ] as [([String], OperationState)])
    func `a call without an answer is settled by the one task that must be its own`(
        tasks: [String], state: OperationState
    ) async throws {
        var limits = Limits()
        limits.traceLooks = 1
        let world = try TestService(limits: limits)
        let (plan, id) = try await interrupted(world) { operation, now in
            operation.steps = [Step(sentAt: now)]
            operation.knownTasks = [UPID(Self.upid(number: 9))].compactMap { $0 }
        }
        world.pve.taskList = tasks
        let next = try await world.restarted()
        let ended = try await end(next, id)
        #expect(ended.state == state, "\(ended.message)")
        #expect(try await next.state(of: plan) == (state == .succeeded ? .applied : .unknown))
        #expect(world.pve.changes.isEmpty, "nothing is sent")
        #expect(world.audit.kinds == [.plan, .apply])
    }

    @Test func `a call that is no task and has no answer is unknown`() async throws {
        let world = try TestService()
        let params: JSON = ["endpoint": "/storage/nas", "method": "PUT", "params": ["content": "iso"]]
        let (plan, id) = try await interrupted(world, .storageEdit, "storage/nas", params, approvedBy: "bob") {
            $0.steps = [Step(sentAt: $1)]
        }
        let next = try await world.restarted()
        #expect(try await end(next, id).state == .unknown)
        #expect(try await next.state(of: plan) == .unknown)
    }

    @Test(arguments: [
        (TaskExit.ok, OperationState.succeeded), (.warnings(2), .succeededWithWarnings), (.failed("no"), .failed),
    ])
    func `a task that is known is followed to its end`(exit: TaskExit, state: OperationState) async throws {
        let world = try TestService()
        let (plan, id) = try await interrupted(world) {
            $0.steps = [Step(sentAt: $1, upid: UPID(Self.upid()))]
        }
        world.pve.taskStatus = .running
        let next = try await world.restarted()
        #expect(try await next.service.operations.operation(id, TestService.alice).state == .running)
        world.pve.taskStatus = .stopped(exit)
        #expect(try await end(next, id).state == state)
        #expect(try await next.state(of: plan) == (state == .failed ? .failed : .applied))
        #expect(world.audit.kinds == [.plan, .apply])
    }

    @Test func `an answer that was stored is the outcome`() async throws {
        let world = try TestService()
        let (plan, id) = try await interrupted(world) { $0.steps = [Step(sentAt: $1, state: .done)] }
        let next = try await world.restarted()
        #expect(try await end(next, id).state == .succeeded)
        #expect(try await next.state(of: plan) == .applied)
    }

    @Test func `while PVE cannot be reached the change stays under way and keeps its lock`() async throws {
        let world = try TestService()
        let (plan, id) = try await interrupted(world) { $0.steps = [Step(sentAt: $1, upid: UPID(Self.upid()))] }
        world.pve.statusFailure = .unreachable("no route")
        let next = try await world.restarted()
        let other = try await next.plan(.startVM, "vm/102")
        let queued = try await next.apply(other, wait: nil)
        #expect(queued.state == .queued)
        #expect(try await next.service.operations.operation(id, TestService.alice).state == .running)
        #expect(try await next.state(of: plan) == .applying)
        world.pve.statusFailure = nil
        #expect(try await end(next, id).state == .succeeded)
        #expect(try await end(next, queued.id).state == .succeeded)
    }

    @Test func `an environment that is another one now tells nothing`() async throws {
        let world = try TestService()
        let (_, id) = try await interrupted(world) { $0.steps = [Step(sentAt: $1, upid: UPID(Self.upid()))] }
        let name = try #require(EnvironmentName("home"))
        let next = try await world.restarted(
            EnvironmentSettings(
                name: name, baseURL: "https://other.lan:8006", tokenID: "agent@pve!home", trust: "system"))
        #expect(try await end(next, id).state == .unknown)
        let fresh = try await world.plan(.startVM, "vm/101")
        let refused = await next.refusal { () async throws(ServiceError) in try await next.apply(fresh) }
        #expect(refused?.code == .planStale)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `an outcome that was recorded and not stored is stored, and not recorded again`() async throws {
        let world = try TestService()
        let (plan, id) = try await interrupted(world) { $0.steps = [Step(sentAt: $1, upid: UPID(Self.upid()))] }
        try await world.audit.append(
            AuditEvent(
                kind: .apply, actor: "alice", principal: "operator", environment: "home", planID: "\(plan.id)",
                operationID: "\(id)", result: ["status": "failed", "message": "disk full", "log_tail": ["TASK ERROR"]]),
            .now)
        let next = try await world.restarted()
        let ended = try await end(next, id)
        #expect(ended.state == .failed)
        #expect(ended.message == "disk full")
        #expect(ended.logTail == ["TASK ERROR"])
        #expect(try await next.state(of: plan) == .failed)
        #expect(world.audit.kinds == [.plan, .apply])
    }

    /// A plan whose operation waited when the process ended.
    private func waiting(_ world: TestService) async throws -> (plan: Plan, operation: RecordID) {
        let plan = try await world.plan(.startVM, "vm/102")
        let id = RecordID.sample(7, .operation)
        let now = world.clock.now
        try await world.store.write { records in
            guard var plan = records.plan(plan.id) else { return }
            plan.claim(by: id)
            records.put(plan)
            records.put(Operation(id: id, plan: plan, approvals: [], createdAt: now))
        }
        return (plan, id)
    }

    @Test func `a refusal of what waited that was recorded and not stored is void`() async throws {
        let world = try TestService()
        let (plan, id) = try await waiting(world)
        let refusal = AuditEvent(
            kind: .refuse, actor: "alice", principal: "operator", environment: "home", planID: "\(plan.id)",
            operationID: "\(id)", result: ["status": "refused", "code": "plan_stale", "state": "stale"])
        try await world.audit.append(refusal, .now)
        var mention = refusal
        mention.result = ["status": "refused", "code": "not_cancellable"]
        try await world.audit.append(mention, .now)
        let next = try await world.restarted()
        #expect(try await end(next, id).code == "not_executed")
        #expect(try await next.state(of: plan) == .approved)
        #expect(world.audit.kinds == [.plan, .refuse, .refuse, .void, .apply])
        #expect(world.audit.events[3].result?["voids"] == 2)
    }

    @Test(arguments: [AuditKind.plan, .approve, .queue])
    func `a record without its transition gets a void record, once`(kind: AuditKind) async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        let id = kind == .plan ? RecordID.sample(99) : plan.id
        let head = try await world.audit.append(
            AuditEvent(
                kind: kind, actor: "bob", principal: "bob", environment: "home", planID: "\(id)",
                operationID: kind == .queue ? "\(RecordID.sample(5, .operation))" : nil), .now)
        let next = try await world.restarted()
        let void = try #require(world.audit.events.last)
        #expect(void.kind == .void)
        #expect(void.result?["voids"] == .integer(Int64(head.seq)))
        #expect(void.result?["kind"] == .string(kind.rawValue))
        #expect(try await next.state(of: plan) == .awaitingApproval)
        _ = try await next.restarted()
        #expect(world.audit.kinds.count { $0 == .void } == 1)
    }

    @Test(arguments: [(AuditKind.reject, PlanState.rejected), (.cancel, .cancelled), (.expire, .expired)])
    func `what ends a plan is completed where it was recorded and not stored`(
        kind: AuditKind, state: PlanState
    ) async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        try await world.audit.append(
            AuditEvent(kind: kind, actor: "bob", principal: "bob", environment: "home", planID: "\(plan.id)"), .now)
        let next = try await world.restarted()
        #expect(try await next.state(of: plan) == state)
        #expect(world.audit.kinds == [.plan, kind])
    }

    @Test func `a freeze that was recorded and not stored holds`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        for (id, ends) in [(1, nil), (2, "2020-01-01T00:00:00.000Z")] as [(UInt64, String?)] {
            try await world.audit.append(
                AuditEvent(
                    kind: .freeze, actor: "bob", principal: "bob", environment: "home",
                    result: [
                        "status": "frozen", "freeze_id": .string("\(RecordID.sample(id, .freeze))"), "reason": "why",
                        "party": .string("principal:\(id)"), "ends_at": ends.map { .string($0) },
                    ]), .now)
        }
        let next = try await world.restarted()
        #expect(
            next.service.freezes.inForce(TestService.alice).map(\.id) == [.sample(1, .freeze)],
            "one that is over is not set")
        let refused = await next.refusal { () async throws(ServiceError) in try await next.apply(plan) }
        #expect(refused?.code == .frozen)
        #expect(
            try await next.service.freezes.unfreeze(FreezeChoice(environment: "home"), TestService.alice)?.by == "bob")
        #expect(try await next.restarted().service.freezes.inForce(TestService.alice).isEmpty)
    }

    @Test(arguments: [true, false])
    func `a transition of which nobody knows whether it is stored is looked up at the next start`(
        isStored: Bool
    ) async throws {
        let world = try TestService()
        try await world.service.noteHead()
        world.store.leaveInDoubt(isStored: isStored)
        let refusal = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/101")
        }
        #expect(refusal?.code == .storeUnavailable)
        world.store.leaveInDoubt(isStored: nil)
        try await world.service.voidOrphans()
        #expect(!world.audit.kinds.contains(.void), "that would be a guess")
        let next = try await world.restarted()
        #expect(world.audit.kinds.contains(.void) == !isStored)
        #expect(try await next.store.read { $0.plans(PlanFilter()).count } == (isStored ? 1 : 0))
    }

    @Test func `records whose transitions are stored stand as they are`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        try await world.apply(plan, approvedBy: "bob")
        let other = try await world.plan(.startVM, "vm/102")
        _ = try await world.service.workflow.cancelPlan(other.id, TestService.alice)
        let before = world.audit.kinds
        _ = try await world.restarted()
        #expect(world.audit.kinds == before)
    }

    @Test func `a plan keeps what is left of its time over a restart`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        world.clock.move(by: 3000)
        let next = try await world.restarted()
        next.clock.pass(601)
        let late = await next.refusal { () async throws(ServiceError) in try await next.apply(plan) }
        #expect(late?.code == .planExpired)
    }

    @Test func `an intent whose change was given up as it could not be synced gets a void record`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let id = RecordID.sample(5, .operation)
        let now = world.clock.now
        try await world.store.write { records in
            var operation = Operation(id: id, plan: plan, approvals: [], createdAt: now)
            _ = operation.move(to: .failed, at: now)
            records.put(operation)
        }
        try await world.audit.append(
            AuditEvent(
                kind: .applyIntent, actor: "alice", principal: "operator", environment: "home", planID: "\(plan.id)",
                operationID: "\(id)"), .now)
        _ = try await world.restarted()
        #expect(world.audit.kinds == [.plan, .applyIntent, .void])
    }

    @Test func `a restart that was killed while it settled does not record the same end again`() async throws {
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
        try await world.audit.append(
            AuditEvent(
                kind: .apply, actor: "proxmox-agent", principal: "proxmox-agent", environment: "home",
                planID: "\(plan.id)", operationID: "\(id)", result: ["status": "failed", "code": "not_executed"]), .now)
        let next = try await world.restarted()
        #expect(try await end(next, id).state == .failed)
        #expect(try await next.state(of: plan) == .approved)
        #expect(world.audit.kinds == [.plan, .apply])
        #expect(try await next.apply(plan).state == .succeeded)
    }
}
