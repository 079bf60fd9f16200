import AgentAudit
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing
import TransparencyLog
import WireTestSupport

@testable import proxmox_agent

/// Checkpoints of a real agent's log, signed by a real witness, and verified by a program that knows neither.
@Suite(.timeLimit(.minutes(3)))
struct CheckpointTests {
    /// An agent and its witness, each a process of its own.
    private struct Scene {
        let agent: CrashableAgent
        /// What `audit key` prints.
        let key: String
        let witness: Program
        let witnessKey: String
        var directory: String { agent.directory.path }

        init() async throws {
            agent = try CrashableAgent(Setup(settings: ["audit_checkpoint_seconds": 1]))
            try await agent.start()
            key = try await CheckpointTests.key(of: agent)
            try await agent.halt()
            witness = try Program([
                "witness", "--listen", "127.0.0.1:0", "--log", key, "--state", "\(agent.directory.path)/witness",
            ])
            let line = try await witness.line { $0.contains("listens on") }
            let address = try #require(line.split(separator: " ").last)
            witnessKey = try await witness.line(ofOutput: true) { $0.contains("+") }
            let entry: JSON = ["url": .string("http://\(address)"), "key": .string(witnessKey)]
            try agent.configure { $0["audit_witnesses"] = [entry] }
            try await agent.start()
        }

        /// The checkpoint that covers record `seq`, once the witness has signed it.
        func witnessed(_ seq: UInt64) async throws -> SignedNote {
            let key = try #require(VerifierKey(witnessKey))
            return try await CheckpointTests.until("a witnessed checkpoint of \(seq) records") {
                let reply = try await agent.get("/v1/audit/checkpoint")
                guard reply.status == 200 else { return nil }
                let note = try SignedNote(parsing: Array(reply.text.utf8))
                guard try Checkpoint(note).head.size >= seq, case .good = key.verdict(on: note) else { return nil }
                return note
            }
        }

        func head() async throws -> UInt64 {
            UInt64(try #require(try await agent.get("/v1/audit/head")["seq"]?.integer))
        }

        func stop() async throws {
            try await agent.stop()
            witness.signal(SIGTERM)
            #expect(try await witness.end().status == 0)
        }
    }

    private static func key(of agent: CrashableAgent) async throws -> String {
        let result = try await Program.run("audit", "key", "--config", agent.config)
        try #require(result.status == 0, "\(result)")
        return String(result.out.dropLast())
    }

    /// What `look` finds, as soon as it finds something.
    private static func until<T>(_ what: String, _ look: () async throws -> T?) async throws -> T {
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            if let found = try await look() { return found }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Missed(what: what)
    }

    /// Runs the independent verifier; its exit status and what it says.
    private static func verify(_ words: [String]) async throws -> Tool.Result {
        let program = Documents.root.appending(path: "Tests/Conformance/checkpoints/verify.py").path
        return try await Tool.run(["python3", program] + words)
    }

    private static let hasPython: Bool = {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return path.split(separator: ":").contains { access("\($0)/python3", X_OK) == 0 }
    }()

    @Test(.enabled(if: hasPython, "python3 is not there"))
    func `an auditor verifies checkpoint, witness, records and log with a program of their own`() async throws {
        let scene = try await Scene()
        let (agent, place) = (scene.agent, scene.directory)
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        let first = try await scene.witnessed(try await scene.head())
        #expect(rename(agent.auditLog, agent.auditLog + ".1") == 0)
        try await agent.hangUp()
        for _ in 0..<4 { _ = try await agent.planID(.start) }
        let note = try await scene.witnessed(try await scene.head())
        try write(first.description, to: "\(place)/first")
        try write(note.description, to: "\(place)/note")
        let files = [agent.auditLog + ".1", agent.auditLog]
        let keys = ["--key", scene.key, "--witness", scene.witnessKey]

        let whole = try await Self.verify(["checkpoint", "\(place)/note"] + keys + files.flatMap { ["--log", $0] })
        #expect(whole.status == 0 && whole.text.contains("the files are that log"), "\(whole)")
        let lines = try files.flatMap { try readFile($0, limit: 1 << 20).split(separator: UInt8(ascii: "\n")) }
        let head = try Checkpoint(note).head
        for seq in [1, 2, 5, Int(head.size)] {
            let reply = try await agent.get("/v1/audit/proof/\(seq)")
            #expect(reply.status == 200, "\(reply)")
            try write(reply.text, to: "\(place)/proof")
            try write(String(decoding: lines[seq - 1], as: UTF8.self), to: "\(place)/record")
            let proof = ["proof", "\(place)/proof", "--record", "\(place)/record"] + keys
            let good = try await Self.verify(proof)
            #expect(good.status == 0 && good.text.contains("it is record \(seq) of"), "\(good)")
            try write(String(decoding: lines[seq == 1 ? 1 : 0], as: UTF8.self), to: "\(place)/record")
            #expect(try await Self.verify(proof).status == 1, "another record")
        }
        let old = try Checkpoint(first).head
        let parts = try #require(TreeProof.consistency(from: old.size, to: head.size))
        let path = try AuditLogFiles.hashes(of: parts, in: head.size, of: agent.auditLog)
        try write(path.map { "\($0)\n" }.joined(), to: "\(place)/path")
        let continues = ["consistency", "\(place)/first", "\(place)/note", "--proof", "\(place)/path"] + keys
        #expect(try await Self.verify(continues).status == 0)
        try write(path.dropLast().map { "\($0)\n" }.joined(), to: "\(place)/path")
        #expect(try await Self.verify(continues).status == 1)
        try await scene.stop()
    }

    @Test func `a log that was replaced as a whole shows against an older checkpoint`() async throws {
        let scene = try await Scene()
        let (agent, place) = (scene.agent, scene.directory)
        _ = try await agent.planID(.start)
        let note = try await scene.witnessed(try await scene.head())
        try write(note.description, to: "\(place)/note")
        let keys = ["--key", scene.key, "--witness", scene.witnessKey]
        func verify(_ log: String) async throws -> Program.Result {
            try await Program(["audit", "verify", log, "--checkpoint", "\(place)/note"] + keys).end()
        }
        let good = try await verify(agent.auditLog)
        #expect(good.status == 0 && good.out.contains("are those of the checkpoint"), "\(good)")
        #expect(good.out.contains("witness/") && good.out.contains("signed it at"), "\(good)")
        let proof = try await Program.run("audit", "prove", "2", "--config", agent.config)
        #expect(proof.status == 0, "\(proof)")
        #expect(try ProofFile(parsing: Array(proof.out.utf8)).index == 1)
        let other = try await Program.run("audit", "prove", "2", agent.auditLog, "--checkpoint", "\(place)/note")
        #expect(other.status == 0, "\(other)")
        let missing = try await Program.run("audit", "prove", "999999", "--config", agent.config)
        #expect(missing.status == 1 && missing.err.contains("is not in the checkpoint"), "\(missing)")

        // Somebody who may write the file makes one whose chain is whole.
        var records = try readFile(agent.auditLog, limit: 1 << 20).split(separator: UInt8(ascii: "\n")).map {
            try AuditRecord(line: Array($0))
        }
        var chain = AuditChain()
        for number in records.indices {
            var event = records[number].event
            if number == 1 { event.actor = "somebody-else" }
            records[number] = chain.extend(with: event, at: records[number].time)
        }
        let text = records.map { String(decoding: $0.line, as: UTF8.self) + "\n" }.joined()
        try write(text, to: "\(place)/forged.log")
        #expect(try await Program.run("audit", "verify", "\(place)/forged.log").status == 0, "its chain is whole")
        let forged = try await verify("\(place)/forged.log")
        #expect(forged.status == 1 && forged.err.contains("records were replaced"), "\(forged)")
        try await scene.stop()
    }

    @Test func `a rotation and a clean stop are signed without waiting for the next minute`() async throws {
        let agent = try await ServedAgent()
        _ = try await agent.planID(.start)
        #expect(rename(agent.auditLog, agent.auditLog + ".1") == 0)
        agent.program.signal(SIGHUP)
        let signed = try await Self.until("a checkpoint of both files") { () -> UInt64? in
            let reply = try await agent.get("/v1/audit/checkpoint")
            guard reply.status == 200 else { return nil }
            let size = try Checkpoint(SignedNote(parsing: Array(reply.text.utf8))).head.size
            guard let first = (try? agent.lines())?.first?["seq"]?.integer, size >= UInt64(first) else { return nil }
            return size
        }
        #expect(signed >= 3, "opened, planned, reopened")
        _ = try await agent.planID(.start)
        #expect(try await agent.stop().status == 0)
        let state = agent.auditLog.replacing("audit.log", with: "state.db")
        let last = try #require(try StatePlace(state).signing().checkpoints.first)
        let count = try agent.lines(of: agent.auditLog + ".1").count + agent.lines().count
        #expect(last.head.size == UInt64(count))
        // A file tells the tree of what was before it.
        let first = try #require(try readFile(agent.auditLog, limit: 1 << 20).split(separator: 0x0A).first)
        #expect(try AuditRecord(line: Array(first)).treeBefore?.size == 2)
    }

    /// State and log from a backup: only the witness knows what was signed since.
    @Test func `after a restore of state and log no checkpoint is signed that contradicts the lost ones`() async throws
    {
        let scene = try await Scene()
        let (agent, place) = (scene.agent, scene.directory)
        _ = try await scene.witnessed(try await scene.head())
        try await agent.halt()
        for file in ["state.db", "audit.log"] {
            let copied = try await Tool.run("cp", "-p", "\(place)/\(file)", "\(place)/copy-of-\(file)")
            try #require(copied.status == 0, "\(copied)")
        }
        try await agent.start()
        for _ in 0..<20 { _ = try await agent.planID(.start) }
        let lost = try Checkpoint(try await scene.witnessed(try await scene.head())).head
        try await agent.halt()
        for file in ["state.db-wal", "state.db-shm"] { unlink("\(place)/\(file)") }
        for file in ["state.db", "audit.log"] { #expect(rename("\(place)/copy-of-\(file)", "\(place)/\(file)") == 0) }
        try await agent.start()
        func metrics() async throws -> String { try await agent.get("/metrics").text }
        _ = try await Self.until("a checkpoint that is withheld") {
            try await metrics().contains(#"proxmox_agent_audit_checkpoint_withheld{reason="behind"} 1"#) ? true : nil
        }
        let warnings = try await agent.get("/readyz")["warnings"]?.array?.compactMap { $0["code"]?.string }
        #expect(warnings == ["checkpoint_withheld"])
        let shown = try SignedNote(parsing: Array(try await agent.get("/v1/audit/checkpoint").text.utf8))
        #expect(try Checkpoint(shown).head == lost)
        _ = try await agent.planID(.start)
        #expect(try await agent.get("/v1/audit/proof/1").status == 503)
        // The cure.
        try await agent.halt()
        try agent.configure { $0["audit_origin"] = "log.example/second" }
        try await agent.start()
        let note = try await Self.until("a checkpoint in the new name") { () -> SignedNote? in
            let reply = try await agent.get("/v1/audit/checkpoint")
            return reply.status == 200 ? try SignedNote(parsing: Array(reply.text.utf8)) : nil
        }
        #expect(try Checkpoint(note).origin == "log.example/second")
        #expect(try await metrics().contains(#"proxmox_agent_audit_checkpoint_withheld{reason="behind"} 0"#))
        try await scene.stop()
    }
}
