import AgentModel
import AgentTestSupport
import FoundationEssentials
import Glibc
import Logging
import StrictJSON
import Testing

@testable import proxmox_agent

/// What a start that fails leaves behind.
@Suite(.timeLimit(.minutes(1)))
struct StartTests {
    private func start(_ config: AgentConfig) async throws -> Agent {
        try await Agent(config, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test(arguments: [true, false])
    func `an environment that cannot be set up leaves the audit log as it was`(isNew: Bool) async throws {
        let directory = try TemporaryDirectory()
        let setup = Setup(.elsewhere("cloud", at: 9))
        let log = "\(directory.path)/audit.log"
        let document = setup.document(auditLog: log, addresses: [:])
        let good = try AgentConfig(bytes: document.bytes, variables: setup.variables())
        if !isNew { await (try await start(good)).shutdown(within: .seconds(1)) }
        let before = isNew ? [] : try readFile(log, limit: 1 << 20)
        var bad = good
        let environment = try #require(good.environments.first)
        // What only the way to the environment finds out.
        bad.environments = [
            AgentConfig.Environment(
                settings: environment.settings, endpoint: environment.endpoint, secret: Secret("white space"),
                timeout: environment.timeout)
        ]
        do {
            _ = try await start(bad)
            Issue.record("it started")
        } catch let error as StartError {
            #expect(error.description.contains("environment cloud"), "\(error)")
        }
        if isNew {
            #expect(access(log, F_OK) != 0)
        } else {
            #expect(try readFile(log, limit: 1 << 20) == before)
        }
    }
}
