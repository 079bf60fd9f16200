import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// The HA manager moves, keeps and gives up guests on its own.
@Suite(.timeLimit(.minutes(3)))
struct HATests {
    private func check(_ id: String, of planned: Reply) -> JSON? {
        planned["preview"]?["checks"]?.array?.first { $0["id"]?.string == id && $0["level"] != "ok" }
    }

    private static let affinity: ChangeScenario.Step = { pve in
        for vmid in [100, 136] { pve.setHA(vmid, wanted: "started") }
        pve.setRunning(136, true)
    }

    @Test func `moving a guest against a rule is warned of`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await Self.affinity(pve)
            let rules = "/cluster/ha/rules"
            let common = "type=node-affinity&resources=vm%3A100"
            try await pve.make("POST", rules, "rule=only2&\(common)&nodes=pve2&strict=1")
            for action in ["ha_migrate", "migrate_vm"] {
                let more: JSONObject = action == "ha_migrate" ? ["mode": "migrate"] : ["online": true]
                var params: JSONObject = ["target": "pve1"]
                for member in more.members { params[member.key] = member.value }
                let found = check("ha-rule", of: try await agent.plan(PlanRequest(action, "vm/100", params)))
                #expect(found?["level"] == "warn")
                #expect(found?["detail"]?.string == "HA moves vm/100 back: rule only2 allows it on pve2 only")
            }
            try await pve.make("DELETE", rules + "/only2")
            try await pve.make("POST", rules, "rule=rather2&\(common)&nodes=pve2%3A2%2Cpve1%3A1")
            let wish = PlanRequest("ha_migrate", "vm/100", ["target": "pve1", "mode": "migrate"])
            let found = check("ha-rule", of: try await agent.plan(wish))
            #expect(found?["detail"]?.string == "HA moves vm/100 back: rule rather2 prefers pve2")
            try await pve.make("PUT", "/cluster/ha/resources/vm:100", "failback=0")
            #expect(check("ha-rule", of: try await agent.plan(wish)) == nil)
        }
    }

    @Test func `on PVE 8 a guest's group says where HA wants it`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setHA(100, wanted: "started")
            pve.setHAGroups(["second": ["nodes": "pve2", "restricted": "1"]])
            try await pve.make("PUT", "/cluster/ha/resources/vm:100", "group=second")
            let planned = try await agent.plan(
                PlanRequest("ha_migrate", "vm/100", ["target": "pve1", "mode": "migrate"]))
            #expect(
                check("ha-rule", of: planned)?["detail"]?.string
                    == "HA moves vm/100 back: group second allows it on pve2 only", "\(planned)")
            let read = try await agent.post("/v1/actions/apply", PlanRequest("read_ha", "cluster").json)
            #expect(read["result"]?["data"]?["groups"]?.array?.count == 1, "\(read)")
            let rule = try await agent.plan(
                PlanRequest(
                    "ha_edit", "cluster",
                    ["op": "add", "rule": "r1", "type": "node-affinity", "resources": ["vm:100"], "nodes": ["pve2"]]))
            #expect(check("ha-rule", of: rule)?["detail"]?.string?.contains("PVE 9") == true, "\(rule)")
        }
    }

    @Test func `a move by HA is done when the lock is gone too`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setHA(100, wanted: "started")
            pve.setHAActs(false)
            let id = try await agent.planID(PlanRequest("ha_migrate", "vm/100", ["target": "pve1", "mode": "migrate"]))
            let began = try await agent.apply(id, approvedBy: "alice", wait: 1)
            #expect(began.status == 202, "\(began)")
            let operation = try #require(began["operation"]?["operation_id"]?.string)
            pve.setConfig(100, "lock", "migrate")
            pve.move(100, to: "pve1")
            let moved = try await agent.get("/v1/operations/\(operation)?wait=2")
            #expect(moved["state"] == "running", "\(moved)")
            pve.setConfig(100, "lock", nil)
            let ended = try await agent.get("/v1/operations/\(operation)?wait=30")
            #expect(ended["state"] == "succeeded", "\(ended)")
        }
    }

    @Test(arguments: [
        PlanRequest("start_vm", "vm/136"), PlanRequest("migrate_vm", "vm/136", ["target": "pve1"]),
        PlanRequest("ha_migrate", "vm/136", ["target": "pve1", "mode": "relocate"]),
        PlanRequest("ha_edit", "vm/136", ["op": "change", "state": "started"]),
    ])
    func `a guest that HA has given up is blocked with the cure`(wish: PlanRequest) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setHA(136, wanted: "started", says: "error")
            let found = check("ha-error", of: try await agent.plan(wish))
            #expect(found?["level"] == "block")
            #expect(found?["detail"]?.string?.contains("disabled") == true)
            let cure = try await agent.plan(PlanRequest("ha_edit", "vm/136", ["op": "change", "state": "disabled"]))
            #expect(cure["decision"]?["allowed"] == true, "\(cure)")
        }
    }

    @Test func `rules that HA would refuse are denied at planning`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await Self.affinity(pve)
            try await pve.make(
                "POST", "/cluster/ha/rules",
                "rule=apart&type=resource-affinity&affinity=negative&resources=vm%3A100%2Cvm%3A136")
            let cases: [(JSONObject, String)] = [
                (["type": "node-affinity", "resources": ["vm:100"], "nodes": ["pve9"]], "there is no node pve9"),
                (["type": "node-affinity", "resources": ["vm:103"], "nodes": ["pve1"]], "does not manage vm:103"),
                (["type": "resource-affinity", "resources": ["vm:100"], "affinity": "positive"], "two or more"),
                (
                    ["type": "resource-affinity", "resources": ["vm:100", "vm:136"], "affinity": "positive"],
                    "rule apart wants the opposite"
                ),
            ]
            for (rule, words) in cases {
                var params: JSONObject = ["op": "add", "rule": "new"]
                for member in rule.members { params[member.key] = member.value }
                let planned = try await agent.plan(PlanRequest("ha_edit", "cluster", params))
                #expect(planned["state"] == "denied", "\(planned)")
                #expect(check("ha-rule", of: planned)?["detail"]?.string?.contains(words) == true, "\(planned)")
            }
        }
    }

    @Test(arguments: ["node/pve2", "cluster"])
    func `guests that HA brings along in a bulk migration are among those that are reached`(
        target: String
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await Self.affinity(pve)
            let wish = PlanRequest("bulk_migrate", target, ["vms": [100], "target": "pve1"])
            func brought(_ planned: Reply) -> Bool {
                (planned["preview"]?["subjects"]?.array ?? []).contains {
                    $0["name"] == "vm/136" && $0["role"] == "affected"
                }
            }
            #expect(try await !brought(agent.plan(wish)))
            try await pve.make(
                "POST", "/cluster/ha/rules",
                "rule=near&type=resource-affinity&affinity=positive&resources=vm%3A100%2Cvm%3A136")
            let planned = try await agent.plan(wish)
            #expect(brought(planned), "\(planned)")
            #expect(planned["preview"]?["observed"]?["guests"]?["vm/136"]?["node"] == "pve2", "\(planned)")
        }
    }

    @Test func `a guest that must be apart from one on the target does not move there`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await Self.affinity(pve)
            try await pve.make(
                "POST", "/cluster/ha/rules",
                "rule=apart&type=resource-affinity&affinity=negative&resources=vm%3A100%2Cvm%3A136")
            pve.move(136, to: "pve1")
            let planned = try await agent.plan(
                PlanRequest("ha_migrate", "vm/100", ["target": "pve1", "mode": "migrate"]))
            #expect(check("migration", of: planned)?["detail"]?.string?.contains("vm:136") == true, "\(planned)")
        }
    }
}
