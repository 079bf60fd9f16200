import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// How the service stops: what runs is finished, what waits is not begun.
@Suite(.timeLimit(.minutes(1)))
struct DrainTests {
    @Test func `what runs is finished, what waits is freed, what comes is refused`() async throws {
        let entered = Gate()
        let gate = Gate()
        let world = try TestService { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let plans = [
            try await world.plan(.startVM, "vm/101"), try await world.plan(.startVM, "vm/101"),
            try await world.plan(.startVM, "vm/102"),
        ]
        let running = try await world.apply(plans[0], wait: .zero)
        await entered.wait()
        let queued = try await world.apply(plans[1], wait: nil)
        let drained = Task { await world.service.drain(within: .seconds(60)) }
        while (try? world.service.checkOpen()) != nil { await Task.yield() }
        let late = await world.refusal { () async throws(ServiceError) in try await world.apply(plans[2]) }
        #expect(late?.code == .shuttingDown)
        gate.open()
        await drained.value
        #expect(try await world.service.operations.operation(running.id, TestService.alice).state == .succeeded)
        let freed = try await world.service.operations.operation(queued.id, TestService.alice)
        #expect(freed.state == .failed)
        #expect(freed.code == ErrorCode.shuttingDown.rawValue)
        #expect(try await world.state(of: plans[1]) == .approved)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a task that goes on at PVE is left to the next start, which follows it`() async throws {
        let upid = try #require(UPID(TestService.upid))
        let world = try TestService { _ in .task(upid) }
        world.pve.taskStatus = .running
        let plan = try await world.plan(.startVM, "vm/102")
        let running = try await world.apply(plan, wait: nil)
        #expect(running.state == .running)
        await world.service.drain(within: .milliseconds(10))
        let ended = try await world.service.operations.operation(running.id, TestService.alice)
        #expect(ended.state == .running)
        #expect(ended.upid == upid)
        #expect(try await world.state(of: plan) == .applying)
        #expect(world.audit.kinds == [.plan, .applyIntent])

        world.pve.taskStatus = .stopped(.ok)
        let next = try await world.restarted()
        #expect(
            try await next.service.operations.operation(running.id, TestService.alice, wait: .seconds(30)).state
                == .succeeded)
        #expect(try await next.state(of: plan) == .applied)
        #expect(world.audit.kinds == [.plan, .applyIntent, .apply])
        #expect(world.pve.changes.count == 1, "nothing is sent again")
    }

    @Test func `an idle service drains at once`() async throws {
        let world = try TestService()
        await world.service.drain(within: .seconds(3600))
        #expect(throws: ServiceError.self) { try world.service.checkOpen() }
    }
}
