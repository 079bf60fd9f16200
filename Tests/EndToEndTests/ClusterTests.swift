import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// A cluster whose nodes come and go, whose HA manager has a will of its own, and whose tasks say OK too early.
@Suite(.timeLimit(.minutes(3)))
struct ClusterTests {
    private static let image = "local:iso/debian-13.2.0-amd64-netinst.iso,media=cdrom"

    private func check(_ id: String, of planned: Reply) -> JSON? {
        planned["preview"]?["checks"]?.array?.first { $0["id"]?.string == id && $0["level"] != "ok" }
    }

    // MARK: Many guests

    @Test func `a bulk migration that leaves guests behind is not succeeded, whatever PVE says`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setRunning(106, false)
            let wish = PlanRequest("bulk_migrate", "node/pve2", ["vms": [100, 106], "target": "pve1"])
            let planned = try await agent.plan(wish)
            #expect(planned["decision"]?["allowed"] == true, "\(planned)")
            let call = planned["preview"]?["calls"]?.array?.first
            #expect(call?["path"] == "/cluster/bulk-action/guest/migrate", "\(planned)")
            #expect(call?["params"]?["online"] == "1", "a node moves what runs while it runs")
            // What PVE's task finds out only when it is the guest's turn.
            pve.inject(Fault(.taskError("OK"), method: "POST", path: "/cluster/bulk-action/guest/migrate"))
            let reply = try await agent.apply(try #require(planned["plan_id"]?.string), approvedBy: "alice")
            #expect(reply["result"]?["status"] == "failed", "\(reply)")
            #expect(reply["operation"]?["message"]?.string?.contains("vm/100 is on pve2") == true, "\(reply)")
        }
    }

    @Test func `each guest of a bulk migration is told apart`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setRunning(106, false)
            let planned = try await agent.plan(
                PlanRequest("bulk_migrate", "cluster", ["vms": [100, 106], "target": "pve1", "online": true]))
            let id = try #require(planned["plan_id"]?.string, "\(planned)")
            pve.holdTasks()
            let began = try await agent.apply(id, approvedBy: "alice", wait: nil)
            #expect(began.status == 202, "\(began)")
            // It gets a lock before its turn comes.
            pve.setConfig(106, "lock", "backup")
            pve.releaseTasks()
            let operation = try #require(began["operation"]?["operation_id"]?.string)
            let ended = try await agent.get("/v1/operations/\(operation)?wait=30")
            #expect(ended["state"] == "failed", "\(ended)")
            #expect(ended["code"] == "partially_applied")
            let guests = ended["data"]?["guests"]?.array ?? []
            #expect(guests.map { $0["done"] } == [true, false])
            #expect(guests.map { $0["found"] } == ["pve1", "pve2"])
            #expect(pve.guest(100)?.node == "pve1" && pve.guest(106)?.node == "pve2")
            let undo = try #require(ended["undo"], "\(ended)")
            #expect(undo["target"] == "node/pve1" && undo["params"]?["vms"] == [100], "\(undo)")
            #expect(undo["params"]?["target"] == "pve2")
        }
    }

    @Test(
        arguments: [
            (
                PlanRequest("bulk_migrate", "node/pve2", ["vms": [100], "target": "pve1"]), "/nodes/pve2/migrateall",
                "1"
            ),
            (PlanRequest("bulk_start", "node/pve2", ["vms": [136]]), "/nodes/pve2/startall", nil),
            (PlanRequest("bulk_shutdown", "node/pve2", ["vms": [100]]), "/nodes/pve2/stopall", nil),
        ] as [(PlanRequest, JSON, JSON?)])
    func `where PVE has no bulk actions of the cluster the node's own are used`(
        wish: PlanRequest, path: JSON, workers: JSON?
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let missing = Fault.Effect.status(501, reason: "Method 'GET /cluster/bulk-action/guest' not implemented")
            try agent.pve().inject(Fault(missing, method: "GET", path: "/cluster/bulk-action/guest", count: 99))
            let planned = try await agent.plan(wish)
            let call = planned["preview"]?["calls"]?.array?.first
            #expect(call?["path"] == path, "\(planned)")
            #expect(call?["params"]?["max-workers"] == workers)
            let reply = try await agent.apply(try #require(planned["plan_id"]?.string), approvedBy: "alice")
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        }
    }

    // MARK: Nodes that are off

    @Test(arguments: [
        PlanRequest("read_vm", "vm/100"), PlanRequest("start_vm", "vm/136"),
        PlanRequest("configure_vm", "vm/100", ["memory": 512]),
        PlanRequest("bulk_start", "cluster", ["vms": [136]]),
        PlanRequest("pool_edit", "pool/staging", ["op": "join", "vms": [136]]),
        PlanRequest("read_node", "node/pve2"),
        PlanRequest("node_service", "node/pve2", ["service": "cron", "command": "restart"]),
    ])
    func `what is on a node that is off is blocked, and the node is named`(wish: PlanRequest) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            try agent.pve().setNodeOnline("pve2", false)
            let planned = try await agent.plan(wish)
            #expect(planned.status == 200, "\(planned)")
            #expect(planned["state"] == "denied")
            #expect("\(planned)".contains("node pve2 is offline"), "\(planned)")
        }
    }

    @Test func `a plan whose node goes off stays as it is`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            let id = try await agent.planID(.start)
            pve.setNodeOnline("pve2", false)
            let reply = try await agent.apply(id)
            #expect(reply.status == 502, "\(reply)")
            #expect(reply["code"] == "upstream_unreachable")
            #expect(reply["detail"]?.string?.contains("node pve2 is offline") == true, "\(reply)")
            #expect(try await agent.planState(id) == "approved")
            pve.setNodeOnline("pve2", true)
            #expect(try await agent.apply(id)["result"]?["status"] == "succeeded")
        }
    }

    // MARK: Quorum

    @Test(arguments: [
        PlanRequest("start_vm", "vm/136"), PlanRequest("configure_vm", "vm/136", ["memory": 512]),
        PlanRequest("migrate_vm", "vm/136", ["target": "pve1"]),
        PlanRequest("snapshot_vm", "vm/136", ["snapname": "s1"]),
        PlanRequest("pool_edit", "pool/new", ["op": "add"]), PlanRequest("bulk_start", "cluster", ["vms": [136]]),
        PlanRequest("bulk_migrate", "cluster", ["vms": [136], "target": "pve1"]),
    ])
    func `without quorum what needs it is blocked at planning`(wish: PlanRequest) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            try agent.pve().setQuorate(false)
            let planned = try await agent.plan(wish)
            #expect(planned.status == 200, "\(planned)")
            #expect(check("quorum", of: planned)?["level"] == "block", "\(planned)")
        }
    }

    @Test func `without quorum a guest is stopped all the same`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setQuorate(false)
            let reply = try await agent.apply(try await agent.planID(.stop), approvedBy: "alice")
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
            pve.setHA(103, wanted: "started")
            let managed = try await agent.plan(PlanRequest("stop_vm", "vm/103"))
            #expect(check("quorum", of: managed)?["level"] == "warn", "\(managed)")
        }
    }

    @Test func `that a node's end takes the quorum is said only where all votes are known`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setNodeOnline("pve2", false)
            let wish = PlanRequest("reboot_node", "node/pve3")
            let sure = try #require(check("quorum", of: try await agent.plan(wish))?["detail"]?.string)
            #expect(
                sure == "without node/pve3 only 1 of 3 votes of nodes are left: no quorum"
                    || sure.hasSuffix("left: no quorum"))
            pve.setQDevice(true)
            let perhaps = try #require(check("quorum", of: try await agent.plan(wish))?["detail"]?.string)
            #expect(perhaps.contains("perhaps"), "\(perhaps)")
        }
    }

    // MARK: Migration

    @Test func `an image that only the node has is to be ejected first`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            for vmid in [100, 136] { pve.setConfig(vmid, "ide2", Self.image) }
            for wish in [
                PlanRequest("migrate_vm", "vm/136", ["target": "pve1"]),
                PlanRequest("migrate_vm", "vm/100", ["target": "pve1", "online": true, "with-local-disks": true]),
                PlanRequest("bulk_migrate", "node/pve2", ["vms": [100], "target": "pve1"]),
                PlanRequest("bulk_migrate", "cluster", ["vms": [136], "target": "pve1"]),
            ] {
                let found = check("cdrom", of: try await agent.plan(wish))
                #expect(found?["level"] == "block")
                #expect(found?["detail"]?.string?.contains("eject it") == true, "\(wish)")
            }
        }
    }

    @Test func `a locked guest's migration is blocked by its lock`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            try agent.pve().setConfig(136, "lock", "backup")
            let planned = try await agent.plan(PlanRequest("migrate_vm", "vm/136", ["target": "pve1"]))
            #expect(planned.status == 200 && check("locked", of: planned)?["level"] == "block", "\(planned)")
        }
    }

    @Test func `a migration's undo brings disks back to where they were`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            let before = try #require(pve.guest(136)?.config["scsi0"])
            #expect(before.hasPrefix("local-lvm:"))
            let planned = try await agent.plan(
                PlanRequest(
                    "migrate_vm", "vm/136",
                    ["target": "pve1", "with-local-disks": true, "targetstorage": "local-lvm:ceph"]))
            let undo = try #require(planned["preview"]?["undo"], "\(planned)")
            #expect(
                undo["params"] == ["target": "pve2", "with-local-disks": true, "targetstorage": "ceph:local-lvm"])
            let id = try #require(planned["plan_id"]?.string)
            #expect(try await agent.apply(id, approvedBy: "alice")["result"]?["status"] == "succeeded")
            #expect(pve.guest(136)?.config["scsi0"]?.hasPrefix("ceph:") == true)
            let back = try await agent.post("/v1/actions/plan", undo)
            let undone = try await agent.apply(try #require(back["plan_id"]?.string, "\(back)"), approvedBy: "alice")
            #expect(undone["result"]?["status"] == "succeeded", "\(undone)")
            #expect(pve.guest(136)?.node == "pve2" && pve.guest(136)?.config["scsi0"] == before)
        }
    }

    @Test func `a container moves only to where its storages are`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setStorage("only2", type: "dir", options: ["path": "/x", "content": "rootdir", "nodes": "pve2"])
            pve.setRunning(118, false)
            pve.setConfig(118, "rootfs", "only2:118/vm-118-disk-0.raw,size=8G")
            let node = try #require(pve.guest(118)?.node)
            pve.move(118, to: "pve2")
            let plain = try await agent.plan(PlanRequest("migrate_container", "lxc/118", ["target": "pve1"]))
            #expect(
                check("storage", of: plain)?["detail"]?.string?.contains("only2") == true, "\(plain), was on \(node)")
            let mapped = try await agent.plan(
                PlanRequest("migrate_container", "lxc/118", ["target": "pve1", "target-storage": "only2:ceph"]))
            #expect(mapped["decision"]?["allowed"] == true, "\(mapped)")
        }
    }

    /// What stands in the way of replication, and the words of the check; empty where nothing does.
    private static let replications: [(target: String, given: ChangeScenario.Step, words: String)] = [
        ("vm/136", { _ in }, "scsi0 of vm/136 is on storage local-lvm"),
        ("vm/136", zfs, ""),
        ("vm/136", { $0.setConfig(136, "scsi0", "local-lvm:vm-136-disk-0,size=128G,replicate=0") }, "no volume"),
        (
            "vm/136",
            {
                try await zfs($0)
                $0.setConfig(136, "scsi1", "local-lvm:vm-136-disk-1,size=1G,replicate=0")
            }, ""
        ),
        (
            "vm/136",
            {
                try await zfs($0)
                $0.setConfig(136, "unused0", "local-lvm:vm-136-disk-1")
            }, "unused0 of vm/136 is on storage local-lvm"
        ),
        (
            "vm/136",
            {
                try await zfs($0)
                $0.setConfig(136, "scsi1", "/dev/sdb,size=1G")
            }, "scsi1 of vm/136 is \"/dev/sdb\""
        ),
        (
            "vm/136",
            {
                $0.addSnapshot("old", of: 136)
                try await zfs($0)
            }, "scsi0 of snapshot old of vm/136 is on storage local-lvm"
        ),
        ("vm/100", { _ in }, "no volume"),
        (
            "lxc/118",
            {
                try await zfs($0)
                $0.setConfig(118, "rootfs", "tank:subvol-118-disk-0,size=8G")
                $0.setConfig(118, "mp0", "/srv/share,mp=/srv")
            }, "mp0 of lxc/118 is \"/srv/share\""
        ),
    ]

    private static let zfs: ChangeScenario.Step = {
        $0.setStorage("tank", type: "zfspool", options: ["pool": "tank", "content": "images,rootdir"])
        $0.setConfig(136, "scsi0", "tank:vm-136-disk-0,size=128G")
    }

    @Test(arguments: replications.indices)
    func `replication of what cannot be replicated is denied, as PVE refuses it`(index: Int) async throws {
        let (target, given, words) = Self.replications[index]
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await given(pve)
            let planned = try await agent.plan(
                PlanRequest("replication_edit", target, ["op": "add", "job": 0, "target": "pve3"]))
            let detail = check("replication", of: planned)?["detail"]?.string
            #expect(words.isEmpty ? detail == nil : detail?.contains(words) == true, "\(planned)")
            #expect((planned["state"] == "denied") == !words.isEmpty, "\(planned)")
            let id = target.split(separator: "/").last ?? ""
            let answer = try await pve.ask("POST", "/cluster/replication", "id=\(id)-0&type=local&target=pve3")
            #expect((answer == nil) == !words.isEmpty)
        }
    }

    @Test func `replication to where the guest is cannot be`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let planned = try await agent.plan(
                PlanRequest("replication_edit", "vm/136", ["op": "add", "job": 0, "target": "pve2"]))
            #expect(check("target-node", of: planned)?["level"] == "block", "\(planned)")
        }
    }
}
