import AgentAudit
import AgentService
import AgentStorage
import AgentTestSupport
import CurlHTTP
import FoundationEssentials
import HTTPMessage
import Logging
import MicroHTTPD
import StrictJSON
import Synchronization
import Testing

@testable import proxmox_agent

/// A whole agent in this process, with its PVEs, its audit log in a file, and a client that asks over real sockets.
final class RunningAgent: AgentUnderTest {
    let agent: Agent
    let datacenter: Datacenter
    let auditLog: String
    let log = LogCapture()
    let clock: MovableClock
    private let directory: TemporaryDirectory
    private let client: Client

    init(_ setup: Setup, clock: MovableClock = MovableClock()) async throws {
        self.clock = clock
        directory = try TemporaryDirectory()
        auditLog = "\(directory.path)/audit.log"
        datacenter = try Datacenter(setup)
        let document = setup.document(auditLog: auditLog, addresses: datacenter.addresses)
        let config = try AgentConfig(bytes: document.bytes, variables: setup.variables())
        agent = try await Agent(
            config, log: Logger(label: "test") { [log] _ in log.handler }, now: { clock.now })
        client = try Client(of: agent.server.address)
    }

    var address: ListenAddress { agent.server.address }

    func send(_ request: OutgoingRequest) async throws -> Reply { try await client.send(request) }

    /// Looks at every environment, as the daemon does by itself every half minute.
    func probe() async { await agent.probe() }

    /// Opens the audit log anew, as SIGHUP does.
    func reopenAuditLog() async { await agent.reopen() }

    /// Begins to stop, as far as changes are concerned; still answers.
    func drain() async { await agent.service.drain(within: .seconds(1)) }

    /// Lets the PVEs' tasks end, then stops everything. The directory goes with this value.
    func stop() async {
        datacenter.calm()
        await client.stop()
        await agent.shutdown(within: .seconds(5))
        await datacenter.stop()
    }
}

/// Runs `body` with an agent, stops it, and verifies that its audit log is whole.
func withAgent(_ setup: Setup = Setup(), _ body: (RunningAgent) async throws -> Void) async throws {
    try await Slots.shared.withSlot {
        let agent = try await RunningAgent(setup)
        do { try await body(agent) } catch {
            await agent.stop()
            throw error
        }
        await agent.stop()
        let summary = try AuditVerifier.verify(files: [agent.auditLog])
        #expect(summary.head == agent.agent.audit.head)
    }
}

/// What a test waited for in vain.
struct Missed: Error {
    let what: String
}

/// A clock that tests push forward.
final class MovableClock: Sendable {
    private let ahead = Mutex(0.0)

    var now: Date { Date().addingTimeInterval(ahead.withLock { $0 }) }

    func advance(seconds: Double) { ahead.withLock { $0 += seconds } }
}
