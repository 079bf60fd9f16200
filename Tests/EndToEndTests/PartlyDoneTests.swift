import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Somebody acts on the guest between two calls of one change.
@Suite(.timeLimit(.minutes(1)))
struct PartlyDoneTests {
    @Test func `a guest renamed between the calls of cloud_init_vm is not told to be untouched`() async throws {
        try await withAgent(Person.setup()) { agent in
            let pve = try agent.pve()
            pve.holdTasks()
            let wish = PlanRequest("cloud_init_vm", "vm/136", ["nameserver": "192.0.2.1", "ipconfig0": "ip=dhcp"])
            let planned = try await Person.agent.plan(wish, at: agent)
            let id = try #require(planned["plan_id"]?.string, "\(planned)")
            let began = try await Person.agent.apply(id, at: agent)
            #expect(began.status == 202, "\(began)")
            pve.setConfig(136, "name", "renamed")
            pve.releaseTasks()
            let operation = try #require(began["operation"]?["operation_id"]?.string)
            let ended = try await Person.agent.get("/v1/operations/\(operation)?wait=30", at: agent)
            #expect(pve.executed.map(\.path) == ["/nodes/pve2/qemu/136/config"])
            #expect(ended["state"] == "failed")
            #expect(ended["code"] == "partially_applied")
            #expect(ended["steps"]?.array?.map { $0["state"] } == ["done", "not_sent"])
            #expect(ended["steps"]?.array?.first?["upid"]?.string?.contains(":qmconfig:136:") == true)
            #expect(ended["cause"]?["code"] == "plan_stale")
            #expect(ended["cause"]?["moved"]?.array?.first?["field"] == "name")
            #expect(ended["message"]?.string?.contains("nothing was done") == false)

            let shown = try await Person.alice.run("operation", "show", operation, at: agent)
            #expect(shown.out.contains("POST /nodes/pve2/qemu/136/config: done"), "\(shown)")
            #expect(shown.out.contains("PUT /nodes/pve2/qemu/136/cloudinit: not sent"), "\(shown)")
            #expect(shown.out.contains("undo  "), "\(shown)")

            let undo = try #require(ended["undo"])
            #expect(undo["action"] == "cloud_init_vm")
        }
    }

    @Test func `apply answers what was done with 200, and its undo takes it back`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            let before = try #require(pve.guest(136)?.config)
            pve.inject(
                Fault(.status(500, reason: "no space left"), method: "PUT", path: "/nodes/pve2/qemu/136/cloudinit"))
            let planned = try await agent.plan(PlanRequest("cloud_init_vm", "vm/136", ["nameserver": "192.0.2.1"]))
            let reply = try await agent.apply(try #require(planned["plan_id"]?.string))
            #expect(reply.status == 200, "\(reply)")
            #expect(reply["result"]?["status"] == "failed")
            let data = try #require(reply["result"]?["data"])
            #expect(data["code"] == "partially_applied")
            #expect(data["cause"]?["code"] == "upstream_refused")
            #expect(data["cause"]?["upstream"]?["reason"] == "no space left")
            #expect(data["steps"]?.array?.map { $0["state"] } == ["done", "failed"])
            #expect(pve.guest(136)?.config["nameserver"] == "192.0.2.1")
            let record = try #require(try agent.records().last)
            #expect(record["result"]?["steps"] == data["steps"] && record["result"]?["code"] == "partially_applied")

            let back = try await agent.post("/v1/actions/plan", try #require(data["undo"]))
            let undone = try await agent.apply(
                try #require(back["plan_id"]?.string, "\(back)"), approvedBy: "alice")
            #expect(undone["result"]?["status"] == "succeeded", "\(undone)")
            #expect(pve.guest(136)?.config["nameserver"] == before["nameserver"])
        }
    }
}
