import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What a preview says of what goes, stops, and stays as it is.
@Suite(.timeLimit(.minutes(3)))
struct LossTests {
    private static let nas: ChangeScenario.Step = {
        $0.setStorage(
            "nas", type: "nfs", options: ["content": "images,rootdir", "server": "192.0.2.5", "export": "/x"])
        $0.setConfig(136, "scsi1", "nas:136/vm-136-disk-0.raw,size=8G")
    }

    private func preview(_ wish: PlanRequest, given prepare: ChangeScenario.Step = { _ in }) async throws -> JSON {
        var found = JSON.null
        try await withAgent(ChangeScenario.setup) { agent in
            try await prepare(try agent.pve())
            found = try #require(try await agent.plan(wish)["preview"])
        }
        return found
    }

    private func change(_ key: String, of preview: JSON) -> [JSON] {
        (preview["changes"]?.array ?? []).filter { $0["key"]?.string == key }
    }

    private func check(_ id: String, of preview: JSON) -> JSON? {
        preview["checks"]?.array?.first { $0["id"]?.string == id }
    }

    @Test func `who deletes a guest sees its volumes, snapshots and replication, and what backup remains`() async throws
    {
        let wish = PlanRequest("delete_vm", "vm/136", ["destroy-unreferenced-disks": true])
        let bare = try await preview(wish)
        #expect(
            change("scsi0", of: bare).first?["from"] == ["volume": "local-lvm:vm-136-disk-0", "size": "128G"], "\(bare)"
        )
        #expect(check("backups", of: bare)?["level"] == "warn")
        #expect(check("backups", of: bare)?["detail"]?.string?.contains("no backup of guest 136 remains") == true)

        let full = try await preview(wish) { pve in
            pve.setStorage("tank", type: "zfspool", options: ["pool": "tank", "content": "images,rootdir"])
            pve.setConfig(136, "scsi0", "tank:vm-136-disk-0,size=128G")
            try await pve.make("POST", "/cluster/replication", "id=136-0&type=local&target=pve3")
            pve.setConfig(136, "unused0", "ceph:vm-136-disk-9")
            pve.addVolume("local-lvm:vm-136-disk-7", content: "images", bytes: 3 << 29, vmid: 136)
            pve.addSnapshot("old", of: 136)
            pve.addVolume("local:backup/vzdump-qemu-136-2026_11_20-03_00_01.vma.zst", content: "backup", vmid: 136)
        }
        #expect(change("unused0", of: full).first?["from"]?["volume"] == "ceph:vm-136-disk-9", "\(full)")
        #expect(
            change("unreferenced", of: full).first?["from"] == ["volume": "local-lvm:vm-136-disk-7", "size": "1.5G"])
        #expect(change("snapshot", of: full).first?["from"]?.string?.hasPrefix("old, taken 20") == true)
        #expect(change("replication", of: full).first?["from"] == "136-0 to pve3")
        #expect(check("backups", of: full)?["level"] == "ok")
        #expect(check("backups", of: full)?["detail"]?.string?.contains("vzdump-qemu-136-2026_11_20") == true)
        #expect(full["irreversible"] == true)
    }

    @Test func `a backup that cannot be looked for is not said to be missing without a word`() async throws {
        let found = try await preview(PlanRequest("delete_vm", "vm/136")) { $0.setStorageOnline("local", false) }
        #expect(check("backups", of: found)?["level"] == "warn")
        #expect(check("backups", of: found)?["detail"]?.string?.contains("not looked at: storage local") == true)
    }

    @Test func `a restore over a guest, a volume and a last backup show what goes`() async throws {
        let archive = "local:backup/vzdump-qemu-136-2026_11_20-03_00_01.vma.zst"
        let saved: ChangeScenario.Step = { $0.addVolume(archive, content: "backup", bytes: 5 << 30, vmid: 136) }
        let restore = PlanRequest("restore_backup", "vm/136", ["archive": .string(archive), "overwrite": true])
        let over = try await preview(restore, given: saved)
        #expect(change("scsi0", of: over).first?["from"]?["size"] == "128G", "\(over)")
        #expect(check("backups", of: over)?["level"] == "ok")

        let gone = try await preview(
            PlanRequest("delete_backup", "storage/local", ["volume": .string(archive)]), given: saved)
        #expect(change("size", of: gone).first?["from"] == "5G", "\(gone)")
        #expect(change("ctime", of: gone).first?["from"]?.string?.hasSuffix("Z") == true)
        #expect(check("backups", of: gone)?["level"] == "warn", "it is the last one")

        let image = try await preview(
            PlanRequest("delete_volume", "storage/local", ["volume": .string(ChangeScenario.image)]))
        #expect(change("size", of: image).first?["from"] == "756M")

        let pruned = try await preview(
            PlanRequest("prune_backups", "storage/local", ["prune-backups": "keep-last=1", "vmid": 136]), given: saved)
        #expect(check("backups", of: pruned) == nil, "one is kept")
    }

    @Test func `who goes back to a snapshot sees the stop and the settings of then`() async throws {
        let wish = PlanRequest("rollback_snapshot", "vm/100", ["snapname": "old"])
        let given: ChangeScenario.Step = {
            $0.addSnapshot("old", of: 100)
            $0.setConfig(100, "memory", "512")
            $0.setConfig(100, "scsi7", "ceph:vm-100-disk-7,size=1G")
        }
        let found = try await preview(wish, given: given)
        #expect(change("status", of: found) == [["key": "status", "from": "running", "to": "stopped"]], "\(found)")
        #expect(change("memory", of: found) == [["key": "memory", "from": 512, "to": 4096]])
        #expect(change("scsi7", of: found).first?["to"] == .null)
        #expect(
            check("snapshot", of: found)?["detail"]?.string?.contains("what was written since then is lost") == true)
        let stopped = try await preview(wish) {
            try await given($0)
            $0.setRunning(100, false)
        }
        #expect(change("status", of: stopped).isEmpty)
    }

    /// Tags as they are, what is asked for, what is sent, and what is there afterwards; empty for no change.
    @Test(
        arguments: [
            (["remove": ["Prod"]], "web;ZEN", ["web", "zen"], ""),
            (["remove": ["PROD"]], "web;ZEN", ["web", "zen"], ""),
            (["add": ["Staging"]], "Prod;web;ZEN;Staging", ["prod", "staging", "web", "zen"], ""),
            (["add": ["WEB"]], "Prod;web;ZEN", [], ""), (["remove": ["none"]], "Prod;web;ZEN", [], ""),
            (["remove": ["prod"]], "Prod;web;ZEN", [], "case-sensitive=1,ordering=config"),
            (
                ["add": ["Alpha"]], "Prod;web;ZEN;Alpha", ["Prod", "web", "ZEN", "Alpha"],
                "case-sensitive=1,ordering=config"
            ),
        ] as [(JSONObject, String, [String], String)])
    func `tags keep their case and order as far as PVE lets them`(
        params: JSONObject, sent: String, after: [String], style: String
    ) async throws {
        let found = try await preview(PlanRequest("tag_vm", "vm/136", params)) {
            $0.setConfig(136, "tags", "Prod;web;ZEN")
            if !style.isEmpty {
                try await $0.make("PUT", "/cluster/options", "tag-style=\(style.replacing("=", with: "%3D"))")
            }
        }
        #expect(found["calls"]?.array?.first?["params"]?["tags"]?.string == sent)
        #expect(found["noop"] == .bool(after.isEmpty), "\(found)")
        #expect(change("tags", of: found).first?["to"] == (after.isEmpty ? ["Prod", "web", "ZEN"] : JSON(after)))
    }

    @Test(arguments: [("lxc/118", "a\n", "a"), ("lxc/118", "a\n", "a\n"), ("vm/136", "a", "a\n")])
    func `a description that differs only by PVE's white space changes nothing`(
        target: String, now: String, next: String
    ) async throws {
        let action = target.hasPrefix("vm") ? "configure_vm" : "configure_container"
        let found = try await preview(PlanRequest(action, target, ["description": .string(next)])) {
            $0.setConfig(target.hasPrefix("vm") ? 136 : 118, "description", now)
        }
        #expect(found["noop"] == true, "\(found)")
    }

    @Test func `a container that nothing tells from another says so`() async throws {
        let wish = PlanRequest("stop_container", "lxc/118")
        #expect(check("identity", of: try await preview(wish)) == nil)
        let bare = try await preview(wish) { $0.setConfig(118, "net0", nil) }
        #expect(check("identity", of: bare)?["level"] == "warn")
    }

    @Test func `a move to another format is a change, and goes back with it`() async throws {
        let found = try await preview(
            PlanRequest("move_disk", "vm/136", ["disk": "scsi1", "storage": "nas", "format": "qcow2", "delete": true]),
            given: Self.nas)
        #expect(found["changes"] == [["key": "scsi1.format", "from": "raw", "to": "qcow2"]])
        #expect(found["noop"] == false)
        #expect(
            found["undo"]?["params"] == ["disk": "scsi1", "storage": "nas", "delete": true, "format": "raw"],
            "\(found)")
        let kept = try await preview(
            PlanRequest("move_disk", "vm/136", ["disk": "scsi1", "storage": "nas", "format": "qcow2"]), given: Self.nas)
        #expect(kept["undo"]?["params"] == ["scsi1": "nas:136/vm-136-disk-0.raw,size=8G"], "the old volume: \(kept)")
        #expect(kept["undo_leaves"]?.array?.first?["key"] == "unused0")
    }

    @Test func `what is booted from is shown, and what root alone may give has no way back`() async throws {
        let boot = try await preview(PlanRequest("detach_disk", "vm/136", ["disk": "scsi0"]))
        #expect(change("boot", of: boot) == [["key": "boot", "from": "order=scsi0;net0", "to": "order=net0"]])
        #expect(boot["undo"]?["params"]?["boot"] == "order=scsi0;net0")
        let bind = try await preview(PlanRequest("detach_disk", "lxc/118", ["disk": "mp0"])) {
            $0.setConfig(118, "mp0", "/mnt/data,mp=/data")
        }
        #expect(bind["undo"] == .null && bind["irreversible"] == true)
    }

    @Test func `an address set that is removed with its entries does not come back with them`() async throws {
        let found = try await preview(
            PlanRequest(
                "firewall_edit", "firewall/cluster",
                ["op": "remove", "object": "ipset", "name": "office", "force": true])
        ) {
            try await $0.make("POST", "/cluster/firewall/ipset", "name=office&comment=here")
            try await $0.make("POST", "/cluster/firewall/ipset/office", "cidr=192.0.2.7&comment=desk&nomatch=1")
        }
        #expect(change("entry", of: found).first?["from"] == "!192.0.2.7 (desk)", "\(found)")
        #expect(change("comment", of: found).first?["from"] == "here")
        #expect(found["undo"]?["params"]?["comment"] == "here")
        #expect(found["undo_leaves"]?.array?.first?["key"] == "entries")
        #expect(found["irreversible"] == true, "the entries are what a set is about")
    }

    @Test func `who takes a guest out of HA sees the rules that lose it`() async throws {
        let found = try await preview(PlanRequest("ha_edit", "vm/100", ["op": "remove"])) {
            $0.setHA(100, wanted: "started")
            try await $0.make("POST", "/cluster/ha/rules", "rule=near&type=node-affinity&nodes=pve2&resources=vm:100")
        }
        #expect(change("rule near", of: found).first?["to"] == .null)
        #expect(found["undo_leaves"]?.array?.first?["key"] == "rule near", "\(found)")
    }
}
