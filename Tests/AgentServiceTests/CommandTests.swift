import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// Commands in guests are followed to their ends, through restarts too.
@Suite(.timeLimit(.minutes(1)))
struct CommandTests {
    private func world(_ limits: Limits = Limits()) throws -> TestService {
        let world = try TestService(limits: limits) { _ in .done(["pid": 4711]) }
        world.pve.put(
            ["name": "vm/101", "digest": "d1", "agent": "1"], at: "nodes", "pve1", "qemu", "101", "config")
        return world
    }

    private func plan(_ world: TestService) async throws -> Plan {
        try await world.plan(try #require(Action(rawValue: "agent_exec")), "vm/101", ["command": ["uptime"]])
    }

    @Test func `a restart goes on with the process that the answer named`() async throws {
        let world = try world()
        world.pve.put(["exited": 0], at: "nodes", "pve1", "qemu", "101", "agent", "exec-status")
        let plan = try await plan(world)
        let started = try await world.apply(plan, approvedBy: "carol", wait: .zero)
        while try await world.service.operations.operation(started.id, TestService.alice).data == nil {
            await Task.yield()
        }
        await world.service.drain(within: .zero)
        let next = try await world.restarted()
        world.pve.put(
            ["exited": 1, "exitcode": 2, "err-data": "no"], at: "nodes", "pve1", "qemu", "101", "agent", "exec-status")
        let ended = try await next.service.operations.operation(started.id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .failed)
        #expect(ended.code == "command_failed")
        #expect(ended.data?["output"]?["stderr"] == "no")
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a command that does not end in its time is unknown`() async throws {
        var limits = Limits()
        limits.commandSeconds = 1
        let world = try world(limits)
        world.pve.put(["exited": 0], at: "nodes", "pve1", "qemu", "101", "agent", "exec-status")
        let operation = try await world.apply(try await plan(world), approvedBy: "carol")
        #expect(operation.state == .unknown)
        #expect(operation.message.contains("still runs"), "\(operation.message)")
    }

    @Test func `output is bounded`() async throws {
        var limits = Limits()
        limits.commandBytes = 10
        let world = try world(limits)
        world.pve.put(
            ["exited": 1, "exitcode": 0, "out-data": "0123456789abc"], at: "nodes", "pve1", "qemu", "101", "agent",
            "exec-status")
        let operation = try await world.apply(try await plan(world), approvedBy: "carol")
        #expect(operation.state == .succeeded)
        #expect(operation.data?["output"]?["stdout"] == "0123456789")
        #expect(operation.data?["output"]?["truncated"] == true)
    }
}
