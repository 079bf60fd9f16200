import AgentStorage
import AgentTestSupport
import FoundationEssentials
import PostgreSQLTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// The state that agents share changes under them.
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
}
