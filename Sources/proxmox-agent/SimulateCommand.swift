import ArgumentParser
import HTTPMessage
import Logging
import MicroHTTPD
import PVESimulator
import ServiceLifecycle
import UnixSignals

/// `proxmox-agent simulate`
struct Simulate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Serve a simulated Proxmox VE for experiments.",
        discussion: """
            Answers the Proxmox VE API under /api2/json as a real node does, with state in memory. The starting state \
            follows from the name alone: home is one node with half a dozen guests, cloud three nodes with some forty.

            With --token-file only the tokens in that file are let in, one USER@REALM!NAME=SECRET a line; without it \
            every well-formed token is.

            GET /sim/executed, beside PVE's own paths and open to all, answers which requests changed something since \
            the start: {"executed": [{method, path, params, caller, upid, at}, …], "counts": {"METHOD /PATTERN": n, …}}.
            """)

    @Option(help: ArgumentHelp("Where to listen.", valueName: "address"))
    var listen = "127.0.0.1:8006"

    @Option(help: ArgumentHelp("Which simulated cluster.", valueName: "name"))
    var name = "home"

    @Option(help: ArgumentHelp("The number of guests, instead of the cluster's own.", valueName: "count"))
    var guests: Int?

    @Option(help: ArgumentHelp("The API tokens to accept.", valueName: "file"), completion: .file())
    var tokenFile: String?

    @Option(help: ArgumentHelp("How long a task takes, in milliseconds.", valueName: "ms"))
    var taskMs = 1000

    func validate() throws {
        if let guests, !(0...100_000).contains(guests) {
            throw ValidationError("--guests takes 0 to 100000, not \(guests)")
        }
        guard (0...3_600_000).contains(taskMs) else {
            throw ValidationError("--task-ms takes 0 to 3600000, not \(taskMs)")
        }
        guard let address = ListenAddress(listen) else {
            throw ValidationError("--listen takes host:port, [v6]:port or unix:/path, not \(listen)")
        }
        guard address.isLoopback else {
            throw ValidationError("--listen takes a loopback address; a simulator is no PVE")
        }
    }

    func run() async throws {
        guard let address = ListenAddress(listen) else { throw ExitCode.failure }
        var options = Simulator.Options(name: name, guests: guests, taskDuration: .milliseconds(taskMs))
        if let tokenFile { options.tokens = .list(try Self.tokens(in: tokenFile)) }
        let server: SimulatorServer
        do throws(ServerError) {
            server = try SimulatorServer(Simulator(options), on: address)
        } catch {
            throw fail("proxmox-agent: \(error)")
        }
        complain("a simulated Proxmox VE \"\(name)\" listens on \(server.address)")
        var group = ServiceGroupConfiguration(
            services: [Simulating(server: server)], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
        group.maximumGracefulShutdownDuration = .seconds(5)
        try await ServiceGroup(configuration: group).run()
    }

    private static func tokens(in file: String) throws -> [Simulator.Token] {
        let bytes: [UInt8]
        do throws(FileError) { bytes = try readFile(file, limit: 1 << 20, isSecret: true) } catch {
            throw fail("\(file): \(error.detail)")
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        return try lines.enumerated().compactMap { index, line in
            guard !line.hasPrefix("#") else { return nil }
            guard let token = Simulator.Token(line: line) else {
                throw fail("\(file): line \(index + 1) is not USER@REALM!NAME=SECRET as a request could present it")
            }
            return token
        }
    }
}

private struct Simulating: Service, CustomStringConvertible {
    let server: SimulatorServer
    var description: String { "simulator" }

    func run() async throws {
        try? await gracefulShutdown()
        await server.shutdown(within: .seconds(2))
    }
}
