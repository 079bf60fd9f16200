import AgentStorage
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
    /// What takes over when the server is gone, if there is one: the agents know both addresses then, and no cutter.
    let standby: PostgreSQLServer?
    let database: String
    private let environments: [String]
    /// What agents in this process reach the state at.
    private let address: String
    let datacenter: Datacenter
    /// What each agent reaches the server through, by its name, unless that is a link of its own.
    let cutters: [String: CommitCutter]
    private let network: ServerNetwork?
    let agents: [CrashableAgent]
    let names: [String]
    private let directory: TemporaryDirectory

    /// `change` changes the settings of each agent. With `isApart` the server has a network of its own.
    init(
        _ names: [String] = ["anna", "bert"], environments: [String] = ["cloud"],
        taskDuration: Duration = .milliseconds(20), guests: Int? = nil, hasStandby: Bool = false,
        isApart: Bool = false,
        _ change: (String, inout Setup) -> Void = { _, _ in }
    ) throws {
        self.names = names
        self.environments = environments
        let network = isApart ? try ServerNetwork(links: names.count) : nil
        self.network = network
        let server = try PostgreSQLServer(in: network)
        self.server = server
        standby = hasStandby ? try PostgreSQLServer(standbyOf: server) : nil
        let database = try server.makeDatabase()
        self.database = database
        directory = try TemporaryDirectory()
        try write(PostgreSQLServer.password + "\n", to: "\(directory.path)/password")
        // Of two servers the one that takes changes.
        let both = standby.map {
            server.address(
                database, at: "127.0.0.1:\(server.port),127.0.0.1", port: $0.port, "?target_session_attrs=read-write")
        }
        address = both ?? (isApart ? server.address(database) : server.address(database, at: "127.0.0.1"))
        var world = Setup()
        world.environments = environments.map { .simulated($0, guests: guests) }
        world.taskDuration = taskDuration
        let datacenter = try Datacenter(world)
        self.datacenter = datacenter
        var cutters: [String: CommitCutter] = [:]
        var agents: [CrashableAgent] = []
        for (number, name) in names.enumerated() {
            let state: String
            if let network {
                state = server.address(database, at: network.host(number), "?sslrootcert=\(server.authority)")
            } else {
                let cutter = try CommitCutter(to: server.port)
                cutters[name] = cutter
                state = both ?? server.address(database, at: "127.0.0.1", port: cutter.port)
            }
            var setup = Self.setup(name, environments, datacenter, state, directory.path)
            change(name, &setup)
            agents.append(try CrashableAgent(setup))
        }
        (self.cutters, self.agents) = (cutters, agents)
    }

    private static func setup(
        _ name: String, _ environments: [String], _ datacenter: Datacenter, _ address: String,
        _ directory: String
    ) -> Setup {
        var setup = Setup()
        setup.environments = environments.map { environment in
            Setup.Environment(name: environment, baseURL: "http://\(datacenter.addresses[environment] ?? "")")
        }
        setup.settings = [
            "accept_declared_approvals": true, "agent_name": .string(name), "state_url": .string(address),
            "state_password_file": .string("\(directory)/password"),
            "state_key_path": .string("\(directory)/state.key"),
        ]
        return setup
    }

    /// The settings of one more agent, in this process.
    func setup(of name: String) -> Setup { Self.setup(name, environments, datacenter, address, directory.path) }

    /// The state, for an agent of that name in this process.
    func place(of name: String) throws -> PostgreSQLPlace {
        let address = try PostgreSQLAddress(parsing: server.address(database))
        var place = PostgreSQLPlace(address, key: "\(directory.path)/state.key")
        place.agent = name
        return place
    }

    func agent(_ name: String) throws -> CrashableAgent { agents[try #require(names.firstIndex(of: name))] }

    /// Starts all; `dying` says at which point an agent kills or stops itself.
    func start(dying: [String: String] = [:]) async throws {
        for (name, agent) in zip(names, agents) { try await agent.start(dying: dying[name]) }
    }

    /// The environments of each agent, as `name` says.
    func overview(by name: String) async throws -> [String: [String]] { try await overview(by: try agent(name)) }

    private func overview(by agent: some AgentUnderTest) async throws -> [String: [String]] {
        let reply = try await agent.get("/v1/agents")
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
        try await settle(by: try agent(name), within: limit, isRight)
    }

    @discardableResult
    func settle(
        by agent: some AgentUnderTest, within limit: Duration = .seconds(40), _ isRight: ([String: [String]]) -> Bool
    ) async throws -> [String: [String]] {
        let deadline = ContinuousClock.now + limit
        var last: [String: [String]] = [:]
        while ContinuousClock.now < deadline {
            if let found = try? await overview(by: agent) {
                last = found
                if isRight(found) { return found }
            }
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        throw Missed(what: "the right leaders; there are \(last)")
    }

    /// Loses what the agent and the database say to each other, until it is told to stop that.
    func cut(_ name: String, _ isCut: Bool) throws {
        try network?.cut(try #require(names.firstIndex(of: name)), isCut)
        cutters[name]?.hold(isCut)
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
