import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Ways round a class of risk, a rule or a read that is denied.
@Suite(.timeLimit(.minutes(2)))
struct DetourTests {
    private static func setup(_ rules: JSON) -> Setup {
        var setup = ChangeScenario.setup
        setup.settings["policy"] = ["rules": rules]
        return setup
    }

    // MARK: The class of what is achieved

    static let firewalled = "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1"

    @Test(arguments: [
        ("virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=0", "net0", true),
        ("virtio=BC:24:11:00:00:64,bridge=vmbr0", "net0", true), ("virtio,bridge=vmbr0", "net1", true),
        ("virtio=BC:24:11:00:00:64,bridge=vmbr1,firewall=1", "net0", false),
    ])
    func `a network device without the firewall that the guest has is an edit of its firewall`(
        value: String, key: String, isGuarded: Bool
    ) async throws {
        try await withAgent { agent in
            try agent.pve().setConfig(136, "net0", Self.firewalled)
            let plan = try await agent.plan(PlanRequest("configure_vm", "vm/136", [key: .string(value)]))
            #expect(plan["decision"]?["requires_approval"] == .bool(isGuarded), "\(plan)")
            #expect(plan["decision"]?["risk_level"] == (isGuarded ? "high" : "medium"))
            #expect(plan["decision"]?["rules"]?.array?.contains("base:touches-firewall") == isGuarded)
            try agent.pve().setConfig(136, "net0", "virtio=BC:24:11:00:00:64,bridge=vmbr0")
            let open = try await agent.plan(PlanRequest("configure_vm", "vm/136", [key: .string(value)]))
            #expect(open["decision"]?["requires_approval"] == false, "a guest without a firewall loses none: \(open)")
        }
    }

    @Test(arguments: [
        PlanRequest("tag_vm", "vm/100", ["remove": ["web"]]),
        PlanRequest("configure_vm", "vm/100", ["tags": ["production"]]),
        PlanRequest("tag_vm", "vm/100", ["remove": ["WEB"], "add": ["blue"]]),
    ])
    func `a tag that a rule names is not removed without an approval`(wish: PlanRequest) async throws {
        let rule: JSON = [["id": "web", "effect": "deny", "actions": ["delete_vm"], "tags": ["web"]]]
        try await withAgent(Self.setup(rule)) { agent in
            let plan = try await agent.plan(wish)
            #expect(plan["state"] == "awaiting_approval", "\(plan)")
            #expect(plan["decision"]?["rules"]?.array?.contains("base:touches-rules") == true)
            #expect(plan["decision"]?["risk_level"] == "high")
            expectProblem(
                try await agent.apply(try #require(plan["plan_id"]?.string)), 403, "approval_required")
        }
        try await withAgent { agent in
            let plan = try await agent.plan(wish)
            #expect(plan["state"] == "approved", "no rule names it: \(plan)")
        }
    }

    @Test(arguments: [
        PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:0,import-from=local:import/a.qcow2"]),
        PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:vm-101-disk-0"]),
        PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:vm-101-state-before"]),
        PlanRequest("create_vm", "vm/600", ["node": "pve1", "virtio3": "/dev/sdb"]),
        PlanRequest("create_vm", "vm/600", ["node": "pve1", "ide2": "cdrom"]),
        PlanRequest("create_vm", "vm/600", ["node": "pve1", "ivshmem": "size=32,name=other"]),
        PlanRequest("create_container", "lxc/600", ["node": "pve1", "ostemplate": .string(template)]),
        PlanRequest(
            "create_container", "lxc/600",
            ["node": "pve1", "ostemplate": .string(template), "unprivileged": false, "rootfs": "ceph:8"]),
        PlanRequest(
            "create_container", "lxc/600",
            ["node": "pve1", "ostemplate": .string(template), "unprivileged": true, "mp0": "/srv,mp=/srv"]),
        PlanRequest(
            "create_container", "lxc/600",
            [
                "node": "pve1", "ostemplate": "local:backup/vzdump-lxc-118-2026_11_20-03_00_01.tar.zst",
                "unprivileged": true,
            ]),
        PlanRequest("configure_vm", "vm/136", ["protection": false]),
        PlanRequest("configure_vm", "vm/136", ["ciuser": "me"]),
        PlanRequest("configure_vm", "vm/136", ["cipassword": "s3cret-pw"]),
        PlanRequest("configure_vm", "vm/136", ["sshkeys": "ssh-ed25519 AAAA me"]),
        PlanRequest("configure_vm", "vm/136", ["cicustom": "user=local:snippets/u.yaml"]),
        PlanRequest("configure_vm", "vm/136", ["serial0": "/dev/ttyS0"]),
        PlanRequest("configure_vm", "vm/136", ["usb0": "host=1-1"]),
        PlanRequest("cloud_init_vm", "vm/136", ["sshkeys": "ssh-ed25519 AAAA me"]),
        PlanRequest("configure_container", "lxc/118", ["dev0": "/dev/kvm"]),
    ])
    func `what reaches for others' data, the node or the door is of high risk`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let decision = try await agent.plan(wish)["decision"]
            #expect(decision?["risk_level"] == "high", "\(decision ?? .null)")
            #expect(decision?["requires_approval"] == true, "\(decision ?? .null)")
        }
    }

    private static let template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"

    @Test(arguments: [
        PlanRequest(
            "create_vm", "vm/600",
            [
                "node": "pve1", "scsi0": "ceph:8", "ide2": .string(ChangeScenario.image + ",media=cdrom"),
                "ide0": "ceph:cloudinit",
            ]),
        PlanRequest(
            "create_container", "lxc/600",
            [
                "node": "pve1", "ostemplate": .string(template), "unprivileged": true, "rootfs": "ceph:8",
                "mp0": "ceph:4,mp=/srv",
            ]), PlanRequest("configure_vm", "vm/136", ["protection": true]),
        PlanRequest("cloud_init_vm", "vm/136", ["ipconfig0": "ip6=2001:db8:101::101/64"]),
    ])
    func `new disks, images to install from and an unprivileged root need no approval`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let decision = try await agent.plan(wish)["decision"]
            #expect(decision?["requires_approval"] == false, "\(decision ?? .null)")
        }
    }

    // MARK: Options of disks

    @Test(
        arguments: [
            ["options": "discard=on"], ["discard": "import-from=ceph:vm-101-disk-0"], ["discard": "on,file=/dev/sdb"],
            ["ssd": 1], ["serial": "x,import-from=ceph:vm-101-disk-0"], ["quota": true], ["iops": -1],
        ] as [JSONObject])
    func `an option of a disk has a type, and room for nothing else`(option: JSONObject) async throws {
        try await withAgent { agent in
            var wish = PlanRequest("attach_disk", "vm/136", ["disk": "scsi5", "storage": "ceph", "size": 8])
            for member in option.members { wish.params[member.key] = member.value }
            let reply = try await agent.plan(wish)
            expectProblem(reply, 400, "invalid_request")
            #expect(reply["errors"]?.array?.first?["pointer"]?.string == "/params/\(option.keys[0])", "\(reply)")
        }
    }

    @Test func `options reach PVE in its own words, and the undo of a detach gives them back`() async throws {
        try await withAgent { agent in
            let options: JSONObject = ["discard": "on", "ssd": true, "backup": false, "iops": 500, "cache": "none"]
            var wish = PlanRequest("attach_disk", "vm/136", ["disk": "scsi5", "storage": "ceph", "size": 8])
            for member in options.members { wish.params[member.key] = member.value }
            let applied = try await agent.apply(try await agent.planID(wish))
            #expect(applied["result"]?["status"] == "succeeded", "\(applied)")
            let sent = try #require(agent.executed.last?.parameters["scsi5"])
            #expect(
                Set(sent.split(separator: ",")) == [
                    "ceph:8", "discard=on", "ssd=1", "backup=0", "iops=500", "cache=none",
                ])
            let detach = try await agent.plan(PlanRequest("detach_disk", "vm/136", ["disk": "scsi5"]))
            let undo = try #require(detach["preview"]?["undo"]?["params"]?.object, "\(detach)")
            for option in options.members { #expect(undo[option.key] == option.value, "\(option.key) in \(detach)") }
            #expect(undo["size"] == nil && undo["volume"]?.string?.hasPrefix("ceph:vm-136-disk-") == true)
        }
    }

    // MARK: Reads

    @Test func `a dry run shows no setting that a rule keeps from being read`() async throws {
        let rule: JSON = [
            ["id": "blind", "effect": "deny", "actions": ["read_vm", "read_config"], "tags": ["web"]]
        ]
        try await withAgent(Self.setup(rule)) { agent in
            try agent.pve().setConfig(100, "description", "the-secret-note")
            let read: JSON = ["environment": "cloud", "action": "read_config", "target": "vm/100"]
            expectProblem(try await agent.post("/v1/actions/apply", read), 403, "policy_denied")
            var wish = PlanRequest("configure_vm", "vm/100", ["description": "x", "memory": 4096])
            let plan = try await agent.plan(wish)
            wish.more["dry_run"] = true
            let planned = try await agent.plan(wish)
            let applied = try await agent.post("/v1/actions/apply", wish.json)
            let looked = try await agent.get("/v1/plans/\(plan["plan_id"]?.string ?? "")")
            for reply in [plan, planned, applied, looked] {
                #expect(reply.status == 200, "\(reply)")
                #expect(!reply.text.contains("the-secret-note") && !reply.text.contains("vmgenid"), "\(reply)")
                #expect(reply.text.contains("hidden by rule:blind"), "\(reply)")
            }
            let open = try await agent.plan(PlanRequest("configure_vm", "vm/136", ["description": "x"]))
            #expect(open.text.contains("vmgenid") && !open.text.contains("hidden by"), "\(open)")
        }
    }

    @Test(
        arguments: [
            (PlanRequest("read_vm", "vm/101"), "targets", "vm/101"),
            (PlanRequest("read_vm", "vm/101"), "tags", "marked"),
            (PlanRequest("read_storage_content", "storage/ceph", ["vmid": 101]), "tags", "marked"),
            (PlanRequest("read_storage_content", "storage/ceph", ["vmid": 101]), "targets", "vm/101"),
            (PlanRequest("read_inventory", "inventory/all"), "tags", "marked"),
            (PlanRequest("read_cluster", "cluster"), "targets", "vm/101"),
        ])
    func `a rule that names a read looks at whom it shows`(wish: PlanRequest, scope: String, name: String) async throws
    {
        var rule: JSONObject = ["id": "unseen", "effect": "deny", "actions": [.string(wish.action)]]
        rule[scope] = [.string(name)]
        try await withAgent(Self.setup([.object(rule)])) { agent in
            try agent.pve().setConfig(101, "tags", "marked")
            let reply = try await agent.post("/v1/actions/apply", wish.json)
            expectProblem(reply, 403, "policy_denied")
            guard wish.action == "read_inventory" else { return }
            let all = try await agent.get("/v1/inventory")
            #expect(all["result"]?["environments"]?.array?.first?["status"] == "failed", "\(all)")
        }
    }
}
