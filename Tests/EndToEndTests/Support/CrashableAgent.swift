import AgentAudit
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import StrictJSON
import Synchronization
import Testing

@testable import proxmox_agent

/// An agent as a process that dies and is started again on what it left behind. Its PVEs live on in this process.
final class CrashableAgent: AgentUnderTest {
    let datacenter: Datacenter
    let auditLog: String
    let directory: TemporaryDirectory
    let config: String
    private let variables: [String: String]
    private let document: JSON
    private let life = Mutex<(program: Program, client: Client)?>(nil)
    private let place = Mutex<ListenAddress?>(nil)

    init(_ setup: Setup = Setup()) throws {
        directory = try TemporaryDirectory()
        auditLog = "\(directory.path)/audit.log"
        config = "\(directory.path)/config.json"
        datacenter = try Datacenter(setup)
        variables = setup.variables()
        document = setup.document(auditLog: auditLog, addresses: datacenter.addresses)
        try write(document.text, to: config)
    }

    /// Starts it; `dying` names the point at which it kills itself.
    func start(dying at: String? = nil) async throws {
        var variables = variables
        variables["PROXMOX_AGENT_CRASH_AT"] = at
        let program = try Program(["--config", config], variables: variables)
        let line = try await program.line { $0.contains("listening") }
        let word = try #require(line.split { !"0123456789.:".contains($0) }.first { $0.hasPrefix("127.0.0.1:") })
        let address = try #require(ListenAddress(String(word)))
        let client = try Client(of: address)
        place.withLock { $0 = address }
        life.withLock { $0 = (program, client) }
    }

    /// Where it listens, or did.
    var address: ListenAddress? { place.withLock { $0 } }

    /// Changes its configuration, for the next start.
    func configure(_ change: (inout JSONObject) -> Void) throws {
        var changed = try #require(document.object)
        change(&changed)
        try write(JSON.object(changed).text, to: config)
    }

    /// Kills it (SIGKILL), unless it has died by itself, and waits until it is gone.
    func die(bySelf: Bool = false) async throws {
        guard let (program, client) = life.withLock({ $0 }) else { return }
        if !bySelf { program.signal(SIGKILL) }
        let end = try await program.end(within: 30)
        await client.stop()
        life.withLock { $0 = nil }
        #expect(end.status == -SIGKILL, "\(end)")
    }

    /// Waits until it has stopped (SIGSTOP) at the point that it was told to.
    func waitUntilStopped() throws {
        let pid = try #require(life.withLock { $0?.program.pid })
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            let fields = String(decoding: try readFile("/proc/\(pid)/stat", limit: 4096), as: UTF8.self)
            if fields.split(separator: ")").last?.split(separator: " ").first == "T" { return }
        }
        throw Missed(what: "that it stops")
    }

    /// Lets it go on after that.
    func proceed() throws { try #require(life.withLock { $0?.program }).signal(SIGCONT) }

    /// Stops it at once.
    func pause() throws { try #require(life.withLock { $0?.program }).signal(SIGSTOP) }

    /// What kinds of records of a plan are void.
    func voids(of plan: String) throws -> [String] {
        try void().filter { $0["plan_id"]?.string == plan }.compactMap { $0["kind"]?.string }
    }

    private func void() throws -> [JSON] {
        let records = try lines()
        let numbers = Set(records.filter { $0["kind"] == "void" }.compactMap { $0["result"]?["voids"]?.integer })
        return records.filter { numbers.contains($0["seq"]?.integer ?? -1) }
    }

    /// The plans of the recorded outcomes that count, those left out of what was never sent.
    func outcomes() throws -> [String] {
        let void = Set(try void().compactMap { $0["seq"]?.integer })
        return try lines().filter {
            $0["kind"] == "apply" && $0["result"]?["code"] != "not_executed" && !void.contains($0["seq"]?.integer ?? -1)
        }.compactMap { $0["plan_id"]?.string }
    }

    /// The file that its state is in.
    var state: String { "\(directory.path)/state.db" }

    /// Why it does not start.
    func refusal() async throws -> String {
        let result = try await Program(["--config", config], variables: variables).end()
        #expect(result.status == 1, "\(result)")
        return result.err
    }

    /// Sends SIGHUP and waits until the log was opened anew.
    func hangUp() async throws {
        guard let (program, _) = life.withLock({ $0 }) else { return }
        program.signal(SIGHUP)
        _ = try await program.line { $0.contains("opened anew") }
    }

    /// Tells it to stop (SIGTERM) and waits for its end; it can be started again.
    func halt() async throws {
        guard let (program, client) = life.withLock({ $0 }) else { return }
        await client.stop()
        program.signal(SIGTERM)
        life.withLock { $0 = nil }
        #expect(try await program.end().status == 0)
    }

    func send(_ request: OutgoingRequest) async throws -> Reply {
        guard let client = life.withLock({ $0?.client }) else { throw Missed(what: "the agent: it is not there") }
        return try await client.send(request)
    }

    /// Waits until no operation is under way any more, and gives all plans by their ids.
    func settled() async throws -> [String: JSON] {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            var busy = try await get("/v1/operations?state=running&limit=500")["operations"]?.array ?? []
            busy += try await get("/v1/operations?state=queued&limit=500")["operations"]?.array ?? []
            guard let first = busy.first?["operation_id"]?.string else { return try await plans() }
            _ = try await get("/v1/operations/\(first)?wait=10")
        }
        throw Missed(what: "the end of all operations")
    }

    private func plans() async throws -> [String: JSON] {
        var all: [String: JSON] = [:]
        var before = ""
        while true {
            let page = try await get("/v1/plans?limit=500\(before)")
            for plan in page["plans"]?.array ?? [] { all[plan["plan_id"]?.string ?? ""] = plan }
            guard let next = page["next"]?.string else { return all }
            before = "&before=\(next)"
        }
    }

    /// Ends everything and verifies the audit log.
    func stop() async throws {
        datacenter.calm()
        if let (program, client) = life.withLock({ $0 }) {
            await client.stop()
            program.signal(SIGTERM)
            _ = try await program.end()
        }
        await datacenter.stop()
        _ = try AuditVerifier.verify(files: [auditLog])
    }
}
