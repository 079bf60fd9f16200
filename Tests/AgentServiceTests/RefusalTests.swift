import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// What is written down of a refusal, and when nothing is.
@Suite(.timeLimit(.minutes(1)))
struct RefusalTests {
    private func lastRefusal(_ world: TestService) throws -> AuditEvent {
        try #require(world.audit.events.last { $0.kind == .refuse })
    }

    @Test func `a refusal about a plan repeats neither its request nor its decision`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(
            await world.code(plan, by: TestPrincipals.alice, hash: String(repeating: "0", count: 64))
                == .planHashMismatch)
        #expect(await world.code(plan, by: TestPrincipals.agent) == .forbidden)
        let refusals = world.audit.events.filter { $0.kind == .refuse }
        #expect(refusals.map { $0.result?["code"] } == ["approval_required", "plan_hash_mismatch", "forbidden"])
        for event in refusals {
            #expect(event.planID == "\(plan.id)" && event.environment == "home")
            #expect(event.request == nil && event.decision == nil, "\(event)")
        }
        let made = try #require(world.audit.events.first { $0.kind == .plan })
        #expect(
            made.request?["action"] == "stop_vm" && made.decision?["rules"] == JSON(plan.decision.rules),
            "there it stands")
    }

    @Test func `a refusal of what never became a plan says what was asked for`() async throws {
        let world = try TestService()
        world.pve.failure = .unreachable("no route")
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/102")
        }
        #expect(refused?.code == .upstreamUnreachable)
        #expect(try lastRefusal(world).request?["target"] == "vm/102")
    }

    @Test func `below the disk floor every refusal is about the disk, and none is written`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        world.clock.setShort(true)
        let count = world.audit.events.count
        #expect(await world.applyCode(plan) == .storeUnavailable)
        #expect(
            await world.code(plan, by: TestPrincipals.alice, hash: String(repeating: "0", count: 64))
                == .storeUnavailable)
        let cancelled = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.workflow.cancelPlan(plan.id, .by(TestPrincipals.watcher))
        }
        #expect(cancelled?.code == .storeUnavailable)
        #expect(world.audit.events.count == count)
        world.clock.setShort(false)
        #expect(
            await world.code(plan, by: TestPrincipals.alice, hash: String(repeating: "0", count: 64))
                == .planHashMismatch)
        #expect(world.audit.events.count == count + 1)
    }

    @Test func `an operation whose turn comes below the disk floor ends, and that is recorded`() async throws {
        let (entered, gate) = (Gate(), Gate())
        let world = try TestService { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let plans = [try await world.plan(.startVM, "vm/101"), try await world.plan(.startVM, "vm/101")]
        let running = try await world.apply(plans[0], wait: .zero)
        await entered.wait()
        let queued = try await world.apply(plans[1], wait: nil)
        world.clock.setShort(true)
        gate.open()
        let ended = try await world.service.operations.operation(queued.id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .failed && ended.code == "store_unavailable", "\(ended.message)")
        #expect(try await world.state(of: plans[1]) == .approved)
        let refusal = try lastRefusal(world)
        #expect(refusal.operationID == "\(queued.id)" && refusal.result?["state"] == "approved", "\(refusal)")
        #expect(try await world.service.operations.operation(running.id, TestService.alice).state == .succeeded)
        #expect(world.audit.events.contains { $0.kind == .apply && $0.operationID == "\(running.id)" })
        #expect(world.pve.changes.count == 1)
    }
}
