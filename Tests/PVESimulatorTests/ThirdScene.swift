import PVESimulator
import SimulatorTestSupport

/// The two nodes of the cluster recording, and what was done to them between the recorded calls.
enum ThirdScene {
    /// Sets the scene for the case `name`.
    static func prepare(_ name: String, _ replay: FactReplay) async {
        guard name.hasPrefix("third-") else { return }
        switch String(name.dropFirst("third-".count)) {
        case "version-get": start(replay.simulator)
        case let name: await go(to: name, replay)
        }
    }

    private static func go(to name: String, _ replay: FactReplay) async {
        let simulator = replay.simulator
        switch name {
        case "vm-get-606-migrate-stopped": simulator.setConfig(606, "usb0", "host=1-1")
        case "vm-post-600-migrate-locked": simulator.setConfig(600, "lock", "backup")
        case "vm-post-600-migrate-stopped-shared-disk": simulator.setConfig(600, "lock", nil)
        case "ct-post-621-migrate-stopped-local-disk-2":
            for vmid in [602, 603, 604, 607] { simulator.setRunning(vmid, false) }
            simulator.move(621, to: "pve1")
        case "replication-get-replication-a-job-written-into-the-file":
            simulator.addReplication(
                "605-0", ["guest": "605", "target": "pve1", "schedule": "*/15", "comment": "by hand", "type": "local"])
        case "ha-get-ha-status-current-no-resource-yet":
            place(simulator, "pve1", [600, 601, 604, 605, 620])
            simulator.setRunning(600, false)
        case "ha-post-ha-resources", "vm-post-600-status-stop-asks-ha": simulator.setHAActs(false)
        case "ha-get-ha-status-current-started", "vm-get-600-status-current-after-hastop": settle(replay)
        case "ha-get-ha-status-current-600-stopped-608-in-error":
            settle(replay)
            simulator.setHA(608, wanted: "started", says: "error")
        case "vm-post-600-status-start-asks-ha", "vm-post-600-migrate-running-ha-without-online":
            simulator.setHAActs(true)
        case "ct-post-622-migrate-pve2-is-off-quorum-by-expected-1": place(simulator, "pve1", [622])
        case "vm-get-600-migrate-ha-has-it": simulator.setRunning(600, false)
        case "ct-post-620-migrate-ha-has-it-running-without-restart": settle(replay)
        case "ha-get-ha-status-current-moved-by-the-rule": place(simulator, "pve2", [600])
        case "vm-get-600-migrate-rule-says-pve2-2":
            settle(replay)
            place(simulator, "pve2", [600])
        case "vm-post-605-status-start-before": place(simulator, "pve2", [605])
        case "ha-get-ha-status-current-moved-apart": place(simulator, "pve1", [620])
        default: await failNodes(name, replay)
        }
    }

    private static func failNodes(_ name: String, _ replay: FactReplay) async {
        let simulator = replay.simulator
        let refused = [
            "status-get-pveproxy-of-pve2-is-stopped", "vm-get-605-config-pveproxy-of-pve2-is-stopped",
            "vm-post-605-status-start-pveproxy-of-pve2-is-stopped", "tasks-get-upid-pveproxy-of-pve2-is-stopped",
            "vm-post-605-status-start-pvedaemon-of-pve2-is-stopped",
        ]
        if refused.contains(name) {
            simulator.inject(Fault(.status(595, reason: "Connection refused")))
        }
        switch name {
        case "status-get-pveproxy-of-pve2-hangs": simulator.inject(Fault(.status(596, reason: "Connection timed out")))
        case "vm-post-605-config-pvedaemon-of-pve2-hangs":
            simulator.inject(Fault(.late(596, reason: "Connection timed out")))
        case "vm-get-605-config-after-it-went-on": await simulator.carryOutLate()
        case "status-get-status-pve2-is-cut-off-no-quorum":
            settle(replay)
            place(simulator, "pve2", [600, 603, 605, 620])
            simulator.setNodeOnline("pve2", false)
            simulator.setQuorate(false)
        case "node-get-asked-of-pve2-cut-off": simulator.setNodeOnline("pve2", true)
        case "vm-post-608-config-no-quorum": simulator.setNodeOnline("pve2", false)
        case "status-get-status-pve2-is-off-quorum-by-expected-1": simulator.setQuorate(true)
        case "ha-get-ha-status-current-600-recovered", "vm-get-600-status-current-recovered":
            place(simulator, "pve1", [600])
            simulator.setRunning(600, false)
        case "status-get-status-pve2-is-back":
            simulator.setNodeOnline("pve2", true)
            simulator.setRunning(605, false)
        case "ha-get-ha-status-current-before-the-second-loss-of-pve2": simulator.setHA(620, wanted: nil)
        case "ha-get-ha-status-current-pve2-is-off-0-seconds": simulator.setNodeOnline("pve2", false)
        case "ha-get-ha-status-current-pve2-is-off-3-seconds": simulator.setQuorate(false)
        case "ha-get-ha-status-current-pve2-is-off-32-seconds": simulator.setQuorate(true)
        case "ha-get-ha-status-current-pve2-is-back-failback": simulator.setNodeOnline("pve2", true)
        case "migrateall-post-running-local-cdrom-skipped-and-the-task-is-ok":
            simulator.addGuest(
                633, on: "pve1",
                config: ["name": "alien", "memory": "32", "ide2": "local:iso/boot.iso,media=cdrom,size=391K"],
                isRunning: true)
        default: break
        }
    }

    private static func settle(_ replay: FactReplay) {
        replay.simulator.setHAActs(true)
        replay.clock.advance(by: .seconds(5))
    }

    private static func place(_ simulator: Simulator, _ node: String, _ vmids: [Int]) {
        for vmid in vmids { simulator.move(vmid, to: node) }
    }

    private static func start(_ simulator: Simulator) {
        simulator.setNodes(["pve1", "pve2"], cluster: "lab")
        simulator.setTokens(.list([SecondScene.token]))
        simulator.setReportsPressure(false)
        simulator.setResolvesNames(false)
        simulator.keepLocalStorageOnly()
        simulator.setStorage(
            "shared", type: "dir",
            options: ["path": "/srv/shared", "content": "backup,images,iso,rootdir,snippets,vztmpl", "shared": "1"])
        simulator.setStorage(
            "only1", type: "dir", options: ["path": "/srv/only1", "content": "images,iso,rootdir", "nodes": "pve1"])
        for name in ["local:iso/boot.iso", "shared:iso/common.iso"] {
            simulator.addVolume(name, content: "iso", bytes: 400_384)
        }
        for storage in ["local", "shared"] {
            simulator.addVolume("\(storage):vztmpl/tiny_1.0_amd64.tar.gz", content: "vztmpl")
        }
    }
}
