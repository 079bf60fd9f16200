import PVESimulator
import SimulatorTestSupport
import StrictJSON

/// What PVE refuses by rules of its own, and the check that sees it first.
extension PreviewTests {
    private static let managed: ChangeScenario.Step = { $0.setHA(136, wanted: "stopped") }
    private static let entries: ChangeScenario.Step = { pve in
        try await pve.make("POST", "/cluster/firewall/ipset", "name=set")
        try await pve.make("POST", "/cluster/firewall/ipset/set", "cidr=192.0.2.1")
        try await pve.make("POST", "/cluster/firewall/groups", "group=grp")
        try await pve.make("POST", "/cluster/firewall/groups/grp", "type=in&action=ACCEPT")
    }
    private static let shelf: ChangeScenario.Step = { pve in
        pve.setStorage("shelf", type: "dir", options: ["path": "/mnt/shelf", "content": "backup,iso"])
    }
    private static let full: ChangeScenario.Step = { pve in
        pve.setStorage(
            "shelf", type: "dir", options: ["path": "/mnt/s", "content": "backup", "prune-backups": "keep-last=1"])
        pve.addVolume("shelf:backup/vzdump-qemu-100-2026_11_20-03_00_01.vma.zst", content: "backup", vmid: 100)
    }
    private static let privileged: ChangeScenario.Step = { $0.setConfig(118, "unprivileged", nil) }

    static let refusals: [Obstacle] = [
        Obstacle("root-only", "configure_vm", "vm/136", ["args": "-x"]),
        Obstacle("root-only", "configure_vm", "vm/136", ["hookscript": "local:snippets/a.pl"]),
        Obstacle("root-only", "configure_vm", "vm/136", ["hostpci0": "0000:00:1f.0"]),
        Obstacle("root-only", "configure_vm", "vm/136", ["usb0": "host=1234:5678"]),
        Obstacle("root-only", "configure_vm", "vm/136", ["serial0": "/dev/ttyS0"]),
        Obstacle("root-only", "configure_vm", "vm/136", ["delete": ["args"]]) { $0.setConfig(136, "args", "-x") },
        Obstacle("root-only", "create_vm", "vm/700", ["node": "pve1", "args": "-x"]),
        Obstacle("root-only", "configure_container", "lxc/118", ["features": "nesting=1"], when: privileged),
        Obstacle("root-only", "configure_container", "lxc/118", ["features": "keyctl=1"]) {
            $0.setConfig(118, "unprivileged", "1")
        },
        Obstacle("root-only", "configure_container", "lxc/118", ["mp0": "/srv,mp=/srv"]),
        Obstacle("root-only", "configure_container", "lxc/118", ["dev0": "/dev/fuse"]),
        Obstacle(
            "root-only", "create_container", "lxc/701",
            [
                "node": "pve1", "ostemplate": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
                "rootfs": "ceph:4", "unprivileged": false, "features": "nesting=1",
            ]),
        Obstacle("storage", "create_vm", "vm/700", ["node": "pve1", "scsi0": "shelf:8"], when: shelf),
        Obstacle("storage", "configure_vm", "vm/136", ["scsi7": "shelf:8"], when: shelf),
        Obstacle("storage", "clone_vm", "vm/136", ["newid": 700, "storage": "shelf"], when: shelf),
        Obstacle("storage", "move_disk", "vm/136", ["disk": "scsi0", "storage": "shelf"], when: shelf),
        Obstacle("storage", "attach_disk", "vm/136", ["disk": "scsi7", "storage": "shelf", "size": 1], when: shelf),
        Obstacle("storage", "attach_disk", "lxc/118", ["disk": "mp7", "storage": "shelf", "size": 1, "path": "/x"]) {
            try await shelf($0)
        },
        Obstacle(
            "storage", "restore_backup", "vm/700",
            [
                "node": "pve1", "storage": "shelf",
                "archive": "local:backup/vzdump-qemu-136-2026_11_21-03_00_01.vma.zst",
            ]
        ) { pve in
            try await shelf(pve)
            pve.addVolume("local:backup/vzdump-qemu-136-2026_11_21-03_00_01.vma.zst", content: "backup", vmid: 136)
        },
        Obstacle(
            "volume-exists", "create_container", "lxc/701",
            ["node": "pve1", "ostemplate": "local:vztmpl/none.tar.zst", "rootfs": "ceph:4", "unprivileged": true]),
        Obstacle("volume-exists", "attach_disk", "vm/136", ["disk": "scsi7", "volume": "ceph:vm-136-disk-77"]),
        Obstacle("volume-exists", "configure_vm", "vm/136", ["ide2": "local:iso/none.iso,media=cdrom"]),
        Obstacle("pool", "create_vm", "vm/700", ["node": "pve1", "pool": "nope"]),
        Obstacle("pool", "clone_vm", "vm/9000", ["newid": 700, "pool": "nope"]),
        Obstacle("slot-free", "attach_disk", "vm/136", ["disk": "unused5", "storage": "ceph", "size": 1]),
        Obstacle("disk-grows", "resize_disk", "vm/136", ["disk": "unused0", "size": "+1G"]) {
            $0.setConfig(136, "unused0", "ceph:vm-136-disk-9")
        },
        Obstacle("disk-grows", "resize_disk", "vm/136", ["disk": "ide2", "size": "+1G"]) {
            $0.setConfig(136, "ide2", "\(ChangeScenario.image),media=cdrom")
        },
        Obstacle("snapshot-name", "snapshot_vm", "vm/136", ["snapname": "current"]),
        Obstacle("linked-clone", "clone_vm", "vm/136", ["newid": 700, "full": false]),
        Obstacle("linked-clone", "clone_vm", "vm/9000", ["newid": 700, "storage": "ceph"]),
        Obstacle("linked-clone", "clone_vm", "vm/9000", ["newid": 700, "full": false, "format": "raw"]),
        Obstacle("not-empty", "pool_edit", "pool/production", ["op": "remove"]),
        Obstacle(
            "not-empty", "firewall_edit", "firewall/cluster", ["op": "remove", "object": "ipset", "name": "set"],
            when: entries),
        Obstacle(
            "not-empty", "firewall_edit", "firewall/cluster", ["op": "remove", "object": "group", "group": "grp"],
            when: entries),
        Obstacle("ha-resource", "delete_vm", "vm/136", when: managed),
        Obstacle("service", "node_service", "node/pve1", ["service": "pvedaemon", "command": "stop"]),
        Obstacle("service", "node_service", "node/pve1", ["service": "pveproxy", "command": "stop"]),
        Obstacle("backup-limit", "backup_vm", "vm/100", ["storage": "shelf"], when: full),
        Obstacle("backup-limit", "backup_vm", "vm/100", ["storage": "local", "prune-backups": "keep-last=1"]),
        Obstacle("volume-used", "delete_volume", "storage/local", ["volume": "local:snippets/user.yaml"]) { pve in
            pve.addVolume("local:snippets/user.yaml", content: "snippets")
            pve.setConfig(136, "cicustom", "user=local:snippets/user.yaml")
        },
        Obstacle("volume-used", "delete_volume", "storage/ceph", ["volume": "ceph:vm-136-state-old"]) { pve in
            pve.addVolume("ceph:vm-136-state-old", content: "images", vmid: 136)
            pve.setConfig(136, "vmstate", "ceph:vm-136-state-old")
            pve.addSnapshot("old", of: 136)
            pve.setConfig(136, "vmstate", nil)
        },
    ]
}
