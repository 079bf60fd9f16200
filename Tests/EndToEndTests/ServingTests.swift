import AgentAudit
import AgentStorage
import CurlHTTP
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// The daemon as a process: start, signals, end.
@Suite(.timeLimit(.minutes(2)))
struct ServingTests {
    @Test(arguments: [SIGTERM, SIGINT])
    func `told to stop, it finishes what runs and exits with 0`(signal: Int32) async throws {
        let agent = try await ServedAgent()
        try agent.pve().holdTasks()
        let plan = try await agent.planID(.start)
        async let reply = agent.apply(plan, wait: 30)
        _ = try await agent.operation(of: plan)
        agent.program.signal(signal)
        _ = try await agent.program.line { $0.contains("stopping") }
        try agent.pve().releaseTasks()
        #expect(try await reply["result"]?["status"] == "succeeded")
        let end = try await agent.program.end()
        #expect(end.status == 0, "\(end)")
        #expect(end.err.contains("stopped"))
        #expect(try agent.kinds(of: plan) == ["plan", "apply_intent", "apply"])
        #expect(try AuditVerifier.verify(files: [agent.auditLog]).records > 0)
        _ = try await agent.stop()
    }

    @Test func `what does not end in time is left to the next start, and does not keep it`() async throws {
        let agent = try await ServedAgent()
        try agent.pve().holdTasks()
        let plan = try await agent.planID(.start)
        let reply = try await agent.apply(plan, wait: nil)
        #expect(reply.status == 202)
        let start = ContinuousClock.now
        agent.program.signal(SIGTERM)
        let end = try await agent.program.end()
        #expect(end.status == 0, "\(end)")
        #expect(ContinuousClock.now - start < .seconds(14))
        #expect(try agent.kinds(of: plan) == ["plan", "apply_intent"])
        await agent.datacenter.stop()
    }

    @Test func `it says where it listens and what it serves, and never a secret`() async throws {
        let agent = try await ServedAgent()
        let bytes = try readFile("/proc/\(agent.program.pid)/cmdline", limit: 1 << 20)
        let commandLine = String(decoding: bytes, as: UTF8.self)
        #expect(commandLine.contains("--config"))
        _ = try await agent.apply(try await agent.planID(.stop), approvedBy: "alice")
        _ = try await agent.send(.get, "/v1/plans", token: "another-token-9f2c")
        let end = try await agent.stop()
        #expect(end.err.contains("environments=cloud"))
        #expect(end.err.contains("status=401"))
        for secret in [Setup.token, Setup.secret(of: "cloud"), "another-token-9f2c"] {
            #expect(!commandLine.contains(secret))
            #expect(!end.err.contains(secret) && !end.out.contains(secret))
        }
    }

    @Test func `every request is a line of the log, as JSON where asked for`() async throws {
        let agent = try await ServedAgent(Setup(.simulated("cloud"), settings: ["log": ["format": "json"]]))
        let reply = try await agent.plan(.start)
        let end = try await agent.stop()
        let lines = try end.err.split(separator: "\n").map { try JSON.parse(String($0)) }
        let line = try #require(lines.first { $0["path"] == "/v1/actions/plan" })
        #expect(line["msg"] == "request")
        #expect(line["method"] == "POST")
        #expect(line["status"] == 200)
        #expect(line["actor"] == "pi-agent")
        #expect(line["request_id"]?.string == reply.fields[.requestIDField])
    }

    @Test func `it tells the service manager how it is, with nothing configured too`() async throws {
        let place = try ConfigFile()
        let manager = try NotifySocket()
        var document = place.document
        document["environments"] = []
        let config = try place.write(document)
        let agent = try Program(
            ["--config", config], variables: ["NOTIFY_SOCKET": manager.variable, "WATCHDOG_USEC": "200000"])
        #expect(manager.next(within: 20) == "READY=1")
        for _ in 0..<3 { #expect(manager.next(within: 20) == "WATCHDOG=1") }
        agent.signal(SIGHUP)
        func next() -> String? {
            while let text = manager.next(within: 20) { if text != "WATCHDOG=1" { return text } }
            return nil
        }
        #expect(next()?.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") == true)
        #expect(next() == "READY=1")
        agent.signal(SIGTERM)
        #expect(next() == "STOPPING=1")
        #expect(try await agent.end().status == 0)
    }

    @Test func `it listens on a Unix socket too, and takes it away at the end`() async throws {
        let place = try ConfigFile()
        let socket = "\(place.directory)/agent.sock"
        let config = try place.write([
            "listen_addr": .string("unix:\(socket)"), "audit_log_path": .string("\(place.directory)/audit.log"),
            "state_path": .string("\(place.directory)/state.db"),
            "environments": [place.simulated("home")],
        ])
        let program = try Program(["--config", config], variables: ["PROXMOX_AGENT_API_TOKEN": "change-me"])
        _ = try await program.line { $0.contains(" listening ") }
        let answer = try await RawAsk.get("/healthz", at: .unix(path: socket))
        #expect(answer.status == 200)
        program.signal(SIGTERM)
        #expect(try await program.end().status == 0)
        #expect(access(socket, F_OK) != 0)
    }

    @Test func `a port that is taken is said so`() async throws {
        let agent = try await ServedAgent()
        let place = try ConfigFile()
        let config = try place.write([
            "listen_addr": .string("\(agent.address)"), "audit_log_path": .string("\(place.directory)/audit.log"),
            "state_path": .string("\(place.directory)/state.db"),
            "environments": [place.simulated("home")],
        ])
        let other = try await Program.run("--config", config, variables: ["PROXMOX_AGENT_API_TOKEN": "change-me"])
        #expect(other.status == 1)
        #expect(other.err.contains("\(agent.address)"), "\(other)")
        #expect(try await agent.stop().status == 0)
    }

    @Test func `without a token it starts, warns, and answers 503`() async throws {
        var setup = Setup()
        setup.token = nil
        let agent = try await ServedAgent(setup)
        expectProblem(try await agent.get("/v1/environments"), 503, "auth_not_configured")
        let end = try await agent.stop()
        #expect(end.status == 0)
        #expect(end.err.contains("warning") && end.err.contains("PROXMOX_AGENT_API_TOKEN is not set"))
    }

    @Test func `environments that are one cluster are reported at the start`() async throws {
        let setup = Setup(.simulated("home"), settings: [:])
        let first = try await ServedAgent(setup)
        let address = try #require(first.datacenter.addresses["home"])
        try first.pve("home").setTokens(.any)
        let place = try ConfigFile()
        let config = try place.write([
            "listen_addr": "127.0.0.1:0", "audit_log_path": .string("\(place.directory)/audit.log"),
            "state_path": .string("\(place.directory)/state.db"),
            "environments": .array(
                ["one", "two"].map { name in
                    [
                        "name": .string(name), "base_url": .string("http://\(address)"),
                        "token_id": .string("agent@pve!\(name)"), "token_secret_env": .string("SECRET_\(name)"),
                    ]
                }),
        ])
        let variables = ["SECRET_one": "1f9a", "SECRET_two": "2f9a"]
        let program = try Program(["--config", config], variables: variables)
        _ = try await program.line { $0.contains("the same cluster under several names: one, two") }
        program.signal(SIGTERM)
        #expect(try await program.end().status == 0)
        _ = try await first.stop()
    }
}
