import AgentTestSupport
import FoundationEssentials
import Glibc
import PVESimulator
import PostgreSQLTestSupport
import SimulatorTestSupport
import StrictJSON
import Testing

/// Several agents on one state in PostgreSQL, each a process of its own with an audit log of its own. Their PVEs are in
/// this process.
final class AgentCluster: Sendable {
    let server: PostgreSQLServer
    let datacenter: Datacenter
    /// What each agent reaches the server through, by its name.
    let cutters: [String: CommitCutter]
    let agents: [CrashableAgent]
    let names: [String]
    private let directory: TemporaryDirectory

    /// `change` changes the settings of each agent.
    init(
        _ names: [String] = ["anna", "bert"], environments: [String] = ["cloud"],
        taskDuration: Duration = .milliseconds(20), guests: Int? = nil,
        _ change: (String, inout Setup) -> Void = { _, _ in }
    ) throws {
        self.names = names
        server = try PostgreSQLServer()
        let database = try server.makeDatabase()
        directory = try TemporaryDirectory()
        let password = "\(directory.path)/password"
        try write(PostgreSQLServer.password + "\n", to: password)
        var world = Setup()
        world.environments = environments.map { .simulated($0, guests: guests) }
        world.taskDuration = taskDuration
        let datacenter = try Datacenter(world)
        self.datacenter = datacenter
        var cutters: [String: CommitCutter] = [:]
        var agents: [CrashableAgent] = []
        for name in names {
            let cutter = try CommitCutter(to: server.port)
            cutters[name] = cutter
            var setup = Setup()
            setup.environments = environments.map { environment in
                Setup.Environment(name: environment, baseURL: "http://\(datacenter.addresses[environment] ?? "")")
            }
            setup.settings = [
                "accept_declared_approvals": true, "agent_name": .string(name),
                "state_url": .string(server.address(database, at: "127.0.0.1", port: cutter.port)),
                "state_password_file": .string(password), "state_key_path": .string("\(directory.path)/state.key"),
            ]
            change(name, &setup)
            agents.append(try CrashableAgent(setup))
        }
        (self.cutters, self.agents) = (cutters, agents)
    }

    func agent(_ name: String) throws -> CrashableAgent { agents[try #require(names.firstIndex(of: name))] }

    /// Starts all; `dying` says at which point an agent kills or stops itself.
    func start(dying: [String: String] = [:]) async throws {
        for (name, agent) in zip(names, agents) { try await agent.start(dying: dying[name]) }
    }

    /// The environments of each agent, as `name` says.
    func overview(by name: String) async throws -> [String: [String]] {
        let reply = try await agent(name).get("/v1/agents")
        #expect(reply.status == 200, "\(reply)")
        return (reply["agents"]?.array ?? []).reduce(into: [:]) { all, row in
            all[row["name"]?.string ?? ""] = (row["environments"]?.array ?? []).compactMap(\.string)
        }
    }

    /// Waits until `name` says that the agents lead as `isRight` wants, and returns who does where.
    @discardableResult
    func settle(
        by name: String, within limit: Duration = .seconds(40), _ isRight: ([String: [String]]) -> Bool
    ) async throws -> [String: [String]] {
        let deadline = ContinuousClock.now + limit
        var last: [String: [String]] = [:]
        while ContinuousClock.now < deadline {
            if let found = try? await overview(by: name) {
                last = found
                if isRight(found) { return found }
            }
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        throw Missed(what: "the right leaders; there are \(last)")
    }

    /// The agent that leads in the environment.
    func leader(of environment: String = "cloud", by name: String) async throws -> String {
        let all = try await settle(by: name) { $0.values.contains { $0.contains(environment) } }
        return try #require(all.first { $0.value.contains(environment) }?.key)
    }

    /// All requests to PVE that changed something.
    var executed: [Execution] { datacenter.worlds.values.flatMap(\.executed) }

    /// Ends all, and verifies their audit logs.
    func stop() async throws {
        datacenter.calm()
        for agent in agents { try await agent.stop() }
        await datacenter.stop()
        for cutter in cutters.values { cutter.close() }
    }
}
