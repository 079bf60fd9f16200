import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import MicroHTTPD
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Synchronization
import Testing
import WireTestSupport

/// A freeze amid changes that are about to be sent: after its answer nothing more arrives at PVE.
@Suite(.timeLimit(.minutes(3)))
struct FreezeRaceTests {
    /// A PVE that notes when each request that changes something arrives.
    private final class Arrivals: HTTPHandler {
        private let simulator: Simulator
        private let times = Mutex<[ContinuousClock.Instant]>([])

        init(_ simulator: Simulator) { self.simulator = simulator }

        var all: [ContinuousClock.Instant] { times.withLock { $0 } }

        func respond(to request: Request) async -> Response {
            if request.method != .get { times.withLock { $0.append(.now) } }
            return await simulator.respond(to: request)
        }

        func refuse(_ request: Request, because refusal: Refusal) -> Response {
            simulator.refuse(request, because: refusal)
        }
    }

    @Test func `no change arrives at PVE after the answer, however slowly PVE accepts connections`() async throws {
        let directory = try TemporaryDirectory()
        let authority = try await CertificateAuthority("pve", in: directory.path)
        let identity = try await authority.issue("server", for: .serverAuth)
        let token = Simulator.Token(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"))
        let arrivals = Arrivals(Simulator(.init(name: "cloud", tokens: .list([token]), taskDuration: .zero, seed: 1)))
        var options = SimulatorServer.defaultOptions
        options.tls = try TLSCredentials(
            certificate: Array(try Data(contentsOf: URL(filePath: identity.certificate))),
            key: Array(try Data(contentsOf: URL(filePath: identity.key))))
        let pve = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), options: options, handler: arrivals)
        let door = try SlowDoor(to: pve.address) { .milliseconds($0 * 7 % 40) }
        let environment = Setup.Environment(
            name: "cloud", baseURL: "https://127.0.0.1:\(door.port)",
            settings: ["tls": ["ca_file": .string(authority.certificate)]])
        var late = 0
        var arrived = 0
        try await withAgent(Setup(environment)) { agent in
            for round in 0..<30 {
                let (before, answered) = try await self.round(round, agent, arrivals)
                let after = arrivals.all.dropFirst(before)
                arrived += after.count
                late += after.count { $0 > answered }
            }
        }
        door.stop()
        await pve.shutdown(within: .seconds(1))
        #expect(late == 0, "\(late) of \(arrived) changes arrived after the freeze had been answered")
        #expect(arrived > 0, "the freeze came too early each time")
    }

    /// Three changes and a freeze in their midst: how many changes had arrived before, and when the freeze was answered.
    private func round(
        _ round: Int, _ agent: RunningAgent, _ arrivals: Arrivals
    ) async throws -> (Int, ContinuousClock.Instant) {
        let before = arrivals.all.count
        var plans: [String] = []
        for id in 100...102 {
            plans.append(try await agent.planID(PlanRequest("snapshot_vm", "vm/\(id)", ["snapname": "r\(round)"])))
        }
        let answered = try await withThrowingTaskGroup(of: ContinuousClock.Instant?.self) { group in
            for plan in plans {
                group.addTask {
                    _ = try await agent.apply(plan)
                    return nil
                }
            }
            group.addTask {
                try await ContinuousClock().sleep(for: .milliseconds(40 + round * 11))
                let reply = try await agent.post("/v1/freeze", ["environment": "cloud", "reason": "stop"])
                let answered = ContinuousClock.now
                #expect(reply.status == 200, "\(reply)")
                return answered
            }
            return try await group.reduce(nil) { $0 ?? $1 }
        }
        #expect(try await agent.send(.delete, "/v1/freeze?environment=cloud").status == 200)
        return (before, try #require(answered))
    }
}
