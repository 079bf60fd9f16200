import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Synchronization
import Testing

/// Operations that somebody takes back: while they wait, and while PVE works on them.
@Suite(.timeLimit(.minutes(1)))
struct CancelTests {
    @Test func `a queued operation can be cancelled, and then nothing is done`() async throws {
        let gate = Gate()
        let world = try TestService { _ in
            await gate.wait()
            return .done(.null)
        }
        let plans = [try await world.plan(.startVM, "vm/101"), try await world.plan(.startVM, "vm/101")]
        let running = try await world.apply(plans[0], wait: .zero)
        let queued = try await world.apply(plans[1], wait: nil)
        let cancelled = try await world.service.operations.cancel(queued.id, TestService.alice)
        #expect(cancelled.state == .cancelled)
        #expect(try await world.state(of: plans[1]) == .cancelled)
        gate.open()
        #expect(
            try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(60)).state
                == .succeeded)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a cancellation that the log refuses cancels nothing`() async throws {
        let gate = Gate()
        let world = try TestService { _ in
            await gate.wait()
            return .done(.null)
        }
        let plans = [try await world.plan(.startVM, "vm/101"), try await world.plan(.startVM, "vm/101")]
        _ = try await world.apply(plans[0], wait: .zero)
        let queued = try await world.apply(plans[1], wait: nil)
        world.audit.refuse { event, _ in event.kind == .cancel }
        let error = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.operations.cancel(queued.id, TestService.alice)
        }
        #expect(error?.code == .auditUnavailable)
        #expect(try await world.service.operations.operation(queued.id, TestService.alice).state == .queued)
        gate.open()
        #expect(
            try await world.service.operations.operation(queued.id, TestService.alice, wait: .seconds(30)).state
                == .succeeded)
    }

    @Test func `a running task is stopped on request, and the operation is then cancelled`() async throws {
        let upid = try #require(UPID(TestService.upid))
        let world = try TestService { _ in .task(upid) }
        world.pve.taskStatus = .running
        let plan = try await world.plan(.startVM, "vm/102")
        let running = try await world.apply(plan, wait: nil)
        #expect(running.state == .running)
        #expect(try await world.service.operations.cancel(running.id, TestService.alice).cancelRequestedBy == "alice")
        #expect(world.pve.stopped == [upid])
        world.pve.taskStatus = .stopped(.failed("interrupted by signal"))
        let ended = try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(60))
        #expect(ended.state == .cancelled)
        #expect(ended.cancelRequestedBy == "alice")
        #expect(try await world.state(of: plan) == .failed)
        let again = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.operations.cancel(running.id, TestService.alice)
        }
        #expect(again?.code == .notCancellable)
    }

    @Test func `a task is stopped though who asked for it has left meanwhile`() async throws {
        let upid = try #require(UPID(TestService.upid))
        let world = try TestService { _ in .task(upid) }
        world.pve.taskStatus = .running
        let running = try await world.apply(try await world.plan(.startVM, "vm/102"), wait: nil)
        let asking = Mutex<Task<AgentModel.Operation?, Never>?>(nil)
        world.audit.refuse { event, _ in
            if event.kind == .cancel { asking.withLock { $0?.cancel() } }
            return false
        }
        let started = Gate()
        let task = Task {
            await started.wait()
            return try? await world.service.operations.cancel(running.id, TestService.alice)
        }
        asking.withLock { $0 = task }
        started.open()
        #expect(await task.value?.cancelRequestedBy == "alice")
        #expect(task.isCancelled && world.pve.stopped == [upid])
        world.pve.taskStatus = .stopped(.failed("interrupted by signal"))
        let ended = try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .cancelled && ended.cancelRequestedBy == "alice")
    }
}
