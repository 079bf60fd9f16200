import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Ways round a rule.
@Suite(.timeLimit(.minutes(5)))
struct EvasionTests {
    static func setup(_ rules: JSON) -> Setup {
        var setup = ChangeScenario.setup
        setup.settings["policy"] = ["rules": rules]
        return setup
    }

    /// A request, a rule by targets, and what has to be there.
    struct Attack: Sendable, CustomTestStringConvertible {
        let name: String
        let wish: PlanRequest
        let rule: JSONObject
        let prepare: ChangeScenario.Step

        init(
            _ name: String, _ rule: JSONObject, _ action: String, _ target: String, _ params: JSONObject = [:],
            given prepare: @escaping ChangeScenario.Step = { _ in }
        ) {
            self.name = name
            self.rule = rule
            wish = PlanRequest(action, target, params)
            self.prepare = prepare
        }

        var testDescription: String {
            "\(name): \(wish.action) \(wish.target) \(JSON.object(wish.params).text) under \(JSON.object(rule).text)"
        }
    }

    static func on(_ target: String) -> JSONObject { ["targets": [.string(target)]] }
    static let template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
    static let odd: ChangeScenario.Step = { $0.setConfig(136, "scsi1", "local:101/anything.qcow2,size=8G") }
    static let inSnapshot: ChangeScenario.Step = { pve in
        pve.setConfig(136, "scsi1", "ceph:vm-101-disk-7,size=8G")
        pve.addSnapshot("old", of: 136)
        pve.setConfig(136, "scsi1", nil)
    }
    static func job(_ form: String) -> ChangeScenario.Step {
        { try await $0.make("POST", "/cluster/backup", "id=nightly&schedule=sun%2001:00&" + form) }
    }
    static let used: ChangeScenario.Step = { pve in
        pve.setConfig(136, "scsi1", "ceph:vm-101-disk-7,size=8G")
        pve.addVolume("ceph:vm-101-disk-7", content: "images", vmid: 101)
    }
    static let nas: ChangeScenario.Step = {
        $0.setStorage("nas", type: "dir", options: ["path": "/mnt/nas", "content": "images", "nodes": "pve1"])
    }
    static let allOf101: ChangeScenario.Step = { pve in
        pve.setConfig(101, "tags", "marked")
    }

    static let guests: [Attack] = [
        Attack(
            "owner of a disk by directory", on("vm/101"), "clone_vm", "vm/136", ["newid": 600, "full": true], given: odd
        ),
        Attack(
            "owner of a disk by directory", on("vm/101"), "move_disk", "vm/136", ["disk": "scsi1", "storage": "ceph"],
            given: odd),
        Attack(
            "owner of a disk by directory", on("vm/101"), "detach_disk", "vm/136", ["disk": "scsi1", "destroy": true],
            given: odd),
        Attack("owner of a disk by directory", on("vm/101"), "delete_vm", "vm/136", given: odd),
        Attack(
            "disk in a snapshot", on("vm/101"), "clone_vm", "vm/136", ["newid": 600, "full": true, "snapname": "old"],
            given: inSnapshot),
        Attack(
            "disk in a snapshot", on("vm/101"), "rollback_snapshot", "vm/136", ["snapname": "old"], given: inSnapshot),
        Attack("disk in a snapshot", on("vm/101"), "delete_vm", "vm/136", given: inSnapshot),
        Attack(
            "user of a volume", on("vm/136"), "delete_volume", "storage/ceph", ["volume": "ceph:vm-101-disk-7"],
            given: used),
        Attack("storage that is down", on("vm/101"), "storage_edit", "storage/ceph", ["op": "change", "disable": true])
        { $0.setStorageOnline("ceph", false) },
        Attack("storage that is down", on("vm/101"), "storage_edit", "storage/ceph", ["op": "remove"]) {
            $0.setStorageOnline("ceph", false)
        },
        Attack("storage that is up", on("vm/101"), "storage_edit", "storage/ceph", ["op": "remove"]),
        Attack(
            "storage in endpoint form", on("vm/101"), "storage_edit", "storage/ceph",
            ["endpoint": "/storage/ceph", "method": "PUT", "params": ["disable": 1]]),
        Attack(
            "twin of an action", ["targets": ["vm/101"], "actions": ["shutdown_vm", "stop_vm"]], "bulk_shutdown",
            "cluster", ["vms": [101], "force-stop": true]),
        Attack(
            "twin of an action", ["targets": ["vm/101"], "actions": ["migrate_vm"]], "bulk_migrate", "node/pve3",
            ["vms": [101], "target": "pve1"]),
        Attack(
            "twin of an action", ["targets": ["vm/136"], "actions": ["firewall_edit"]], "configure_vm", "vm/136",
            ["net0": "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=0"]
        ) { $0.setConfig(136, "net0", "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1") },
        Attack(
            "firewall by its own name", on("firewall/vm/136"), "configure_vm", "vm/136",
            ["net0": "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=0"]
        ) { $0.setConfig(136, "net0", "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1") },
        Attack(
            "firewall by its own name", on("firewall/vm/101"), "firewall_edit", "firewall/cluster",
            ["op": "change", "object": "options", "enable": 0]),
        Attack(
            "firewall pattern", on("firewall/*"), "configure_vm", "vm/136",
            ["net0": "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=0"]
        ) { $0.setConfig(136, "net0", "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1") },
        Attack("hidden guest", on("vm/101"), "bulk_shutdown", "cluster", ["vms": [100, 101]]) { $0.hide(101) },
        Attack(
            "hidden guest's volume", on("vm/101"), "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "ceph:0,import-from=ceph:vm-101-disk-0"]
        ) { $0.hide(101) },
    ]

    static let storages: [Attack] = [
        Attack(
            "job on a storage", on("storage/local"), "backup_job_edit", "cluster", ["op": "remove", "id": "nightly"],
            given: job("storage=local&vmid=100")),
        Attack(
            "job on a storage", on("storage/local"), "backup_job_edit", "cluster",
            ["op": "change", "id": "nightly", "enabled": false], given: job("storage=local&vmid=100")),
        Attack(
            "job on a storage", on("storage/local"), "backup_job_edit", "cluster",
            ["op": "change", "id": "nightly", "prune-backups": "keep-last=1"], given: job("storage=local&vmid=100")),
        Attack(
            "job of a node", on("node/pve1"), "backup_job_edit", "cluster", ["op": "remove", "id": "nightly"],
            given: job("storage=local&all=1&node=pve1")),
        Attack("disk's storage", on("storage/local-lvm"), "resize_disk", "vm/136", ["disk": "scsi0", "size": "+10G"]),
        Attack(
            "disk's storage", on("storage/local-lvm"), "move_disk", "vm/136",
            ["disk": "scsi0", "storage": "ceph", "delete": true]),
        Attack("disk's storage", on("storage/local-lvm"), "delete_vm", "vm/136"),
        Attack("disk's storage", on("storage/local-lvm"), "clone_vm", "vm/136", ["newid": 600, "full": true]),
        Attack("disk's storage", on("storage/local-lvm"), "detach_disk", "vm/136", ["disk": "scsi0", "destroy": true]),
        Attack("disk's storage", on("storage/local-lvm"), "snapshot_vm", "vm/136", ["snapname": "now"]),
        Attack("storage named", on("storage/ceph"), "create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:8"]),
        Attack("storage named", on("storage/ceph"), "create_vm", "vm/600", ["node": "pve1", "scsi0": "file=ceph:8"]),
        Attack("storage named", on("storage/ceph"), "create_vm", "vm/600", ["node": "pve1", "efidisk0": "ceph:1"]),
        Attack("storage named", on("storage/ceph"), "create_vm", "vm/600", ["node": "pve1", "vmstatestorage": "ceph"]),
        Attack(
            "storage named", on("storage/local"), "create_vm", "vm/600",
            ["node": "pve1", "hookscript": "local:snippets/x.pl"]),
        Attack(
            "storage named", on("storage/local"), "configure_vm", "vm/136", ["cicustom": "user=local:snippets/u.yaml"]),
        Attack(
            "storage named", on("storage/ceph"), "migrate_vm", "vm/100",
            ["target": "pve1", "online": true, "targetstorage": "local-lvm:ceph"]),
        Attack(
            "base storage in the endpoint form", on("storage/ceph"), "storage_edit", "storage/nas",
            [
                "endpoint": "/storage", "method": "POST",
                "params": ["storage": "nas", "type": "lvm", "vgname": "x", "base": "ceph:vm-101-disk-0"],
            ]),
        Attack(
            "base storage in the op form", on("storage/ceph"), "storage_edit", "storage/nas",
            ["op": "add", "type": "lvm", "vgname": "x", "base": "ceph:vm-101-disk-0"]),
    ]

    static let nodes: [Attack] = [
        Attack("the node's devices", on("node/pve2"), "configure_vm", "vm/136", ["hostpci0": "0000:01:00.0"]),
        Attack("the node's directories", on("node/pve2"), "configure_container", "lxc/118", ["mp5": "/root,mp=/srv"]),
        Attack("the node that it leaves", on("node/pve2"), "migrate_vm", "vm/100", ["target": "pve1", "online": true]),
        Attack(
            "the node that they leave", on("node/pve3"), "bulk_migrate", "cluster", ["vms": [101], "target": "pve1"]),
        Attack("the node that it runs on", on("node/pve2"), "start_vm", "vm/136"),
        Attack(
            "the node of a local storage", on("node/pve1"), "delete_volume", "storage/local",
            ["volume": .string(ChangeScenario.image), "node": "pve1"]),
        Attack(
            "the node of a local storage", on("node/pve1"), "download_to_storage", "storage/local",
            [
                "node": "pve1", "url": "https://images.example/x.iso", "content": "iso", "filename": "x.iso",
                "checksum": .string(String(repeating: "0f", count: 32)), "checksum-algorithm": "sha256",
            ]),
        Attack(
            "nodes in the endpoint form", on("node/pve1"), "storage_edit", "storage/nas",
            [
                "endpoint": "/storage", "method": "POST",
                "params": ["storage": "nas", "type": "dir", "path": "/mnt/nas", "nodes": "pve1"],
            ]),
        Attack(
            "nodes in the op form", on("node/pve1"), "storage_edit", "storage/nas",
            ["op": "add", "type": "dir", "path": "/mnt/nas", "nodes": "pve1"]),
        Attack("nodes of the definition", on("node/pve1"), "storage_edit", "storage/nas", ["op": "remove"], given: nas),
        Attack(
            "a node's tasks", ["actions": ["read_tasks"], "targets": ["node/pve1"]], "read_tasks", "tasks/all",
            ["node": "pve1"]),
    ]

    @Test(arguments: guests) func `a rule on a guest holds`(attack: Attack) async throws { try await tryIt(attack) }
    @Test(arguments: storages) func `a rule on a storage holds`(attack: Attack) async throws { try await tryIt(attack) }
    @Test(arguments: nodes) func `a rule on a node holds`(attack: Attack) async throws { try await tryIt(attack) }

    func tryIt(_ attack: Attack) async throws {
        var rule: JSONObject = ["id": "hands-off", "effect": "deny"]
        for member in attack.rule.members { rule[member.key] = member.value }
        try await withAgent(Self.setup([.object(rule)])) { agent in
            let pve = try agent.pve()
            try await attack.prepare(pve)
            pve.forgetExecutions()
            let plan = try await agent.plan(attack.wish)
            let subjects = (plan["decision"]?["subjects"]?.array ?? []).compactMap { $0["name"]?.string }
            let blocks = (plan["preview"]?["checks"]?.array ?? []).filter { $0["level"] == "block" }
                .map { "\($0["id"]?.string ?? "") \($0["detail"]?.string ?? "")" }
            #expect(
                plan["decision"]?["rules"]?.array?.contains("rule:hands-off") == true,
                "\(attack.name) \(plan["state"]?.string ?? plan.text) blocks \(blocks) subjects \(subjects.prefix(12))")
        }
    }

    // MARK: Reads

    static let reads: [Attack] = [
        Attack(
            "content without vmid", ["actions": ["read_storage_content"], "targets": ["vm/101"]],
            "read_storage_content", "storage/ceph"),
        Attack(
            "backups without vmid", ["actions": ["read_backups"], "targets": ["vm/101"]], "read_backups",
            "storage/local"
        ) {
            $0.addVolume("local:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst", content: "backup", vmid: 101)
        },
        Attack(
            "a pool's members", ["actions": ["read_pools"], "targets": ["vm/101"]], "read_pools", "pool/production"),
        Attack("all tasks", ["actions": ["read_tasks"], "targets": ["vm/101"]], "read_tasks", "tasks/all"),
        Attack(
            "log of a deletion", ["actions": ["read_task_log"], "targets": ["vm/101"]], "read_task_log",
            "task/UPID:pve3:00001234:00005678:6745A0B1:imgdel:101@local:root@pam:"),
        Attack(
            "log of a backup", ["actions": ["read_task_log"], "targets": ["vm/101"]], "read_task_log",
            "task/UPID:pve3:00001234:00005678:6745A0B1:vzdump:101:root@pam:"),
        Attack(
            "metrics", ["actions": ["read_metrics"], "tags": ["marked"]], "read_metrics", "vm/101",
            ["timeframe": "hour"], given: allOf101),
        Attack(
            "network", ["actions": ["read_guest_network"], "targets": ["pool/production"]], "read_guest_network",
            "vm/101"),
    ]

    @Test(arguments: reads) func `a rule on a read holds`(attack: Attack) async throws {
        var rule: JSONObject = ["id": "hands-off", "effect": "deny"]
        for member in attack.rule.members { rule[member.key] = member.value }
        try await withAgent(Self.setup([.object(rule)])) { agent in
            try await attack.prepare(try agent.pve())
            let reply = try await agent.post("/v1/actions/apply", attack.wish.json)
            #expect(
                reply.code == "policy_denied",
                "\(attack.name) \(reply.status) shows 101: \(reply.text.contains("101")) \(reply.text.prefix(100))")
        }
    }

    // MARK: Detours

    @Test(arguments: [
        Attack("privileged by clone", [:], "clone_container", "lxc/118", ["newid": 600, "full": true]) {
            $0.setRunning(118, false); $0.setConfig(118, "unprivileged", nil)
        },
        Attack("devices by clone", [:], "clone_vm", "vm/136", ["newid": 600, "full": true]) {
            $0.setConfig(136, "hostpci0", "0000:01:00.0"); $0.setConfig(136, "args", "-S")
        },
        Attack("hardware random numbers", [:], "configure_vm", "vm/136", ["rng0": "source=/dev/hwrng"]),
        Attack("the node's GPU", [:], "configure_vm", "vm/136", ["vga": "virtio-gl"]),
        Attack("console without login", [:], "configure_container", "lxc/118", ["cmode": "shell"]),
        Attack(
            "import-from behind a blank", [:], "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "ceph:8, import-from=local:import/a.qcow2"]),
        Attack(
            "disk that another uses by directory", [:], "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "local:101/anything.qcow2"]
        ) { $0.setConfig(101, "scsi1", "local:101/anything.qcow2,size=8G") },
    ])
    func `a detour needs an approval`(attack: Attack) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            try await attack.prepare(try agent.pve())
            let plan = try await agent.plan(attack.wish)
            #expect(
                plan["decision"]?["requires_approval"] == true,
                "\(attack.name) \(plan["decision"] ?? .null) \(plan["state"]?.string ?? plan.text)")
        }
    }

    @Test func `the newer firewall is as vital as the older`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let plan = try await agent.plan(
                PlanRequest("node_service", "node/pve3", ["service": "proxmox-firewall", "command": "stop"]))
            #expect(plan["decision"]?["risk_level"] == "high", "\(plan["decision"] ?? .null)")
        }
    }

    // MARK: Hidden settings

    static let blind: JSON = [
        ["id": "blind", "effect": "deny", "actions": ["read_vm", "read_config", "read_snapshots"], "tags": ["web"]]
    ]

    @Test func `a stale plan shows nothing hidden`() async throws {
        try await withAgent(Self.setup(Self.blind)) { agent in
            let wish = PlanRequest("configure_vm", "vm/100", ["description": "x"])
            let id = try await agent.planID(wish)
            try agent.pve().setConfig(100, "name", "the-secret-name")
            let reply = try await agent.apply(id)
            #expect(!reply.text.contains("the-secret-name"), "\(reply)")
            let shown = try await agent.get("/v1/operations")
            #expect(!shown.text.contains("the-secret-name"), "\(shown)")
        }
    }

    @Test(arguments: [
        PlanRequest("resize_disk", "vm/100", ["disk": "scsi0", "size": "1M"]),
        PlanRequest("resize_disk", "vm/100", ["disk": "scsi9", "size": "+1G"]),
        PlanRequest("rollback_snapshot", "vm/100", ["snapname": "nothere"]),
    ])
    func `a denial shows nothing hidden`(wish: PlanRequest) async throws {
        try await withAgent(Self.setup(Self.blind)) { agent in
            try agent.pve().addSnapshot("secret-snap", of: 100)
            try agent.pve().setConfig(100, "scsi7", "ceph:vm-100-disk-7,size=77G")
            try agent.pve().setConfig(100, "scsi0", "ceph:vm-100-disk-0,size=77G")
            let plan = try await agent.plan(wish)
            func leaks(_ reply: Reply) -> Bool { ["77G", "scsi7", "secret-snap"].contains { reply.text.contains($0) } }
            #expect(!leaks(plan), "plan \(plan)")
            let applied = try await agent.apply(plan["plan_id"]?.string ?? "")
            #expect(!leaks(applied), "apply \(applied)")
            var dry = wish
            dry.more["dry_run"] = true
            let whole = try await agent.post("/v1/actions/apply", dry.json)
            #expect(!leaks(whole), "dry run \(whole)")
        }
    }

    @Test func `HA's settings are hidden whatever names them`() async throws {
        let rule: JSON = [["id": "blind", "effect": "deny", "actions": ["read_ha"], "targets": ["cluster"]]]
        try await withAgent(Self.setup(rule)) { agent in
            try agent.pve().setHA(136, wanted: "stopped")
            let plan = try await agent.plan(PlanRequest("ha_edit", "vm/136", ["op": "change", "max_restart": 3]))
            #expect(plan.text.contains("hidden by rule:blind"), "\(plan)")
        }
    }

    // MARK: Plans that are not stale

    @Test func `a guest that is started on an idle node makes the plan stale`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            let rows = try await pve.ask("GET", "/cluster/resources?type=vm")?.array ?? []
            for row in rows where row["node"] == "pve3" { pve.setRunning(Int(row["vmid"]?.integer ?? 0), false) }
            pve.forgetExecutions()
            let plan = try await agent.plan(PlanRequest("shutdown_node", "node/pve3"))
            #expect(plan["state"] == "awaiting_approval", "\(plan)")
            pve.setRunning(101, true)
            let reply = try await agent.apply(plan["plan_id"]?.string ?? "", approvedBy: "alice")
            #expect(reply.code == "plan_stale", "\(reply) \(agent.executed.map(\.path))")
        }
    }

    @Test func `a guest that joins an empty pool makes the job's plan stale`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await pve.make("POST", "/pools", "poolid=empty")
            let plan = try await agent.plan(
                PlanRequest(
                    "backup_job_edit", "cluster",
                    ["op": "add", "id": "own", "schedule": "sun 01:00", "storage": "local", "pool": "empty"]))
            #expect(plan["state"] == "awaiting_approval", "\(plan)")
            pve.setPool(101, "empty")
            let reply = try await agent.apply(plan["plan_id"]?.string ?? "", approvedBy: "alice")
            #expect(reply.code == "plan_stale", "\(reply) \(agent.executed.map(\.path))")
        }
    }

    @Test func `a guest that is put on an empty storage makes its edit stale`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setStorage("nas", type: "dir", options: ["path": "/mnt/nas", "content": "images"])
            let plan = try await agent.plan(
                PlanRequest("storage_edit", "storage/nas", ["op": "change", "disable": true]))
            #expect(plan["state"] == "awaiting_approval", "\(plan)")
            pve.addVolume("nas:101/vm-101-disk-9.raw", content: "images", vmid: 101)
            let reply = try await agent.apply(plan["plan_id"]?.string ?? "", approvedBy: "alice")
            #expect(reply.code == "plan_stale", "\(reply) \(agent.executed.map(\.path))")
        }
    }

    // MARK: False denials

    @Test(arguments: [
        Attack(
            "path inside the container", on("vm/101"), "create_container", "lxc/600",
            ["node": "pve1", "ostemplate": .string(template), "unprivileged": true, "mp0": "ceph:4,mp=/srv/101"]),
        Attack(
            "path inside the container", on("vm/101"), "attach_disk", "lxc/118",
            ["disk": "mp0", "storage": "ceph", "size": 8, "path": "/data/101"]),
        Attack(
            "address in an IP set", on("vm/101"), "firewall_edit", "firewall/vm/100",
            ["op": "remove", "object": "ipset-entry", "name": "friends", "cidr": "2001:db8:101::/48"]
        ) {
            try await $0.make("POST", "/nodes/pve2/qemu/100/firewall/ipset", "name=friends");
            try await $0.make("POST", "/nodes/pve2/qemu/100/firewall/ipset/friends", "cidr=2001:db8:101::/48")
        },
        Attack(
            "IPv6 server", on("vm/101"), "storage_edit", "storage/nas",
            ["op": "add", "type": "nfs", "server": "2001:db8:101::5", "export": "/srv"]),
        Attack(
            "export's path", on("vm/101"), "storage_edit", "storage/nas",
            ["op": "add", "type": "nfs", "server": "nas.lan", "export": "/volume/101"]),
        Attack("snapshot's name", on("vm/101"), "rollback_snapshot", "vm/136", ["snapname": "vm-101-before"]) {
            $0.addSnapshot("vm-101-before", of: 136)
        },
        Attack("USB device's number", on("vm/101"), "configure_container", "lxc/118", ["dev0": "/dev/bus/usb/001/101"]),
        Attack(
            "serial number", on("vm/101"), "attach_disk", "vm/136",
            ["disk": "scsi5", "storage": "ceph", "size": 8, "serial": "vm-101-copy"]),
        Attack("command inside", on("vm/101"), "agent_exec", "vm/100", ["command": ["uptime", "vm-101-x"]]),
    ])
    func `numbers that are no guests`(attack: Attack) async throws {
        try await withAgent(Self.setup([["id": "hands-off", "effect": "deny", "targets": ["vm/101"]]])) { agent in
            try await attack.prepare(try agent.pve())
            let plan = try await agent.plan(attack.wish)
            #expect(
                plan["decision"]?["rules"]?.array?.contains("rule:hands-off") != true,
                "\(attack.name) \(plan["decision"]?["subjects"] ?? .null)")
            #expect(plan.status == 200, "\(plan)")
        }
    }

    @Test(arguments: [
        PlanRequest(
            "create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:8", "ide2": "local:iso/vm-tools.iso,media=cdrom"]),
        PlanRequest(
            "create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:8", "ide2": "local:iso/base-os.iso,media=cdrom"]),
        PlanRequest(
            "create_container", "lxc/600",
            [
                "node": "pve1", "rootfs": "ceph:8", "unprivileged": true,
                "ostemplate": "local:vztmpl/base-debian_13_amd64.tar.zst",
            ]),
    ])
    func `an image called vm- is an image to install from`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let decision = try await agent.plan(wish)["decision"]
            #expect(decision?["requires_approval"] == false, "\(decision ?? .null)")
        }
    }

    static let archive101 = "local:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst"

    @Test func `a guest whose node is down can be restored elsewhere`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.addVolume(Self.archive101, content: "backup", vmid: 101)
            pve.setNodeOnline("pve3", false)
            let plan = try await agent.plan(
                PlanRequest("restore_backup", "vm/600", ["archive": .string(Self.archive101), "node": "pve1"]))
            #expect(plan["state"] == "awaiting_approval", "\(plan["decision"]?["reason"]?.string ?? plan.text)")
            let prune = try await agent.plan(
                PlanRequest("prune_backups", "storage/local", ["prune-backups": "keep-last=1"]))
            #expect(
                prune["state"] == "awaiting_approval", "prune \(prune["decision"]?["reason"]?.string ?? prune.text)")
            let delete = try await agent.plan(
                PlanRequest("delete_backup", "storage/local", ["volume": .string(Self.archive101)]))
            #expect(
                delete["state"] == "awaiting_approval", "delete \(delete["decision"]?["reason"]?.string ?? delete.text)"
            )
            let firewall = try await agent.plan(
                PlanRequest("firewall_edit", "firewall/cluster", ["op": "change", "object": "options", "enable": 0]))
            #expect(
                firewall["state"] == "awaiting_approval",
                "firewall \(firewall["decision"]?["reason"]?.string ?? firewall.text)")
        }
    }

    @Test func `a stored read is judged when it is applied`() async throws {
        try await withAgent(
            Self.setup([["id": "unseen", "effect": "deny", "actions": ["read_vm"], "tags": ["marked"]]])
        ) { agent in
            let id = try await agent.planID(PlanRequest("read_vm", "vm/101"))
            try agent.pve().setConfig(101, "tags", "marked")
            expectProblem(
                try await agent.post("/v1/actions/apply", PlanRequest("read_vm", "vm/101").json), 403, "policy_denied")
            let reply = try await agent.apply(id)
            #expect(reply.code == "policy_denied", "\(reply.status) \(reply.text.prefix(300))")
        }
    }

    @Test func `a volume that somebody else uses is neither deleted nor attached again`() async throws {
        try await withAgent(Self.setup([["id": "hands-off", "effect": "deny", "targets": ["vm/136"]]])) { agent in
            let pve = try agent.pve()
            try await Self.used(pve)
            let plan = try await agent.plan(
                PlanRequest("delete_volume", "storage/ceph", ["volume": "ceph:vm-101-disk-7"]))
            let reply = try await agent.apply(plan["plan_id"]?.string ?? "", approvedBy: "alice")
            #expect(
                agent.executed.isEmpty,
                "executed \(agent.executed.map(\.path)) \(reply["result"]?["status"]?.string ?? "")")
            let attach = try await agent.plan(
                PlanRequest("attach_disk", "vm/135", ["disk": "scsi5", "volume": "ceph:vm-101-disk-7"]))
            #expect(
                attach["state"] == "denied",
                "attach \(attach["state"]?.string ?? "") \(attach["decision"]?["subjects"]?.text ?? "")")
            let config = try await agent.plan(PlanRequest("configure_vm", "vm/135", ["scsi5": "ceph:vm-101-disk-7"]))
            #expect(config["state"] == "denied", "configure \(config["state"]?.string ?? "")")
            let create = try await agent.plan(
                PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:vm-101-disk-7"]))
            #expect(create["state"] == "denied", "create \(create["state"]?.string ?? "")")
        }
    }

    @Test(arguments: [
        PlanRequest("clone_container", "lxc/118", ["newid": 600, "full": true]),
        PlanRequest("clone_vm", "vm/136", ["newid": 600, "full": true]),
    ])
    func `a clone of what reaches into the node needs an approval`(wish: PlanRequest) async throws {
        try await withAgent(
            Self.setup([["id": "hands-off", "effect": "deny", "targets": ["vm/101", "storage/local"]]])
        ) { agent in
            let pve = try agent.pve()
            pve.setRunning(118, false)
            pve.setConfig(118, "unprivileged", nil)
            try await Self.odd(pve)
            let plan = try await agent.plan(wish)
            let reply = try await agent.apply(plan["plan_id"]?.string ?? "")
            #expect(
                agent.executed.isEmpty,
                "executed without approval \(agent.executed.map(\.path)) \(reply["result"]?["status"]?.string ?? "") \(pve.guest(600)?.config.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } ?? [])"
            )
        }
    }

    static let held: [Attack] = [
        Attack("pool", on("pool/production"), "create_vm", "vm/600", ["node": "pve1", "pool": "production"]),
        Attack("pool above", on("pool/production"), "create_vm", "vm/600", ["node": "pve1", "pool": "production/web"]),
        Attack("pool", on("pool/production"), "clone_vm", "vm/9000", ["newid": 600, "pool": "production"]),
        Attack(
            "pool", on("pool/production"), "firewall_edit", "firewall/vm/101",
            ["op": "change", "object": "options", "enable": 0]),
        Attack("pool", on("pool/prod*"), "bulk_shutdown", "cluster", ["vms": [101]]),
        Attack(
            "pool", on("pool/production"), "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "ceph:0,import-from=ceph:vm-101-disk-0"]),
        Attack("number", on("vm/600"), "clone_vm", "vm/9000", ["newid": 600]),
        Attack("number", on("lxc/600"), "clone_container", "lxc/118", ["newid": 600]),
        Attack("number", on("vm/600"), "create_vm", "vm/600", ["node": "pve1"]),
        Attack("upper case", ["tags": ["MARKED"]], "bulk_shutdown", "cluster", ["vms": [101]]) {
            $0.setConfig(101, "tags", "a;Marked")
        },
        Attack("blanks in tags", ["tags": ["marked"]], "start_vm", "vm/136") {
            $0.setConfig(136, "tags", "a, marked b")
        },
        Attack("tags that it gets", ["tags": ["marked"]], "create_vm", "vm/600", ["node": "pve1", "tags": ["Marked"]]),
        Attack(
            "firewall of a node", on("node/pve3"), "firewall_edit", "firewall/node/pve3",
            ["op": "change", "object": "options", "enable": 0]),
        Attack(
            "firewall in the endpoint form", on("vm/101"), "firewall_edit", "firewall/cluster",
            ["endpoint": "/cluster/firewall/options", "method": "PUT", "params": ["enable": 0]]),
        Attack(
            "group in the endpoint form", on("vm/101"), "firewall_edit", "firewall/cluster",
            ["endpoint": "/cluster/firewall/groups/web", "method": "DELETE", "params": [:]]),
        Attack(
            "guest's firewall in the endpoint form", on("vm/101"), "firewall_edit", "firewall/vm/101",
            ["endpoint": "/nodes/pve3/qemu/101/firewall/options", "method": "PUT", "params": ["enable": 0]]),
        Attack("state of HA", on("vm/101"), "ha_edit", "vm/101", ["op": "add", "state": "stopped"]),
        Attack(
            "duplicate sub-keys", on("vm/101"), "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "file=ceph:8,volume=ceph:vm-101-disk-0"]),
        Attack(
            "quoted", on("vm/101"), "configure_vm", "vm/136",
            ["args": "-drive 'file=json:{\"filename\":\"/dev/pve/vm-101-disk-0\"}'"]),
        Attack(
            "firmware's disk", on("vm/101"), "create_vm", "vm/600",
            ["node": "pve1", "efidisk0": "ceph:1,import-from=ceph:vm-101-disk-0"]),
        Attack(
            "TPM's state", on("vm/101"), "create_vm", "vm/600",
            ["node": "pve1", "tpmstate0": "ceph:1,import-from=ceph:vm-101-disk-0"]),
        Attack(
            "replaced by a restore", on("vm/101"), "restore_backup", "vm/101",
            ["archive": .string(archive101), "overwrite": true]
        ) { $0.addVolume(archive101, content: "backup", vmid: 101) },
        Attack(
            "pool of a job above", on("pool/production"), "backup_job_edit", "cluster",
            ["op": "remove", "id": "nightly"]
        ) { pve in
            try await pve.make("POST", "/pools", "poolid=production/db")
            try await pve.make(
                "POST", "/cluster/backup", "id=nightly&schedule=sun%2001:00&storage=local&pool=production/db")
        },
        Attack(
            "bulk of HA", on("node/pve1"), "ha_edit", "cluster",
            ["op": "add", "rule": "near", "type": "node-affinity", "resources": ["vm:101"], "nodes": ["pve1:3"]]
        ) { $0.setHA(101, wanted: "started") },
    ]

    @Test(arguments: held) func `a rule holds whatever names its guest, pool or number`(attack: Attack) async throws {
        try await tryIt(attack)
    }

    @Test(arguments: [
        Attack(
            "an image to install from as a disk that can be written", [:], "create_vm", "vm/600",
            ["node": "pve1", "scsi0": .string(ChangeScenario.image)]),
        Attack(
            "owner by directory under two-for-prod", [:], "clone_vm", "vm/136", ["newid": 600, "full": true], given: odd
        ),
        Attack("clone of a guest with devices, machine", [:], "clone_vm", "vm/136", ["newid": 600, "full": true]) {
            $0.setConfig(136, "usb0", "host=1-1")
        },
    ])
    func `a detour asks for as many approvals as the rule`(attack: Attack) async throws {
        try await withAgent(
            Self.setup([["id": "two", "effect": "require_approval", "approvals": 2, "targets": ["vm/101"]]])
        ) { agent in
            let pve = try agent.pve()
            try await attack.prepare(pve)
            let plan = try await agent.plan(attack.wish)
            let state = plan["state"]?.string ?? plan.text
            let reply = try await agent.apply(plan["plan_id"]?.string ?? "")
            #expect(
                plan["decision"]?["requires_approval"] == true,
                "\(attack.name) \(state) \(reply["result"]?["status"]?.string ?? "") \(agent.executed.map(\.path)) \(agent.executed.last?.parameters ?? [:])"
            )
        }
    }

    static let third: [Attack] = [
        Attack(
            "orphan's volume", on("vm/101"), "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "ceph:0,import-from=ceph:vm-101-disk-0"]
        ) {
            $0.addVolume("ceph:vm-101-disk-0", content: "images", vmid: 101); $0.removeGuest(101)
        },
        Attack(
            "orphan's backup", on("vm/101"), "restore_backup", "vm/600",
            ["archive": .string(archive101), "node": "pve1"]
        ) {
            $0.addVolume(archive101, content: "backup", vmid: 101); $0.removeGuest(101)
        },
        Attack(
            "pool that it leaves by a join", on("pool/staging"), "pool_edit", "pool/production",
            ["op": "join", "vms": [136], "allow-move": true]
        ) { $0.setPool(136, "staging") },
        Attack(
            "a guest that joins by migration", on("vm/101"), "ha_migrate", "vm/101",
            ["target": "pve1", "mode": "migrate"]
        ) { $0.setHA(101, wanted: "started") },
        Attack(
            "default storage", on("storage/local-lvm"), "restore_backup", "vm/136",
            ["archive": "local:backup/vzdump-qemu-136-2026_11_20-03_00_01.vma.zst", "overwrite": true]
        ) { $0.addVolume("local:backup/vzdump-qemu-136-2026_11_20-03_00_01.vma.zst", content: "backup", vmid: 136) },
    ]
    @Test(arguments: third) func `a rule holds for what is left of a guest, and where it goes`(
        attack: Attack
    ) async throws { try await tryIt(attack) }

    @Test func `a token for one pool can edit that pool's backups`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setPool(136, "staging")
            var grants: [String: Set<String>] = [
                "/": Set(Simulator.everything).subtracting(["VM.Audit"]), "/vms": [],
                "/vms/136": Set(Simulator.everything),
            ]
            for path in ["/pool/staging", "/storage", "/nodes"] { grants[path] = Set(Simulator.everything) }
            pve.setTokens(.list([.init(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"), privileges: grants)]))
            let plan = try await agent.plan(
                PlanRequest(
                    "backup_job_edit", "cluster",
                    ["op": "add", "id": "own", "schedule": "sun 01:00", "storage": "local", "pool": "staging"]))
            #expect(plan["state"] == "awaiting_approval", "\(plan["decision"]?["reason"]?.string ?? plan.text)")
            let up = try await agent.plan(PlanRequest("wake_node", "node/pve3"))
            #expect(up.status == 200)
        }
    }

    static let keepDB: JSONObject = ["targets": ["vm/101"], "actions": ["delete_vm"], "reason": "the database"]
    static let twins: [Attack] = [
        Attack(
            "deletes by restoring over it", keepDB, "restore_backup", "vm/101",
            ["archive": .string(archive101), "overwrite": true]
        ) {
            $0.setRunning(101, false); $0.addVolume(archive101, content: "backup", vmid: 101)
        },
        Attack("deletes its disk", keepDB, "configure_vm", "vm/101", ["delete": ["scsi0"], "force": true]) {
            $0.setRunning(101, false)
        },
        Attack("deletes its disk", keepDB, "detach_disk", "vm/101", ["disk": "scsi0", "destroy": true]) {
            $0.setRunning(101, false)
        },
    ]
    @Test(arguments: twins) func `a rule against an action holds for others that do the same`(
        attack: Attack
    ) async throws { try await tryIt(attack) }

    @Test func `a tag that a member gets later is judged at apply`() async throws {
        try await withAgent(
            Self.setup([["id": "two", "effect": "require_approval", "approvals": 2, "tags": ["marked"]]])
        ) { agent in
            let id = try await agent.planID(
                PlanRequest(
                    "backup_job_edit", "cluster",
                    ["op": "add", "id": "own", "schedule": "sun 01:00", "storage": "local", "all": true]))
            try agent.pve().setConfig(101, "tags", "marked")
            let reply = try await agent.apply(id, approvedBy: "alice")
            #expect(reply.code == "approval_required", "\(reply.text.prefix(300))")
        }
    }

    @Test func `a rule on a guest that is started later holds`() async throws {
        try await withAgent(Self.setup([["id": "hands-off", "effect": "deny", "targets": ["vm/101"]]])) { agent in
            let pve = try agent.pve()
            pve.setRunning(101, false)
            let id = try await agent.planID(PlanRequest("shutdown_node", "node/pve3"))
            pve.setRunning(101, true)
            let reply = try await agent.apply(id, approvedBy: "alice")
            #expect(agent.executed.isEmpty, "\(reply.text.prefix(300))")
        }
    }

}

/// Numbers from PVE beyond all bounds.
@Suite(.timeLimit(.minutes(1)))
struct BoundsTests {
    @Test func `a size beyond all bounds`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            try agent.pve().setConfig(136, "scsi0", "local-lvm:vm-136-disk-0,size=99999999999999999999999T")
            let plan = try await agent.plan(PlanRequest("resize_disk", "vm/136", ["disk": "scsi0", "size": "+1T"]))
            #expect(plan.status == 200, "\(plan)")
        }
    }

    @Test func `a storage beyond all bounds`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            try agent.pve().setStorageUse("ceph", used: 4_000_000_000_000_000_000, of: 5_000_000_000_000_000_000)
            let plan = try await agent.plan(PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:8"]))
            #expect(plan.status == 200, "\(plan)")
        }
    }
}

extension Simulator {
    /// The token may do everything everywhere but on one guest.
    func hide(_ vmid: Int) {
        var grants: [String: Set<String>] = [:]
        for path in ["/", "/vms", "/storage", "/nodes", "/pool", "/access", "/sdn"] {
            grants[path] = Set(Self.everything)
        }
        grants["/vms/\(vmid)"] = []
        setTokens(.list([.init(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"), privileges: grants)]))
    }

    static let everything = [
        "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
        "Pool.Allocate", "Pool.Audit", "SDN.Use", "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Modify",
        "Sys.PowerMgmt", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU",
        "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network",
        "VM.Config.Options", "VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Migrate", "VM.PowerMgmt",
        "VM.Replicate", "VM.Snapshot", "VM.Snapshot.Rollback",
    ]
}
