import PVESimulator
import StrictJSON
import Testing

/// The way back: the request that a preview names puts things back where they were.
@Suite(.timeLimit(.minutes(5)))
struct UndoTests {
    /// What of the cluster a deed can change, as an administrator sees it.
    private static func state(_ deed: Deed, _ pve: Simulator) async throws -> JSONObject {
        var state = JSONObject()
        let target = deed.wish.target
        for id in [100, 118, 136, 600, 601, 602, 603] {
            guard let guest = pve.guest(id) else { continue }
            // A new address and a volume that is kept are as good as the old ones.
            let config = guest.config.filter { !$0.key.hasPrefix("unused") && $0.key != "parent" }.mapValues { value in
                value.split { ",;".contains($0) }.filter { !$0.hasPrefix("hwaddr=") }.sorted().joined(separator: ",")
            }
            state["\(id)"] = JSON(
                ["\(guest.status)", "\(guest.node)", "\(guest.snapshots)"]
                    + config.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        }
        let paths = [
            "/storage/nas", "/cluster/firewall/aliases", "/nodes/pve2/qemu/100/firewall/rules",
            "/nodes/pve2/lxc/118/firewall/options", "/pools", "/pools?poolid=staging", "/pools?poolid=production",
            "/nodes/pve2/qemu/100/pending", "/cluster/ha/resources", "/cluster/ha/rules", "/cluster/replication",
            "/cluster/backup",
        ]
        for path in paths
        where !target.hasPrefix("vm/") || path.contains("ha") || path.contains("pending")
            || path.contains("replication")
        {
            state[path] = Self.plain(try await pve.ask("GET", path) ?? .null)
        }
        state["volumes"] = JSON(pve.volumes.sorted())
        return state
    }

    /// Without digests, times and counters.
    private static func plain(_ value: JSON) -> JSON {
        switch value {
        case .array(let elements): .array(elements.map(plain))
        case .object(let object):
            .object(
                object.members.filter {
                    !["digest", "next-run"].contains($0.key) && $0.value != "" && $0.value != .null
                }
                .reduce(into: JSONObject()) { kept, member in
                    kept[member.key] =
                        member.value.array.map { JSON($0.compactMap { $0["id"]?.string }.sorted()) } ?? member.value
                })
        case .null, .bool, .integer, .number, .string: value
        }
    }

    /// Those that leave something behind, or bring back something that is like it but not the same.
    private static let inexact: Set<String> = [
        // Volumes that get new names, and nodes that wake when they like.
        "move_disk", "attach_disk", "wake_node", "shutdown_node",
    ]

    @Test(arguments: Deed.all.filter { !inexact.contains($0.wish.action) })
    func `what was changed is as before when its undo is applied`(deed: Deed) async throws {
        try await withAgent(Deed.setup) { agent in
            let pve = try agent.pve()
            try await deed.prepare(pve)
            let before = try await Self.state(deed, pve)
            let planned = try await agent.plan(deed.wish)
            guard let undo = planned["preview"]?["undo"], !undo.isNull else { return }
            let done = try await agent.apply(try #require(planned["plan_id"]?.string), approvedBy: "alice")
            try #require(done["result"]?["status"] == "succeeded", "\(done)")
            #expect(try await Self.state(deed, pve) != before)
            let back = try await agent.post("/v1/actions/plan", undo)
            let undone = try await agent.apply(try #require(back["plan_id"]?.string, "\(back)"), approvedBy: "alice")
            #expect(undone["result"]?["status"] == "succeeded", "\(undone)")
            let after = try await Self.state(deed, pve)
            // A safety snapshot stays; whoever wanted it knows when it can go.
            guard deed.wish.params["safety_snapshot"] != true else { return }
            for key in Set(before.keys + after.keys) { #expect(after[key] == before[key], "\(key) after \(undo.text)") }
        }
    }

    @Test func `what cannot be seen has no way back, and what is destroyed has none`() async throws {
        try await withAgent(Deed.setup) { agent in
            for wish in [
                Wish("configure_vm", "vm/136", ["cipassword": "s3cret-pw", "memory": 1024]), .delete,
                Wish("resize_disk", "vm/136", ["disk": "scsi0", "size": "+1G"]), Wish("reset_vm", "vm/100"),
                Wish("detach_disk", "vm/136", ["disk": "scsi0", "destroy": true]),
            ] {
                let preview = try #require(try await agent.plan(wish)["preview"])
                #expect(preview["undo"] == .null, "\(wish)")
                #expect(preview["irreversible"] == true)
            }
            let hidden = try await agent.plan(Wish("configure_vm", "vm/136", ["cipassword": "s3cret-pw"]))
            #expect(hidden["preview"]?["changes"] == [["key": "cipassword", "from": .null, "to": "<redacted>"]])
            #expect(hidden["preview"]?["noop"] == false)
            // With a snapshot first there is a way.
            let safe = try await agent.plan(
                Wish("resize_disk", "vm/136", ["disk": "scsi0", "size": "+1G", "safety_snapshot": true]))
            let name = safe["preview"]?["calls"]?.array?.first?["params"]?["snapname"]
            #expect(safe["preview"]?["undo"]?["action"] == "rollback_snapshot")
            #expect(safe["preview"]?["undo"]?["params"]?["snapname"] == name)
        }
    }
}
