import AgentAudit
import AgentStorage
import FoundationEssentials
import Glibc
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// The audit log as the agent keeps it: whole, in order, without data, and a condition of all else.
@Suite(.timeLimit(.minutes(2)))
struct AuditTests {
    @Test func `while the log cannot be written nothing is done or told, and it heals by itself`() async throws {
        let agent = try await ServedAgent()
        let plan = try await agent.planID(.start)
        // No file may grow beyond what the largest of the state has now: reads write to the log alone.
        try await agent.program.limitFileSize("\(try agent.stateSize() + 4096)")
        let read = "/v1/inventory?environment=cloud"
        var count = 0
        while try await agent.get(read).status == 200, count < 2000 { count += 1 }

        let refused = try await agent.get(read)
        expectProblem(refused, 503, "audit_unavailable")
        #expect(refused.fields[.retryAfter] != nil)
        #expect(!refused.text.contains("web1"))
        expectProblem(try await agent.get("/v1/inventory"), 503, "audit_unavailable")
        expectProblem(try await agent.plan(.start), 503, "audit_unavailable")
        expectProblem(try await agent.apply(plan), 503, "audit_unavailable")
        expectProblem(try await agent.post("/v1/actions/apply", PlanRequest.start.json), 503, "audit_unavailable")
        #expect(agent.executed.isEmpty)
        #expect(try await agent.get("/healthz").status == 200)
        let ready = try await agent.ready(503) { _ = try await agent.get(read) }
        #expect(ready["missing"]?.array?.first?["code"] == "audit_unavailable")

        try await agent.program.limitFileSize("unlimited")
        _ = try await agent.ready(200) {}
        let applied = try await agent.apply(plan)
        #expect(applied["result"]?["status"] == "succeeded", "\(applied)")
        #expect(agent.executed.count == 1)
        #expect(try await agent.get(read).status == 200)
        let end = try await agent.stop()
        #expect(end.status == 0)
        #expect(try AuditVerifier.verify(files: [agent.auditLog]).records > 0)
        let lines = try agent.lines()
        #expect(lines.contains { $0["result"]?["event"] == "resumed" && $0["result"]?["refused"] != 0 })
    }

    @Test func `after a rotation the chain goes on in the new file`() async throws {
        let agent = try await ServedAgent()
        _ = try await agent.planID(.start)
        let old = agent.auditLog + ".1"
        #expect(rename(agent.auditLog, old) == 0)
        let between = try await agent.planID(.start)
        agent.program.signal(SIGHUP)
        _ = try await agent.program.line { $0.contains("opened anew") }
        let after = try await agent.planID(.start)
        #expect(try await agent.stop().status == 0)

        let whole = try AuditVerifier.verify(files: [old, agent.auditLog])
        #expect(whole.first == 1)
        #expect(throws: AuditFinding.self) { try AuditVerifier.verify(files: [agent.auditLog, old]) }
        let rest = try AuditVerifier.verify(files: [agent.auditLog])
        #expect(rest.head == whole.head)
        #expect(rest.notes.contains { $0.contains("starts at record") })
        #expect(try agent.lines(of: old).last?["plan_id"]?.string == between)
        #expect(try agent.kinds(of: after) == ["plan"])
        var info = stat()
        #expect(stat(agent.auditLog, &info) == 0 && info.st_mode & 0o777 == 0o600)
    }

    @Test(arguments: ["nothing", "rules", "mistake", "rotation", "both"])
    func `each SIGHUP writes one record`(changed: String) async throws {
        let agent = try await ServedAgent(TestPrincipals.setup(TestPrincipals.allCases.filter { $0 != .bob }))
        let before = try agent.lines().count
        if ["rotation", "both"].contains(changed) { #expect(rename(agent.auditLog, agent.auditLog + ".1") == 0) }
        switch changed {
        case "rules", "both": try await agent.reload(TestPrincipals.setup(), until: "put in force")
        case "mistake": try await agent.reload(Setup(.simulated("")), until: "opened anew")
        default:
            try await agent.reload(
                TestPrincipals.setup(TestPrincipals.allCases.filter { $0 != .bob }), until: "as they were")
        }
        let isRotated = ["rotation", "both"].contains(changed)
        let new = try agent.lines().dropFirst(isRotated ? 0 : before)
        #expect(new.count == 1, "\(new)")
        let record = try #require(new.first)
        #expect(record["kind"] == (["rules", "both", "mistake"].contains(changed) ? "config" : "log"))
        let note = record["kind"] == "log" ? record["result"] : record["result"]?["log"]
        #expect(note?["event"] == "reopened" && note?["continued_from"] != nil, "\(record)")
        #expect(try await agent.stop().status == 0)
        _ = try AuditVerifier.verify(files: (isRotated ? [agent.auditLog + ".1"] : []) + [agent.auditLog])
    }

    @Test func `a log that is cut underneath stops changes until it is opened anew, and shows for ever`() async throws {
        let agent = try await RunningAgent(Setup())
        let plan = try await agent.planID(.start)
        _ = try await agent.planID(.stop)
        var info = stat()
        #expect(stat(agent.auditLog, &info) == 0)
        #expect(truncate(agent.auditLog, info.st_size / 2) == 0)
        expectProblem(try await agent.plan(.start), 503, "audit_unavailable")
        expectProblem(try await agent.apply(plan), 503, "audit_unavailable")
        expectProblem(try await agent.get("/v1/inventory?environment=cloud"), 503, "audit_unavailable")
        #expect(try await agent.get("/readyz").status == 503)
        #expect(agent.executed.isEmpty)
        await agent.reopenAuditLog()
        #expect(try await agent.apply(plan)["result"]?["status"] == "succeeded")
        await agent.stop()
        #expect(throws: AuditFinding.self) { try AuditVerifier.verify(files: [agent.auditLog]) }
    }

    @Test func `a read's record says how much was read, and nothing of it`() async throws {
        try await withAgent { agent in
            _ = try await agent.apply(try await agent.planID(.start))
            for path in ["inventory?environment=cloud", "nodes?environment=cloud", "tasks?environment=cloud"] {
                #expect(try await agent.get("/v1/\(path)").status == 200)
            }
            #expect(try await agent.get("/v1/inventory").status == 200)
            let one = try await agent.post("/v1/actions/apply", PlanRequest("read_vm", "vm/100").json)
            #expect(one.status == 200)
            let reads = try agent.records().filter { $0["kind"] == "read" }
            #expect(reads.map { $0["result"]?["count"] } == [40, 3, 1, 40, nil])
            for record in reads {
                let keys = Set(record["result"]?.object?.keys ?? [])
                #expect(keys.isSubset(of: ["status", "count"]))
                for word in ["web1", "smbios", "UPID", "maxmem", "virtio"] { #expect(!record.text.contains(word)) }
            }
        }
    }

    @Test func `many at once make one chain`() async throws {
        try await withAgent { agent in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<40 {
                    group.addTask { _ = try await agent.planID(.start, as: "agent-\(number)") }
                    group.addTask { _ = try await agent.get("/v1/nodes?environment=cloud") }
                }
                try await group.waitForAll()
            }
            let records = try agent.records()
            #expect(records.count { $0["kind"] == "plan" } == 40)
            #expect(records.count { $0["kind"] == "read" } == 40)
        }
    }

    @Test func `two agents share neither state nor log`() async throws {
        let agent = try await ServedAgent()
        let config = agent.auditLog.replacing("audit.log", with: "config.json")
        let other = try await Program.run("--config", config, variables: Setup().variables())
        #expect(other.status == 1)
        #expect(other.err.hasPrefix("proxmox-agent: state ") && other.err.contains("state.db"), "\(other)")
        let text = String(decoding: try readFile(config, limit: 1 << 20), as: UTF8.self)
        try write(text.replacing("state.db", with: "other.db"), to: config)
        let third = try await Program.run("--config", config, variables: Setup().variables())
        #expect(third.status == 1)
        #expect(third.err.hasPrefix("proxmox-agent: audit log ") && third.err.contains(agent.auditLog), "\(third)")
        _ = try await agent.planID(.start)
        #expect(try await agent.stop().status == 0)
        #expect(try AuditVerifier.verify(files: [agent.auditLog]).records == 2)
    }
}

extension ServedAgent {
    /// Bytes of the largest of the state's files.
    fileprivate func stateSize() throws -> Int {
        try ["state.db", "state.db-wal", "state.db-shm"].map { name in
            try readFile(auditLog.replacing("audit.log", with: name), limit: 64 << 20).count
        }.max() ?? 0
    }

    /// Waits until `/readyz` answers `status`; does `body` before each look.
    fileprivate func ready(_ status: Int, _ body: () async throws -> Void) async throws -> Reply {
        let deadline = ContinuousClock.now + .seconds(15)
        while ContinuousClock.now < deadline {
            try await body()
            let reply = try await get("/readyz")
            if reply.status == status { return reply }
        }
        throw Missed(what: "\(status) of /readyz")
    }
}
