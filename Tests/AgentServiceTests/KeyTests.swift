import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// A request with a key is carried out once, however often it comes.
@Suite(.timeLimit(.minutes(1)))
struct KeyTests {
    private static let key = IdempotencyKey(principal: "operator", route: "plan", key: "k-1")

    private func wish(_ hash: String = "hash", _ key: IdempotencyKey = key) -> PendingIdempotentRequest {
        PendingIdempotentRequest(key: key, payloadHash: hash) { plan in
            StoredResponse(status: 200, body: Array("\(plan.id)".utf8), location: nil)
        }
    }

    private func code(
        _ world: TestService, _ hash: String = "hash", by context: Context = TestService.alice
    ) async -> ErrorCode? {
        do throws(ServiceError) {
            _ = try await world.service.idempotency.begin(Self.key, payloadHash: hash, context)
            world.service.idempotency.end(Self.key)
        } catch {
            return error.code
        }
        return nil
    }

    @Test func `while the first is being answered others wait their turn`() async throws {
        let world = try TestService()
        guard case .fresh = try await world.service.idempotency.begin(Self.key, payloadHash: "hash", TestService.alice)
        else {
            Issue.record("a new key is fresh")
            return
        }
        #expect(await code(world) == .idempotencyInProgress)
        world.service.idempotency.end(Self.key)
        #expect(await code(world) == nil)
    }

    @Test func `an operation that is not answered yet is in progress, and an answer is there for all at once`()
        async throws
    {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let key = IdempotencyKey(principal: "operator", route: "apply", key: "k-4")
        let request = ApplyRequest(planID: plan.id)
        func state() async -> KeyState? {
            try? await world.service.idempotency.begin(key, payloadHash: "h", TestService.alice)
        }
        guard case .fresh = await state() else {
            Issue.record("a new key is fresh")
            return
        }
        _ = try await world.service.applies.apply(request, TestService.alice, wait: .seconds(30), kept: wish("h", key))
        #expect(await state() == nil, "its answer is on its way")
        await world.service.idempotency.keep(StoredResponse(status: 200, body: [], location: nil), for: key)
        guard case .answered = await state() else {
            Issue.record("there is an answer, though the first request holds the key yet")
            return
        }
        world.service.idempotency.end(key)
    }

    @Test func `a plan is made once, and its answer is kept over restarts for a day`() async throws {
        let world = try TestService()
        let plan = try await world.service.workflow.plan(.request(.startVM, "vm/102"), TestService.alice, kept: wish())
        for world in [world, try await world.restarted()] {
            guard
                case .answered(let answer) = try await world.service.idempotency.begin(
                    Self.key, payloadHash: "hash", TestService.alice)
            else {
                Issue.record("the answer is kept")
                return
            }
            #expect(answer.body == Array("\(plan.id)".utf8))
            #expect(await code(world, "another") == .idempotencyKeyReused)
        }
        world.clock.move(by: 86_401)
        try await world.service.workflow.prune()
        #expect(await code(world) == nil)
        #expect(try await world.store.read { $0.request(Self.key) } == nil)
    }

    @Test func `what a principal may not see any more is not shown for a key`() async throws {
        let world = try TestService()
        _ = try await world.service.workflow.plan(.request(.startVM, "vm/102"), TestService.alice, kept: wish())
        let blind = Principal(id: "operator", roles: [.operator], environments: [])
        #expect(await code(world, by: .by(blind)) == .unknownEnvironment)
    }

    @Test func `nor is it when what the key made is forgotten`() async throws {
        let world = try TestService()
        _ = try await world.service.workflow.plan(.request(.startVM, "vm/102"), TestService.alice, kept: wish())
        try await world.store.write { $0.remove(PlanFilter(), keeping: 0) }
        let blind = Principal(id: "operator", roles: [.operator], environments: [])
        let answer = await code(world, by: .by(blind))
        #expect(answer == .unknownEnvironment)
        #expect(await code(world) == nil, "who sees everything sees this too")
    }

    @Test func `a refusal before an operation exists is not kept`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        let key = IdempotencyKey(principal: "operator", route: "apply", key: "k-2")
        let request = ApplyRequest(planID: plan.id)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.applies.apply(request, TestService.alice, wait: nil, kept: wish("h", key))
        }
        #expect(refused?.code == .approvalRequired)
        await world.service.idempotency.keep(StoredResponse(status: 403, body: [], location: nil), for: key)
        #expect(try await world.store.read { $0.request(key) } == nil)
    }

    @Test func `an operation whose answer was lost answers as it stands`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let key = IdempotencyKey(principal: "operator", route: "apply", key: "k-3")
        let request = ApplyRequest(planID: plan.id)
        _ = try await world.service.applies.apply(request, TestService.alice, wait: .seconds(30), kept: wish("h", key))
        let next = try await world.restarted()
        guard
            case .unanswered(let operation) = try await next.service.idempotency.begin(
                key, payloadHash: "h", TestService.alice)
        else {
            Issue.record("the operation is known")
            return
        }
        #expect(operation.state == .succeeded)
        #expect(operation.planID == plan.id)
        #expect(world.pve.changes.count == 1)
    }
}
