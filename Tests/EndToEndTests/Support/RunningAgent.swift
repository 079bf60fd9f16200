import AgentAPI
import AgentAudit
import AgentStorage
import AgentTestSupport
import CurlHTTP
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Logging
import MicroHTTPD
import PVESimulator
import StrictJSON
import Synchronization
import Testing
import WireTestSupport

@testable import proxmox_agent

/// A whole agent in this process, with its PVEs, its audit log in a file, and a client that asks over real sockets.
final class RunningAgent: Sendable {
    let agent: Agent
    let log: LogCapture
    let clock: MovableClock
    let auditLog: String
    private let worlds: [String: Simulator]
    private let servers: Mutex<[String: HTTPServer]>
    private let directory: TemporaryDirectory
    private let loop: CurlLoop
    private let client: CurlTransport

    init(_ setup: Setup) throws {
        directory = try TemporaryDirectory(in: setup.parent)
        auditLog = "\(directory.path)/audit.log"
        var worlds: [String: Simulator] = [:]
        var servers: [String: HTTPServer] = [:]
        var addresses: [String: String] = [:]
        for environment in setup.environments {
            guard let name = environment.world else { continue }
            let simulator = Simulator(
                .init(
                    name: name, guests: environment.guests,
                    tokens: .list([
                        .init(id: "agent@pve!\(environment.name)", secret: Setup.secret(of: environment.name))
                    ]), taskDuration: setup.taskDuration, seed: 1))
            let server = try HTTPServer(
                listening: .tcp(host: "127.0.0.1", port: 0), options: SimulatorServer.defaultOptions, handler: simulator
            )
            worlds[environment.name] = simulator
            servers[environment.name] = server
            addresses[environment.name] = "\(server.address)"
        }
        self.worlds = worlds
        self.servers = Mutex(servers)
        let document = setup.document(auditLog: auditLog, addresses: addresses)
        let config = try AgentConfig(bytes: document.bytes, variables: setup.variables())
        let log = LogCapture()
        self.log = log
        let clock = MovableClock()
        self.clock = clock
        agent = try Agent(config, log: Logger(label: "test") { _ in log.handler }, now: { clock.now })
        loop = try CurlLoop()
        client = CurlTransport(
            CurlConfiguration(
                origin: try HTTPOrigin(parsing: "http://\(agent.server.address)"), timeout: .seconds(30),
                maximumConnections: 64), loop: loop)
    }

    var address: ListenAddress { agent.server.address }

    /// The PVE behind an environment.
    func pve(_ environment: String = "cloud") throws -> Simulator { try #require(worlds[environment]) }

    /// Looks at every environment, as the daemon does by itself every half minute.
    func probe() async { await agent.probe() }

    /// Requests to PVE that changed something, in all environments.
    var executed: [Execution] { worlds.values.flatMap(\.executed) }

    /// Lets the PVEs' tasks end, then stops everything. The directory goes with this value.
    func stop() async {
        for world in worlds.values {
            world.clearFaults()
            world.releaseTasks()
        }
        await client.shutdown()
        await loop.stop()
        await agent.shutdown(within: .seconds(5))
        for server in servers.withLock({ Array($0.values) }) { await server.shutdown(within: .milliseconds(100)) }
    }

    /// Takes the PVE off the network: its port refuses connections.
    func unplug(_ environment: String = "cloud") async throws {
        let server = try #require(servers.withLock { $0[environment] })
        await server.shutdown(within: .zero)
    }

    /// Puts it back, at the same address and as it was.
    func plug(_ environment: String = "cloud") throws {
        let simulator = try pve(environment)
        let address = try #require(servers.withLock { $0[environment]?.address })
        let server = try HTTPServer(listening: address, options: SimulatorServer.defaultOptions, handler: simulator)
        servers.withLock { $0[environment] = server }
    }

    // MARK: Asking

    /// Sends a request; `actor` goes into `X-Actor-ID`, `token` into `Authorization`.
    func send(
        _ method: HTTPRequest.Method, _ target: String, body: [UInt8]? = nil, as actor: String? = "pi-agent",
        token: String? = Setup.token, fields: HTTPFields = [:], timeout: Duration = .seconds(20)
    ) async throws -> Reply {
        var all = fields
        if let actor, all[.actorID] == nil { all[.actorID] = actor }
        if let token, all[.authorization] == nil { all[.authorization] = "Bearer \(token)" }
        if body != nil, all[.contentType] == nil { all[.contentType] = "application/json" }
        return Reply(
            try await client.send(
                OutgoingRequest(
                    method: method, target: target, fields: all, body: body, once: method != .get, timeout: timeout)))
    }

    func get(_ target: String, as actor: String? = "pi-agent") async throws -> Reply {
        try await send(.get, target, as: actor)
    }

    func post(_ target: String, _ body: JSON, as actor: String? = "pi-agent", wait: Int? = nil) async throws -> Reply {
        let prefer = wait.map { HTTPFields([HTTPField(name: .preferWait, value: "wait=\($0)")]) }
        return try await send(.post, target, body: body.bytes, as: actor, fields: prefer ?? [:])
    }

    func plan(_ wish: Wish, as actor: String? = "pi-agent") async throws -> Reply {
        try await post("/v1/actions/plan", wish.json, as: actor)
    }

    /// Plans and gives the plan's id; the plan must be made.
    func planID(_ wish: Wish, as actor: String? = "pi-agent") async throws -> String {
        let reply = try await plan(wish, as: actor)
        #expect(reply.status == 200, "\(reply)")
        return try #require(reply["plan_id"]?.string, "\(reply)")
    }

    /// Applies a plan by its id and waits for the end.
    func apply(
        _ plan: String, approvedBy: String? = nil, as actor: String? = "pi-agent", wait: Int? = 15
    ) async throws -> Reply {
        try await post(
            "/v1/actions/apply", ["plan_id": .string(plan), "approved_by": approvedBy.map { .string($0) }], as: actor,
            wait: wait)
    }

    /// The operation that an answer tells of, once it has ended.
    func end(of reply: Reply) async throws -> JSON {
        let id = try #require((reply["operation"]?["operation_id"] ?? reply["operation_id"])?.string, "\(reply)")
        let operation = try await get("/v1/operations/\(id)?wait=20")
        #expect(operation["ended_at"] != nil, "\(operation)")
        return operation.json
    }

    func planState(_ id: String) async throws -> String? { try await get("/v1/plans/\(id)")["state"]?.string }

    // MARK: The audit log

    /// All records so far, the writer's own left out.
    func records() throws -> [JSON] {
        try readFile(auditLog, limit: 64 << 20).split(separator: UInt8(ascii: "\n")).map { try JSON.parse($0) }
            .filter { $0["kind"] != "log" }
    }

    /// What kinds of records there are of a plan, in order.
    func kinds(of plan: String) throws -> [String] {
        try records().filter { $0["plan_id"]?.string == plan }.compactMap { $0["kind"]?.string }
    }
}

/// Runs `body` with an agent, stops it, and verifies that its audit log is whole.
func withAgent(_ setup: Setup = Setup(), _ body: (RunningAgent) async throws -> Void) async throws {
    let agent = try RunningAgent(setup)
    do { try await body(agent) } catch {
        await agent.stop()
        throw error
    }
    await agent.stop()
    let summary = try AuditVerifier.verify(files: [agent.auditLog])
    #expect(summary.head == agent.agent.audit.head)
}

/// A clock that tests push forward.
final class MovableClock: Sendable {
    private let ahead = Mutex(0.0)

    var now: Date { Date().addingTimeInterval(ahead.withLock { $0 }) }

    func advance(seconds: Double) { ahead.withLock { $0 += seconds } }
}
