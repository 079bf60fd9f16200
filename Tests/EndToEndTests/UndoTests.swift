import AgentModel
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// The way back: the request that a preview names puts things back where they were.
@Suite(.timeLimit(.minutes(5)))
struct UndoTests {
    private static let scenarios = (ChangeScenario.all + ChangeScenario.waysBack).filter { scenario in
        ActionCatalog.all.contains { $0.action.rawValue == scenario.wish.action && $0.undo != .none }
    }

    @Test func `every action that has a way back is tried`() {
        let tried = Set(Self.scenarios.map(\.wish.action))
        #expect(ActionCatalog.all.filter { $0.undo != .none && !tried.contains($0.action.rawValue) }.isEmpty)
    }

    /// What a request of an action with a way back has none for, as it destroys, hides or only repeats.
    private static func isFinal(_ wish: PlanRequest) -> Bool {
        wish.params["overwrite"] == true || wish.params["cipassword"] != nil || wish.params["command"] == "restart"
    }

    @Test(arguments: scenarios)
    func `what was changed is as before when its undo is applied, but for what the plan says`(
        scenario: ChangeScenario
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await scenario.prepare(pve)
            let before = pve.settings
            let planned = try await agent.plan(scenario.wish)
            let preview = try #require(planned["preview"])
            let undo = try #require(preview["undo"])
            try #require(undo.isNull == Self.isFinal(scenario.wish), "\(planned)")
            guard !undo.isNull else { return }
            try await apply(planned, agent)
            #expect(try await scenario.happened(.init(pve: pve)))
            #expect(pve.settings != before)
            // The scheduler takes a removed job away when it is looked at the next time.
            _ = try await pve.ask("GET", "/cluster/replication")
            try await apply(try await agent.post("/v1/actions/plan", undo), agent)
            _ = try await pve.ask("GET", "/cluster/replication")
            #expect(pve.activeTasks.isEmpty)
            let gaps = (preview["undo_leaves"]?.array ?? []).compactMap { $0["key"]?.string }
            let after = pve.settings
            for key in Set(before.keys).union(after.keys).sorted() where before[key] != after[key] {
                #expect(
                    gaps.contains { Self.isAbout($0, key, scenario.wish) },
                    "\(key) was \(before[key] ?? "-") and is \(after[key] ?? "-") after \(undo.text); leaves \(gaps)")
            }
        }
    }

    private func apply(_ planned: Reply, _ agent: RunningAgent) async throws {
        let id = try #require(planned["plan_id"]?.string, "\(planned)")
        let done = try await agent.apply(id, approvedBy: "alice")
        try #require(done["result"]?["status"]?.string?.hasPrefix("succeeded") == true, "\(planned) \(done)")
    }

    /// Whether what the undo leaves is this setting.
    private static func isAbout(_ gap: String, _ key: String, _ wish: PlanRequest) -> Bool {
        let name = gap.split(separator: ".").first.map(String.init) ?? gap
        switch name {
        case "pending":
            return ["\(wish.target).\(gap)", "\(wish.target).\(gap.dropFirst("pending.".count))"].contains(key)
        case "guests": return key.hasSuffix(".status")
        case "entries": return key.hasPrefix("firewall/") && key.contains(".ipset.")
        case "snapshot": return ["snapshots", "parent"].contains { key == "\(wish.target).\($0)" }
        case _ where name.hasPrefix("rule "): return key.hasPrefix("rule/\(name.dropFirst("rule ".count)).")
        case _ where wish.target == "cluster": return key.hasSuffix(".\(name)")
        default: return key == "\(wish.target).\(name)"
        }
    }

    @Test func `what PVE takes from root alone is no way back, and the plan says so`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setConfig(118, "mp0", "/srv/data,mp=/srv")
            pve.setConfig(136, "args", "-x")
            for (wish, key, state) in [
                (PlanRequest("detach_disk", "lxc/118", ["disk": "mp0"]), "mp0", "awaiting_approval"),
                (PlanRequest("configure_vm", "vm/136", ["delete": ["args"]]), "args", "denied"),
            ] as [(PlanRequest, String, JSON)] {
                let planned = try await agent.plan(wish)
                #expect(planned["state"] == state, "\(planned)")
                #expect(planned["preview"]?["undo"] == .null, "\(planned)")
                let leaves = planned["preview"]?["undo_leaves"]?.array ?? []
                #expect(leaves.count == 1 && leaves.first?["key"]?.string == key, "\(planned)")
                #expect(leaves.first?["detail"]?.string?.contains("root@pam") == true, "\(planned)")
            }
        }
    }

    @Test func `a device of the node's that is there is as much root's as one that would take its place`() async throws
    {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            for (key, now, next) in [
                ("hostpci0", "0000:00:1f.0", "mapping=gpu"), ("usb0", "host=1234:5678", "spice"),
                ("serial0", "/dev/ttyS0", "socket"),
            ] {
                pve.setConfig(136, key, now)
                let planned = try await agent.plan(PlanRequest("configure_vm", "vm/136", [key: .string(next)]))
                #expect(planned["decision"]?["rules"]?.array?.contains("check:root-only") == true, "\(planned)")
                let path = "/nodes/pve2/qemu/136/config"
                #expect(try await pve.ask("PUT", path, "\(key)=\(next.percentEncoded)") == nil)
                #expect(try await pve.ask("PUT", path, "delete=\(key)") == nil)
            }
        }
    }

    @Test func `what cannot be seen has no way back, and what is destroyed has none`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            for wish in [
                PlanRequest("configure_vm", "vm/136", ["cipassword": "s3cret-pw", "memory": 1024]), .delete,
                PlanRequest("resize_disk", "vm/136", ["disk": "scsi0", "size": "+1G"]),
                PlanRequest("reset_vm", "vm/100"),
                PlanRequest("detach_disk", "vm/136", ["disk": "scsi0", "destroy": true]),
            ] {
                let preview = try #require(try await agent.plan(wish)["preview"])
                #expect(preview["undo"] == .null, "\(wish)")
                #expect(preview["irreversible"] == true)
            }
            let hidden = try await agent.plan(PlanRequest("configure_vm", "vm/136", ["cipassword": "s3cret-pw"]))
            #expect(hidden["preview"]?["changes"] == [["key": "cipassword", "from": .null, "to": "<redacted>"]])
            #expect(hidden["preview"]?["noop"] == false)
            // With a snapshot first there is a way.
            let safe = try await agent.plan(
                PlanRequest("resize_disk", "vm/136", ["disk": "scsi0", "size": "+1G", "safety_snapshot": true]))
            let name = safe["preview"]?["calls"]?.array?.first?["params"]?["snapname"]
            #expect(safe["preview"]?["undo"]?["action"] == "rollback_snapshot")
            #expect(safe["preview"]?["undo"]?["params"]?["snapname"] == name)
        }
    }
}
