import AgentAPI
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import PostgreSQLTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// The state that agents share changes under them: its schema, its server, or what its clock says of theirs.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct SharedStateTests {
    @Test func `agents go on, and start again, beside a newer one that has changed the schema`() async throws {
        let cluster = try AgentCluster(environments: ["cloud", "home"])
        try await cluster.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let plan = try await anna.planID(.stop)
        let version = Int64(StateSchema.current.steps.count + 1)
        let next = StateSchema(
            steps: StateSchema.current.steps + [
                """
                CREATE TABLE more (x TEXT) STRICT; ALTER TABLE plans ADD COLUMN mood TEXT;
                ALTER TABLE operations ADD COLUMN mood TEXT; ALTER TABLE leases ADD COLUMN mood TEXT
                """
            ], keeping: [version])
        let newer = try PostgreSQLStore(try cluster.place(of: "newer"), schema: next)
        #expect(try await bert.apply(plan, approvedBy: "alice")["result"]?["status"] == "succeeded")
        #expect(try await anna.apply(try await bert.planID(.start))["result"]?["status"] == "succeeded")
        #expect(try await cluster.overview(by: "bert").count == 2)
        // Their connections, and then they themselves, end and come back.
        try cluster.server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ ' (anna|bert)'")
        let third = try await anna.planID(PlanRequest("snapshot_vm", "vm/100", ["snapname": "third"]))
        #expect(try await bert.apply(third)["result"]?["status"] == "succeeded")
        await newer.close()
        try await anna.die()
        try await anna.start()
        try await bert.halt()
        try await bert.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        let fourth = try await anna.planID(PlanRequest("snapshot_vm", "vm/100", ["snapname": "fourth"]))
        #expect(try await bert.apply(fourth)["result"]?["status"] == "succeeded")
        #expect(try await anna.planState(plan) == "applied" && cluster.executed.count == 4)
        let check = try await Program.run("store", "check", "--config", anna.config)
        #expect(check.status == 0 && check.out.contains("of a newer version"), "\(check)")
        let backup = try await Program.run(
            "store", "backup", "--config", anna.config, "\(anna.directory.path)/backup.db")
        #expect(backup.status == 1 && backup.err.contains("a copy would lack what only that one knows"), "\(backup)")
        try await cluster.stop()
    }

    @Test func `when a standby takes over all agents come back by themselves, and nothing is lost`() async throws {
        let cluster = try AgentCluster(environments: ["cloud", "home"], hasStandby: true)
        let standby = try #require(cluster.standby)
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        // It knows the database a moment later.
        while (try? standby.sql("SELECT 1", in: cluster.database)) == nil {}
        try anna.configure { $0["state_url"] = .string(standby.address(cluster.database, at: "127.0.0.1")) }
        let early = try await Program.run(
            "serve", "--config", anna.config, variables: cluster.setup(of: "anna").variables())
        #expect(
            early.status == 75 && early.err.contains("standby") && early.err.contains("name the primary"), "\(early)")
        #expect(early.err.split(separator: "\n").count == 1, "\(early)")
        try anna.configure { _ in }

        try await cluster.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        #expect(
            try await anna.apply(try await bert.planID(.stop), approvedBy: "alice")["result"]?["status"] == "succeeded")
        let waiting = try await bert.planID(.start)
        let load = Task {
            var answered: [String] = []
            while !Task.isCancelled {
                let reply = try await bert.plan(.start)
                guard reply.status == 200 else { break }
                answered.append(try #require(reply["plan_id"]?.string))
            }
            return answered
        }
        var count = 0
        while count < 10 { count = try await anna.get("/v1/plans?limit=500")["plans"]?.array?.count ?? 0 }
        cluster.server.stop("immediate")
        for agent in [anna, bert] { #expect(try await agent.plan(.start)["code"] == "store_unavailable") }
        try standby.promote()
        // One whose commit was under way is answered only now.
        let answered = try await load.value
        for agent in [anna, bert] {
            while try await agent.plan(.start).status != 200 {}
            while try await agent.get("/v1/agents").status != 200 {}
        }
        try await cluster.settle(by: "bert") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        var reply = try await anna.apply(waiting, wait: 30)
        while reply["code"] == "store_unavailable" { reply = try await anna.apply(waiting, wait: 30) }
        #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        #expect(!answered.isEmpty)
        for plan in answered { #expect(try await anna.planState(plan) != nil, "\(plan)") }
        #expect(cluster.executed.count == 2)
        try await cluster.stop()
    }

    /// An agent in this process, whose clock is so many seconds off; it works until the task is cancelled.
    private func agent(
        _ name: String, of cluster: AgentCluster, ahead seconds: Double, _ change: (inout Setup) -> Void = { _ in }
    ) async throws -> (RunningAgent, Task<Void, Never>) {
        let clock = MovableClock()
        clock.advance(seconds: seconds)
        var setup = cluster.setup(of: name)
        change(&setup)
        let agent = try await RunningAgent(setup, clock: clock)
        return (agent, Task { await agent.agent.service.leases.run() })
    }

    @Test(arguments: [3600.0, -3600.0])
    func `an agent whose clock is an hour off carries out nothing until it is right`(seconds: Double) async throws {
        let cluster = try AgentCluster([], environments: ["cloud", "home"])
        let (anna, first) = try await agent("anna", of: cluster, ahead: 0)
        let (bert, second) = try await agent("bert", of: cluster, ahead: seconds)
        try await cluster.settle(by: anna) { $0["anna"]?.count == 2 }
        let ready = try await bert.get("/readyz")
        #expect(ready.status == 503 && "\(ready)".contains("agents_disagree"), "\(ready)")
        let refused = try await bert.plan(.start)
        expectProblem(refused, 503, "agents_disagree")
        #expect("\(refused)".contains(seconds > 0 ? "s ahead of the database's" : "s behind the database's"))
        try await checkSignIns(anna, beside: bert)
        #expect(try await bert.get("/v1/plans").status == 200)
        #expect(try await anna.get("/readyz").status == 200)
        let plan = try await anna.planID(.stop)
        #expect(try await anna.apply(plan, approvedBy: "alice")["result"]?["status"] == "succeeded")
        let rows = try await anna.get("/v1/agents")["agents"]?.array ?? []
        #expect(rows.compactMap { $0["state"]?.string } == ["working", "unable"])

        bert.clock.advance(seconds: -seconds)
        try await cluster.settle(by: anna) { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        #expect(try await bert.get("/readyz").status == 200)
        #expect(try await bert.apply(try await bert.planID(.start))["result"]?["status"] == "succeeded")
        // And it goes wrong while it works.
        bert.clock.advance(seconds: seconds)
        try await cluster.settle(by: anna) { $0["anna"]?.count == 2 }
        for loop in [first, second] { loop.cancel() }
        for agent in [anna, bert] { await agent.stop() }
        try await cluster.stop()
    }

    /// One whose clock is wrong signs nobody in and ends no session of the other.
    private func checkSignIns(_ anna: RunningAgent, beside bert: RunningAgent) async throws {
        var page: HTTPFields = [.name("Sec-Fetch-Site"): "same-origin"]
        let token: JSON = ["token": .string(Setup.token)]
        for path in ["/v1/session", "/v1/session/challenge"] {
            let reply = try await bert.send(.post, path, body: token.bytes, as: nil, token: nil, fields: page)
            expectProblem(reply, 503, "agents_disagree")
        }
        expectProblem(try await bert.send(.post, "/v1/session/code", as: nil), 503, "agents_disagree")
        let signedIn = try await anna.send(.post, "/v1/session", body: token.bytes, as: nil, token: nil, fields: page)
        page[.cookie] = String(try #require(signedIn.fields[.setCookie]).prefix { $0 != ";" })
        _ = try await bert.send(.get, "/v1/session", as: nil, token: nil, fields: page)
        try await bert.agent.authenticator.tidySessions()
        let who = try await anna.send(.get, "/v1/session", as: nil, token: nil, fields: page)
        #expect(who.status == 200 && who["session"]?["last_used_at"] == signedIn["session"]?["last_used_at"], "\(who)")
    }

    @Test func `an agent that started with its clock behind is not the one that has run the longest`() async throws {
        let cluster = try AgentCluster([])
        let (anna, first) = try await agent("anna", of: cluster, ahead: 0)
        try await cluster.settle(by: anna) { $0["anna"] == ["cloud"] }
        let (bert, second) = try await agent("bert", of: cluster, ahead: -3600) {
            $0.environments[0].settings["read_only"] = true
        }
        let state = { (name: String) in
            let rows = try await anna.get("/v1/agents")["agents"]?.array ?? []
            return rows.first { $0["name"]?.string == name }?["state"]?.string
        }
        while try await state("bert") != "unable" { #expect(try await state("anna") == "working") }
        bert.clock.advance(seconds: 3600)
        while try await state("bert") == "unable" { #expect(try await state("anna") == "working") }
        #expect(try await state("bert") == "differs")
        #expect(try await anna.apply(try await anna.planID(.start))["result"]?["status"] == "succeeded")
        expectProblem(try await bert.plan(.start), 503, "agents_disagree")
        for loop in [first, second] { loop.cancel() }
        for agent in [anna, bert] { await agent.stop() }
        try await cluster.stop()
    }
}
