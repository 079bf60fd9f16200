import Logging
import Testing

@testable import proxmox_agent

struct EnvironmentReportTests {
    @Test(.timeLimit(.minutes(1)))
    func `an environment that is not there is reported under its name, once`() async throws {
        let json = """
            {"environments": [{"name": "dead", "base_url": "https://127.0.0.1:1", "token_id": "agent@pve!dead",
              "token_secret_env": "SECRET", "timeout_ms": 5000}]}
            """
        let config = try AgentConfig(bytes: Array(json.utf8), variables: ["SECRET": "s3cret"])
        let upstreams = try PVEConnections(config, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let report = await EnvironmentReport(looking: try #require(upstreams.managedEnvironments.first))
        await upstreams.shutdown(within: .seconds(1))
        #expect(!report.isGood)
        #expect(report.lines.count == 1)
        #expect(report.lines.first?.hasPrefix("dead: PVE was not reached") == true, "\(report.lines)")
    }
}
