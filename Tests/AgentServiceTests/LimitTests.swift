import AgentModel
import AgentTestSupport
import StrictJSON
import Synchronization
import Testing

@testable import AgentService

/// What one caller may keep of the agent, and what still goes when it has no room.
@Suite(.timeLimit(.minutes(1)))
struct LimitTests {
    private static func key(_ name: String) -> IdempotencyKey {
        IdempotencyKey(principal: "operator", route: "plan", key: name)
    }

    private static func wish(_ key: IdempotencyKey, bytes: Int = 10) -> PendingIdempotentRequest {
        PendingIdempotentRequest(key: key, payloadHash: "h") { _ in
            StoredResponse(status: 200, body: [UInt8](repeating: 7, count: bytes), location: nil)
        }
    }

    private func begin(_ world: TestService, _ key: IdempotencyKey) async -> ErrorCode? {
        do throws(ServiceError) {
            if case .fresh = try await world.service.idempotency.begin(key, payloadHash: "h", TestService.alice) {
                world.service.idempotency.end(key)
            }
            return nil
        } catch {
            return error.code
        }
    }

    @Test(arguments: [(2, 1 << 20, 10), (100, 1000, 600)])
    func `keys of one principal are limited in number and bytes, and none is forgotten for another`(
        keys: Int, bytes: Int, each: Int
    ) async throws {
        var limits = Limits()
        (limits.keys, limits.keyBytes) = (keys, bytes)
        let world = try TestService(limits: limits)
        for name in ["a", "b"] {
            #expect(await begin(world, Self.key(name)) == nil)
            _ = try await world.service.workflow.plan(
                .request(.startVM, "vm/102"), TestService.alice, kept: Self.wish(Self.key(name), bytes: each))
        }
        #expect(await begin(world, Self.key("c")) == .rateLimited)
        #expect(await begin(world, Self.key("a")) == nil, "what is kept is answered")
        let other = IdempotencyKey(principal: "bob", route: "plan", key: "c")
        #expect(await begin(world, other) == nil)
        world.clock.move(by: 86_401)
        try await world.service.workflow.prune()
        #expect(await begin(world, Self.key("c")) == nil)
    }

    @Test func `a dry run is kept in outline and under no key, and done anew when it is applied`() async throws {
        let world = try TestService()
        let plan = try await world.service.workflow.plan(
            .request(.startVM, "vm/102", dryRun: true), TestService.alice, kept: Self.wish(Self.key("a")))
        #expect(!plan.preview.calls.isEmpty)
        #expect(try await world.store.read { $0.request(Self.key("a")) } == nil)
        let kept = try #require(try await world.store.read { $0.plan(plan.id) })
        #expect(kept.preview.calls.isEmpty && kept.planHash == plan.planHash)
        let apply = ApplyRequest(planID: plan.id)
        let outcome = try await world.service.applies.apply(apply, TestService.alice, wait: nil)
        #expect(outcome.plan.preview.calls.map(\.shownPath) == plan.preview.calls.map(\.shownPath))
        #expect(outcome.plan.id == plan.id && world.pve.changes.isEmpty)
    }

    @Test func `plans may keep only so many ids`() async throws {
        var limits = Limits()
        limits.reservedIDs = 2
        let world = try TestService(limits: limits)
        func clone(_ id: Int) async -> ErrorCode? {
            do throws(ServiceError) {
                _ = try await world.plan(.cloneVM, "vm/102", ["newid": JSON(id)])
                return nil
            } catch {
                return error.code
            }
        }
        #expect(await clone(501) == nil)
        #expect(await clone(502) == nil)
        #expect(await clone(503) == .rateLimited)
        #expect(await clone(502) == nil, "the same id is no further one")
    }

    @Test func `without disk space only what ends or stops something goes`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let (first, second) = (
            try await world.plan(.stopVM, "vm/101"), try await world.plan(.stopVM, "vm/101")
        )
        world.clock.setShort(true)
        let records = world.audit.events.count
        func code(_ body: () async throws(ServiceError) -> Void) async -> ErrorCode? {
            do throws(ServiceError) { try await body() } catch { return error.code }
            return nil
        }
        #expect(
            await code { () async throws(ServiceError) in _ = try await world.plan(.startVM, "vm/102") }
                == .storeUnavailable)
        #expect(await code { () async throws(ServiceError) in _ = try await world.apply(plan) } == .storeUnavailable)
        #expect(
            await code { () async throws(ServiceError) in
                _ = try await world.service.reads.inventoryOfAll(runningOnly: false, TestService.alice)
            } == .storeUnavailable)
        #expect(
            await code { () async throws(ServiceError) in
                _ = try await world.service.freezes.unfreeze(FreezeChoice(), TestService.alice)
            }
                == .storeUnavailable)
        #expect(world.audit.events.count == records, "nor is a refusal written down")
        #expect(await world.service.missing(isAuthConfigured: true).map(\.code) == [.storeUnavailable])
        let frozen = FreezeRequest(reason: "the disk")
        _ = try await world.service.freezes.freeze(frozen, TestService.alice)
        _ = try await world.service.workflow.cancelPlan(first.id, TestService.alice)
        #expect(try await world.service.workflow.plan(first.id, TestService.alice).state == .cancelled)
        #expect(try await world.service.workflow.plan(second.id, TestService.alice).state == .awaitingApproval)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `a PVE that hangs keeps only its own places`() async throws {
        var limits = Limits()
        limits.shareReads = false
        let world = try TestService(limits: limits)
        let gate = Gate()
        world.pve.holdInventory(until: gate)
        let read = ActionRequest(reading: .readInventory, on: .inventoryAll, in: world.settings.name)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<64 { group.addTask { _ = try await world.service.reads.read(read, TestService.alice) } }
            while world.pve.inventories < 64 { await Task.yield() }
            let refusal = await world.refusal { () async throws(ServiceError) in
                _ = try await world.plan(.startVM, "vm/102")
            }
            #expect(refusal?.code == .overloaded && refusal?.detail.hasPrefix("home: ") == true)
            let all = try await world.service.reads.inventoryOfAll(runningOnly: false, TestService.alice)
            #expect(all.parts.first?.error?.code == .overloaded)
            gate.open()
            try await group.waitForAll()
        }
        _ = try await world.plan(.startVM, "vm/102")
    }

    private func pass(until isSo: () -> Bool) async throws {
        while !isSo() {
            try Task.checkCancellation()
            await Task.yield()
        }
    }

    @Test func `one caller's flood leaves the next free place to another, and who has left keeps none`() async throws {
        let world = try TestService()
        let gate = Gate()
        defer { gate.open() }
        world.pve.holdInventory(until: gate)
        let read = ActionRequest(reading: .readInventory, on: .inventoryAll, in: world.settings.name)
        let managed = try #require(world.service.access.managedEnvironments.first)
        let flood = (0..<64).map { _ in Task { try? await world.service.reads.read(read, TestService.alice) } }
        let bob = Context(caller: .labelled("bob"), principal: .shared, requestID: "req_2")
        // Not before: between looking and reading each gives its place back for a moment.
        try await pass { world.service.reads.shared.waiting == 64 }
        let mine = await world.refusal { () async throws(ServiceError) in
            _ = try await world.plan(.startVM, "vm/102")
        }
        #expect(mine?.code == .overloaded, "she has them all")
        let plan = Task { try await world.plan(.startVM, "vm/102", as: bob) }
        try await pass { managed.queued == 1 }
        flood[0].cancel()
        #expect(try await plan.value.state == .approved, "PVE hangs for all but him")
        for task in flood { task.cancel() }
        for task in flood { _ = await task.value }
        #expect(managed.taken == 0 && !gate.isOpen)
        gate.open()
    }

    @Test func `what keys take up is counted in the store once in a while`() async throws {
        let world = try TestService()
        let reads = Mutex(0)
        world.store.failReads {
            reads.withLock { $0 += 1 }
            return false
        }
        func cost(_ name: String) async -> Int {
            let before = reads.withLock { $0 }
            #expect(await begin(world, Self.key(name)) == nil)
            return reads.withLock { $0 } - before
        }
        let first = await cost("a")
        for name in ["b", "c"] { #expect(await cost(name) == first - 1) }
        world.clock.pass(11)
        #expect(await cost("d") == first)
    }
}
