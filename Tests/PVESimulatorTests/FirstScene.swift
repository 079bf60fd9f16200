import PVESimulator
import SimulatorTestSupport
import StrictJSON

/// The node of the first recording, and what was done to it between the recorded calls.
enum FirstScene {
    static let container = [
        "arch": "amd64", "hostname": "web2", "memory": "128", "ostype": "debian",
        "rootfs": "local:212/vm-212-disk-0.raw,size=64M",
    ]

    /// Sets the scene for the case `name`.
    static func prepare(_ name: String, _ replay: FactReplay) async {
        let simulator = replay.simulator
        switch name {
        case "version": await start(replay)
        case "vzdump-failed-status":
            simulator.addTask(
                "UPID:pve1:00000790:000554E0:6B035B6E:vzdump:110:root@pam:", exit: "job errors")
        case "prunebackups-dry":
            for volume in simulator.volumes where volume.hasPrefix("local:backup/") {
                await replay.send("DELETE", "/api2/json/nodes/pve1/storage/local/content/\(volume)")
            }
            replay.clock.advance(by: .seconds(1))
        case "backup-job-delete-auto":
            let jobs = FactReplay.json(of: await replay.send("GET", "/api2/json/cluster/backup"))["data"]?.array ?? []
            // The job that got its name by itself; here it has another one.
            let id = jobs.lazy.compactMap { $0["id"]?.string }.first { $0.split(separator: "-").count == 5 }
            replay.names["7f7360db-ac16-4996-836b-28bd96ac2762"] = id
        case "vm-list", "vm-start", "vm-shutdown-timeout":
            replay.clock.advance(by: .seconds(1))
            for vmid in [110, 111] { simulator.setAnswersShutdown(vmid, false) }
        case "locked-status": simulator.setConfig(110, "lock", "backup")
        case "vm-protect": simulator.setConfig(110, "lock", nil)
        case "locked-run-status": simulator.setConfig(110, "lock", "backup")
        case "unlocked-stop": simulator.setConfig(110, "lock", nil)
        case "online-start": simulator.setRunning(111, true)
        case "fw-stale-add":
            for _ in 0..<3 { await replay.send("DELETE", "/api2/json/nodes/pve1/qemu/110/firewall/rules/0") }
        case "ct-index": simulator.addGuest(212, isContainer: true, on: "pve1", config: container)
        case "ct-config-put-stale": simulator.setConfig(212, "memory", "192")
        case "ct-locked-status": simulator.setConfig(212, "lock", "backup")
        case "ct-protect": simulator.setConfig(212, "lock", nil)
        case "ct-put-ok-delete":
            let more = ["memory": "192", "swap": "0", "tags": "ct;web", "description": "box\n"]
            simulator.addGuest(
                212, isContainer: true, on: "pve1", config: container.merging(more) { $1 })
        case "ct-config-put-right-digest": simulator.addGuest(212, isContainer: true, on: "pve1", config: container)
        case "storage-content-iso": simulator.addVolume("local:iso/tiny.iso", content: "iso", bytes: 2048)
        case "pool-delete-nested":
            await replay.send("PUT", "/api2/json/pools", body: "poolid=prod%2Fweb&vms=111&delete=1")
        case "backup-content":
            simulator.addVolume(
                "local:backup/vzdump-qemu-110-2026_11_20-03_00_01.vma.zst", content: "backup", bytes: 65536, vmid: 110)
        case "tasks-since":
            replay.clock.advance(by: .seconds(1_795_382_270) - replay.clock.now)
            await replay.send("POST", "/api2/json/nodes/pve1/qemu/115/status/stop")
            replay.clock.advance(by: .seconds(1))
        default: prepareTokens(name, simulator)
        }
    }

    private static func prepareTokens(_ name: String, _ simulator: Simulator) {
        switch name {
        case "lim-nothing-resources", "lim-after-acl-delete": simulator.setTokens(tokens(limited: [:]))
        case "lim-resources":
            simulator.setTokens(tokens(limited: ["/vms/110": ["VM.Audit", "VM.Console", "VM.PowerMgmt"]]))
        case "token-expired", "token-delete": simulator.setTokens(tokens(limited: nil))
        default: break
        }
    }

    private static func tokens(limited: [String: Set<String>]?) -> Simulator.Tokens {
        let secret = FactReplay.secret
        let audit: Set<String> = ["VM.Audit", "VM.Console", "VM.PowerMgmt"]
        var list = [
            Simulator.Token(id: "root@pam!t1", secret: secret),
            Simulator.Token(id: "op@pve!lim", secret: secret, privileges: ["/vms/103": audit]),
        ]
        if let limited { list.append(Simulator.Token(id: "rec@pve!lim", secret: secret, privileges: limited)) }
        return .list(list)
    }

    private static func start(_ replay: FactReplay) async {
        let simulator = replay.simulator
        simulator.setTokens(tokens(limited: nil))
        simulator.setHAActs(false)
        simulator.setBridges([], on: "pve1")
        simulator.keepLocalStorageOnly()
        simulator.addVolume("local:vztmpl/tiny-1.0.tar.gz", content: "vztmpl")
        let identity = { (number: Int) in
            [
                "smbios1": "uuid=00000000-0000-4000-8000-000000000\(number)", "memory": "64", "boot": "order=scsi0",
                "vmgenid": "00000000-0000-4000-8000-100000000\(number)", "kvm": "0",
            ]
        }
        let machines: [(Int, [String: String])] = [
            (100, ["name": "first", "tags": "a;b", "scsi0": "local:100/vm-100-disk-0.raw,size=1G"]),
            (
                101,
                [
                    "name": "second", "tags": "prod;web", "template": "1",
                    "scsi0": "local:101/base-101-disk-0.qcow2,size=1G",
                ]
            ),
            (103, ["name": "cl3", "cores": "2", "scsi0": "local:103/vm-103-disk-0.raw,size=1G"]),
            (
                104,
                [
                    "name": "Copy-of-VM-second", "tags": "prod;web",
                    "scsi0": "local:101/base-101-disk-0.qcow2/104/vm-104-disk-0.qcow2,size=1G",
                ]
            ),
        ]
        for (vmid, config) in machines {
            simulator.addGuest(vmid, on: "pve1", config: identity(vmid).merging(config) { $1 })
        }
        simulator.addGuest(
            201, isContainer: true, on: "pve1",
            config: [
                "arch": "amd64", "hostname": "ct200", "memory": "128", "ostype": "debian",
                "rootfs": "local:201/vm-201-disk-0.raw,size=1G",
            ])
        await replay.send("POST", "/api2/json/access/users", body: "userid=op%40pve")
        for holder in ["users=op%40pve", "tokens=op%40pve%21lim"] {
            await replay.send("PUT", "/api2/json/access/acl", body: "path=%2Fvms%2F103&roles=PVEVMUser&\(holder)")
        }
        for verb in ["start", "stop"] {
            let fact = RecordedExchange(
                name: verb, auth: "token:op@pve!lim", method: "POST", path: "", contentType: nil, body: nil,
                headers: [],
                isWrongSecret: false, status: 200, reason: "", errors: [], shape: "", keys: [:], exit: nil)
            await replay.send("POST", "/api2/json/nodes/pve1/qemu/103/status/\(verb)", body: nil, fact)
            replay.clock.advance(by: .seconds(1))
        }
    }
}
