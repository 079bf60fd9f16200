import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

@testable import PVEPlanning

/// Which privileges a request needs, by the keys that it touches and by the version of PVE.
struct KeyPrivilegeTests {
    /// A request, the one privilege that the token has on the guest, and whether that is enough.
    struct Case: Sendable {
        let action: String
        let target: String
        let params: JSONObject
        let privilege: String
        let isEnough: Bool
        let version: String

        init(
            _ action: String, _ target: String, _ params: JSONObject, _ privilege: String, _ isEnough: Bool,
            _ version: String = "9.2.6"
        ) {
            self.action = action
            self.target = target
            self.params = params
            self.privilege = privilege
            self.isEnough = isEnough
            self.version = version
        }
    }

    static let cases = [
        Case("configure_vm", "vm/101", ["memory": 512], "VM.Config.Memory", true),
        Case("configure_vm", "vm/101", ["memory": 512], "VM.Config.Options", false),
        Case("configure_vm", "vm/101", ["cores": 2], "VM.Config.CPU", true),
        Case("configure_vm", "vm/101", ["numa0": "cpus=0,memory=512"], "VM.Config.CPU", true),
        Case("configure_vm", "vm/101", ["vga": "std"], "VM.Config.HWType", true),
        Case("configure_vm", "vm/101", ["vga": "std"], "VM.Config.Disk", false),
        Case("configure_vm", "vm/101", ["boot": "order=scsi0"], "VM.Config.Disk", true),
        Case("configure_vm", "vm/101", ["boot": "order=scsi0"], "VM.Config.Options", false),
        Case("configure_vm", "vm/101", ["ide2": "none,media=cdrom"], "VM.Config.CDROM", true),
        Case("configure_vm", "vm/101", ["ide2": "none,media=cdrom"], "VM.Config.Disk", false),
        Case("configure_vm", "vm/101", ["ciuser": "a"], "VM.Config.Network", true),
        Case("configure_vm", "vm/101", ["ciuser": "a"], "VM.Config.Cloudinit", true),
        Case("configure_vm", "vm/101", ["delete": ["net0"]], "VM.Config.Network", true),
        Case("configure_vm", "vm/101", ["delete": ["net0"]], "VM.Config.Options", false),
        Case("configure_vm", "vm/101", ["freeze": true], "VM.PowerMgmt", true),
        Case("configure_container", "lxc/201", ["hostname": "a"], "VM.Config.Network", true),
        Case("configure_container", "lxc/201", ["hostname": "a"], "VM.Config.Options", false),
        Case("configure_container", "lxc/201", ["swap": 512], "VM.Config.Memory", true),
        Case("configure_container", "lxc/201", ["onboot": true], "VM.Config.Options", true),
        Case("tag_vm", "vm/101", ["add": ["a"]], "VM.Config.Options", true),
        Case("tag_vm", "vm/101", ["add": ["a"]], "VM.Config.Disk", false),
        Case("agent_fstrim", "vm/101", [:], "VM.GuestAgent.FileSystemMgmt", true),
        Case("agent_fstrim", "vm/101", [:], "VM.Monitor", false),
        Case("agent_fstrim", "vm/101", [:], "VM.Monitor", true, "8.4.1"),
        Case("agent_fstrim", "vm/101", [:], "VM.GuestAgent.FileSystemMgmt", false, "8.4.1"),
    ]

    @Test(arguments: cases)
    func `each key needs its privilege`(one: Case) async throws {
        let fake = FakeHypervisor()
        fake.put("vm/101", status: one.action.hasPrefix("agent") ? "running" : "stopped")
        fake.put("lxc/201")
        let path = "/vms/\(one.target.split(separator: "/")[1])"
        fake.put(.object([path: .object([one.privilege: 1])]), at: "access", "permissions")
        fake.put(["version": .string(one.version)], at: "version")
        let settings = EnvironmentSettings(
            name: .sample, baseURL: "https://pve.example:8006", tokenID: "agent@pve!home", trust: "system")
        let action = try #require(Action(rawValue: one.action))
        let request = try ActionRequest.sample(action, one.target, .object(one.params))
        let preview = try await PVEPlanner(settings: settings, hypervisor: fake).preview(
            of: request, watching: [], resolving: false)
        let missing = preview.checks.filter { $0.id == "privileges" && $0.level == .block }
        #expect(missing.isEmpty == one.isEnough, "\(missing)")
    }
}
