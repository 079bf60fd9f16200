import PVESimulator
import SimulatorTestSupport
import StrictJSON

/// Changes whose way back is not as plain as their opposite.
extension ChangeScenario {
    static let waysBack: [ChangeScenario] = configurations + drives + edits + members

    private static let disk: Step = { $0.setConfig(136, "scsi1", "ceph:vm-136-disk-1,size=8G") }
    private static let entry: Step = {
        try await $0.make("POST", "/cluster/firewall/ipset", "name=office&comment=here")
        try await $0.make("POST", "/cluster/firewall/ipset/office", "cidr=192.0.2.7&comment=desk")
    }

    private static let configurations: [ChangeScenario] = [
        ChangeScenario("configure_vm", "vm/136", ["delete": ["net0"]]) {
            $0.guest(136)?.config["boot"] == "order=scsi0"
        },
        ChangeScenario(
            "configure_vm", "vm/136", ["scsi1": "ceph:4", "scsi2": "ceph:vm-136-disk-7", "delete": ["scsi3"]],
            given: {
                $0.setConfig(136, "unused0", "ceph:vm-136-disk-6")
                $0.setConfig(136, "unused1", "ceph:vm-136-disk-7")
                $0.setConfig(136, "scsi1", "ceph:vm-136-disk-1,size=8G")
                $0.setConfig(136, "scsi3", "ceph:vm-136-disk-3,size=8G")
            }
        ) { $0.guest(136)?.config["scsi2"]?.hasPrefix("ceph:vm-136-disk-7") == true },
        ChangeScenario(
            "configure_container", "lxc/118", ["description": "new"], given: { $0.setConfig(118, "description", "a\n") }
        ) {
            $0.guest(118)?.config["description"] == "new\n"
        },
        ChangeScenario("tag_vm", "vm/136", ["remove": ["Prod"]], given: { $0.setConfig(136, "tags", "Prod;web;ZEN") }) {
            $0.guest(136)?.config["tags"] == "web;zen"
        },
        ChangeScenario(
            "cloud_init_vm", "vm/100", ["ciuser": "admin", "nameserver": "192.0.2.53"],
            given: {
                $0.setConfig(100, "ide2", "ceph:vm-100-cloudinit,media=cdrom")
                $0.setConfig(100, "ciuser", "old")
                try await $0.make("PUT", "/nodes/pve2/qemu/100/cloudinit")
            }, calls: 2
        ) { $0.guest(100)?.config["ciuser"] == "admin" },
        ChangeScenario(
            "stop_vm", "vm/100",
            given: { try await $0.make("PUT", "/nodes/pve2/qemu/100/config", "memory=1024&delete=agent") }
        ) { $0.guest(100)?.config["memory"] == "1024" },
        ChangeScenario(
            "stop_vm", "vm/100", given: { try await $0.make("POST", "/nodes/pve2/qemu/100/status/suspend") }
        ) { $0.guest(100)?.status == "stopped" },
        ChangeScenario(
            "rollback_snapshot", "vm/100", ["snapname": "old", "safety_snapshot": true],
            given: {
                $0.addSnapshot("old", of: 100)
                $0.setConfig(100, "memory", "512")
            }, calls: 2
        ) { $0.guest(100)?.config["memory"] == "4096" },
    ]

    private static let drives: [ChangeScenario] = [
        ChangeScenario("detach_disk", "vm/136", ["disk": "scsi0"]) { $0.guest(136)?.config["boot"] == "order=net0" },
        ChangeScenario(
            "detach_disk", "vm/136", ["disk": "efidisk0"],
            given: { $0.setConfig(136, "efidisk0", "ceph:vm-136-disk-1,efitype=4m,pre-enrolled-keys=1,size=4M") }
        ) { $0.guest(136)?.config["efidisk0"] == nil },
        ChangeScenario(
            "detach_disk", "vm/136", ["disk": "ide2"],
            given: { $0.setConfig(136, "ide2", "ceph:vm-136-cloudinit,media=cdrom") }
        ) { $0.guest(136)?.config["ide2"] == nil },
        ChangeScenario(
            "detach_disk", "vm/136", ["disk": "ide2"], given: { $0.setConfig(136, "ide2", "\(image),media=cdrom") }
        ) {
            $0.guest(136)?.config["ide2"] == nil
        },
        ChangeScenario(
            "attach_disk", "vm/136", ["disk": "scsi1", "volume": "ceph:vm-136-disk-7"],
            given: {
                $0.setConfig(136, "unused0", "ceph:vm-136-disk-6")
                $0.setConfig(136, "unused1", "ceph:vm-136-disk-7")
            }
        ) { $0.guest(136)?.config["unused1"] == nil },
        ChangeScenario("attach_disk", "vm/136", ["disk": "ide2", "volume": .string(image), "media": "cdrom"]) {
            $0.guest(136)?.config["ide2"] != nil
        },
        ChangeScenario("move_disk", "vm/136", ["disk": "scsi1", "storage": "local-lvm"], given: disk) {
            $0.guest(136)?.config["scsi1"]?.hasPrefix("local-lvm:") == true
        },
        ChangeScenario(
            "move_disk", "vm/100", ["disk": "scsi0", "storage": "nas", "format": "raw", "delete": true],
            given: {
                $0.setStorage(
                    "nas", type: "nfs", options: ["content": "images", "server": "192.0.2.5", "export": "/x"])
                $0.setConfig(100, "scsi0", "nas:100/vm-100-disk-0.qcow2,size=32G")
            }
        ) { $0.guest(100)?.config["scsi0"]?.contains(".raw") == true },
        ChangeScenario("move_disk", "vm/100", ["disk": "scsi0", "storage": "local-lvm"]) {
            $0.guest(100)?.config["scsi0"]?.hasPrefix("local-lvm:") == true
        },
    ]

    private static let edits: [ChangeScenario] =
        [
            ChangeScenario(
                "firewall_edit", "firewall/cluster",
                ["op": "change", "object": "ipset-entry", "name": "office", "cidr": "192.0.2.7", "nomatch": true],
                given: entry
            ) { try await $0.read("/cluster/firewall/ipset/office/192.0.2.7")["nomatch"] == 1 },
            ChangeScenario(
                "firewall_edit", "firewall/cluster",
                ["op": "remove", "object": "ipset-entry", "name": "office", "cidr": "192.0.2.7"], given: entry
            ) { try await $0.read("/cluster/firewall/ipset/office").array?.isEmpty == true },
            ChangeScenario(
                "firewall_edit", "firewall/cluster",
                ["op": "remove", "object": "ipset", "name": "office", "force": true],
                given: entry
            ) { try await $0.read("/cluster/firewall/ipset").array?.isEmpty == true },
            ChangeScenario(
                "firewall_edit", "firewall/cluster", ["op": "remove", "object": "group", "group": "web"],
                given: { try await $0.make("POST", "/cluster/firewall/groups", "group=web&comment=shops") }
            ) { try await $0.read("/cluster/firewall/groups").array?.isEmpty == true },
            ChangeScenario(
                "firewall_edit", "firewall/cluster",
                ["op": "change", "object": "alias", "name": "home", "cidr": "192.0.2.2", "comment": "new"],
                given: { try await $0.make("POST", "/cluster/firewall/aliases", "name=home&cidr=192.0.2.1") }
            ) { try await $0.read("/cluster/firewall/aliases/home")["comment"] == "new" },
        ]
        + [(0, 3), (2, 0)].map { from, to in
            ChangeScenario(
                "firewall_edit", "firewall/cluster",
                ["op": "change", "object": "rule", "pos": JSON(from), "moveto": JSON(to)],
                given: {
                    for port in [80, 443, 22] {
                        try await $0.make(
                            "POST", "/cluster/firewall/rules", "type=in&action=ACCEPT&proto=tcp&dport=\(port)")
                    }
                }
            ) { try await $0.read("/cluster/firewall/rules").array?.last?["dport"] != "80" }
        } + [
            ChangeScenario(
                "ha_edit", "vm/100", ["op": "remove"],
                given: {
                    for id in [100, 136] { $0.setHA(id, wanted: "started") }
                    try await $0.make(
                        "POST", "/cluster/ha/rules",
                        "rule=apart&type=resource-affinity&affinity=negative&resources=vm:100,vm:136")
                    try await $0.make(
                        "POST", "/cluster/ha/rules", "rule=near&type=node-affinity&nodes=pve2&resources=vm:100")
                }
            ) { try await $0.read("/cluster/ha/rules").array?.count == 1 },
            ChangeScenario("ha_edit", "vm/136", ["op": "add"]) { $0.guest(136)?.status == "running" },
            ChangeScenario(
                "backup_job_edit", "cluster", ["op": "remove", "id": "nightly"],
                given: {
                    try await $0.make(
                        "POST", "/cluster/backup",
                        "id=nightly&schedule=21:00&storage=local&vmid=100,136&prune-backups=keep-last%3D3,keep-daily%3D7&mailto=root&notes-template=x"
                    )
                }
            ) { try await $0.read("/cluster/backup/nightly") == .null },
            ChangeScenario(
                "backup_job_edit", "cluster",
                ["op": "change", "id": "nightly", "prune-backups": "keep-last=1", "all": true],
                given: {
                    try await $0.make(
                        "POST", "/cluster/backup",
                        "id=nightly&schedule=21:00&storage=local&vmid=100,136&prune-backups=keep-last%3D3")
                }
            ) { try await $0.read("/cluster/backup/nightly")["all"] == 1 },
        ]

    private static let members: [ChangeScenario] = [
        ChangeScenario("pool_edit", "pool/staging", ["op": "join", "vms": [100, 136], "allow-move": true]) {
            try await $0.read("/pools?poolid=staging").array?.first?["members"]?.array?.count ?? 0 > 2
        },
        ChangeScenario(
            "pool_edit", "pool/production", ["op": "join", "vms": [100, 136]], given: { $0.setPool(136, nil) }
        ) {
            try await $0.read("/pools?poolid=production").array?.first?["members"]?.array?.contains {
                $0["vmid"] == 136
            } == true
        },
        ChangeScenario("node_service", "node/pve1", ["service": "cron", "command": "stop"]) {
            $0.last?.path == "/nodes/pve1/services/cron/stop"
        },
        // PVE gives a network of a simple zone an address, and the next one another.
        ChangeScenario(
            "sdn_vnet_edit", "cluster", ["op": "remove", "vnet": "web"],
            given: {
                try await $0.make("POST", "/cluster/sdn/zones", "zone=lab&type=simple")
                try await $0.make("POST", "/cluster/sdn/vnets", "zone=lab&vnet=web&alias=x")
                try await $0.make("PUT", "/cluster/sdn")
            }, calls: 2
        ) { try await $0.read("/cluster/sdn/vnets?running=1") == [] },
    ]
}
