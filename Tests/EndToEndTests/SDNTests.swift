import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// The cluster's network: what is changed comes into force with all else that is pending.
@Suite(.timeLimit(.minutes(2)))
struct SDNTests {
    private func checks(_ id: String, _ planned: Reply) -> [JSON] {
        (planned["preview"]?["checks"]?.array ?? []).filter { $0["id"]?.string == id }
    }

    @Test func `a zone that a network is in does not go`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await pve.make("POST", "/cluster/sdn/zones", "zone=lab&type=simple")
            try await pve.make("POST", "/cluster/sdn/zones", "zone=other&type=simple")
            try await pve.make("POST", "/cluster/sdn/vnets", "vnet=web&zone=lab")
            let planned = try await agent.plan(
                PlanRequest("sdn_zone_edit", "cluster", ["op": "remove", "zone": "lab"]))
            #expect(planned["state"] == "denied", "\(planned)")
            let check = try #require(checks("in-use", planned).first)
            #expect(check["level"] == "block" && check["detail"]?.string?.contains("vnet web") == true, "\(check)")
            #expect(try await pve.ask("DELETE", "/cluster/sdn/zones/lab") == nil, "and PVE says the same")

            let other = try await agent.plan(
                PlanRequest("sdn_zone_edit", "cluster", ["op": "remove", "zone": "other"]))
            #expect(other["decision"]?["allowed"] == true, "\(other)")
            let change = PlanRequest("sdn_zone_edit", "cluster", ["op": "change", "zone": "lab", "mtu": 1400])
            #expect(checks("in-use", try await agent.plan(change)).first?["level"] == "warn")
        }
    }

    @Test func `what others have changed and not applied is named, and must stay as it is`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            let wish = PlanRequest("sdn_zone_edit", "cluster", ["op": "add", "zone": "lab", "type": "simple"])
            #expect(checks("carries-along", try await agent.plan(wish)).isEmpty)
            try await pve.make("POST", "/cluster/sdn/zones", "zone=other&type=simple")
            let planned = try await agent.plan(wish)
            let check = try #require(checks("carries-along", planned).first, "\(planned)")
            #expect(check["level"] == "warn")
            #expect(check["detail"]?.string?.contains("/cluster/sdn/zones/other (new)") == true, "\(check)")

            let id = try #require(planned["plan_id"]?.string)
            try await pve.make("PUT", "/cluster/sdn/zones/other", "mtu=1400")
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 409, "plan_stale")
            #expect(reply["moved"]?.array?.first?["field"] == "pending", "\(reply)")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `a network with guests or subnets on it does not go, and needs its zone`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            let add = PlanRequest("sdn_vnet_edit", "cluster", ["op": "add", "vnet": "web", "zone": "lab"])
            #expect(checks("absent", try await agent.plan(add)).first?["level"] == "block")
            try await pve.make("POST", "/cluster/sdn/zones", "zone=lab&type=simple")
            #expect(try await agent.plan(add)["decision"]?["allowed"] == true)
            try await pve.make("POST", "/cluster/sdn/vnets", "vnet=web&zone=lab")
            try await pve.make("PUT", "/cluster/sdn")
            let remove = PlanRequest("sdn_vnet_edit", "cluster", ["op": "remove", "vnet": "web"])
            #expect(try await agent.plan(remove)["decision"]?["allowed"] == true)
            pve.setConfig(136, "net1", "virtio=BC:24:11:00:00:99,bridge=web")
            pve.setConfig(118, "net1", "name=eth1,bridge=web,hwaddr=BC:24:11:00:00:98,type=veth")
            try await pve.make("POST", "/cluster/sdn/vnets/web/subnets", "subnet=192.0.2.0/24&type=subnet")
            let check = try #require(checks("in-use", try await agent.plan(remove)).first)
            #expect(check["level"] == "block")
            for user in ["vm/136", "lxc/118", "lab-192.0.2.0-24"] {
                #expect(check["detail"]?.string?.contains(user) == true, "\(check)")
            }
            let change = PlanRequest("sdn_vnet_edit", "cluster", ["op": "change", "vnet": "web", "alias": "x"])
            let planned = try await agent.plan(change)
            let reached = (planned["decision"]?["subjects"]?.array ?? []).compactMap { $0["name"]?.string }
            #expect(reached.contains("vm/136") && reached.contains("lxc/118"), "rules judge them: \(reached)")
        }
    }

    @Test func `a configuration that somebody has locked is left alone`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await pve.make("POST", "/cluster/sdn/lock")
            let wish = PlanRequest("sdn_zone_edit", "cluster", ["op": "add", "zone": "lab", "type": "simple"])
            let id = try #require(try await agent.plan(wish)["plan_id"]?.string)
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 502, "upstream_refused")
            #expect(try await pve.ask("GET", "/cluster/sdn/zones/lab") == nil)
        }
    }

    @Test func `what was changed and could not be applied is told, with a way back`() async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.inject(Fault(.status(500, reason: "no space left"), method: "PUT", path: "/cluster/sdn"))
            let wish = PlanRequest("sdn_zone_edit", "cluster", ["op": "add", "zone": "lab", "type": "simple"])
            let id = try #require(try await agent.plan(wish)["plan_id"]?.string)
            let reply = try await agent.apply(id, approvedBy: "alice")
            let data = try #require(reply["result"]?["data"], "\(reply)")
            #expect(data["code"] == "partially_applied", "\(reply)")
            #expect(data["steps"]?.array?.map { $0["state"] } == ["done", "failed"])
            let undo = try await agent.post("/v1/actions/plan", try #require(data["undo"]))
            #expect(undo["decision"]?["allowed"] == true, "\(undo)")
        }
    }
}
