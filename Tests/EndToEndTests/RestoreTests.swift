import AgentService
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing

@testable import proxmox_agent

/// A state from a backup beside the log as it went on: what was executed since is not executed again.
@Suite(.timeLimit(.minutes(2)))
struct RestoreTests {
    private func backUp(_ agent: CrashableAgent, _ name: String = "copy.db") async throws -> String {
        let copy = "\(agent.directory.path)/\(name)"
        let result = try await Program.run("store", "backup", "--state", agent.state, copy)
        try #require(result.status == 0, "\(result)")
        return copy
    }

    /// Puts the copy in the place of the state.
    private func restore(_ copy: String, _ agent: CrashableAgent) throws {
        for file in [agent.state, agent.state + "-wal", agent.state + "-shm"] { unlink(file) }
        try #require(rename(copy, agent.state) == 0)
    }

    @Test(arguments: [PlanRequest.start, .addStorage])
    func `what was applied after the backup stays applied`(wish: PlanRequest) async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        let id = try await agent.planID(wish)
        let copy = try await backUp(agent)
        let approver = wish.needsApproval ? "alice" : nil
        let applied = try await agent.apply(id, approvedBy: approver)
        #expect(applied["result"]?["status"] == "succeeded", "\(applied)")
        try await agent.halt()
        try restore(copy, agent)
        try await agent.start()
        #expect(try await agent.planState(id) == "applied")
        expectProblem(try await agent.apply(id, approvedBy: approver), 409, "plan_consumed")
        #expect(agent.executed.count == 1)
        let operation = try #require(applied["operation"]?["operation_id"]?.string)
        #expect(try await agent.get("/v1/operations/\(operation)")["state"] == "succeeded")
        #expect(try agent.kinds(of: id).count { $0 == "apply" } == 1)
        #expect(!(try agent.kinds(of: id).contains("void")))
        try await agent.stop()
    }

    @Test func `a change whose end nobody recorded is in doubt, not undone`() async throws {
        let agent = try CrashableAgent()
        try await agent.start(dying: "answer.before")
        let id = try await agent.planID(.addStorage)
        let copy = try await backUp(agent)
        _ = try? await agent.apply(id, approvedBy: "alice")
        try await agent.die(bySelf: true)
        try restore(copy, agent)
        try await agent.start()
        #expect(try await agent.settled()[id]?["state"] == "unknown")
        expectProblem(try await agent.apply(id, approvedBy: "alice"), 409, "plan_consumed")
        #expect(agent.executed.count == 1)
        #expect(!(try agent.kinds(of: id).contains("void")))
        try await agent.stop()
    }

    @Test func `a log that is gone is accepted by a command, which is recorded, and cancels what could be applied`()
        async throws
    {
        let agent = try CrashableAgent()
        try await agent.start()
        let id = try await agent.planID(.start)
        try await agent.halt()
        #expect(rename(agent.auditLog, agent.auditLog + "-lost") == 0)
        #expect(rename(agent.auditLog + "-lost", "\(agent.directory.path)/evidence") == 0)
        let refused = try await agent.refusal()
        #expect(refused.contains("is empty or gone") && refused.contains("audit accept"), "\(refused)")
        let wrong = try await Program.run(
            "audit", "accept", "--config", agent.config, "--head", "5:" + String(repeating: "a", count: 64))
        #expect(wrong.status == 1 && wrong.err.contains("its head is none"), "\(wrong)")
        let accepted = try await Program.run(
            "audit", "accept", "--config", agent.config, "--head", "none", "--reason", "the disk died")
        #expect(accepted.status == 0 && accepted.out.contains("1 plans"), "\(accepted)")
        try await agent.start()
        #expect(try await agent.planState(id) == "cancelled")
        let record = try #require(try agent.lines().first { $0["result"]?["event"] == "accepted" })
        #expect(record["result"]?["reason"] == "the disk died" && record["result"]?["log_head"] == "none")
        #expect(record["result"]?["state_head"]?.string?.contains(":") == true)
        #expect(record["result"]?["accepted_by"]?.string?.isEmpty == false)
        #expect(agent.executed.isEmpty)
        try await agent.stop()
    }

    /// What was under way when the agent died, by how far it had come; what the command makes of it, and how often PVE
    /// saw it.
    @Test(arguments: [
        (Milestone.intentRecording, "unknown", 0), (.intentRecorded, "unknown", 0), (.consumed, "unknown", 0),
        (.sent, "unknown", 0), (.answered, "succeeded", 1), (.outcomeRecorded, "succeeded", 1),
    ])
    func `what was under way beside a log that is lost is in doubt, and never sent again`(
        point: Milestone, state: String, executed: Int
    ) async throws {
        let agent = try CrashableAgent()
        try await agent.start(dying: point.rawValue)
        let id = try await agent.planID(.start)
        _ = try? await agent.apply(id)
        try await agent.die(bySelf: true)
        #expect(rename(agent.auditLog, "\(agent.directory.path)/evidence") == 0)
        let accepted = try await accept("none", agent)
        #expect(accepted.status == 0, "\(accepted)")
        try await agent.start()
        _ = try await agent.settled()
        let operations = try await agent.get("/v1/operations")["operations"]?.array ?? []
        #expect(operations.map { $0["state"]?.string } == [state], "\(operations)")
        let again = try await agent.apply(id)
        #expect(again.status == 409, "\(again)")
        #expect(agent.executed.count == executed)
        try await agent.stop()
    }

    private func accept(_ head: String, _ agent: CrashableAgent) async throws -> Program.Result {
        try await Program.run("audit", "accept", "--config", agent.config, "--head", head)
    }

    /// The head that the cure in a refusal names.
    private func cure(_ refused: String) throws -> String {
        let words = try #require(refused.components(separatedBy: "audit accept --config FILE --head ").last)
        return String(words.prefix { !$0.isWhitespace })
    }

    @Test func `a log that was cut within a line is accepted at the head that the refusal names`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        try await agent.halt()
        let bytes = try readFile(agent.auditLog, limit: 1 << 20)
        #expect(truncate(agent.auditLog, bytes.count - 20) == 0)
        let refused = try await agent.refusal()
        let accepted = try await accept(try cure(refused), agent)
        #expect(accepted.status == 0, "\(refused) \(accepted)")
        try await agent.start()
        let opened = try agent.lines().filter { $0["result"]?["torn_bytes"] != nil }
        #expect(opened.count == 1, "what was torn is set aside, and recorded")
        try await agent.stop()
    }

    @Test func `the cure for a log that is broken behind the head works`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        _ = try await agent.planID(.start)
        let copy = try await backUp(agent)
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        try await agent.halt()
        try restore(copy, agent)
        var text = String(decoding: try readFile(agent.auditLog, limit: 1 << 20), as: UTF8.self)
        let last = try #require(text.ranges(of: "\"actor\":\"pi-agent\"").dropLast().last)
        text.replaceSubrange(last, with: "\"actor\":\"so-agent\"")
        try write(text, to: agent.auditLog)
        let refused = try await agent.refusal()
        #expect(refused.contains("was edited") && refused.contains("move it to another directory"), "\(refused)")
        #expect(try cure(refused) == "none")
        #expect(rename(agent.auditLog, "\(agent.directory.path)/evidence") == 0)
        let accepted = try await accept("none", agent)
        #expect(accepted.status == 0, "\(accepted)")
        try await agent.start()
        #expect(try await agent.plan(.start).status == 200)
        try await agent.stop()
    }

    @Test func `a break before the head stops changes and shows in readyz`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        try await agent.halt()
        var text = String(decoding: try readFile(agent.auditLog, limit: 1 << 20), as: UTF8.self)
        let place = try #require(text.firstRange(of: "\"actor\":\"pi-agent\""))
        text.replaceSubrange(place, with: "\"actor\":\"so-agent\"")
        try write(text, to: agent.auditLog)
        try await agent.start()
        let deadline = ContinuousClock.now + .seconds(20)
        while try await agent.get("/readyz").status == 200, ContinuousClock.now < deadline {}
        let ready = try await agent.get("/readyz")
        #expect(ready.status == 503)
        let missing = ready["missing"]?.array?.first
        #expect(missing?["code"] == "audit_unavailable", "\(ready)")
        expectProblem(try await agent.plan(.start), 503, "audit_unavailable")
        let page = try await agent.get("/v1/audit?after=0")
        expectProblem(page, 503, "audit_unavailable")
        #expect(page["detail"]?.string?.contains("audit.log:2: was edited") == true, "\(page)")
        #expect(rename(agent.auditLog, "\(agent.directory.path)/evidence") == 0)
        try await agent.hangUp()
        #expect(try await agent.plan(.start).status == 200)
        try await agent.stop()
    }
}
