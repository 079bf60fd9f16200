import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import StrictJSON
import Synchronization
import Testing

/// Log and store fail in the middle: nothing is told that is not so, and nothing stays stuck once they are well.
@Suite(.timeLimit(.minutes(1)))
struct BreakdownTests {
    /// Fails as often as it was told to.
    private final class Breakdown: Sendable {
        private let left = Mutex(0)
        func fail(times: Int) { left.withLock { $0 = times } }
        var isOn: Bool {
            left.withLock { left in
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        }
    }

    /// A world where one change of vm/101 is under way until the gate opens, and another waits behind it.
    private func busy(_ gate: Gate) async throws -> (world: TestService, waiting: Plan, queued: Operation) {
        let entered = Gate()
        let world = try TestService { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let first = try await world.plan(.startVM, "vm/101")
        let waiting = try await world.plan(.startVM, "vm/101")
        _ = try await world.apply(first, wait: .zero)
        await entered.wait()
        return (world, waiting, try await world.apply(waiting, wait: nil))
    }

    private func mark(_ world: TestService) async throws -> AuditMark? {
        try await world.service.noteHead()
        return try await world.store.read { $0.mark }
    }

    @Test func `a change under way is answered as such when the store cannot be read any more`() async throws {
        let down = Gate()
        let upid = try #require(UPID(TestService.upid))
        let world = try TestService { _ in
            down.open()
            return .task(upid)
        }
        world.pve.taskStatus = .running
        world.store.failReads { down.isOpen }
        let plan = try await world.plan(.startVM, "vm/102")
        let operation = try await world.apply(plan)
        #expect(!operation.state.isEnded)
        #expect(world.audit.kinds == [.plan, .applyIntent], "nothing was refused")
    }

    @Test func `who leaves while their cancellation cannot be stored leaves nothing stuck`() async throws {
        let gate = Gate()
        let (world, plan, queued) = try await busy(gate)
        let breakdown = Breakdown()
        let told = Gate()
        world.store.failWrites { breakdown.isOn }
        world.audit.refuse { event, _ in
            if event.kind == .cancel { breakdown.fail(times: 3) }
            if event.kind == .refuse { told.open() }
            return false
        }
        let cancel = Task { try? await world.service.operations.cancel(queued.id, TestService.alice) }
        await told.wait()
        cancel.cancel()
        #expect(await cancel.value == nil)
        let ended = try await world.service.operations.operation(queued.id, TestService.alice)
        #expect(ended.state == .failed)
        #expect(ended.code == ErrorCode.storeUnavailable.rawValue)
        #expect(try await world.store.read { $0.plan(plan.id)?.operationID } == nil)
        gate.open()
    }

    @Test func `a place in the queue that cannot be stored is void`() async throws {
        let gate = Gate()
        let (world, _, _) = try await busy(gate)
        let plan = try await world.plan(.startVM, "vm/101")
        let before = world.audit.kinds.count
        world.store.failWrites { true }
        let refused = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(refused?.code == .storeUnavailable)
        #expect(world.audit.kinds.dropFirst(before) == [.queue, .void, .refuse])
        gate.open()
    }

    @Test func `a plan moves nowhere by a refusal that cannot be recorded`() async throws {
        let gate = Gate()
        let (world, plan, queued) = try await busy(gate)
        world.pve.put("vm/101", status: "stopped")
        world.audit.refuse { event, _ in event.kind == .refuse }
        gate.open()
        let ended = try await world.service.operations.operation(queued.id, TestService.alice, wait: .seconds(30))
        #expect(ended.code == ErrorCode.auditUnavailable.rawValue)
        #expect(try await world.state(of: plan) == .approved)
        world.audit.refuse { _, _ in false }
        let refused = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(refused?.code == .planStale)
        #expect(try await world.state(of: plan) == .stale)
    }

    @Test(arguments: [false, true])
    func `a record that stands without its transition is void as soon as the log is well`(isUnsure: Bool) async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let breakdown = Breakdown()
        world.store.failWrites { breakdown.isOn }
        if isUnsure {
            world.audit.loseSight(of: { $0.kind == .cancel })
        } else {
            breakdown.fail(times: 1)
            world.audit.refuse { event, _ in event.kind == .void }
        }
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.workflow.cancelPlan(plan.id, TestService.alice)
        }
        #expect(refused?.code == (isUnsure ? .auditUnavailable : .storeUnavailable))
        let cancel = try #require(world.audit.kinds.firstIndex(of: .cancel)) + 1
        _ = try? await world.service.voidOrphans()
        #expect(try #require(try await mark(world)).settled < cancel || world.audit.kinds.contains(.void))
        world.audit.refuse { _, _ in false }
        for _ in 0..<2 { try await world.service.voidOrphans() }
        #expect(world.audit.events.filter { $0.kind == .void }.map { $0.result?["voids"] } == [JSON(cancel)])
        #expect(try #require(try await mark(world)).settled == world.audit.head.seq)
        _ = try await world.restarted()
        #expect(world.audit.kinds.count { $0 == .void } == 1)
        #expect(try await world.state(of: plan) == .approved)
    }

    @Test func `rules that come while the intent is written hold for what is not sent yet`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let service = world.service
        world.audit.refuse { event, _ in
            if event.kind == .applyIntent {
                service.access.replace(Rules(policy: Policy(rules: [PolicyRule(id: "stop", effect: .deny)])))
            }
            return false
        }
        let refused = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(refused?.code == .policyDenied)
        #expect(world.pve.changes.isEmpty)
        #expect(try await world.state(of: plan) == .denied)
        #expect(world.audit.kinds == [.plan, .applyIntent, .void, .refuse])
    }

    @Test func `whoever hears of the end finds the guest free`() async throws {
        let world = try TestService()
        for _ in 0..<200 {
            let operation = try await world.apply(try await world.plan(.startVM, "vm/102"))
            #expect(operation.state == .succeeded)
        }
        #expect(!world.audit.kinds.contains(.queue))
    }

    @Test func `a stop whose answer is lost counts, and so does one while the store is away for a moment`() async throws
    {
        let upid = try #require(UPID(TestService.upid))
        for isLost in [true, false] {
            let world = try TestService { _ in .task(upid) }
            world.pve.taskStatus = .running
            let running = try await world.apply(try await world.plan(.startVM, "vm/102"), wait: nil)
            if isLost { world.pve.stopFailure = .timeout(sent: true) }
            _ = try? await world.service.operations.cancel(running.id, TestService.alice)
            let recorded = Gate()
            world.audit.refuse { event, _ in
                if event.kind == .apply { recorded.open() }
                return false
            }
            if !isLost { world.store.failReads { !recorded.isOpen } }
            world.pve.taskStatus = .stopped(.failed("interrupted by signal"))
            await recorded.wait()
            let ended = try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(30))
            #expect(ended.state == .cancelled)
            #expect(ended.cancelRequestedBy == "alice")
        }
    }
}
