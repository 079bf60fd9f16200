import AgentAudit
import AgentModel
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// Logs of several agents that tell of each other.
struct AuditCrossCheckTests {
    /// A directory with logs, as agents write them.
    private final class Logs {
        let directory: TemporaryDirectory
        private var heads: [String: AuditHead] = [:]

        init() throws { directory = try TemporaryDirectory() }

        func path(_ name: String) -> String { "\(directory.path)/\(name)" }

        /// Adds records of what anybody did to the log of the agent, in the file `name`.
        func write(_ count: Int, by agent: String?, to name: String, log: String? = nil) throws {
            try write((0..<count).map { AuditEvent.sample($0) }, by: agent, to: name, log: log ?? agent ?? name)
        }

        /// Adds a record that tells where the logs of others end now.
        func tell(of others: [String], by agent: String, to name: String) throws {
            let told = heads.filter { others.contains($0.key) }
            try write([AuditEvent(heads: told)], by: agent, to: name, log: agent)
        }

        private func write(
            _ events: [AuditEvent], by agent: String?, to name: String, log: String
        ) throws {
            var chain = AuditChain(from: heads[log] ?? .empty, agent: agent)
            var text = (try? String(decoding: readFile(path(name)), as: UTF8.self)) ?? ""
            for event in events {
                text += String(decoding: chain.extend(with: event, at: Timestamp(moment)).line, as: UTF8.self) + "\n"
            }
            heads[log] = chain.head
            try replace(name, with: text)
        }

        func lines(_ name: String) throws -> [String] {
            String(decoding: try readFile(path(name)), as: UTF8.self).split(separator: "\n").map(String.init)
        }

        func replace(_ name: String, with text: String) throws {
            try Data(text.utf8).write(to: URL(filePath: path(name)))
        }

        /// Cuts all but the first lines.
        func cut(_ name: String, to count: Int) throws {
            try replace(name, with: try lines(name).prefix(count).map { $0 + "\n" }.joined())
        }

        private func readFile(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

        func verify(_ names: String..., with others: [String]) throws -> (logs: [[String]], told: AuditCrossSummary) {
            let (logs, told) = try AuditVerifier.verify(files: names.map { path($0) }, with: others.map { path($0) })
            let short = logs.map { $0.files.map { String($0.dropFirst(directory.path.count + 1)) } }
            return (short, told)
        }

        /// The finding, with the files' names alone.
        func finding(_ names: String..., with others: [String]) -> String? {
            do {
                _ = try AuditVerifier.verify(files: names.map { path($0) }, with: others.map { path($0) })
                return nil
            } catch {
                return error.description.replacing("\(directory.path)/", with: "")
            }
        }

        /// Anna tells twice of bert and carl, bert once of anna.
        static func sample() throws -> Logs {
            let logs = try Logs()
            try logs.write(3, by: "bert", to: "bert")
            try logs.write(2, by: "carl", to: "carl")
            try logs.write(1, by: "anna", to: "anna")
            try logs.tell(of: ["bert", "carl"], by: "anna", to: "anna")
            try logs.write(2, by: "bert", to: "bert")
            try logs.tell(of: ["anna"], by: "bert", to: "bert")
            try logs.tell(of: ["bert", "carl"], by: "anna", to: "anna")
            try logs.write(2, by: "bert", to: "bert")
            return logs
        }
    }

    @Test func `logs that tell the truth of each other pass`() throws {
        let logs = try Logs.sample()
        let (files, told) = try logs.verify("anna", with: ["carl", "bert"])
        #expect(files == [["anna"], ["carl"], ["bert"]])
        #expect(told.lines == ["5 heads that these logs tell of each other checked"])
    }

    @Test func `tells of which agents no log was given`() throws {
        let logs = try Logs.sample()
        #expect(
            try logs.verify("anna", with: ["bert"]).told.lines == [
                "3 heads that these logs tell of each other checked",
                "2 heads of carl not checked: give its log by --with",
            ])
        #expect(
            try logs.verify("bert", with: []).told.lines == ["1 head of anna not checked: give its log by --with"])
        #expect(try logs.verify("carl", with: []).told.lines == [])
    }

    @Test func `a tail that was cut off shows against the other's log, although the rest is whole`() throws {
        let logs = try Logs.sample()
        try logs.cut("bert", to: 7)
        #expect(logs.finding("anna", with: ["bert"]) == nil, "nobody has told of what is gone")
        try logs.cut("bert", to: 4)
        #expect(try logs.verify("bert", with: []).logs == [["bert"]], "its own chain is whole")
        #expect(
            logs.finding("anna", with: ["bert"])
                == "anna:3: tells that agent bert had record 6, but bert ends at record 4: cut")
        #expect(
            logs.finding("bert", with: ["anna"])
                == "anna:3: tells that agent bert had record 6, but bert ends at record 4: cut")
    }

    @Test func `a log that is gone but for nothing is cut`() throws {
        let logs = try Logs.sample()
        try logs.cut("bert", to: 1)
        #expect(
            logs.finding("anna", with: ["bert"])
                == "anna:3: tells that agent bert had record 6, but bert ends at record 1: cut")
    }

    @Test func `records that were replaced show, although the chain of the new ones is whole`() throws {
        let logs = try Logs.sample()
        try logs.replace("bert", with: "")
        try logs.write(20, by: "bert", to: "forged", log: "another")
        #expect(
            logs.finding("anna", with: ["forged"])
                == "anna:3: tells that agent bert had record 6, but forged has another one in its place: replaced",
            "the first five records are the same")
    }

    @Test func `takes rotated files, and of them those that are left`() throws {
        let logs = try Logs()
        try logs.write(3, by: nil, to: "bert.1", log: "bert")
        try logs.write(2, by: "bert", to: "bert.2")
        try logs.tell(of: ["bert"], by: "anna", to: "anna")
        try logs.write(4, by: "bert", to: "bert.3")
        try logs.tell(of: ["bert"], by: "anna", to: "anna")
        try logs.write(1, by: "bert", to: "bert.4")
        try logs.tell(of: ["bert"], by: "anna", to: "anna")
        let whole = try logs.verify("anna", with: ["bert.1", "bert.2", "bert.3", "bert.4"])
        #expect(whole.logs == [["anna"], ["bert.1", "bert.2", "bert.3", "bert.4"]])
        #expect(whole.told.checked == 3)
        // The last record before the files is known by its hash.
        #expect(try logs.verify("anna", with: ["bert.3", "bert.4"]).told.checked == 3)
        #expect(
            try logs.verify("anna", with: ["bert.4"]).told.lines == [
                "2 heads that these logs tell of each other checked",
                "1 head of bert not checked: of records before its files",
            ])
        #expect(
            logs.finding("anna", with: ["bert.2", "bert.4"])
                == "bert.4:1: is record 10 where 6 belongs: some are missing")
    }

    @Test func `what was told of an agent under its old name is checked in the log that goes on`() throws {
        let logs = try Logs()
        try logs.write(3, by: "bert", to: "bert")
        try logs.tell(of: ["bert"], by: "anna", to: "anna")
        try logs.write(3, by: "carl", to: "bert", log: "bert")
        #expect(try logs.verify("anna", with: ["bert"]).told.checked == 1)
        // Another agent has got the old name meanwhile.
        try logs.write(8, by: "bert", to: "new.1", log: "new")
        try logs.write(1, by: "bert", to: "new.2", log: "new")
        for others in [["bert", "new.1", "new.2"], ["new.1", "new.2", "bert"], ["new.1", "bert", "new.2"]] {
            let (files, told) = try logs.verify("anna", with: others)
            #expect(files.count == 3 && files.contains(["new.1", "new.2"]) && told.checked == 1)
        }
    }

    @Test func `a head that is none is a flaw of the record that tells it`() throws {
        let logs = try Logs()
        let event = AuditEvent(
            kind: .log, actor: "a", principal: "a", result: ["event": "heads", "heads": ["bert": "43:9c1e"]])
        let line = AuditRecord(event, after: .empty, at: Timestamp(moment), by: "anna").line
        try logs.replace("anna", with: String(decoding: line, as: UTF8.self) + "\n")
        try logs.write(1, by: "bert", to: "bert")
        #expect(logs.finding("anna", with: ["bert"]) == #"anna:1: tells a head of "bert" that is none"#)
    }

    @Test func `a flaw of any log is found in its own file`() throws {
        let logs = try Logs.sample()
        try logs.replace("bert", with: try logs.lines("bert").dropFirst(2).prefix(1).joined() + "\n{}\n")
        #expect(logs.finding("anna", with: ["bert"])?.hasPrefix("bert:2: ") == true)
        #expect(logs.finding("anna", with: ["nowhere"])?.hasPrefix("nowhere: cannot be read") == true)
    }
}
