import PVESimulator
import SimulatorTestSupport
import StrictJSON

/// In the simulated cloud vm/100 (web1) runs on pve2 and vm/136 (ci2) is stopped there; lxc/118 (cache1) runs there, lxc/130
/// (proxy1) too; vm/9000 is a template on pve1.
extension ChangeScenario {
    static let all =
        power + life + configuration + disks + snapshots + backups + storage + network + availability + nodes

    private static func pause(_ guest: String) -> Step {
        { try await $0.make("POST", "/nodes/pve2/\(guest)/status/suspend") }
    }
    private static func stop(_ id: Int) -> Step { { $0.setRunning(id, false) } }

    static let power: [ChangeScenario] = [
        ChangeScenario("start_vm", "vm/136") { $0.guest(136)?.status == "running" },
        ChangeScenario("stop_vm", "vm/100") { $0.guest(100)?.status == "stopped" },
        ChangeScenario("shutdown_vm", "vm/100", ["timeout": 30]) { $0.guest(100)?.status == "stopped" },
        ChangeScenario("reboot_vm", "vm/100") {
            $0.guest(100)?.status == "running" && $0.last?.path.hasSuffix("/reboot") == true
        },
        ChangeScenario("suspend_vm", "vm/100") { $0.guest(100)?.status == "paused" },
        ChangeScenario("suspend_vm", "vm/100", ["todisk": true]) { $0.guest(100)?.config["lock"] == "suspended" },
        ChangeScenario("resume_vm", "vm/100", given: pause("qemu/100")) { $0.guest(100)?.status == "running" },
        ChangeScenario("reset_vm", "vm/100") {
            $0.guest(100)?.status == "running" && $0.last?.path.hasSuffix("/reset") == true
        },
        ChangeScenario("start_container", "lxc/118", given: stop(118)) { $0.guest(118)?.status == "running" },
        ChangeScenario("stop_container", "lxc/118") { $0.guest(118)?.status == "stopped" },
        ChangeScenario("shutdown_container", "lxc/118") { $0.guest(118)?.status == "stopped" },
        ChangeScenario("reboot_container", "lxc/118") { $0.guest(118)?.status == "running" },
        ChangeScenario("suspend_container", "lxc/118") { $0.guest(118)?.status == "stopped" },
        ChangeScenario("resume_container", "lxc/118", given: pause("lxc/118")) { $0.guest(118)?.status == "running" },
    ]

    static let life: [ChangeScenario] = [
        ChangeScenario(
            "create_vm", "vm/600",
            ["node": "pve1", "name": "fresh", "memory": 1024, "scsi0": "ceph:8", "net0": "virtio,bridge=vmbr0"],
            disturb: { $0.addGuest(600, on: "pve3", config: ["name": "early"]) }
        ) { $0.guest(600)?.node == "pve1" && $0.guest(600)?.config["memory"] == "1024" },
        ChangeScenario(
            "create_container", "lxc/601",
            [
                "node": "pve1", "ostemplate": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", "hostname": "box",
                "rootfs": "ceph:4", "password": "s3cret-pw",
            ], disturb: { $0.addGuest(601, on: "pve3", config: ["name": "early"]) }
        ) { $0.guest(601)?.kind == "lxc" && $0.guest(601)?.name == "box" },
        ChangeScenario("clone_vm", "vm/9000", ["newid": 602, "name": "copy"]) { $0.guest(602)?.name == "copy" },
        ChangeScenario(
            "clone_container", "lxc/118", ["newid": 603, "hostname": "copy", "full": true], given: stop(118)
        ) {
            $0.guest(603)?.kind == "lxc"
        },
        ChangeScenario("migrate_vm", "vm/100", ["target": "pve1", "online": true]) { $0.guest(100)?.node == "pve1" },
        ChangeScenario("migrate_container", "lxc/118", ["target": "pve1", "restart": true]) {
            $0.guest(118)?.node == "pve1"
        },
        ChangeScenario("template_vm", "vm/136") { $0.guest(136)?.config["template"] == "1" },
        ChangeScenario("template_container", "lxc/118", given: stop(118)) { $0.guest(118)?.config["template"] == "1" },
        ChangeScenario("delete_vm", "vm/136", ["purge": true]) { $0.guest(136) == nil },
        ChangeScenario("delete_container", "lxc/118", given: stop(118)) { $0.guest(118) == nil },
    ]

    static let configuration: [ChangeScenario] = [
        ChangeScenario("configure_vm", "vm/136", ["memory": 2048, "description": "a;b=c & d"]) {
            $0.guest(136)?.config["memory"] == "2048" && $0.guest(136)?.config["description"] == "a;b=c & d"
        },
        ChangeScenario("configure_vm", "vm/136", ["delete": ["net0"], "safety_snapshot": true], calls: 2) {
            $0.guest(136)?.config["net0"] == nil && $0.guest(136)?.snapshots.count == 1
        },
        ChangeScenario("configure_container", "lxc/118", ["swap": 1024]) { $0.guest(118)?.config["swap"] == "1024" },
        ChangeScenario("tag_vm", "vm/100", ["add": ["Blue"], "remove": ["web"]]) {
            $0.guest(100)?.config["tags"]?.contains("blue") == true
                && $0.guest(100)?.config["tags"]?.contains("web") == false
        },
        ChangeScenario("tag_container", "lxc/118", ["add": ["blue"]]) {
            $0.guest(118)?.config["tags"]?.contains("blue") == true
        },
        ChangeScenario(
            "cloud_init_vm", "vm/136", ["ciuser": "admin", "cipassword": "s3cret-pw", "ipconfig0": "ip=dhcp"],
            given: { $0.setConfig(136, "ide2", "local-lvm:vm-136-cloudinit,media=cdrom") }, calls: 2
        ) { $0.guest(136)?.config["ciuser"] == "admin" },
        ChangeScenario(
            "revert_pending_vm", "vm/100", ["keys": ["memory"]],
            given: { try await $0.make("PUT", "/nodes/pve2/qemu/100/config", "memory=1024") }
        ) { $0.guest(100)?.config["memory"] == "4096" },
    ]

    static let disks: [ChangeScenario] = [
        ChangeScenario("resize_disk", "vm/136", ["disk": "scsi0", "size": "+10G"]) {
            $0.guest(136)?.config["scsi0"]?.contains("size=138G") == true
        },
        ChangeScenario("resize_disk", "lxc/118", ["disk": "rootfs", "size": "16G"]) {
            $0.guest(118)?.config["rootfs"]?.contains("size=16G") == true
        },
        ChangeScenario("move_disk", "vm/136", ["disk": "scsi0", "storage": "ceph", "delete": true]) {
            $0.guest(136)?.config["scsi0"]?.hasPrefix("ceph:") == true
        },
        ChangeScenario("move_disk", "lxc/118", ["disk": "rootfs", "storage": "local-lvm"], given: stop(118)) {
            $0.guest(118)?.config["rootfs"]?.hasPrefix("local-lvm:") == true
        },
        ChangeScenario("attach_disk", "vm/136", ["disk": "scsi5", "storage": "ceph", "size": 8, "discard": "on"]) {
            $0.guest(136)?.config["scsi5"]?.hasPrefix("ceph:") == true
        },
        ChangeScenario("attach_disk", "lxc/118", ["disk": "mp0", "storage": "ceph", "size": 8, "path": "/srv/data"]) {
            $0.guest(118)?.config["mp0"]?.contains("mp=/srv/data") == true
        },
        ChangeScenario(
            "detach_disk", "vm/136", ["disk": "scsi1"],
            given: { $0.setConfig(136, "scsi1", "ceph:vm-136-disk-1,size=8G") }
        ) { $0.guest(136)?.config["scsi1"] == nil && $0.guest(136)?.config["unused0"] != nil },
        ChangeScenario(
            "detach_disk", "lxc/118", ["disk": "mp0"],
            given: {
                // A mount point leaves a running container with its next start.
                $0.setRunning(118, false)
                $0.setConfig(118, "mp0", "ceph:vm-118-disk-1,mp=/srv,size=8G")
            }
        ) { $0.guest(118)?.config["mp0"] == nil },
    ]

    static let snapshots: [ChangeScenario] = [
        ChangeScenario("snapshot_vm", "vm/100", ["snapname": "before"]) { $0.guest(100)?.snapshots == ["before"] },
        ChangeScenario("snapshot_container", "lxc/118", ["snapname": "before"]) {
            $0.guest(118)?.snapshots == ["before"]
        },
        ChangeScenario(
            "rollback_snapshot", "vm/136", ["snapname": "old", "safety_snapshot": true],
            given: { $0.addSnapshot("old", of: 136) }, calls: 2
        ) {
            $0.guest(136)?.snapshots.count == 2 && $0.guest(136)?.config["parent"] == "old"
        },
        ChangeScenario("rollback_snapshot", "lxc/118", ["snapname": "old"], given: { $0.addSnapshot("old", of: 118) }) {
            $0.last?.path.hasSuffix("/snapshot/old/rollback") == true
        },
        ChangeScenario("delete_snapshot", "vm/100", ["snapname": "old"], given: { $0.addSnapshot("old", of: 100) }) {
            $0.guest(100)?.snapshots == []
        },
        ChangeScenario("delete_snapshot", "lxc/118", ["snapname": "old"], given: { $0.addSnapshot("old", of: 118) }) {
            $0.guest(118)?.snapshots == []
        },
    ]
}
