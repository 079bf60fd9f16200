import AgentTestSupport
import FoundationEssentials
import Glibc
import PostgreSQLTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// The agent with its state in PostgreSQL, as processes of their own.
@Suite(.timeLimit(.minutes(2)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLTests {
    /// A database, and the settings for a state in it.
    private final class State {
        let directory: TemporaryDirectory
        let settings: JSONObject

        init(on server: PostgreSQLServer) throws {
            let database = try server.makeDatabase()
            directory = try TemporaryDirectory()
            let password = "\(directory.path)/password"
            settings = [
                "accept_declared_approvals": true,
                "state_url": .string(server.address(database, at: "127.0.0.1")),
                "state_password_file": .string(password), "state_key_path": .string("\(directory.path)/state.key"),
            ]
            try EndToEndTests.write(PostgreSQLServer.password + "\n", to: password)
        }
    }

    @Test func `a server that goes away stops changes and loses nothing, and the agent goes on by itself`() async throws
    {
        let server = try PostgreSQLServer()
        let state = try State(on: server)
        let agent = try await ServedAgent(Setup(.simulated("cloud"), settings: state.settings))
        #expect(
            try await agent.apply(try await agent.planID(.stop), approvedBy: "alice")["result"]?["status"]
                == "succeeded")
        let plan = try await agent.planID(.start)
        server.stop()
        for _ in 0..<3 {
            let refused = try await agent.plan(.start)
            #expect(refused.status == 503 && refused["code"] == "store_unavailable", "\(refused)")
        }
        #expect(try await agent.apply(plan)["code"] == "store_unavailable")
        #expect(agent.executed.count == 1)
        try server.start()
        var reply = try await agent.apply(plan)
        while reply["code"] == "store_unavailable" { reply = try await agent.apply(plan) }
        #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        let end = try await agent.stop()
        #expect(end.status == 0 && !"\(end)".contains(PostgreSQLServer.password), "\(end)")
        let check = try await Program.run("store", "check", "--config", agent.config)
        #expect(check.status == 0 && check.out.contains("plans: 2 applied"), "\(check)")
        server.stop()
        let copy = "\(state.directory.path)/copy.db"
        for words in [
            ["check", "--config", agent.config], ["backup", "--config", agent.config, copy],
            ["copy", agent.config, copy],
        ] {
            let end = try await Program(["store"] + words).end()
            #expect(end.status == 75 && end.err.contains("start the server"), "\(end)")
        }
    }

    @Test func `a password that changes is taken from its file at the next connection`() async throws {
        let server = try PostgreSQLServer()
        let state = try State(on: server)
        let agent = try await ServedAgent(Setup(.simulated("cloud"), settings: state.settings))
        _ = try await agent.planID(.start)
        _ = try server.sql("ALTER ROLE agent PASSWORD 'another one'", in: "postgres")
        try EndToEndTests.write("another one\n", to: "\(state.directory.path)/password")
        server.stop()
        try server.start()
        var reply = try await agent.plan(.start)
        while reply["code"] == "store_unavailable" { reply = try await agent.plan(.start) }
        #expect(reply.status == 200, "\(reply)")
        _ = try await agent.stop()
    }

    @Test func `libpq is loaded for such a state, and for no other`() async throws {
        let server = try PostgreSQLServer.shared
        let state = try State(on: server)
        for (settings, isLoaded) in [(state.settings, true), ([:], false)] as [(JSONObject, Bool)] {
            let agent = try await ServedAgent(Setup(.simulated("cloud"), settings: settings))
            let maps = try readFile("/proc/\(agent.program.pid)/maps", limit: 16 << 20)
            #expect(String(decoding: maps, as: UTF8.self).contains("libpq.so") == isLoaded)
            _ = try await agent.stop()
        }
    }

    @Test func `a second agent is refused, and one line says why`() async throws {
        let server = try PostgreSQLServer.shared
        let state = try State(on: server)
        let setup = Setup(.simulated("cloud"), settings: state.settings)
        let agent = try await ServedAgent(setup)
        let second = try await Program.run("serve", "--config", agent.config, variables: setup.variables())
        #expect(second.status == 75 && second.err.contains("another process uses it"), "\(second)")
        #expect(second.err.split(separator: "\n").count == 1, "\(second)")
        _ = try await agent.stop()
    }

    @Test func `a state is moved to PostgreSQL and back, and backed up beside the agent`() async throws {
        let server = try PostgreSQLServer.shared
        let state = try State(on: server)
        let file = try await ServedAgent()
        let plan = try await file.planID(.start)
        let old = file.auditLog.replacing("audit.log", with: "state.db")
        let config = "\(state.directory.path)/config.json"
        try EndToEndTests.write(JSON.object(state.settings).text, to: config)
        let early = try await Program.run("store", "copy", old, config)
        #expect(early.status == 1 && early.err.contains("another process uses it"), "\(early)")
        _ = try await file.stop()
        let copy = try await Program.run("store", "copy", old, config)
        #expect(copy.status == 0 && copy.out.contains("every row is that of \(old)"), "\(copy)")
        #expect(copy.out.contains("plans: 1 approved"), "\(copy)")
        let twice = try await Program.run("store", "copy", old, config)
        #expect(twice.status == 1 && twice.err.contains("is not empty"), "\(twice)")

        var settings = state.settings
        settings["audit_log_path"] = .string(file.auditLog)
        let agent = try await ServedAgent(Setup(.simulated("cloud"), settings: settings))
        #expect(try await agent.planState(plan) == "approved")
        let backup = try await Program.run(
            "store", "backup", "--config", agent.config, "\(state.directory.path)/backup.db")
        #expect(backup.status == 0 && backup.out.contains("plans: 1 approved"), "\(backup)")
        _ = try await agent.stop()
        let back = try await Program.run("store", "copy", config, "\(state.directory.path)/back.db")
        #expect(back.status == 0 && back.out.contains("plans: 1 approved"), "\(back)")
        let check = try await Program.run("store", "check", "--state", "\(state.directory.path)/back.db")
        #expect(check.status == 0, "\(check)")
    }
}
