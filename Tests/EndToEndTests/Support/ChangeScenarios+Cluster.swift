import PVESimulator
import SimulatorTestSupport
import StrictJSON

extension ChangeScenario {
    static let image = "local:iso/debian-13.2.0-amd64-netinst.iso"

    static let backups: [ChangeScenario] = [
        ChangeScenario("backup_vm", "vm/100", ["storage": "local", "mode": "snapshot", "compress": "zstd"]) {
            $0.pve.volumes.contains { $0.contains("vzdump-qemu-100") }
        },
        ChangeScenario("backup_container", "lxc/118", ["storage": "local"]) {
            $0.pve.volumes.contains { $0.contains("vzdump-lxc-118") }
        },
        ChangeScenario(
            "restore_backup", "vm/136", ["archive": .string(archive), "overwrite": true],
            given: { $0.addVolume(archive, content: "backup", vmid: 136) }
        ) { $0.guest(136) != nil && $0.last?.parameters["force"] == "1" },
        ChangeScenario(
            "delete_backup", "storage/local", ["volume": .string(archive)],
            given: { $0.addVolume(archive, content: "backup", vmid: 136) },
            disturb: {
                $0.removeVolumes()
                $0.addVolume(archive, content: "backup", bytes: 4711, vmid: 136)
            }
        ) { !$0.pve.volumes.contains(archive) },
        ChangeScenario(
            "prune_backups", "storage/local", ["prune-backups": "keep-last=1"],
            given: {
                for number in 1...3 { $0.addVolume(archive(number), content: "backup", vmid: 136) }
            }, disturb: { $0.addVolume(archive(4), content: "backup", vmid: 136) }
        ) { $0.pve.volumes.filter { $0.contains("vzdump-qemu-136") }.count == 1 },
        ChangeScenario(
            "backup_job_edit", "cluster",
            ["op": "add", "id": "nightly", "schedule": "sun 01:00", "storage": "local", "all": true],
            disturb: job
        ) { try await $0.read("/cluster/backup/nightly")["schedule"] == "sun 01:00" },
        ChangeScenario(
            "backup_job_edit", "cluster", ["op": "change", "id": "nightly", "enabled": false], given: job,
            disturb: { try await $0.make("PUT", "/cluster/backup/nightly", "schedule=mon%2002:00") }
        ) { try await $0.read("/cluster/backup/nightly")["enabled"] == 0 },
        ChangeScenario(
            "backup_job_edit", "cluster", ["op": "remove", "id": "nightly"], given: job,
            disturb: { try await $0.make("PUT", "/cluster/backup/nightly", "schedule=mon%2002:00") }
        ) { try await $0.read("/cluster/backup/nightly") == .null },
    ]

    private static let archive = archive(1)
    private static func archive(_ number: Int) -> String {
        "local:backup/vzdump-qemu-136-2026_11_2\(number)-03_00_01.vma.zst"
    }
    private static let job: Step = {
        try await $0.make("POST", "/cluster/backup", "id=nightly&schedule=sun%2001:00&storage=local&all=1")
    }
    private static let sum = String(repeating: "0f", count: 32)

    static let storage: [ChangeScenario] = [
        ChangeScenario(
            "storage_edit", "storage/nas", ["op": "add", "type": "dir", "path": "/mnt/nas", "content": "iso"],
            disturb: { $0.setStorage("nas", type: "dir", options: ["path": "/x"]) }
        ) { try await $0.read("/storage/nas")["path"] == "/mnt/nas" },
        ChangeScenario(
            "storage_edit", "storage/nas", ["op": "change", "content": "backup,iso"],
            given: { $0.setStorage("nas", type: "dir", options: ["path": "/mnt/nas", "content": "iso"]) },
            disturb: { $0.setStorage("nas", type: "dir", options: ["path": "/x", "content": "iso"]) }
        ) { try await $0.read("/storage/nas")["content"] == "backup,iso" },
        ChangeScenario(
            "storage_edit", "storage/nas", ["op": "remove"],
            given: { $0.setStorage("nas", type: "dir", options: ["path": "/mnt/nas", "content": "iso"]) },
            disturb: { $0.setStorage("nas", type: "dir", options: ["path": "/x", "content": "iso"]) }
        ) { try await $0.read("/storage/nas") == .null },
        ChangeScenario(
            "delete_volume", "storage/local", ["volume": .string(image)],
            disturb: {
                $0.removeVolumes()
                $0.addVolume(image, content: "iso", bytes: 4711)
            }
        ) { !$0.pve.volumes.contains(image) },
        ChangeScenario(
            "download_to_storage", "storage/local",
            [
                "url": "https://images.example/a.iso", "content": "iso", "filename": "a.iso", "checksum": .string(sum),
                "checksum-algorithm": "sha256", "node": "pve1",
            ],
            given: { $0.setDownload("https://images.example/a.iso", bytes: 4096, checksums: ["sha256": sum]) },
            disturb: { $0.addVolume("local:iso/a.iso", content: "iso") }
        ) { $0.pve.volumes.contains("local:iso/a.iso") },
    ]

    static let network: [ChangeScenario] = [
        ChangeScenario(
            "firewall_edit", "firewall/vm/100",
            [
                "op": "add", "object": "rule", "type": "in", "action": "ACCEPT", "proto": "tcp", "dport": "443",
                "enable": 1,
            ]
        ) { try await $0.read("/nodes/pve2/qemu/100/firewall/rules").array?.first?["dport"] == "443" },
        ChangeScenario("firewall_edit", "firewall/lxc/118", ["op": "change", "object": "options", "policy_in": "DROP"])
        {
            try await $0.read("/nodes/pve2/lxc/118/firewall/options")["policy_in"] == "DROP"
        },
        ChangeScenario(
            "firewall_edit", "firewall/cluster",
            ["op": "add", "object": "alias", "name": "office", "cidr": "192.0.2.0/24"],
            disturb: alias
        ) { try await $0.read("/cluster/firewall/aliases/office")["cidr"] == "192.0.2.0/24" },
        ChangeScenario(
            "firewall_edit", "firewall/cluster",
            ["op": "change", "object": "alias", "name": "home", "cidr": "192.0.2.2"],
            given: alias, disturb: { try await $0.make("PUT", "/cluster/firewall/aliases/home", "cidr=192.0.2.9") }
        ) { try await $0.read("/cluster/firewall/aliases/home")["cidr"] == "192.0.2.2" },
        ChangeScenario(
            "firewall_edit", "firewall/cluster", ["op": "remove", "object": "alias", "name": "home"],
            given: alias, disturb: { try await $0.make("PUT", "/cluster/firewall/aliases/home", "cidr=192.0.2.9") }
        ) { try await $0.read("/cluster/firewall/aliases/home") == .null },
        ChangeScenario(
            "firewall_edit", "firewall/vm/100",
            ["op": "change", "object": "alias", "name": "own", "cidr": "192.0.2.2"],
            given: { try await $0.make("POST", "/nodes/pve2/qemu/100/firewall/aliases", "name=own&cidr=192.0.2.1") }
        ) { try await $0.read("/nodes/pve2/qemu/100/firewall/aliases/own")["cidr"] == "192.0.2.2" },
        ChangeScenario(
            "pool_edit", "pool/lab", ["op": "add", "comment": "x"], disturb: { $0.setPool(136, "lab") }
        ) { try await $0.read("/pools?poolid=lab").array?.first?["comment"] == "x" },
        ChangeScenario(
            "pool_edit", "pool/staging", ["op": "change", "comment": "new"], disturb: { $0.setPool(100, "staging") }
        ) { try await $0.read("/pools?poolid=staging").array?.first?["comment"] == "new" },
        ChangeScenario(
            "pool_edit", "pool/staging", ["op": "join", "vms": [136], "allow-move": true],
            disturb: { $0.setConfig(136, "memory", "512") }
        ) {
            try await $0.read("/pools?poolid=staging").array?.first?["members"]?.array?.contains { $0["vmid"] == 136 }
                == true
        },
        ChangeScenario(
            "pool_edit", "pool/production", ["op": "leave", "vms": [136]], disturb: { $0.swapIdentity(136) }
        ) {
            try await $0.read("/pools?poolid=production").array?.first?["members"]?.array?.contains {
                $0["vmid"] == 136
            } == false
        },
        ChangeScenario(
            "pool_edit", "pool/lab", ["op": "remove"],
            given: {
                $0.setPool(136, "lab")
                $0.setPool(136, nil)
            }, disturb: { $0.setPool(136, "lab") }
        ) { try await $0.read("/pools?poolid=lab") == .null },
        ChangeScenario(
            "sdn_zone_edit", "cluster", ["op": "add", "zone": "lab", "type": "vlan", "bridge": "vmbr0", "mtu": 1400],
            disturb: { try await $0.make("POST", "/cluster/sdn/zones", "zone=lab&type=simple") }, calls: 2
        ) { try await $0.read("/cluster/sdn/zones/lab?running=1")["mtu"] == 1400 },
        ChangeScenario(
            "sdn_zone_edit", "cluster", ["op": "change", "zone": "lab", "nodes": ["pve1", "pve2"], "delete": ["mtu"]],
            given: zone, disturb: { try await $0.make("PUT", "/cluster/sdn/zones/lab", "mtu=1280") }, calls: 2
        ) { try await $0.read("/cluster/sdn/zones/lab?running=1")["nodes"] == "pve1,pve2" },
        ChangeScenario(
            "sdn_zone_edit", "cluster", ["op": "remove", "zone": "lab"], given: zone,
            disturb: { try await $0.make("POST", "/cluster/sdn/zones", "zone=other&type=simple") }, calls: 2
        ) { try await $0.read("/cluster/sdn/zones?running=1") == [] },
        ChangeScenario(
            "sdn_vnet_edit", "cluster", ["op": "add", "vnet": "web", "zone": "lab", "tag": 10], given: zone,
            disturb: { try await $0.make("POST", "/cluster/sdn/vnets", "zone=lab&vnet=web&tag=11") }, calls: 2
        ) { try await $0.read("/cluster/sdn/vnets/web?running=1")["tag"] == 10 },
        ChangeScenario(
            "sdn_vnet_edit", "cluster", ["op": "change", "vnet": "web", "tag": 11, "delete": ["alias"]], given: vnet,
            disturb: { try await $0.make("PUT", "/cluster/sdn/vnets/web", "alias=y") }, calls: 2
        ) { try await $0.read("/cluster/sdn/vnets/web?running=1")["tag"] == 11 },
        ChangeScenario(
            "sdn_vnet_edit", "cluster", ["op": "remove", "vnet": "web"], given: vnet,
            disturb: { try await $0.make("PUT", "/cluster/sdn/vnets/web", "alias=y") }, calls: 2
        ) { try await $0.read("/cluster/sdn/vnets?running=1") == [] },
    ]

    private static let vnet: Step = {
        try await zone($0)
        try await $0.make("POST", "/cluster/sdn/vnets", "zone=lab&vnet=web&tag=10&alias=x")
        try await $0.make("PUT", "/cluster/sdn")
    }
    private static let zone: Step = {
        try await $0.make("POST", "/cluster/sdn/zones", "zone=lab&type=vlan&bridge=vmbr0&mtu=1400")
        try await $0.make("PUT", "/cluster/sdn")
    }

    private static let alias: Step = {
        try await $0.make("POST", "/cluster/firewall/aliases", "name=home&cidr=192.0.2.1")
    }
    private static let managed: Step = { $0.setHA(100, wanted: "started") }

    static let availability: [ChangeScenario] = [
        ChangeScenario("ha_edit", "vm/136", ["op": "add", "state": "stopped", "comment": "x"]) {
            try await $0.read("/cluster/ha/resources/vm:136")["state"] == "stopped"
        },
        ChangeScenario("ha_edit", "vm/100", ["op": "change", "max_restart": 3], given: managed) {
            try await $0.read("/cluster/ha/resources/vm:100")["max_restart"] == 3
        },
        ChangeScenario("ha_edit", "vm/100", ["op": "remove"], given: managed) {
            try await $0.read("/cluster/ha/resources/vm:100") == .null
        },
        ChangeScenario(
            "ha_edit", "cluster",
            [
                "op": "add", "rule": "apart", "type": "resource-affinity", "affinity": "negative",
                "resources": ["vm:100", "vm:136"],
            ],
            given: {
                $0.setHA(100, wanted: "started")
                $0.setHA(136, wanted: "stopped")
            }, disturb: { $0.swapIdentity(136) }
        ) { try await $0.read("/cluster/ha/rules/apart")["affinity"] == "negative" },
        ChangeScenario("ha_migrate", "vm/100", ["target": "pve1", "mode": "migrate"], given: managed) {
            $0.guest(100)?.node == "pve1" && $0.last?.path == "/cluster/ha/resources/vm:100/migrate"
        },
        ChangeScenario(
            "replication_edit", "vm/136", ["op": "add", "job": 0, "target": "pve3", "schedule": "*/30"], given: zfs
        ) {
            try await $0.read("/cluster/replication/136-0")["target"] == "pve3"
        },
        ChangeScenario("replication_edit", "vm/136", ["op": "change", "job": 0, "disable": true], given: replicated) {
            try await $0.read("/cluster/replication/136-0")["disable"] == 1
        },
        ChangeScenario("replication_edit", "vm/136", ["op": "remove", "job": 0], given: replicated) {
            $0.last?.method == "DELETE" && $0.last?.path == "/cluster/replication/136-0"
        },
        ChangeScenario("replication_run", "vm/136", ["job": 0], given: replicated) {
            $0.last?.path.hasSuffix("/136-0/schedule_now") == true
        },
        ChangeScenario("agent_fstrim", "vm/100", given: { $0.setConfig(100, "agent", "1") }) {
            $0.last?.path.hasSuffix("/agent/fstrim") == true
        },
        ChangeScenario(
            "agent_exec", "vm/100", ["command": ["systemctl", "restart", "nginx; x=1"]],
            given: { $0.setConfig(100, "agent", "1") }
        ) {
            $0.pve.commands(in: 100) == [["systemctl", "restart", "nginx; x=1"]]
        },
    ]

    private static let zfs: Step = { pve in
        pve.setStorage("tank", type: "zfspool", options: ["pool": "tank", "content": "images,rootdir"])
        for key in pve.guest(136)?.config.keys.filter({ $0.hasPrefix("efi") || $0.hasPrefix("ide") }) ?? [] {
            pve.setConfig(136, key, nil)
        }
        pve.setConfig(136, "scsi0", "tank:vm-136-disk-0,size=128G")
    }
    private static let replicated: Step = {
        try await zfs($0)
        try await $0.make("POST", "/cluster/replication", "id=136-0&type=local&target=pve3")
    }

    private static func down(_ node: String) -> Step { { $0.setNodeOnline(node, false) } }

    static let nodes: [ChangeScenario] = [
        ChangeScenario("reboot_node", "node/pve3", disturb: down("pve3")) {
            $0.last?.parameters["command"] == "reboot"
        },
        ChangeScenario(
            "shutdown_node", "node/pve3",
            given: { try await $0.make("PUT", "/nodes/pve3/config", "wakeonlan=BC:24:11:00:00:03") },
            disturb: down("pve3")
        ) { $0.last?.parameters["command"] == "shutdown" },
        ChangeScenario(
            "wake_node", "node/pve3",
            given: {
                try await $0.make("PUT", "/nodes/pve3/config", "wakeonlan=BC:24:11:00:00:03")
                try await $0.make("POST", "/nodes/pve3/status", "command=shutdown")
            }, disturb: { $0.setNodeOnline("pve3", true) }
        ) {
            $0.last?.path.hasSuffix("/pve3/wakeonlan") == true
        },
        ChangeScenario(
            "node_service", "node/pve1", ["service": "cron", "command": "restart"],
            disturb: { try await $0.make("POST", "/nodes/pve1/services/cron/stop") }
        ) { $0.last?.path == "/nodes/pve1/services/cron/restart" },
        ChangeScenario("bulk_start", "node/pve2", disturb: { $0.setConfig(136, "memory", "512") }) {
            $0.guest(136)?.status == "running"
        },
        ChangeScenario("bulk_shutdown", "cluster", ["vms": [100, 118]], disturb: { $0.swapIdentity(118) }) {
            $0.guest(100)?.status == "stopped" && $0.guest(118)?.status == "stopped"
        },
        ChangeScenario(
            "bulk_migrate", "node/pve2", ["vms": [100], "target": "pve1"],
            disturb: { $0.setConfig(100, "memory", "512") }
        ) { $0.guest(100)?.node == "pve1" },
    ]
}
