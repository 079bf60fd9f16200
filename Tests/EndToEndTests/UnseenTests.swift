import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What planning cannot look at, it says so.
@Suite(.timeLimit(.minutes(3)))
struct UnseenTests {
    private static func checks(_ planned: Reply, _ id: String) -> [JSON] {
        (planned["preview"]?["checks"]?.array ?? []).filter { $0["id"]?.string == id }
    }

    @Test func `a storage of an exabyte is a storage like any other`() async throws {
        try await withAgent { agent in
            try agent.pve().setStorageUse("ceph", used: 1 << 40, of: 9_223_372_036_853_727_232)
            let planned = try await agent.plan(
                PlanRequest("move_disk", "vm/136", ["disk": "scsi0", "storage": "ceph"]))
            #expect(planned["decision"]?["allowed"] == true, "\(planned)")
        }
    }

    private static let away: ChangeScenario.Step = { pve in
        pve.setStorage("away", type: "dir", options: ["path": "/mnt/away", "nodes": "pve3", "content": "images"])
        pve.setNodeOnline("pve3", false)
    }

    @Test func `a storage of a node that is off is edited only with a warning that nobody could look into it`()
        async throws
    {
        try await withAgent { agent in
            try await Self.away(try agent.pve())
            for params in [["op": "change", "content": "images,iso"], ["op": "remove"]] as [JSONObject] {
                let planned = try await agent.plan(PlanRequest("storage_edit", "storage/away", params))
                let warning = try #require(Self.checks(planned, "storage-unseen").first, "\(planned)")
                #expect(warning["level"] == "warn")
                #expect(warning["detail"]?.string?.contains("away") == true, "\(warning)")
            }
        }
    }

    @Test func `a storage of a node that is off, with a disk that a configuration names, does not go`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            try await Self.away(pve)
            pve.setConfig(136, "scsi3", "away:136/vm-136-disk-3.raw,size=1G")
            let planned = try await agent.plan(PlanRequest("storage_edit", "storage/away", ["op": "remove"]))
            #expect(planned["state"] == "denied")
            #expect(
                Self.checks(planned, "storage-used").first?["detail"]?.string?.contains("136") == true, "\(planned)")
        }
    }

    @Test(arguments: [
        (PlanRequest("delete_snapshot", "vm/136", ["snapname": "old"]), "/nodes/pve2/qemu/136/snapshot"),
        (PlanRequest("move_disk", "vm/136", ["disk": "scsi0", "storage": "ceph"]), "/nodes/pve2/storage/ceph/content"),
        (
            PlanRequest("delete_volume", "storage/local", ["volume": .string(ChangeScenario.image)]),
            "/nodes/pve1/storage/local/content"
        ),
        // Only the undo asks for what a stop would put in force.
        (.stop, "/nodes/pve2/qemu/100/pending"),
    ])
    func `what cannot be read blocks the plan and is named`(wish: PlanRequest, path: String) async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.addSnapshot("old", of: 136)
            pve.inject(Fault(.status(500, reason: "lost its disk"), method: "GET", path: path, count: 100))
            let planned = try await agent.plan(wish)
            #expect(planned["state"] == "denied", "\(planned)")
            let check = try #require(Self.checks(planned, "unreadable").first, "\(planned)")
            #expect(check["level"] == "block")
            #expect(check["detail"]?.string?.contains("GET \(path)") == true, "\(check)")
            #expect(check["detail"]?.string?.contains("lost its disk") == true, "\(check)")
        }
    }

    @Test func `a storage that hangs keeps no plan waiting but those that are about it, and these say so`()
        async throws
    {
        try await withAgent(Setup(.simulated("cloud", settings: ["timeout_ms": 3000]))) { agent in
            let pve = try agent.pve()
            // Both take the same; only one of them is asked for.
            for id in ["good", "bad"] { pve.setStorage(id, type: "nfs", options: ["content": "images,rootdir,backup"]) }
            pve.setStorageHangs("bad", true)
            #expect(await Self.isStuck(pve, "/nodes/pve2/storage?storage=good"))
            let clock = ContinuousClock()
            for wish in Self.wishes(for: "good") {
                let start = clock.now
                let planned = try await agent.plan(wish)
                #expect(planned["decision"]?["allowed"] == true, "\(planned)")
                #expect(clock.now - start < .seconds(2), "\(wish)")
            }
            for wish in Self.wishes(for: "bad").prefix(1) {
                let planned = try await agent.plan(wish)
                #expect(planned["state"] == "denied", "\(planned)")
                let check = try #require(Self.checks(planned, "unreadable").first, "\(planned)")
                #expect(check["detail"]?.string?.contains("/nodes/pve2/storage/bad/content") == true, "\(check)")
                #expect(check["detail"]?.string?.contains("no answer in time") == true, "\(check)")
            }
        }
    }

    /// Work that needs a storage on pve2.
    private static func wishes(for storage: JSON) -> [PlanRequest] {
        [
            PlanRequest("move_disk", "vm/136", ["disk": "scsi0", "storage": storage]),
            PlanRequest("backup_vm", "vm/136", ["storage": storage]),
            PlanRequest("configure_vm", "vm/136", ["scsi3": .string("\(storage.string ?? ""):8")]),
            PlanRequest("create_vm", "vm/600", ["node": "pve2", "scsi0": .string("\(storage.string ?? ""):8")]),
        ]
    }

    /// Whether PVE leaves a request without an answer until it is given up.
    private static func isStuck(_ pve: Simulator, _ path: String) async -> Bool {
        let asked = Task { try await pve.ask("GET", path) }
        asked.cancel()
        return await (try? asked.value) == nil
    }

    @Test func `a flag that is none blocks the plan and is shown`() async throws {
        try await withAgent { agent in
            try agent.pve().setConfig(136, "template", "perhaps")
            let planned = try await agent.plan(.start)
            #expect(planned["state"] == "denied", "\(planned)")
            #expect(Self.checks(planned, "unclear").first?["detail"]?.string?.contains("perhaps") == true, "\(planned)")
        }
    }
}
