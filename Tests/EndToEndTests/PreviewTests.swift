import AgentModel
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What a plan shows before anything is done.
@Suite(.timeLimit(.minutes(3)))
struct PreviewTests {
    @Test func `a configuration's settings are taken apart, and each difference stands alone`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setConfig(100, "net0", "virtio=BC:24:11:4A:0F:A2,bridge=vmbr0,tag=5")
            pve.setConfig(100, "net1", "virtio=BC:24:11:4A:0F:A3,bridge=vmbr1")
            let planned = try await agent.plan(
                PlanRequest(
                    "configure_vm", "vm/100",
                    [
                        "memory": 8192, "cores": 2, "net0": "virtio=BC:24:11:4A:0F:A2,bridge=vmbr1,tag=5",
                        "delete": ["net1"],
                    ]))
            let preview = try #require(planned["preview"])
            let changes = preview["changes"]?.array ?? []
            #expect(
                changes.contains([
                    "key": "net1", "from": ["model": "virtio", "mac": "BC:24:11:4A:0F:A3", "bridge": "vmbr1"],
                    "to": .null,
                ]))
            #expect(changes.contains(["key": "net0.bridge", "from": "vmbr0", "to": "vmbr1"]))
            #expect(changes.contains(["key": "memory", "from": 4096, "to": 8192]))
            #expect(changes.count == 3, "cores are 2 already: \(preview)")
            #expect(
                preview["undo"] == [
                    "environment": "cloud", "action": "configure_vm", "target": "vm/100",
                    "params": [
                        "net1": "virtio=BC:24:11:4A:0F:A3,bridge=vmbr1", "memory": 4096, "cores": 2,
                        "net0": "virtio=BC:24:11:4A:0F:A2,bridge=vmbr0,tag=5",
                    ],
                ])
            #expect(planned["decision"]?["risk_level"] == "high")
            #expect(planned["decision"]?["rules"] == ["base:configure_vm", "base:touches-devices"])
            let pending = preview["checks"]?.array?.first { $0["id"] == "pending-until-reboot" }
            #expect(pending?["detail"]?.string?.contains("memory") == true)
            #expect(pending?["level"] == "warn")
            let call = preview["calls"]?.array?.first
            #expect(call?["params"]?["digest"] == "<observed>")
            let observed = preview["observed"]
            for key in ["node", "name", "uuid", "vmgenid", "ctime", "status", "digest"] {
                #expect(observed?[key] != nil && observed?[key] != .null, "\(key)")
            }
            #expect(observed?["pool"] == "production" && observed?["template"] == false)
            #expect(observed?["tags"]?.array?.isEmpty == false)
            #expect(observed?.object?.keys.contains("ha") == true && observed?.object?.keys.contains("lock") == true)
        }
    }

    @Test(arguments: [
        PlanRequest("configure_vm", "vm/100", ["memory": 4096]), PlanRequest("tag_vm", "vm/100", ["add": ["web"]]),
        PlanRequest("start_vm", "vm/100"), PlanRequest("stop_vm", "vm/136"),
    ])
    func `what would change nothing says so`(wish: PlanRequest) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let planned = try await agent.plan(wish)
            #expect(planned["preview"]?["noop"] == true, "\(planned)")
            #expect(planned["preview"]?["undo"] == .null)
            #expect(planned["preview"]?["irreversible"] == false)
        }
    }

    /// A wish, what stands in its way, and the check that says so.
    struct Obstacle: Sendable, CustomTestStringConvertible {
        let check: String
        let wish: PlanRequest
        let happen: ChangeScenario.Step
        var testDescription: String { "\(check): \(wish.json.text)" }

        init(
            _ check: String, _ action: String, _ target: String, _ params: JSONObject = [:],
            when happen: @escaping ChangeScenario.Step = { _ in }
        ) {
            self.check = check
            wish = PlanRequest(action, target, params)
            self.happen = happen
        }
    }

    private static let locked: ChangeScenario.Step = { $0.setConfig(136, "lock", "backup") }
    private static let download: JSONObject = [
        "url": "https://images.example/a.iso", "content": "iso", "filename": "a.iso",
        "checksum": .string(String(repeating: "0f", count: 32)), "checksum-algorithm": "sha256",
    ]

    static let obstacles: [Obstacle] = [
        Obstacle("guest-exists", "configure_vm", "vm/118", ["memory": 512]),
        Obstacle("guest-exists", "configure_container", "lxc/100", ["memory": 512]),
        Obstacle(
            "guest-exists", "restore_backup", "vm/136",
            ["archive": "local:backup/vzdump-qemu-1-2026_11_20-03_00_01.vma.zst"]),
        Obstacle(
            "node", "restore_backup", "vm/700", ["archive": "local:backup/vzdump-qemu-1-2026_11_20-03_00_01.vma.zst"]),
        Obstacle("locked", "resize_disk", "vm/136", ["disk": "scsi0", "size": "+1G"], when: locked),
        Obstacle("locked", "bulk_start", "node/pve2", when: locked),
        Obstacle("already-running", "start_container", "lxc/118"),
        Obstacle("already-stopped", "stop_container", "lxc/118") { $0.setRunning(118, false) },
        Obstacle("not-running", "reset_vm", "vm/136"),
        Obstacle("not-running", "agent_exec", "vm/136", ["command": ["uptime"]]),
        Obstacle("paused", "shutdown_vm", "vm/100") {
            try await $0.make("POST", "/nodes/pve2/qemu/100/status/suspend")
        },
        Obstacle("not-paused", "resume_vm", "vm/100"), Obstacle("running", "delete_container", "lxc/118"),
        Obstacle("running", "template_vm", "vm/100"), Obstacle("template", "template_vm", "vm/9000"),
        Obstacle("protected", "delete_vm", "vm/136") { $0.setConfig(136, "protection", "1") },
        Obstacle("protected", "configure_vm", "vm/136", ["delete": ["scsi0"]]) { $0.setConfig(136, "protection", "1") },
        Obstacle("linked-clones", "delete_vm", "vm/9000") {
            try await $0.make("POST", "/nodes/pve1/qemu/9000/clone", "newid=700")
        },
        Obstacle("agent", "agent_fstrim", "vm/100") { $0.setConfig(100, "agent", nil) },
        Obstacle("snapshot-exists", "rollback_snapshot", "vm/136", ["snapname": "old"]),
        Obstacle("snapshot-exists", "clone_vm", "vm/136", ["newid": 700, "snapname": "old"]),
        Obstacle("snapshot-name", "snapshot_container", "lxc/118", ["snapname": "old"]) {
            $0.addSnapshot("old", of: 118)
        },
        Obstacle("snapshots", "template_vm", "vm/136") { $0.addSnapshot("old", of: 136) },
        Obstacle("safety-snapshot", "delete_vm", "vm/136", ["safety_snapshot": true]),
        Obstacle("disk-exists", "resize_disk", "vm/136", ["disk": "scsi7", "size": "+1G"]),
        Obstacle("disk-grows", "resize_disk", "vm/136", ["disk": "scsi0", "size": "1G"]),
        Obstacle("slot-free", "attach_disk", "vm/136", ["disk": "scsi0", "storage": "ceph", "size": 8]),
        Obstacle("root", "detach_disk", "lxc/118", ["disk": "rootfs"]),
        Obstacle("volume-used", "attach_disk", "vm/136", ["disk": "scsi7", "volume": "ceph:vm-100-disk-0"]),
        Obstacle("volume-used", "configure_vm", "vm/136", ["scsi7": "ceph:vm-100-disk-0"]),
        Obstacle("keys-exist", "configure_vm", "vm/136", ["delete": ["colour"]]),
        Obstacle("keys-pending", "revert_pending_vm", "vm/100", ["keys": ["memory"]]),
        Obstacle("new-id", "create_vm", "vm/118", ["node": "pve1"]),
        Obstacle("new-id", "clone_container", "lxc/118", ["newid": 100]),
        Obstacle(
            "new-id", "restore_backup", "vm/118",
            ["archive": "local:backup/vzdump-qemu-1-2026_11_20-03_00_01.vma.zst", "node": "pve1"]),
        Obstacle("target-node", "create_vm", "vm/700", ["node": "pve9"]),
        Obstacle("target-node", "migrate_container", "lxc/118", ["target": "pve3", "restart": true]) {
            $0.setNodeOnline("pve3", false)
        },
        Obstacle("target-node", "bulk_migrate", "node/pve2", ["target": "pve2"]),
        Obstacle("target-node", "reboot_node", "node/pve9"),
        Obstacle("online", "migrate_container", "lxc/118", ["target": "pve1"]),
        Obstacle("not-ha-managed", "ha_migrate", "vm/100", ["target": "pve1", "mode": "migrate"]),
        Obstacle("quorum", "reboot_node", "node/pve3") { $0.setQuorate(false) },
        Obstacle("guests", "bulk_start", "cluster", ["vms": [4711]]),
        Obstacle("guests", "bulk_start", "node/pve2", ["vms": [101]]),
        Obstacle("storage", "move_disk", "vm/136", ["disk": "scsi0", "storage": "nowhere"]),
        Obstacle("storage", "backup_vm", "vm/100", ["storage": "ceph"]),
        Obstacle("storage", "attach_disk", "vm/136", ["disk": "scsi7", "storage": "ceph", "size": 8]) {
            $0.setStorageOnline("ceph", false)
        },
        Obstacle("storage-used", "storage_edit", "storage/ceph", ["op": "remove"]),
        Obstacle("volume-exists", "delete_volume", "storage/local", ["volume": "local:iso/none.iso"]),
        Obstacle("volume-kind", "delete_backup", "storage/local", ["volume": .string(ChangeScenario.image)]),
        Obstacle("volume-used", "delete_volume", "storage/local", ["volume": .string(ChangeScenario.image)]) {
            $0.setConfig(136, "ide2", "\(ChangeScenario.image),media=cdrom")
        },
        Obstacle("volume-exists", "download_to_storage", "storage/local", download) {
            $0.addVolume("local:iso/a.iso", content: "iso")
        },
        Obstacle(
            "download", "download_to_storage", "storage/local",
            download.with("url", "https://images.example.evil/a.iso")),
        Obstacle(
            "download", "download_to_storage", "storage/local",
            download.with("url", "https://images.example/../x/a.iso")),
        Obstacle(
            "archive", "restore_backup", "vm/700",
            ["node": "pve1", "archive": "local:backup/vzdump-qemu-1-2026_11_20-03_00_01.vma.zst"]),
        Obstacle("command", "agent_exec", "vm/100", ["command": ["systemctl", "stop", "nginx"]]),
        Obstacle("command", "agent_exec", "vm/100", ["command": ["uptimes"]]),
        Obstacle("object-exists", "pool_edit", "pool/production", ["op": "add"]),
        Obstacle("object-exists", "pool_edit", "pool/none", ["op": "remove"]),
        Obstacle(
            "object-exists", "firewall_edit", "firewall/cluster", ["op": "remove", "object": "alias", "name": "none"]),
        Obstacle("object-exists", "ha_edit", "vm/100", ["op": "remove"]),
        Obstacle("object-exists", "replication_run", "vm/100", ["job": 1]),
        Obstacle("object-exists", "backup_job_edit", "cluster", ["op": "remove", "id": "none"]),
        Obstacle("members", "pool_edit", "pool/staging", ["op": "join", "vms": [136]]),
        Obstacle("members", "pool_edit", "pool/staging", ["op": "leave", "vms": [136]]),
        Obstacle(
            "digest", "storage_edit", "storage/local",
            [
                "endpoint": "/storage/local", "method": "PUT",
                "params": ["disable": 1, "digest": .string(String(repeating: "a", count: 40))],
            ]),
    ]

    @Test(arguments: obstacles + refusals)
    func `what PVE would refuse is denied by the plan, which names the check`(obstacle: Obstacle) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await obstacle.happen(pve)
            pve.forgetExecutions()
            let planned = try await agent.plan(obstacle.wish)
            #expect(planned.status == 200)
            #expect(planned["state"] == "denied", "\(planned)")
            #expect(
                planned["decision"]?["rules"]?.array?.contains(.string("check:\(obstacle.check)")) == true, "\(planned)"
            )
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `a privilege that the token lacks is named before anything is tried`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setTokens(
                .list([
                    .init(
                        id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"),
                        privileges: [
                            "/": ["Sys.Audit"], "/vms": ["VM.Audit"], "/vms/100": ["VM.Audit", "VM.PowerMgmt"],
                        ])
                ]))
            let allowed = try await agent.plan(.stop)["decision"]?["allowed"]
            #expect(allowed == true)
            let denied = try await agent.plan(.start)
            #expect(denied["decision"]?["rules"]?.array?.contains("check:privileges") == true)
            #expect(denied["decision"]?["reason"]?.string?.contains("VM.PowerMgmt on /vms/136") == true, "\(denied)")
            let read = try await agent.post("/v1/actions/apply", PlanRequest("read_pools", "cluster").json)
            #expect(read["result"]?["data"] == [])
            #expect(read["result"]?["message"]?.string?.contains("Pool.Audit") == true, "\(read)")
        }
    }

    @Test func `a number that one plan is to take is no other's`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let first = try await agent.planID(.clone(as: 700))
            let create = PlanRequest("create_vm", "vm/700", ["node": "pve1"])
            let rules = try await agent.plan(create)["decision"]?["rules"]?.array
            #expect(rules?.contains("check:id-reserved") == true)
            let again = try await agent.plan(.clone(as: 700))
            #expect(again["decision"]?["allowed"] == true, "the same again is no other's")
            let other = try await agent.plan(.clone(as: 700), as: "somebody")
            #expect(other["decision"]?["allowed"] == false)
            let cancelled = try await agent.send(.delete, "/v1/plans/\(first)")
            #expect(cancelled.status == 200)
        }
    }

    @Test func `without an allow-list nothing is run and nothing fetched`() async throws {
        try await withAgent { agent in
            for obstacle in Self.obstacles where ["download", "command"].contains(obstacle.check) {
                let rules = try await agent.plan(obstacle.wish)["decision"]?["rules"]?.array
                #expect(rules?.contains(.string("check:\(obstacle.check)")) == true)
            }
            let plain = PlanRequest("agent_exec", "vm/100", ["command": ["uptime"]])
            let reason = try await agent.plan(plain)["decision"]?["reason"]?.string
            #expect(reason?.contains("agent_exec_allow") == true)
        }
    }

    @Test(arguments: ActionCatalog.all.filter { $0.effect == .read }.map(\.action.rawValue))
    func `every read of the catalogue reads`(action: String) async throws {
        try await withAgent { agent in
            let start = try await agent.apply(try await agent.planID(.start))
            let upid = try #require(start["operation"]?["upid"]?.string)
            let definition = try #require(ActionCatalog.all.first { $0.action.rawValue == action })
            for form in definition.targets {
                let target = form == .task ? "task/\(upid)" : form.sample
                let params: JSONObject = action == "read_metrics" ? ["timeframe": "hour"] : [:]
                let reply = try await agent.post("/v1/actions/apply", PlanRequest(action, target, params).json)
                #expect(reply.status == 200, "\(target): \(reply)")
                #expect(reply["result"]?["status"] == "ok")
                #expect(reply["result"]?["data"].map { $0 != .null } == true, "\(target): \(reply)")
            }
        }
    }
}

extension JSONObject {
    /// The same with one member set.
    func with(_ key: String, _ value: JSON) -> JSONObject {
        var object = self
        object[key] = value
        return object
    }
}
