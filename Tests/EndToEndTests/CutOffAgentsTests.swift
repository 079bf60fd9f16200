import AgentTestSupport
import PostgreSQLTestSupport
import SimulatorTestSupport
import StrictJSON
import SystemThread
import Testing

/// Agents on one state, one of which reaches a part of the database only, or knows less than its own log.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct CutOffAgentsTests {
    /// What a plan's outcome says, and what the shared history has of the logs, once all has come to rest.
    private func expectOneOutcome(of plan: String, _ cluster: AgentCluster) async throws {
        let bert = try cluster.agent("bert")
        let deadline = ContinuousClock.now + .seconds(60)
        var unseen = ["not looked yet"]
        while !unseen.isEmpty, ContinuousClock.now < deadline {
            unseen = []
            for (name, agent) in zip(cluster.names, cluster.agents) {
                let newest = try agent.lines().compactMap { $0["seq"]?.integer }.max()
                let page = try await bert.get("/v1/audit?agent=\(name)&limit=1000")
                let seen = (page["records"]?.array ?? []).compactMap { $0["seq"]?.integer }.max()
                if seen != newest { unseen.append("\(name): \(seen ?? 0) of \(newest ?? 0)") }
            }
            try await ContinuousClock().sleep(for: .milliseconds(100))
        }
        #expect(unseen == [], "all agents tell all that they have recorded")
        let outcomes = try cluster.agents.flatMap { try $0.outcomes() }.filter { $0 == plan }
        #expect(outcomes.count == 1, "\(outcomes)")
    }

    @Test func `an agent that cannot write for a while tells everything after that, and no end twice`() async throws {
        let cluster = try AgentCluster { _, setup in setup.environments[0].settings["prefer_agent"] = "anna" }
        try await cluster.start()
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let anna = try cluster.agent("anna")
        let world = try #require(cluster.datacenter.worlds["cloud"])
        world.holdTasks()
        let plan = try await anna.planID(.start)
        let reply = try await anna.apply(plan, wait: 0)
        #expect(reply.status == 202, "\(reply)")
        let id = try #require(reply["operation"]?["operation_id"]?.string)
        while try await anna.get("/v1/operations/\(id)")["upid"]?.string == nil {}
        let (server, database) = (cluster.server, cluster.database)
        try OwnThread.start {
            _ = try? server.sql("BEGIN; LOCK TABLE writers IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(25)", in: database)
        }
        while try server.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'") == "0\n" {}
        world.releaseTasks()
        let deadline = ContinuousClock.now + .seconds(90)
        var end = try? await anna.get("/v1/operations/\(id)")
        while end?["state"] != "succeeded", ContinuousClock.now < deadline {
            try await ContinuousClock().sleep(for: .milliseconds(100))
            end = try? await anna.get("/v1/operations/\(id)")
        }
        #expect(end?["state"] == "succeeded", "\(String(describing: end))")
        try await expectOneOutcome(of: plan, cluster)
        try await cluster.stop()
    }

    @Test func `an agent whose connections hang gives its environment to another`() async throws {
        let cluster = try AgentCluster { _, setup in setup.environments[0].settings["prefer_agent"] = "anna" }
        try await cluster.start()
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let (bert, cutter) = (try cluster.agent("bert"), try #require(cluster.cutters["anna"]))
        let world = try #require(cluster.datacenter.worlds["cloud"])
        world.holdTasks()
        let plan = try await bert.planID(.start)
        let reply = try await bert.apply(plan, wait: 0)
        cutter.holdPresent(true)
        try await cluster.settle(by: "bert", within: .seconds(80)) { $0["bert"] == ["cloud"] }
        world.releaseTasks()
        let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
        #expect(try await bert.get("/v1/operations/\(id)?wait=30")["state"] == "succeeded")
        cutter.holdPresent(false)
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        try await expectOneOutcome(of: plan, cluster)
        try await cluster.stop()
    }

    @Test func `a plan that a forgotten agent applied is not applied again after a restore`() async throws {
        let cluster = try AgentCluster { _, setup in setup.environments[0].settings["prefer_agent"] = "bert" }
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        try await cluster.settle(by: "anna") { $0["bert"] == ["cloud"] }
        let plan = try await anna.planID(.start)
        for agent in cluster.agents { try await agent.halt() }
        let (server, database) = (cluster.server, cluster.database)
        try server.sql("CREATE DATABASE backup TEMPLATE \(database)")
        for agent in cluster.agents { try await agent.start() }
        try await cluster.settle(by: "anna") { $0["bert"] == ["cloud"] }
        #expect(try await bert.apply(plan)["result"]?["status"] == "succeeded")
        for agent in cluster.agents { try await agent.halt() }
        try server.sql("UPDATE audit_marks SET copy = 1", in: "backup")
        try server.sql("DROP DATABASE \(database)")
        try server.sql("ALTER DATABASE backup RENAME TO \(database)")
        // Until the other log is known, nothing is carried out, and that shows.
        try await anna.start()
        let ready = try await anna.get("/readyz")
        let warning = ready["warnings"]?.array?.first
        #expect(ready.status == 200 && warning?["code"] == "carries_out_nothing", "\(ready)")
        #expect(warning?["detail"]?.string?.contains("bert") == true, "\(ready)")
        try await anna.halt()
        // As `agents forget bert` does, of one that was not started since.
        for table in ["agents", "audit_marks", "notice_positions", "history_positions", "writers"] {
            try server.sql("DELETE FROM \(table) WHERE \(table == "agents" ? "name" : "agent") = 'bert'", in: database)
        }
        try await bert.start()
        #expect(try await bert.planState(plan) == "applied")
        expectProblem(try await bert.apply(plan), 409, "plan_consumed")
        #expect(cluster.executed.count == 1)
        try await bert.stop()
        await cluster.datacenter.stop()
    }
}
