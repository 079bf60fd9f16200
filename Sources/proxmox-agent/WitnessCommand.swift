import ArgumentParser
import HTTPMessage
import Logging
import MicroHTTPD
import ServiceLifecycle
import SystemPackage
import TransparencyLog
import UnixSignals

/// `proxmox-agent witness`
struct WitnessCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "witness", abstract: "Witness the audit logs of agents on other machines.",
        discussion: """
            Signs each checkpoint of the logs it is told of, after checking that it continues the one before \
            (c2sp.org/tlog-witness: POST /add-checkpoint). Run it on a machine that the agent's administrators do not \
            rule: then a log that was changed shows, even if its own key was used for that.

            --log takes what proxmox-agent audit key prints on the agent's machine. The line that this command prints \
            at its start is its own key, for audit_witnesses[].key of the agent. The directory has the key and the \
            newest checkpoint of each log; without its memory a witness is none, so keep it.
            """)

    @Option(help: ArgumentHelp("Where to listen.", valueName: "address"))
    var listen = "127.0.0.1:8090"

    @Option(name: .customLong("log"), help: ArgumentHelp("The key of a log to witness; repeatable.", valueName: "key"))
    var logs: [String] = []

    @Option(
        name: .customLong("state"), help: ArgumentHelp("The directory of its key and memory.", valueName: "dir"),
        completion: .directory)
    var directory: String

    @Option(help: ArgumentHelp("Its name, for a new key; witness/HOSTNAME.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("Serve TLS with this certificate chain, PEM.", valueName: "file"), completion: .file())
    var certFile: String?

    @Option(help: ArgumentHelp("Its key, PEM.", valueName: "file"), completion: .file())
    var keyFile: String?

    func validate() throws {
        guard ListenAddress(listen) != nil else {
            throw ValidationError("--listen takes host:port, [v6]:port or unix:/path, not \(listen)")
        }
        guard !logs.isEmpty else { throw ValidationError("--log KEY is needed: proxmox-agent audit key prints it") }
        for log in logs where VerifierKey(log)?.use != .log {
            throw ValidationError("--log takes the line that proxmox-agent audit key prints, not \(log)")
        }
        guard Set(logs.compactMap { VerifierKey($0)?.name }).count == logs.count else {
            throw ValidationError("two --log have the same name; give each once")
        }
        guard (certFile == nil) == (keyFile == nil) else {
            throw ValidationError("give --cert-file and --key-file together, or neither")
        }
    }

    func run() async throws {
        guard let address = ListenAddress(listen) else { throw ExitCode.failure }
        let store: WitnessStore
        do throws(WitnessStore.Failure) {
            store = try WitnessStore(
                directory, logs: logs.compactMap { VerifierKey($0) }, name: name,
                host: "witness/\(AgentConfig.hostName)")
        } catch {
            throw fail("proxmox-agent: \(error)")
        }
        var options = HTTPServer.Options()
        options.maxBodyBytes = AddCheckpoint.maximumBytes
        options.tls = try credentials()
        let server: HTTPServer
        do throws(ServerError) {
            let handler = WitnessHandler(store, told: { complain("proxmox-agent witness: \(quoted($0))") })
            server = try HTTPServer(listening: address, options: options, handler: handler)
        } catch {
            throw fail("proxmox-agent: \(error)")
        }
        complain("a witness of \(logs.count) log\(logs.count == 1 ? "" : "s") listens on \(server.address)")
        write(Array("\(store.signingKey.verifier)\n".utf8), to: .standardOutput)
        var group = ServiceGroupConfiguration(
            services: [Witnessing(server: server)], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
        group.maximumGracefulShutdownDuration = .seconds(5)
        try await ServiceGroup(configuration: group).run()
    }

    private func credentials() throws(ExitCode) -> TLSCredentials? {
        guard let certFile, let keyFile else { return nil }
        let certificate: [UInt8]
        let key: [UInt8]
        do throws(FileError) { certificate = try readFile(certFile, limit: 1 << 20) } catch {
            throw fail("\(certFile): \(error.detail)")
        }
        do throws(FileError) { key = try readFile(keyFile, limit: 1 << 20, isSecret: true) } catch {
            throw fail("\(keyFile): \(error.detail)")
        }
        do throws(TLSError) { return try TLSCredentials(certificate: certificate, key: key) } catch {
            throw fail("\(certFile), \(keyFile): cannot be used for TLS: \(error)")
        }
    }
}

private struct Witnessing: Service, CustomStringConvertible {
    let server: HTTPServer
    var description: String { "witness" }

    func run() async throws {
        try? await gracefulShutdown()
        await server.shutdown(within: .seconds(2))
    }
}
