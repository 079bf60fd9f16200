import AgentTestSupport
import CurlHTTP
import FoundationEssentials
import Glibc
import HTTPMessage
import StrictJSON
import Testing

/// An agent as a process of its own: `proxmox-agent --config FILE`. Its PVEs are in this process.
final class ServedAgent: AgentUnderTest {
    let datacenter: Datacenter
    let auditLog: String
    let program: Program
    let address: ListenAddress
    /// The configuration file.
    let config: String
    private let directory: TemporaryDirectory
    private let client: Client

    init(_ setup: Setup = Setup()) async throws {
        directory = try TemporaryDirectory()
        auditLog = "\(directory.path)/audit.log"
        config = "\(directory.path)/config.json"
        datacenter = try Datacenter(setup)
        try EndToEndTests.write(
            setup.document(auditLog: auditLog, addresses: datacenter.addresses).text, to: config)
        program = try Program(["--config", config], variables: setup.variables())
        // As text or as JSON.
        let line = try await program.line { $0.contains("listening") }
        let words = line.split { !"0123456789.:".contains($0) }
        let word = try #require(words.first { $0.hasPrefix("127.0.0.1:") })
        address = try #require(ListenAddress(String(word)))
        client = try Client(of: address)
    }

    func send(_ request: OutgoingRequest) async throws -> Reply { try await client.send(request) }

    /// Writes the configuration anew.
    func write(_ setup: Setup) throws {
        try EndToEndTests.write(setup.document(auditLog: auditLog, addresses: datacenter.addresses).text, to: config)
    }

    /// Writes the configuration anew and tells it to read it; returns once a line of its log says `word`.
    func reload(_ setup: Setup, until word: String) async throws {
        try write(setup)
        program.signal(SIGHUP)
        _ = try await program.line { $0.contains(word) }
    }

    /// Tells it to stop and waits for its end.
    func stop(_ signal: Int32 = SIGTERM) async throws -> Program.Result {
        datacenter.calm()
        await client.stop()
        program.signal(signal)
        let result = try await program.end()
        await datacenter.stop()
        return result
    }
}

/// Writes a file of mode 0600.
func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try #require(descriptor >= 0, "\(path): \(String(cString: strerror(errno)))")
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
}
