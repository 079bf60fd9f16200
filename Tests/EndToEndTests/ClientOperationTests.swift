import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// Operations on the command line.
@Suite(.timeLimit(.minutes(2)))
struct ClientOperationTests {
    @Test func `waiting for one that fails exits with 1 and shows the end of the log`() async throws {
        try await withAgent(Person.setup()) { agent in
            try agent.pve().inject(Fault(.taskError("no \u{1b}[31mspace\u{9b}m"), method: "POST"))
            let reply = try await Person.agent.apply(try await Person.agent.planID(.start, at: agent), at: agent)
            let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
            let end = try await Person.alice.run("operation", "show", id, "--wait", at: agent)
            #expect(end.status == 1 && end.out.contains("  failed\n"), "\(end)")
            #expect(end.out.contains("the end of the task's log:"), "\(end)")
            let now = try await Person.alice.run("operation", "show", id, at: agent)
            #expect(now.status == 0 && now.out == end.out)
            let log = try await Person.alice.run("operation", "log", id, at: agent)
            for text in [end.out, log.out] {
                #expect(text.contains("space") && !text.contains("\u{1b}") && !text.contains("\u{9b}"), "\(text)")
            }
        }
    }

    @Test func `one that runs is cancelled, one that has ended is not`() async throws {
        try await withAgent(Person.setup()) { agent in
            try agent.pve().holdTasks()
            let reply = try await Person.agent.apply(try await Person.agent.planID(.start, at: agent), at: agent)
            let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
            let asked = try await Person.alice.run("operation", "cancel", String(id.dropFirst(3).prefix(12)), at: agent)
            #expect(asked.status == 0 && asked.out.hasSuffix("PVE was asked to stop its task\n"), "\(asked)")
            let end = try await Person.alice.run("operation", "show", id, "--wait", at: agent)
            #expect(end.status == 1 && end.out.contains("  cancelled\n"), "\(end)")
            #expect(end.out.contains("cancel asked by  alice"), "\(end)")
            let late = try await Person.alice.run("operation", "cancel", id, at: agent)
            #expect(late.status == 1 && late.err.hasPrefix("not_cancellable: operation \(id) "), "\(late)")
        }
    }

    @Test func `waiting shows how far the task is`() async throws {
        try await withAgent(Person.setup()) { agent in
            try agent.pve().holdTasks()
            let clone = PlanRequest("clone_vm", "vm/9000", ["newid": 500, "full": true])
            let reply = try await Person.agent.apply(try await Person.agent.planID(clone, at: agent), at: agent)
            let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
            let waiting = try Person.alice.start(["operation", "show", id, "--wait"], at: agent)
            _ = try await waiting.line { $0.hasPrefix(" 50%  ") }
            try agent.pve().releaseTasks()
            let end = try await waiting.end()
            #expect(end.status == 0 && end.out.contains("  succeeded\n") && !end.out.contains("50%"), "\(end)")
        }
    }

    @Test(
        arguments: [
            (nil, "", ""),
            (
                ["percent": 45, "text": "1.4 GiB of 3.0 GiB"],
                "[#############-----------------]  45%  1.4 GiB of 3.0 GiB", " 45%  1.4 GiB of 3.0 GiB"
            ),
            (["percent": 0, "text": "x"], "[------------------------------]   0%  x", "  0%  x"),
            (["percent": 100, "text": "x"], "[##############################] 100%  x", "100%  x"),
            (["text": "5 bytes copied"], "5 bytes copied", "5 bytes copied"),
            (["percent": 900, "text": "\u{1b}[31m"], "\\u{1b}[31m", "\\u{1b}[31m"),
        ] as [(JSON?, String, String)])
    func `progress is a bar on a terminal and a line elsewhere`(progress: JSON?, bar: String, line: String) {
        #expect(ProgressLine.text(progress, isTerminal: true) == bar)
        #expect(ProgressLine.text(progress, isTerminal: false) == line)
    }

    @Test func `an unknown outcome is named as such and settled by hand`() async throws {
        try await withAgent(Person.setup()) { agent in
            try agent.pve().inject(Fault(.reset, method: "POST"))
            let reply = try await Person.agent.apply(try await Person.agent.planID(.start, at: agent), at: agent)
            let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
            let end = try await Person.alice.run("operation", "show", id, "--wait", at: agent)
            #expect(end.status == 1 && end.out.contains("proxmox-agent operation resolve \(id) --outcome"), "\(end)")
            let refused = try await Person.agent.run(
                "operation", "resolve", id, "--outcome", "succeeded", "--reason", "I say so", at: agent)
            #expect(refused.status == 1 && refused.err.hasPrefix("forbidden: "), "\(refused)")
            let settled = try await Person.alice.run(
                "operation", "resolve", id, "--outcome", "succeeded", "--reason", "qmstart OK at 07:04", at: agent)
            #expect(settled.status == 0 && settled.out.contains("  succeeded: "), "\(settled)")
            #expect(settled.out.contains("settled by alice: qmstart OK at 07:04"), "\(settled)")
        }
    }
}
