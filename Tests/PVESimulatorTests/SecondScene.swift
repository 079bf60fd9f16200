import PVESimulator
import SimulatorTestSupport

/// The node of the second recording, and what was done to it between the recorded calls.
enum SecondScene {
    /// The role that docs/configuration.md shows.
    static let role: Set<String> = [
        "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit",
        "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options",
        "VM.GuestAgent.Audit", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted", "VM.Migrate",
        "VM.PowerMgmt", "VM.Replicate", "VM.Snapshot", "VM.Snapshot.Rollback", "Datastore.Allocate",
        "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit", "SDN.Use", "Pool.Allocate",
        "Pool.Audit", "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Modify", "Sys.PowerMgmt",
    ]
    static let token = Simulator.Token(id: "agent@pve!home", secret: FactReplay.secret, privileges: ["/": role])

    /// Sets the scene for the case `name`.
    static func prepare(_ name: String, _ replay: FactReplay) async {
        let simulator = replay.simulator
        switch name {
        case "second-vm-post": start(simulator)
        case "second-ct-put-510-config-2":
            simulator.setHotplugProblem(510, "failed to change apparmor profile: Invalid argument")
        // A pause stood before what looks at something that settles.
        case "second-vm-get-506-status-current", "second-tasks-get", "second-tasks-get-3":
            replay.clock.advance(by: .seconds(4))
        case "second-vm-get-520-status-current-running": simulator.setAnswersShutdown(520, false)
        default: break
        }
    }

    private static func start(_ simulator: Simulator) {
        simulator.setNodes(["pve"])
        simulator.setTokens(.list([token]))
        simulator.setHAActs(false)
        simulator.setReportsPressure(false)
        simulator.keepLocalStorageOnly()
        simulator.addVolume("local:vztmpl/tiny_1.0_amd64.tar.gz", content: "vztmpl")
        simulator.addVolume("local:iso/small.iso", content: "iso")
        simulator.addGuest(106, on: "pve", config: ["name": "kept"])
        simulator.setHA(106, wanted: "ignored")
        for time in ["10_47_10", "10_49_07"] {
            simulator.addVolume(
                "local:backup/vzdump-lxc-510-2026_11_28-\(time).tar", content: "backup", bytes: 2_048_000, vmid: 510)
        }
    }
}
