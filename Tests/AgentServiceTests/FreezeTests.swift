import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// While something is frozen no change starts there, whoever asks.
@Suite(.timeLimit(.minutes(1)))
struct FreezeTests {
    private static let other = Principal(id: "other-agent", roles: [.operator])

    private func freeze(
        _ world: TestService, _ environment: String?, ttl: Int? = nil, by principal: Principal = TestPrincipals.agent
    ) async throws(ServiceError) {
        let request = FreezeRequest(environment: environment, reason: "disks are being swapped", ttl: ttl)
        _ = try await world.service.freezes.freeze(request, .by(principal))
    }

    @Test(arguments: [nil, "home"] as [String?])
    func `nothing starts, plans live on, and all is well when it is lifted`(environment: String?) async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        try await freeze(world, environment)
        #expect(await world.applyCode(plan) == .frozen)
        #expect(
            try await world.plan(.startVM, "vm/101", dryRun: true, as: .by(TestPrincipals.agent)).state == .approved)
        #expect(world.pve.changes.isEmpty)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.freezes.unfreeze(FreezeChoice(environment: environment), .by(Self.other))
        }
        #expect(refused?.code == .forbidden, "operators set and lift their own, only approvers lift those of others")
        #expect(
            try await world.service.freezes.unfreeze(FreezeChoice(environment: environment), .by(TestPrincipals.alice))?
                .reason
                == "disks are being swapped")
        #expect(
            try await world.service.freezes.unfreeze(FreezeChoice(environment: environment), .by(TestPrincipals.alice))
                == nil)
        #expect(await world.applyCode(plan) == nil)
        #expect(world.audit.kinds.contains(.freeze) && world.audit.kinds.contains(.unfreeze))
    }

    @Test func `a change that waits does not start either`() async throws {
        let entered = Gate()
        let gate = Gate()
        let world = try TestService(team: TestPrincipals.rules()) { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let plans = [
            try await world.plan(.startVM, "vm/101", as: .by(TestPrincipals.agent)),
            try await world.plan(.startVM, "vm/101", as: .by(TestPrincipals.agent)),
        ]
        let running = try await world.apply(plans[0], wait: .zero, as: .by(TestPrincipals.agent))
        await entered.wait()
        let queued = try await world.apply(plans[1], wait: nil, as: .by(TestPrincipals.agent))
        try await freeze(world, "home")
        gate.open()
        let context = Context.by(TestPrincipals.agent)
        #expect(
            try await world.service.operations.operation(running.id, context, wait: .seconds(30)).state == .succeeded)
        let ended = try await world.service.operations.operation(queued.id, context, wait: .seconds(30))
        #expect(ended.code == "frozen")
        #expect(try await world.state(of: plans[1]) == .approved)
    }

    @Test func `it ends when its time is over, by the clock and by the time that passed`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        try await freeze(world, "home", ttl: 600)
        world.clock.jump(by: 601)
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(await world.applyCode(plan) == .frozen, "a clock that is set forward lifts nothing")
        world.clock.pass(601)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `it survives a restart, and so does its end`() async throws {
        let world = try TestService()
        let wish = FreezeRequest(reason: "moving house", ttl: 600)
        _ = try await world.service.freezes.freeze(wish, TestService.alice)
        let plan = try await world.plan(.startVM, "vm/102")
        let next = try await world.restarted()
        let refused = await next.refusal { () async throws(ServiceError) in try await next.apply(plan) }
        #expect(refused?.code == .frozen)
        #expect(next.service.freezes.inForce(TestService.alice).map(\.reason) == ["moving house"])
        next.clock.move(by: 601)
        #expect(try await next.apply(plan).state == .succeeded)
        #expect(next.service.freezes.inForce(TestService.alice).isEmpty)
    }

    @Test func `a file does the same, and is no route's to lift`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        world.clock.setFreezeFile(true)
        let refused = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(refused?.code == .frozen)
        #expect(try await world.service.freezes.unfreeze(FreezeChoice(), TestService.alice) == nil)
        #expect(world.service.freezes.inForce(TestService.alice).count == 1)
        world.clock.setFreezeFile(false)
        #expect(try await world.apply(plan).state == .succeeded)
    }

    @Test func `everywhere takes a principal without a limit`() async throws {
        let home = try #require(EnvironmentName("home"))
        let local = Principal(id: "local", roles: [.approver], environments: [home])
        let world = try TestService(team: Rules(directory: Directory(TestPrincipals.all + [local])))
        let refused = await world.refusal { () async throws(ServiceError) in try await freeze(world, nil, by: local) }
        #expect(refused?.code == .forbidden)
        try await freeze(world, "home", by: local)
        let viewer = await world.refusal { () async throws(ServiceError) in
            try await freeze(world, "home", by: TestPrincipals.watcher)
        }
        #expect(viewer?.code == .forbidden)
        let unknown = await world.refusal { () async throws(ServiceError) in try await freeze(world, "cloud") }
        #expect(unknown?.code == .unknownEnvironment)
    }

    @Test func `a freeze that cannot be recorded is none`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        world.audit.refuse { event, _ in event.kind == .freeze }
        let refused = await world.refusal { () async throws(ServiceError) in try await freeze(world, "home") }
        #expect(refused?.code == .auditUnavailable)
        #expect(world.service.freezes.inForce(.by(TestPrincipals.alice)).isEmpty)
    }

    @Test func `one that is over is not lifted`() async throws {
        let world = try TestService()
        let wish = FreezeRequest(reason: "moving house", ttl: 10)
        _ = try await world.service.freezes.freeze(wish, TestService.alice)
        world.clock.move(by: 11)
        #expect(world.service.freezes.inForce(TestService.alice).isEmpty)
        let lifted = try await world.service.freezes.unfreeze(FreezeChoice(), TestService.alice)
        #expect(lifted == nil)
    }

    @Test(arguments: [false, true])
    func `a call on its way to PVE is not sent, and one that was sent is waited for`(isSent: Bool) async throws {
        let (entered, gate) = (Gate(), Gate())
        let world = try TestService(team: TestPrincipals.rules()) { _ in
            if isSent {
                entered.open()
                await gate.wait()
            }
            return .done(.null)
        }
        world.pve.onTheWay {
            guard !isSent else { return }
            entered.open()
            await gate.wait()
        }
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        let applied = Task { await world.applyCode(plan) }
        await entered.wait()
        try await freeze(world, "home", by: TestPrincipals.alice)
        #expect(world.pve.changes.count == (isSent ? 1 : 0))
        gate.open()
        #expect(await applied.value == (isSent ? nil : .frozen))
        #expect(world.pve.changes.count == (isSent ? 1 : 0))
        #expect(try await world.state(of: plan) == (isSent ? .applied : .failed), "a plan that was consumed stays so")
        let operations = try await world.store.read { $0.operations(OperationFilter()) }
        #expect(operations.map(\.code) == [isSent ? nil : "frozen"])
        #expect(operations.flatMap(\.steps).count == (isSent ? 1 : 0), "nothing counts as sent")
    }

    @Test func `the second call of a plan does not leave either`() async throws {
        let (entered, gate) = (Gate(), Gate())
        let world = try TestService(team: TestPrincipals.rules()) { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let plan = try await world.plan(
            #require(Action(rawValue: "cloud_init_vm")), "vm/102", ["searchdomain": "lan"],
            as: .by(TestPrincipals.agent))
        try #require(plan.preview.calls.count == 2, "\(plan.preview.calls.map(\.shownPath))")
        let applied = Task { await world.applyCode(plan) }
        await entered.wait()
        try await freeze(world, "home", by: TestPrincipals.alice)
        gate.open()
        #expect(await applied.value == nil, "the first call was carried out, so this is no refusal")
        #expect(world.pve.changes.count == 1)
        let operation = try #require(try await world.store.read { $0.operations(OperationFilter()).first })
        #expect(operation.state == .failed && operation.code == Operation.partiallyApplied)
        #expect(operation.partial?.code == "frozen")
    }

    @Test func `nobody's freeze is in another one's way`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        try await freeze(world, "home", by: TestPrincipals.alice)
        try await freeze(world, "home", ttl: 1, by: TestPrincipals.agent)
        try await freeze(world, "home", ttl: 5, by: TestPrincipals.agent)
        #expect(world.service.freezes.inForce(.by(TestPrincipals.alice)).map(\.by) == ["alice", "pi-agent"])
        world.clock.move(by: 6)
        #expect(world.service.freezes.inForce(.by(TestPrincipals.alice)).map(\.by) == ["alice"])
        try await freeze(world, nil, by: TestPrincipals.bob)
        #expect(try await world.store.read { $0.freezes().map(\.by) } == ["bob", "alice"], "those that ended are gone")
        let next = try await world.restarted()
        #expect(next.service.freezes.inForce(.by(TestPrincipals.alice)).map(\.by) == ["bob", "alice"])
    }
}
