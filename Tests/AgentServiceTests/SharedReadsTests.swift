import AgentModel
import AgentTestSupport
import Synchronization
import Testing

@testable import AgentService

@Suite(.timeLimit(.minutes(1)))
struct SharedReadsTests {
    private func managedEnvironment(_ pve: FakeHypervisor) throws -> ManagedEnvironment {
        let name = try #require(EnvironmentName("home"))
        return ManagedEnvironment(
            settings: EnvironmentSettings(
                name: name, baseURL: "simulator://home", tokenID: "a@pve!home", trust: "system"),
            hypervisor: pve)
    }

    @Test(arguments: [(true, 1), (false, 20)])
    func `reads at the same time share one fetch, where that is wanted`(sharing: Bool, fetches: Int) async throws {
        let pve = FakeHypervisor()
        let gate = Gate()
        pve.holdInventory(until: gate)
        let managed = try managedEnvironment(pve)
        let reads = SharedReads(sharing: sharing)
        let counts = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<20 {
                group.addTask { try await reads.inventory(of: managed, runningOnly: false).count }
            }
            while pve.inventories < fetches { await Task.yield() }
            for _ in 0..<200 { await Task.yield() }
            gate.open()
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(counts == Array(repeating: 0, count: 20))
        #expect(sharing ? pve.inventories < 20 : pve.inventories == fetches)
        let before = pve.inventories
        _ = try await reads.inventory(of: managed, runningOnly: false)
        #expect(pve.inventories == before + 1, "nothing is kept once a fetch has ended")
    }

    @Test func `reads of different things do not share`() async throws {
        let pve = FakeHypervisor()
        let gate = Gate()
        pve.holdInventory(until: gate)
        let managedEnvironments = [try managedEnvironment(pve)]
        let reads = SharedReads(sharing: true)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for runningOnly in [true, false] {
                group.addTask { _ = try await reads.inventory(of: managedEnvironments[0], runningOnly: runningOnly) }
            }
            while pve.inventories < 2 { await Task.yield() }
            gate.open()
            try await group.waitForAll()
        }
    }

    @Test func `who leaves waits no longer, and what nobody waits for is given up`() async throws {
        let pve = FakeHypervisor()
        let gate = Gate()
        pve.holdInventory(until: gate)
        let managed = try managedEnvironment(pve)
        let reads = SharedReads(sharing: true)
        let tasks = (0..<3).map { _ in
            Task { () async throws(HypervisorError) in
                try await reads.inventory(of: managed, runningOnly: false).count
            }
        }
        while pve.inventories < 1 || reads.waiting < 3 {
            try Task.checkCancellation()
            await Task.yield()
        }
        for task in tasks.dropLast() {
            task.cancel()
            await #expect(throws: HypervisorError.self) { try await task.value }
        }
        #expect(reads.waiting == 1 && pve.abandoned == 0, "somebody still waits for it")
        tasks[2].cancel()
        await #expect(throws: HypervisorError.self) { try await tasks[2].value }
        gate.open()
        while pve.abandoned == 0 {
            try Task.checkCancellation()
            await Task.yield()
        }
        #expect(try await reads.inventory(of: managed, runningOnly: false).count == 0)
        #expect(pve.inventories == 2, "the next one begins anew")
    }

    @Test func `a failure is shared too, and not kept`() async throws {
        let pve = FakeHypervisor()
        pve.failure = .timeout(sent: false)
        let managed = try managedEnvironment(pve)
        let reads = SharedReads(sharing: true)
        await #expect(throws: HypervisorError.timeout(sent: false)) {
            try await reads.inventory(of: managed, runningOnly: false)
        }
        pve.failure = nil
        #expect(try await reads.inventory(of: managed, runningOnly: false).count == 0)
    }
}
