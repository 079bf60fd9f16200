import HTTPMessage
import MicroHTTPD
import PVESimulator
import SimulatorTestSupport
import Synchronization
import Testing

@testable import proxmox_agent

/// The simulated PVEs of a test, each behind a server of its own on 127.0.0.1.
final class Datacenter: Sendable {
    /// By environment.
    let worlds: [String: Simulator]
    private let servers: Mutex<[String: HTTPServer]>

    init(_ setup: Setup) throws {
        var worlds: [String: Simulator] = [:]
        var servers: [String: HTTPServer] = [:]
        for environment in setup.environments {
            guard let name = environment.world else { continue }
            let token = Simulator.Token(
                id: "agent@pve!\(environment.name)", secret: Setup.secret(of: environment.name))
            let simulator = Simulator(
                .init(
                    name: name, guests: environment.guests, tokens: .list([token]), taskDuration: setup.taskDuration,
                    seed: 1))
            worlds[environment.name] = simulator
            servers[environment.name] = try HTTPServer(
                listening: .tcp(host: "127.0.0.1", port: 0), options: SimulatorServer.defaultOptions, handler: simulator
            )
        }
        self.worlds = worlds
        self.servers = Mutex(servers)
    }

    /// Where each PVE listens, by environment.
    var addresses: [String: String] { servers.withLock { $0.mapValues { "\($0.address)" } } }

    /// Takes a PVE off the network: its port refuses connections.
    func unplug(_ environment: String) async throws {
        let server = try #require(servers.withLock { $0[environment] })
        await server.shutdown(within: .zero)
    }

    /// Puts it back, at the same address and as it was.
    func plug(_ environment: String) throws {
        let simulator = try #require(worlds[environment])
        let address = try #require(servers.withLock { $0[environment]?.address })
        let server = try HTTPServer(listening: address, options: SimulatorServer.defaultOptions, handler: simulator)
        servers.withLock { $0[environment] = server }
    }

    /// No more faults, and no task that waits.
    func calm() {
        for world in worlds.values {
            world.clearFaults()
            world.releaseTasks()
        }
    }

    func stop() async {
        for server in servers.withLock({ Array($0.values) }) { await server.shutdown(within: .milliseconds(100)) }
    }
}
