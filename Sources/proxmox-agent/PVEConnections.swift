import AgentModel
import AgentService
import CurlHTTP
import HTTPMessage
import Logging
import MicroHTTPD
import PVEPlanning
import PVESimulator
import ProxmoxVE

/// The connections to all environments, and the simulators that replace some of them.
final class PVEConnections: Sendable {
    let managedEnvironments: [ManagedEnvironment]
    private let loop: CurlLoop
    private let transports: [CurlTransport]
    private let simulators: [SimulatorServer]

    init(_ config: AgentConfig, countedBy figures: AgentFigures? = nil, log: Logger) throws(StartError) {
        do { loop = try CurlLoop() } catch { throw StartError("libcurl: \(error)") }
        var managedEnvironments: [ManagedEnvironment] = []
        var transports: [CurlTransport] = []
        var simulators: [SimulatorServer] = []
        for (number, environment) in config.environments.enumerated() {
            var curl: CurlConfiguration
            switch environment.endpoint {
            case .remote(let origin, let trust): curl = CurlConfiguration(origin: origin, trust: trust)
            case .simulator(let name):
                let server = try Self.simulator(name, log)
                simulators.append(server)
                do { curl = CurlConfiguration(origin: try HTTPOrigin(parsing: server.baseURL)) } catch {
                    throw StartError("simulator \(name) listens at \(server.address), which is no origin")
                }
            }
            curl.timeout = environment.timeout
            curl.connectTimeout = min(curl.connectTimeout, environment.timeout)
            curl.userAgent = "proxmox-agent/\(Version.text)"
            let transport = CurlTransport(curl, loop: loop)
            transports.append(transport)
            // All together leave a caller's share room for others, as long as there are few environments.
            let maxWaiting = max(4, min(64, 96 / config.environments.count))
            let counted = figures.map { MeteredTransport(transport, $0, environment: number) }
            managedEnvironments.append(try Self.managed(environment, counted ?? transport, maxWaiting))
        }
        self.managedEnvironments = managedEnvironments
        self.transports = transports
        self.simulators = simulators
    }

    private static func simulator(_ name: String, _ log: Logger) throws(StartError) -> SimulatorServer {
        do throws(ServerError) {
            let server = try SimulatorServer(Simulator(Simulator.Options(name: name)))
            log.info("simulator started", metadata: ["name": "\(name)", "address": "\(server.address)"])
            return server
        } catch {
            throw StartError("simulator \(name): \(error)")
        }
    }

    private static func managed(
        _ environment: AgentConfig.Environment, _ transport: any HTTPTransport, _ maxWaiting: Int
    ) throws(StartError) -> ManagedEnvironment {
        let name = environment.settings.name
        do throws(PVEToken.Invalid) {
            let token = try PVEToken(id: environment.settings.tokenID, secret: environment.secret)
            let client = PVEClient(transport: transport, token: token, timeout: environment.timeout)
            let hypervisor = ProxmoxHypervisor(client: client, environment: name)
            return ManagedEnvironment(
                settings: environment.settings, hypervisor: hypervisor,
                planning: PVEPlanner(settings: environment.settings, hypervisor: hypervisor), maxWaiting: maxWaiting)
        } catch {
            throw StartError("environment \(name): the token cannot stand in a header")
        }
    }

    /// Cancels what still runs and stops the simulators.
    func shutdown(within limit: Duration) async {
        for transport in transports { await transport.shutdown() }
        for simulator in simulators { await simulator.shutdown(within: min(limit, .seconds(1))) }
    }
}
