import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// An operation ends as what PVE did, not as what PVE's first answer says.
@Suite(.timeLimit(.minutes(2)))
struct OutcomeTests {
    private func ended(_ wish: PlanRequest, at agent: RunningAgent) async throws -> JSON {
        let planned = try await agent.plan(wish)
        #expect(planned["decision"]?["allowed"] == true, "\(planned)")
        let plan = try #require(planned["plan_id"]?.string, "\(planned)")
        return try await agent.end(of: try await agent.apply(plan, approvedBy: "alice", wait: 30))
    }

    private func undone(_ operation: JSON, at agent: RunningAgent) async throws -> JSON {
        let undo = try #require(operation["undo"], "\(operation)")
        let planned = try await agent.post("/v1/actions/plan", undo)
        let plan = try #require(planned["plan_id"]?.string, "\(planned)")
        return try await agent.end(of: try await agent.apply(plan, approvedBy: "alice", wait: 30))
    }

    private func left(_ operation: JSON) -> [String] {
        (operation["left"]?.array ?? []).compactMap { $0["field"]?.string }.sorted()
    }

    // MARK: Writes that fail

    @Test func `a refused write that wrote the other keys says what stayed, and its undo takes it back`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.setRunning(118, false)
            let before = try #require(pve.guest(118)?.config)
            pve.setConfig(118, "tags", "zed;alpha")
            let wish = PlanRequest(
                "configure_container", "lxc/118",
                ["memory": 96, "tags": ["new"], "net0": "name=eth0,bridge=vmbr99"])
            let operation = try await ended(wish, at: agent)
            #expect(pve.guest(118)?.config["memory"] == "96", "the scene: PVE wrote before it refused")
            #expect(operation["state"] == "failed")
            #expect(operation["code"] == "partially_applied", "\(operation)")
            #expect(operation["cause"]?["code"] == "upstream_refused")
            #expect(left(operation).contains("memory"), "\(operation)")
            let record = try #require(try agent.records().last)
            #expect(record["result"]?["left"] == operation["left"])
            #expect(record["result"]?["undo"] == operation["undo"])
            #expect(operation["undo_leaves"]?.array?.map { $0["key"] } == ["tags"], "\(operation)")
            #expect(record["result"]?["undo_leaves"] == operation["undo_leaves"])

            let back = try await undone(operation, at: agent)
            #expect(back["state"] == "succeeded", "\(back)")
            #expect(pve.guest(118)?.config["memory"] == before["memory"])
        }
    }

    @Test func `a running container that lost its card to a refused write gets it back by the undo`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            let before = try #require(pve.guest(118)?.config["net0"])
            let wish = PlanRequest("configure_container", "lxc/118", ["net0": "name=eth0,bridge=vmbr99"])
            let operation = try await ended(wish, at: agent)
            #expect(pve.guest(118)?.config["net0"] == nil, "the scene: the old card went, the new one did not come")
            #expect(operation["code"] == "partially_applied", "\(operation)")
            #expect(left(operation).contains { $0.contains("net0") }, "\(operation)")
            let back = try await undone(operation, at: agent)
            #expect(back["state"] == "succeeded", "\(back)")
            #expect(pve.guest(118)?.config["net0"] == before)
            #expect(pve.settings["lxc/118.pending.net0"] == nil)
        }
    }

    @Test func `a refused write that wrote nothing says so`() async throws {
        try await withAgent { agent in
            let path = "/nodes/pve2/lxc/118/config"
            try agent.pve().inject(Fault(.status(500, reason: "not today"), method: "PUT", path: path))
            let operation = try await ended(PlanRequest("tag_container", "lxc/118", ["add": ["web"]]), at: agent)
            #expect(operation["code"] == "upstream_refused")
            #expect(operation["message"]?.string?.contains("nothing was changed") == true, "\(operation)")
        }
    }

    @Test func `a refused write after which PVE cannot be looked at says that`() async throws {
        try await withAgent(Setup(.simulated("cloud", settings: ["timeout_ms": 1000]))) { agent in
            let pve = try agent.pve()
            let plan = try await agent.planID(.start)
            pve.holdTasks()
            let reply = try await agent.apply(plan, wait: nil)
            pve.inject(Fault(.hang, method: "GET", path: "/nodes/pve2/qemu/136/config", count: 9))
            for upid in pve.activeTasks { try await pve.make("DELETE", "/nodes/pve2/tasks/\(upid)") }
            let operation = try await agent.end(of: reply)
            #expect(operation["state"] == "failed")
            #expect(operation["message"]?.string?.contains("could not be read") == true, "\(operation)")
        }
    }

    // MARK: A start is a second task

    @Test func `what is created with start ends when it runs`() async throws {
        try await withAgent { agent in
            let wish = PlanRequest("create_vm", "vm/501", ["node": "pve2", "memory": 512, "start": true])
            let operation = try await ended(wish, at: agent)
            #expect(operation["state"] == "succeeded", "\(operation)")
            let guest = try agent.pve().guest(501)
            #expect(guest?.status == "running")
        }
    }

    // MARK: Many guests

    @Test func `of many guests each is reported, whatever PVE's task says`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            for id in [501, 502] {
                let bridge = id == 501 ? "vmbr0" : "vmbr99"
                let config = [
                    "name": "many\(id)", "memory": "512", "net0": "virtio=BC:24:11:00:05:0\(id % 10),bridge=\(bridge)",
                ]
                pve.addGuest(id, on: "pve2", config: config)
            }
            pve.setConfig(136, "lock", "backup")
            let wish = PlanRequest("bulk_start", "node/pve2", ["vms": [501, 502]])
            let planned = try await agent.plan(wish)
            let call = try #require(planned["preview"]?["calls"]?.array?.first, "\(planned)")
            #expect(call["path"] == "/cluster/bulk-action/guest/start")
            #expect(call["params"]?["force"] == nil)
            let lock = planned["preview"]?["checks"]?.array?.first { $0["id"] == "backup-lock" }
            #expect(lock?["level"] == "warn", "\(planned)")

            let operation = try await ended(wish, at: agent)
            #expect(operation["code"] == "partially_applied", "\(operation)")
            let guests = try #require(operation["data"]?["guests"]?.array, "\(operation)")
            #expect(guests.map { $0["guest"] } == ["vm/501", "vm/502"])
            #expect(guests.map { $0["found"] } == ["running", "stopped"])
            #expect(guests.last?["detail"]?.string?.contains("vmbr99") == true, "\(operation)")
            #expect(operation["undo"]?["params"]?["vms"] == [501])
            #expect(try agent.records().last?["result"]?["guests"] == operation["data"]?["guests"])
            #expect(pve.guest(136)?.config["lock"] == "backup")
        }
    }

    @Test(arguments: ["node/pve2", "cluster"])
    func `guests that run already are not sent along with PVE's bulk start, since containers fail it`(
        target: String
    ) async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            try await pve.make("POST", "/nodes/pve2/qemu/100/status/suspend")
            let wish = PlanRequest("bulk_start", target, ["vms": [100, 118, 136]])
            let preview = try #require(try await agent.plan(wish)["preview"])
            let call = try #require(preview["calls"]?.array?.first, "\(preview)")
            #expect(call["params"]?["vms"] == ["100", "136"], "one that is paused is resumed: \(preview)")
            #expect(preview["changes"]?.array?.map { $0["key"] } == ["vm/100.status", "vm/136.status"], "\(preview)")
            let told = preview["checks"]?.array?.first { $0["id"] == "already-running" }
            #expect(told?["level"] == "ok")
            #expect(told?["detail"]?.string?.contains("lxc/118") == true, "\(preview)")

            let operation = try await ended(wish, at: agent)
            #expect(operation["state"] == "succeeded", "\(operation)")
            #expect(operation["data"]?["guests"]?.array?.map { $0["done"] } == [true, true], "\(operation)")
            #expect(pve.guest(136)?.status == "running" && pve.guest(100)?.status == "running")

            let nothing = try await agent.plan(wish)
            #expect(nothing["state"] == "denied", "none is left: \(nothing)")
            #expect(
                nothing["preview"]?["checks"]?.array?.contains {
                    $0["id"] == "guests" && $0["detail"]?.string?.contains("nothing to do") == true
                } == true, "\(nothing)")
        }
    }

    @Test func `guests that do not shut down fail the operation though PVE's task is OK`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.setAnswersShutdown(100, false)
            let wish = PlanRequest("bulk_shutdown", "node/pve2", ["vms": [100], "timeout": 1])
            let operation = try await ended(wish, at: agent)
            #expect(operation["state"] == "failed", "\(operation)")
            #expect(operation["message"]?.string?.contains("vm/100 is \"running\"") == true, "\(operation)")
            #expect(operation["data"]?["guests"]?.array?.first?["done"] == false)
        }
    }

    // MARK: Commands

    @Test func `a command is followed to its end, and its output is data`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setConfig(100, "agent", "1")
            let wish = PlanRequest("agent_exec", "vm/100", ["command": ["uptime"], "input-data": "hunter2-secret"])
            pve.setCommand("uptime", exits: 0, output: "up 3 days hunter2-secret")
            let good = try await ended(wish, at: agent)
            #expect(good["state"] == "succeeded", "\(good)")
            #expect(good["data"]?["exit_code"] == 0)
            #expect(good["data"]?["output"]?["kind"] == "data")
            #expect(good["data"]?["output"]?["stdout"] == "up 3 days <redacted>")

            pve.setCommand("uptime", exits: 3, output: "no")
            let bad = try await ended(wish, at: agent)
            #expect(bad["state"] == "failed")
            #expect(bad["code"] == "command_failed", "\(bad)")
            #expect(bad["data"]?["exit_code"] == 3)
            #expect(bad["data"]?["output"]?["stdout"] == "no")
            #expect(try agent.records().last?["result"]?["code"] == "command_failed")
        }
    }

    /// File systems, and why they were not trimmed; how the operation ends, and what its message names.
    @Test(
        arguments: [
            (["/": nil, "/srv": nil], "succeeded", []), ([:], "succeeded", []),
            (["/": nil, "/srv": "not supported"], "succeeded_with_warnings", ["1 of 2", "\"/srv\""]),
            (["/": "not supported", "/srv": "not supported"], "failed", ["2 of 2", "\"/\"", "\"/srv\""]),
        ] as [([String: String?], String, [String])])
    func `file systems that could not be trimmed are named`(
        paths: [String: String?], state: String, words: [String]
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setConfig(100, "agent", "1")
            pve.setTrims(100, paths)
            let operation = try await ended(PlanRequest("agent_fstrim", "vm/100"), at: agent)
            #expect(operation["state"]?.string == state, "\(operation)")
            let message = operation["message"]?.string ?? ""
            for word in words { #expect(message.contains(word), "\(operation)") }
            let told = operation["data"]?["result"]?["paths"]?.array ?? []
            #expect(told.count == paths.count)
            #expect(told.filter { $0["error"] != nil }.count == paths.values.filter { $0 != nil }.count)
            #expect(try agent.records().last?["result"]?["status"]?.string == state)
        }
    }

    // MARK: Stops that overrule

    @Test func `a stop that overrules a shutdown passes it and ends it as cancelled`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.setAnswersShutdown(100, false)
            let shutdown = try await agent.apply(
                try await agent.planID(PlanRequest("shutdown_vm", "vm/100", ["timeout": 600])), approvedBy: "alice",
                wait: nil)
            #expect(shutdown["operation"]?["state"] == "running", "\(shutdown)")
            let waiting = try await agent.apply(try await agent.planID(.stop), approvedBy: "alice", wait: nil)
            #expect(waiting["operation"]?["state"] == "queued", "one without it waits: \(waiting)")

            let stop = PlanRequest("stop_vm", "vm/100", ["overrule-shutdown": true])
            let ended = try await ended(stop, at: agent)
            #expect(ended["state"] == "succeeded", "\(ended)")
            #expect(pve.guest(100)?.status == "stopped")
            let overruled = try await agent.end(of: shutdown)
            #expect(overruled["state"] == "cancelled", "\(overruled)")
            #expect(overruled["code"] == nil)
            let id = try #require(ended["operation_id"]?.string)
            #expect(overruled["message"]?.string?.contains(id) == true)
            let asked = try agent.records().first { $0["result"]?["overruled_by"] == .string(id) }
            #expect(asked?["kind"] == "cancel")
            #expect(try await agent.end(of: waiting)["state"] != "running")
        }
    }

    // MARK: Answers and workers that are lost

    @Test func `of a killed worker nothing can be said where nothing is to be seen`() async throws {
        try await withAgent { agent in
            let fault = Fault.Effect.taskError("unexpected status")
            try agent.pve().inject(Fault(fault, method: "POST", path: "/nodes/pve2/qemu/136/status/start"))
            let operation = try await ended(.start, at: agent)
            #expect(operation["state"] == "unknown", "\(operation)")
            #expect(operation["steps"]?.array?.map { $0["state"] } == ["unknown"])
        }
    }

    @Test func `a hotplug that fails stays pending, and can be reverted`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.setHotplugProblem(100, "error on hot-unplugging device 'net0' - still busy in guest?")
            let wish = PlanRequest("configure_vm", "vm/100", ["net0": "virtio,bridge=vmbr0,tag=7"])
            let operation = try await ended(wish, at: agent)
            #expect(operation["code"] == "partially_applied", "\(operation)")
            #expect(left(operation) == ["pending.net0"])
            #expect(operation["undo"]?["action"] == "revert_pending_vm")
            let back = try await undone(operation, at: agent)
            #expect(back["state"] == "succeeded", "\(back)")
        }
    }

    @Test(arguments: [
        (PlanRequest("reboot_vm", "vm/100"), 100, "virtio=BC:24:11:00:01:00,bridge=vmbr99", "start_vm"),
        (PlanRequest("reboot_container", "lxc/118"), 118, "name=eth0,bridge=vmbr99", "start_container"),
    ])
    func `a guest that a reboot stops and that does not start again is told, with a start as the way back`(
        wish: PlanRequest, id: Int, card: String, back: String
    ) async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.setConfig(id, "net0", card)
            let operation = try await ended(wish, at: agent)
            #expect(pve.guest(id)?.status == "stopped", "the scene: PVE stopped it and could not start it")
            #expect(operation["state"] == "failed")
            #expect(operation["code"] == "partially_applied", "\(operation)")
            #expect(operation["cause"]?["detail"]?.string?.contains("bridge 'vmbr99' does not exist") == true)
            #expect(operation["steps"]?.array?.map { $0["state"] } == ["failed"])
            #expect(left(operation) == ["status"], "\(operation)")
            #expect(operation["undo"]?["action"]?.string == back, "\(operation)")
        }
    }

    @Test(arguments: [
        PlanRequest(
            "create_vm", "vm/501", ["node": "pve2", "memory": 512, "net0": "virtio,bridge=vmbr99", "start": true])
    ])
    func `a start that fails behind a good first task ends as partly applied`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let operation = try await ended(wish, at: agent)
            #expect(operation["state"] == "failed")
            #expect(operation["code"] == "partially_applied", "\(operation)")
            #expect(operation["cause"]?["detail"]?.string?.contains("bridge 'vmbr99' does not exist") == true)
            #expect(operation["steps"]?.array?.map { $0["state"] } == ["done"])
            #expect(operation["undo"]?["action"] == "delete_vm")
        }
    }
}
