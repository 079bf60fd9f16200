import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

@testable import PVEPlanning

/// What each power action makes of what QEMU says a machine does.
struct MachineStateTests {
    /// The states of the table in docs/actions.md, and which of start, shutdown, reboot and resume are allowed.
    static let table: [(status: String, allowed: [String])] = [
        ("stopped", ["start", "shutdown"]), ("running", ["start", "shutdown", "reboot"]), ("paused", ["resume"]),
        ("prelaunch", ["resume"]), ("suspended", ["resume"]), ("io-error", ["resume"]), ("internal-error", []),
        ("guest-panicked", []), ("watchdog", []), ("shutdown", []), ("postmigrate", []), ("inmigrate", []),
        ("a-new-one", []),
    ]

    @Test(arguments: table)
    func `each state has its actions, and for each of the others a cure`(
        row: (status: String, allowed: [String])
    ) async throws {
        let fake = FakeHypervisor()
        fake.put("vm/101", status: row.status)
        for verb in ["start", "shutdown", "reboot", "resume"] {
            let blocks = try await Self.blocks("\(verb)_vm", "vm/101", at: fake)
            #expect(blocks.isEmpty == row.allowed.contains(verb), "\(verb): \(blocks)")
            if row.status != "stopped", row.status != "running", !blocks.isEmpty {
                #expect(blocks[0].contains("_vm"), "\(blocks)")
            }
        }
        for verb in ["stop_vm", "reset_vm"] where row.status != "stopped" {
            #expect(try await Self.blocks(verb, "vm/101", at: fake).isEmpty)
        }
    }

    @Test func `a container goes on only when it is stopped, and then with a warning`() async throws {
        let fake = FakeHypervisor()
        fake.put("lxc/201", status: "running")
        #expect(try await !Self.blocks("resume_container", "lxc/201", at: fake).isEmpty)
        fake.put("lxc/201", status: "stopped")
        #expect(try await Self.blocks("resume_container", "lxc/201", at: fake).isEmpty)
        let checks = try await Self.preview("resume_container", "lxc/201", at: fake).checks
        #expect(checks.contains { $0.id == "suspended" && $0.level == .warn })
    }

    private static func blocks(_ action: String, _ target: String, at fake: FakeHypervisor) async throws -> [String] {
        try await preview(action, target, at: fake).checks.filter { $0.level == .block }.map(\.detail)
    }

    private static func preview(_ action: String, _ target: String, at fake: FakeHypervisor) async throws -> Preview {
        let settings = EnvironmentSettings(
            name: .sample, baseURL: "https://pve.example:8006", tokenID: "agent@pve!home", trust: "system")
        let request = try ActionRequest.sample(try #require(Action(rawValue: action)), target)
        return try await PVEPlanner(settings: settings, hypervisor: fake).preview(
            of: request, watching: [], resolving: false)
    }
}
