import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// All thirteen actions, from the plan to the end of PVE's task.
@Suite(.timeLimit(.minutes(2)))
struct ActionTests {
    @Test(arguments: PlanRequest.changes)
    func `a change is planned, approved where needed, applied, and really happens`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let planned = try await agent.plan(wish)
            #expect(planned.status == 200)
            #expect(planned["decision"]?["allowed"] == true, "\(planned)")
            #expect(planned["decision"]?["requires_approval"] == .bool(wish.needsApproval))
            #expect(planned["state"] == (wish.needsApproval ? "awaiting_approval" : "approved"))
            #expect(agent.executed.isEmpty, "planning changes nothing")
            let id = try #require(planned["plan_id"]?.string)

            let reply = try await agent.apply(id, approvedBy: wish.needsApproval ? "alice" : nil)
            #expect(reply.status == 200, "\(reply)")
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
            #expect(reply["plan_id"]?.string == id)
            #expect(reply["operation"]?["ended_at"] != nil)
            #expect(agent.executed.count == 1)
            let call = try #require(planned["preview"]?["calls"]?.array?.first)
            #expect(call["method"]?.string == agent.executed.first?.method)
            #expect(call["path"]?.string == agent.executed.first?.path)
            #expect(try Self.happened(wish, try agent.pve()))

            #expect(try await agent.planState(id) == "applied")
            let approve = wish.needsApproval ? ["approve"] : []
            #expect(try agent.kinds(of: id) == ["plan"] + approve + ["apply_intent", "apply"])
            let outcome = try #require(try agent.records().last)
            #expect(outcome["result"]?["status"] == "succeeded")
            #expect(outcome["operation_id"] == reply["operation"]?["operation_id"])
        }
    }

    /// Whether the simulated cluster is as it should be after `wish`.
    private static func happened(_ wish: PlanRequest, _ pve: Simulator) throws -> Bool {
        switch wish.action {
        case "start_vm": pve.guest(136)?.status == "running"
        case "stop_vm": pve.guest(100)?.status == "stopped"
        case "snapshot_vm": pve.guest(100)?.snapshots == ["before"]
        case "clone_vm": pve.guest(500)?.config["name"] == "fresh" && pve.guest(9000) != nil
        case "migrate_vm": pve.guest(100)?.node == "pve1" && pve.guest(100)?.status == "running"
        case "delete_vm": pve.guest(136) == nil
        case "storage_edit": pve.executed.first?.parameters["path"] == "/mnt/nas"
        case "firewall_edit": pve.executed.first?.parameters["dport"] == "443"
        default: false
        }
    }

    @Test func `storage and firewall edits are seen by the next plan`() async throws {
        try await withAgent { agent in
            for wish in [PlanRequest.addStorage, .addRule] {
                _ = try await agent.apply(try await agent.planID(wish), approvedBy: "alice")
            }
            let again = try await agent.plan(.addStorage)
            #expect(again["state"] == "denied")
            #expect(again["decision"]?["rules"]?.array?.contains("check:object-exists") == true)

            let change = PlanRequest(
                "storage_edit", "storage/nas",
                ["endpoint": "/storage/nas", "method": "PUT", "params": ["content": "backup"]])
            let planned = try await agent.plan(change)
            #expect(
                planned["preview"]?["changes"] == [["key": "content", "from": "iso", "to": "backup"]], "\(planned)")
            let applied = try await agent.apply(try #require(planned["plan_id"]?.string), approvedBy: "alice")
            #expect(applied["result"]?["status"] == "succeeded")
            let shown = planned["preview"]?["calls"]?.array?.first?["params"]?["digest"]
            #expect(shown == "<observed>", "the digest is that of the moment of the call")
            let sent = try #require(agent.executed.last?.parameters["digest"])
            #expect(sent.count == 40 && sent.allSatisfy(\.isHexDigit), "\(sent)")

            let remove = PlanRequest("storage_edit", "storage/nas", ["endpoint": "/storage/nas", "method": "DELETE"])
            let gone = try await agent.apply(try await agent.planID(remove), approvedBy: "alice")
            #expect(gone["result"]?["status"] == "succeeded")
            #expect(try await agent.plan(change)["state"] == "denied")
        }
    }

    @Test(arguments: [
        PlanRequest("read_vm", "vm/100"), PlanRequest("read_vm", "vm/100", ["node": "pve2"]),
        PlanRequest("read_inventory", "inventory/all"),
        PlanRequest("read_nodes", "nodes/all"), PlanRequest("read_tasks", "tasks/all"),
        PlanRequest("read_tasks", "tasks/all", ["node": "pve2", "limit": 5]),
    ])
    func `a read is applied in one step, or by its plan as often as one likes`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let direct = try await agent.post("/v1/actions/apply", wish.json)
            #expect(direct.status == 200, "\(direct)")
            #expect(direct["result"]?["status"] == "ok")
            #expect(direct["plan_id"] == nil)
            let id = try await agent.planID(wish)
            for _ in 0..<2 {
                let reply = try await agent.apply(id)
                #expect(reply.status == 200)
                #expect(reply["plan_id"]?.string == id)
                #expect(reply["result"]?["status"] == "ok")
            }
            #expect(try await agent.planState(id) == "approved")
            #expect(agent.executed.isEmpty)
            let records = try agent.records()
            #expect(records.map { $0["kind"] } == ["read", "plan", "read", "read"])
        }
    }

    @Test func `a machine that is not there cannot be read`() async throws {
        try await withAgent { agent in
            let wish = PlanRequest("read_vm", "vm/4711")
            expectProblem(try await agent.post("/v1/actions/apply", wish.json), 403, "policy_denied")
            let planned = try await agent.plan(wish)
            #expect(planned["state"] == "denied")
            expectProblem(try await agent.apply(try #require(planned["plan_id"]?.string)), 403, "policy_denied")
            #expect(try agent.records().map { $0["kind"] } == ["refuse", "plan", "refuse"])
        }
    }

    @Test func `a task is read by its id, as an action and by the short route`() async throws {
        try await withAgent { agent in
            let reply = try await agent.apply(try await agent.planID(.start))
            let upid = try #require(reply["operation"]?["upid"]?.string)
            let action = try await agent.post(
                "/v1/actions/apply", PlanRequest("read_task_status", "task/\(upid)").json)
            #expect(action["result"]?["data"]?["exitstatus"] == "OK", "\(action)")
            let encoded = upid.replacing("!", with: "%21").replacing(":", with: "%3A")
            let short = try await agent.get("/v1/tasks/status?environment=cloud&upid=\(encoded)")
            #expect(short["result"]?["data"]?["status"] == "stopped", "\(short)")
            let list = try await agent.get("/v1/tasks?environment=cloud&node=pve2&limit=10")
            #expect(list["result"]?["data"]?.array?.contains { $0["upid"]?.string == upid } == true, "\(list)")
            let nodes = try await agent.get("/v1/nodes?environment=cloud")
            #expect(nodes["result"]?["data"]?.array?.count == 3)
        }
    }

    @Test(arguments: PlanRequest.changes)
    func `a dry run shows the calls and changes nothing`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            let dry = wish.with("dry_run", true)
            let direct = try await agent.post("/v1/actions/apply", dry.json)
            #expect(direct.status == 200, "\(direct)")
            #expect(direct["result"]?["status"] == "planned")
            #expect(direct["result"]?["data"]?["calls"]?.array?.count == 1)
            let planned = try await agent.plan(dry)
            #expect(planned["state"] == "approved")
            #expect(planned["preview"]?["calls"] == direct["result"]?["data"]?["calls"])
            let id = try #require(planned["plan_id"]?.string)
            for _ in 0..<2 {
                let reply = try await agent.apply(id)
                #expect(reply["result"]?["status"] == "planned")
                #expect(reply["operation"] == nil)
            }
            #expect(try await agent.planState(id) == "approved")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `a guest is found on its node where the request names none`() async throws {
        try await withAgent { agent in
            let planned = try await agent.plan(.start)
            #expect(planned["preview"]?["observed"]?["node"] == "pve2")
            #expect(
                planned["preview"]?["calls"]?.array?.first?["path"] == "/nodes/pve2/qemu/136/status/start")
        }
    }

    @Test(arguments: [
        (PlanRequest("start_vm", "vm/4711"), "guest-exists"),
        (PlanRequest("start_vm", "vm/136", ["node": "pve1"]), "guest-exists"),
        (PlanRequest("start_vm", "vm/118"), "guest-exists"), (PlanRequest("start_vm", "vm/9000"), "template"),
        (PlanRequest("delete_vm", "vm/100"), "running"), (PlanRequest("clone_vm", "vm/9000", ["newid": 100]), "new-id"),
        (PlanRequest("migrate_vm", "vm/100", ["target": "pve1"]), "online"),
        (PlanRequest("migrate_vm", "vm/100", ["target": "pve9", "online": true]), "target-node"),
        (PlanRequest("migrate_vm", "vm/136", ["target": "pve2"]), "target-node"),
        (
            PlanRequest("storage_edit", "storage/nowhere", ["endpoint": "/storage/nowhere", "method": "DELETE"]),
            "object-exists"
        ),
    ])
    func `what PVE would refuse is denied by the plan, and cannot be applied`(
        wish: PlanRequest, check: String
    ) async throws {
        try await withAgent { agent in
            let planned = try await agent.plan(wish)
            #expect(planned.status == 200)
            #expect(planned["state"] == "denied", "\(planned)")
            #expect(planned["decision"]?["allowed"] == false)
            #expect(planned["decision"]?["rules"]?.array?.contains(.string("check:\(check)")) == true, "\(planned)")
            let id = try #require(planned["plan_id"]?.string)
            expectProblem(try await agent.apply(id, approvedBy: "alice"), 403, "policy_denied")
            expectProblem(
                try await agent.post("/v1/actions/apply", wish.with("approved_by", "alice").json), 403, "policy_denied")
            #expect(agent.executed.isEmpty)
            #expect(try agent.kinds(of: id) == ["plan", "refuse", "refuse"])
        }
    }

    @Test(arguments: PlanRequest.changes)
    func `a read-only environment denies every change and allows dry runs to be asked`(wish: PlanRequest) async throws {
        try await withAgent(Setup(.simulated("cloud", settings: ["read_only": true]))) { agent in
            let planned = try await agent.plan(wish)
            #expect(planned["state"] == "denied")
            #expect(planned["decision"]?["rules"]?.array?.contains("env:read_only") == true)
            let id = try #require(planned["plan_id"]?.string)
            expectProblem(try await agent.apply(id, approvedBy: "alice"), 403, "policy_denied")
            #expect(agent.executed.isEmpty)
        }
    }
}
