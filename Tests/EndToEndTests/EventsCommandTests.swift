import AgentAPI
import AgentModel
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// `proxmox-agent events`: what it prints, and how it goes on and ends.
@Suite(.timeLimit(.minutes(2)))
struct EventsCommandTests {
    private func start(_ arguments: String..., at agent: RunningAgent) throws -> Program {
        try Person.alice.start(["events"] + arguments, at: agent)
    }

    @Test func `each event is a line, until Ctrl-C`() async throws {
        try await withAgent(Person.setup()) { agent in
            let plan = try await Person.agent.planID(.start, at: agent)
            let program = try start("--after", "0", at: agent)
            let made = try await program.line(ofOutput: true) { $0.contains("plan.created") && $0.contains(plan) }
            #expect(made.contains("  plan.created  cloud  plan_id=\(plan)  actor=pi-agent  state=approved"), "\(made)")
            _ = try await Person.agent.apply(plan, at: agent)
            let ended = try await program.line(ofOutput: true) { $0.contains("operation.ended") }
            #expect(ended.contains("  state=succeeded  plan_state=applied"), "\(ended)")
            program.signal(SIGINT)
            let end = try await program.end()
            #expect(end.status == 0 && end.err.isEmpty, "\(end)")
        }
    }

    @Test func `with --json each line is the event with its number, of those that were asked for`() async throws {
        try await withAgent(Person.setup()) { agent in
            let first = try await Person.agent.planID(.start, at: agent)
            let second = try await Person.agent.planID(.start, at: agent)
            let program = try start(
                "--json", "--after", "0", "--plan", second, "--environment", "cloud", "--kind", "plan.created,freeze",
                at: agent)
            let line = try await program.line(ofOutput: true) { $0.contains(second) }
            let event = try JSON.parse(Array(line.utf8))
            #expect(event["kind"] == "plan.created" && (event["id"]?.integer ?? 0) > 0, "\(event)")
            program.signal(SIGTERM)
            let end = try await program.end()
            #expect(end.status == 0 && !end.out.contains(first), "\(end)")
        }
    }

    @Test func `a stream that ends is asked for again, and nothing is lost or comes twice`() async throws {
        try await withAgent(Person.setup()) { agent in
            let program = try start("--json", "--after", "0", at: agent)
            var plans: [String] = []
            for _ in 0..<3 {
                plans.append(try await Person.agent.planID(.start, at: agent))
                _ = try await program.line(ofOutput: true) { $0.contains(plans.last ?? "") }
                await agent.agent.events.endAll()
                plans.append(try await Person.agent.planID(.start, at: agent))
            }
            _ = try await program.line(ofOutput: true) { $0.contains(plans.last ?? "") }
            program.signal(SIGINT)
            let end = try await program.end()
            let told = try end.out.split(separator: "\n").map { try JSON.parse(Array($0.utf8)) }
            #expect(told.compactMap { $0["plan_id"]?.string } == plans && end.err.isEmpty, "\(end)")
        }
    }

    @Test func `an agent that stops and comes back is waited for`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        let address = try #require(agent.address)
        try agent.configure { $0["listen_addr"] = .string("\(address)") }
        try await agent.halt()
        try await agent.start()
        let program = try Program(
            ["events", "--json", "--after", "0"],
            variables: ["PROXMOX_AGENT_URL": "http://\(address)", "PROXMOX_AGENT_TOKEN": Setup.token])
        let before = try await agent.planID(.start)
        _ = try await program.line(ofOutput: true) { $0.contains(before) }
        try await agent.die()
        _ = try await program.line { $0.contains("going on behind event") }
        try await agent.start()
        let after = try await agent.planID(.start)
        _ = try await program.line(within: .seconds(60), ofOutput: true) { $0.contains(after) }
        program.signal(SIGINT)
        let end = try await program.end()
        let ids = end.out.split(separator: "\n").compactMap { (try? JSON.parse(Array($0.utf8)))?["id"]?.integer }
        #expect(end.status == 0 && ids == Array(Set(ids)).sorted(), "\(end)")
        try await agent.stop()
    }

    @Test func `it ends when nobody reads it any more`() async throws {
        try await withAgent(Person.setup()) { agent in
            _ = try await Person.agent.planID(.start, at: agent)
            let script = """
                export PROXMOX_AGENT_URL=http://\(agent.address) PROXMOX_AGENT_TOKEN=\(Person.alice.token)
                \(Program.path) events --after 0 | head -n 1
                echo "${PIPESTATUS[0]}"
                """
            async let run = Tool.run("bash", "-c", script)
            let beats = Task {
                while !Task.isCancelled {
                    await agent.agent.beat()
                    try await Task.sleep(for: .milliseconds(200))
                }
            }
            let result = try await run
            beats.cancel()
            #expect(result.text.hasSuffix("\n0\n") && result.errors.isEmpty, "\(result)")
        }
    }

    @Test(arguments: [
        (["--kind", "nonsense"], "invalid_request: query parameter kind: there is no kind"),
        (["--after", "999999"], "invalid_request: query parameter after: there is no event 999999 yet"),
        (["--environment", "nowhere"], "unknown_environment: "),
        (["--plan", "pln_00000000000000000000"], "plan_not_found: "),
    ])
    func `what cannot be told is refused at once`(row: (arguments: [String], says: String)) async throws {
        try await withAgent(Person.setup()) { agent in
            let end = try await Person.alice.start(["events"] + row.arguments, at: agent).end()
            #expect(end.status == 1 && end.err.hasPrefix(row.says) && end.out.isEmpty, "\(end)")
        }
    }

    @Test func `without an agent it says so, and ends`() async throws {
        let end = try await Program.run(
            "events", variables: ["PROXMOX_AGENT_URL": "http://127.0.0.1:1", "PROXMOX_AGENT_TOKEN": Setup.token])
        #expect(end.status == 1 && end.err.contains("cannot be reached"), "\(end)")
    }
}
