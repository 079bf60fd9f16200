import HTTPTypes
import StrictJSON
import Testing

/// What the first document of the project promises of each of its curl commands.
@Suite(.timeLimit(.minutes(1)))
struct SeedTests {
    private static let setup = Setup(.simulated("home"), .simulated("cloud"))

    /// What curl sends where it is told no more.
    private static func json(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(arguments: ["/healthz", "/livez"])
    func `anybody may ask whether it lives`(path: String) async throws {
        try await withAgent(Self.setup) { agent in
            let reply = try await agent.send(.get, path, as: nil, token: nil)
            #expect(reply.status == 200)
            #expect(reply.json == ["ok": true])
        }
    }

    @Test func `the environments are listed with name, address and token id, and nothing secret`() async throws {
        try await withAgent(Self.setup) { agent in
            await agent.probe()
            let reply = try await agent.send(.get, "/v1/environments", as: nil)
            #expect(reply.status == 200)
            let environments = try #require(reply["environments"]?.array)
            #expect(environments.map { $0["name"] } == ["home", "cloud"])
            #expect(environments.map { $0["token_id"] } == ["agent@pve!home", "agent@pve!cloud"])
            #expect(environments.allSatisfy { $0["base_url"]?.string?.hasPrefix("http://127.0.0.1:") == true })
            #expect(environments.allSatisfy { $0["reachable"] == true && $0["simulator"] == true })
            #expect(environments.allSatisfy { $0["pve_version"]?.string?.hasPrefix("9.") == true })
            for name in ["home", "cloud"] { #expect(!reply.text.contains(Setup.secret(of: name))) }
        }
    }

    @Test(arguments: ["all", "running"])
    func `the simple inventory answers request, plan and result`(state: String) async throws {
        try await withAgent(Self.setup) { agent in
            let reply = try await agent.get("/v1/inventory?environment=home&state=\(state)", as: "local-operator")
            #expect(reply.status == 200)
            #expect(reply.json.object?.keys == ["request", "plan", "result"])
            #expect(reply["request"]?["action"] == "read_inventory")
            #expect(reply["request"]?["target"] == .string("inventory/\(state)"))
            #expect(reply["plan"]?["decision"]?["allowed"] == true)
            try expectInventory(reply, running: state == "running")
        }
    }

    @Test(arguments: ["all", "running"])
    func `the inventory can be applied as an action`(state: String) async throws {
        try await withAgent(Self.setup) { agent in
            let body = #"{"environment":"home","action":"read_inventory","target":"inventory/\#(state)"}"#
            let reply = try await agent.send(.post, "/v1/actions/apply", body: Self.json(body), as: "local-operator")
            #expect(reply.status == 200)
            #expect(reply["request"]?["params"] == [:])
            #expect(reply["request"]?["dry_run"] == false)
            #expect(reply["decision"]?["risk_level"] == "low")
            #expect(reply["decision"]?["requires_approval"] == false)
            try expectInventory(reply, running: state == "running")
        }
    }

    private func expectInventory(_ reply: Reply, running: Bool) throws {
        let result = try #require(reply["result"]?.object)
        #expect(result.keys == ["status", "message", "data"])
        #expect(result["status"] == "ok")
        #expect(result["message"]?.string?.contains("guests in home") == true)
        let rows = try #require(result["data"]?.array)
        #expect(rows.count == (running ? 5 : 8))
        #expect(rows.allSatisfy { $0["environment"] == "home" && $0["vmid"]?.integer != nil && $0["name"] != nil })
        #expect(Set(rows.compactMap { $0["type"]?.string }) == ["qemu", "lxc"])
        if running { #expect(rows.allSatisfy { $0["status"] == "running" }) }
    }

    @Test func `a plan answers at least request and decision, and every record names the actor`() async throws {
        try await withAgent(Self.setup) { agent in
            let reply = try await agent.plan(PlanRequest("start_vm", "vm/103", in: "home"), as: "local-operator")
            #expect(reply.status == 200)
            #expect(reply["request"]?["target"] == "vm/103")
            #expect(reply["decision"]?["allowed"] == true)
            #expect(reply["plan_id"]?.string?.hasPrefix("pln_") == true)
            let records = try agent.records()
            #expect(records.map { $0["kind"] } == ["plan"])
            let record = try #require(records.first)
            #expect(record["actor"] == "local-operator")
            #expect(record["principal"] == "operator")
            for key in ["v", "seq", "ts", "request_id", "environment", "request", "decision", "result", "prev", "hash"]
            {
                #expect(record[key] != nil, "\(key)")
            }
        }
    }
}
