import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// What a state leaves open of operations with several calls, and of freezes, after a crash or a restore.
@Suite(.timeLimit(.minutes(1)))
struct DoubtTests {
    private func end(_ world: TestService, _ id: RecordID) async throws -> AgentModel.Operation {
        try await world.service.operations.operation(id, TestService.alice, wait: .seconds(30))
    }

    /// A world whose state shows a change of two calls, snapshot and configuration, under way with these steps.
    private func underWay(_ steps: [Step]) async throws -> (world: TestService, plan: Plan, id: RecordID) {
        var limits = Limits()
        limits.traceLooks = 1
        let world = try TestService(limits: limits)
        let configure = try #require(Action(rawValue: "configure_vm"))
        let plan = try await world.plan(configure, "vm/102", ["memory": 2048, "safety_snapshot": true])
        try #require(plan.preview.calls.count == 2)
        let id = RecordID.sample(5, .operation)
        try await world.interrupt(plan, id, steps)
        try await world.service.noteHead()
        return (world, plan, id)
    }

    /// A task of the second call.
    private static func configTask(at time: Date) -> String {
        let start = String(UInt32(time.timeIntervalSince1970), radix: 16, uppercase: true)
        return "UPID:pve1:00000001:0187B2D5:\(start):qmconfig:102:agent@pve!home:"
    }

    @Test(arguments: [true, false])
    func `of a copy's operation between two calls the second may have been sent, and is looked for`(
        isThere: Bool
    ) async throws {
        let (world, plan, id) = try await underWay([Step(sentAt: .sample, state: .done)])
        let upid = Self.configTask(at: .sample)
        if isThere { world.pve.taskList = [upid] }
        let next = try await world.restored(try await world.backup(), isMarked: true)
        let operation = try await end(next, id)
        #expect(operation.state == (isThere ? .succeeded : .unknown), "\(operation.message)")
        #expect(operation.steps.count == 2 && operation.steps.last?.upid == (isThere ? UPID(upid) : nil))
        #expect(try await next.state(of: plan) == (isThere ? .applied : .unknown))
        #expect(world.pve.changes.isEmpty)
    }

    @Test(arguments: [false, true], [TaskExit.ok, .failed("no")])
    func `what is unknown is looked for on, through a restart too, and what is found later settles it`(
        restarts: Bool, exit: TaskExit
    ) async throws {
        var limits = Limits()
        limits.traceLooks = 1
        limits.lateSeconds = 2
        let world = try TestService(limits: limits) { _ throws(HypervisorError) in throw .timeout(sent: true) }
        let plan = try await world.plan(.startVM, "vm/102")
        let unknown = try await world.apply(plan)
        #expect(unknown.state == .unknown, "\(unknown.message)")
        var next = world
        if restarts {
            await world.service.drain(within: .zero)
            next = try await world.restarted()
        }
        let start = String(UInt32(Date.sample.timeIntervalSince1970), radix: 16, uppercase: true)
        let upid = "UPID:pve1:00000001:0187B2D5:\(start):qmstart:102:agent@pve!home:"
        world.pve.taskStatus = .stopped(exit)
        world.pve.taskList = [upid]
        let deadline = ContinuousClock.now + .seconds(20)
        var found = unknown
        while found.state == .unknown, ContinuousClock.now < deadline {
            await Task.yield()
            found = try await end(next, unknown.id)
        }
        #expect(found.state == (exit == .ok ? .succeeded : .failed))
        #expect(found.steps.last?.upid == UPID(upid))
        #expect(found.message.contains("found at PVE later: \(upid)"), "\(found.message)")
        #expect(try await next.state(of: plan) == (exit == .ok ? .applied : .failed))
        #expect(world.audit.events.last { $0.kind == .resolve }?.operationID == unknown.id.description)
        #expect(world.pve.changes.count == 1, "nothing is sent again")
    }

    @Test func `after a crash between two calls the second was not sent`() async throws {
        let (world, plan, id) = try await underWay([Step(sentAt: .sample, state: .done)])
        let next = try await world.restarted()
        let operation = try await end(next, id)
        #expect(operation.state == .unknown && operation.steps.count == 1, "\(operation.message)")
        #expect(operation.message.contains("after call 1 of 2"), "\(operation.message)")
        #expect(try await next.state(of: plan) == .unknown)
    }

    @Test(arguments: [true, false])
    func `more steps than the plan has calls are no reason to die`(isMarked: Bool) async throws {
        let (world, _, id) = try await underWay([
            Step(sentAt: .sample, state: .done), Step(sentAt: .sample, state: .done), Step(sentAt: .sample),
        ])
        world.pve.taskList = [Self.configTask(at: .sample)]
        let next = try await world.restored(try await world.backup(), isMarked: isMarked)
        #expect(try await end(next, id).state == .unknown)
    }

    /// A freeze is lifted, and the process dies with that recorded and not stored; the state's mark is from before.
    @Test(arguments: [true, false])
    func `the end of a freeze that a crash undid is void, also where the log tells of its beginning`(
        isSetBehindMark: Bool
    ) async throws {
        let world = try TestService()
        try await world.service.noteHead()
        let before = try #require(try await world.backup().mark)
        _ = try await world.service.freezes.freeze(FreezeRequest(reason: "stop"), TestService.alice)
        let after = try #require(try await world.backup().mark)
        world.store.failWrites { true }
        world.audit.refuse { event, _ in event.kind == .void }
        _ = try? await world.service.freezes.unfreeze(FreezeChoice(), TestService.alice)
        world.store.failWrites { false }
        world.audit.refuse { _, _ in false }
        let lift = try #require(world.audit.kinds.lastIndex(of: .unfreeze)) + 1
        try #require(!world.audit.kinds.contains(.void))
        let mark = isSetBehindMark ? before : after
        try await world.store.write { $0.put(mark) }
        let next = try await world.restarted()
        #expect(next.service.freezes.inForce(TestService.alice).map(\.reason) == ["stop"], "it holds")
        let voids = world.audit.events.filter { $0.kind == .void }
        #expect(voids.map { $0.result?["voids"] } == [JSON(lift)], "and the log says so")
    }
}
