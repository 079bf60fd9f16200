import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

struct AuditVerifierTests {
    /// Lines of a whole log, a second apart.
    private static func lines(_ count: Int, after head: AuditHead = .empty) -> [[UInt8]] {
        var chain = AuditChain(from: head)
        return (0..<count).map { number in
            chain.extend(with: .sample(number), at: Timestamp(moment + Double(number))).line
        }
    }

    private static func verify(_ files: [[[UInt8]]], saved: AuditHead? = nil) throws -> AuditSummary {
        var verifier = AuditVerifier(saved: saved)
        for (number, lines) in files.enumerated() {
            try verifier.begin(file: "log.\(number)")
            for line in lines { try verifier.feed((line + [UInt8(ascii: "\n")])[...]) }
        }
        return try verifier.finish()
    }

    private static func finding(_ lines: [[UInt8]], saved: AuditHead? = nil) -> String? {
        do {
            _ = try verify([lines], saved: saved)
            return nil
        } catch {
            return (error as? AuditFinding)?.description
        }
    }

    private static func head(_ line: [UInt8]) throws -> AuditHead { try AuditRecord(line: line).head }

    @Test func `sums up a whole log`() throws {
        let lines = Self.lines(44)
        let summary = try Self.verify([lines])
        let head = try Self.head(#require(lines.last))
        #expect(
            summary.description
                == "44 records, 2026-11-22T21:16:40Z – 21:17:23Z, chain whole, head 44:\(head.hash)")
        #expect(summary.notes == [])
        #expect(try Self.verify([]).description == "no records")
        #expect(try Self.verify([[]]).notes == ["log.0 is empty"])
    }

    @Test(arguments: [1, 2, 3, 7, 100, 4096, 1 << 20])
    func `takes pieces of any size`(size: Int) throws {
        let bytes = Array(Self.lines(20).joined(separator: [UInt8(ascii: "\n")])) + [UInt8(ascii: "\n")]
        var verifier = AuditVerifier()
        try verifier.begin(file: "log")
        for start in stride(from: 0, to: bytes.count, by: size) {
            try verifier.feed(bytes[start..<min(start + size, bytes.count)])
        }
        #expect(try verifier.finish().records == 20)
    }

    @Test func `follows the chain through rotated files`() throws {
        let lines = Self.lines(9)
        let summary = try Self.verify([Array(lines[..<4]), [], Array(lines[4...])])
        #expect(summary.records == 9)
        #expect(summary.notes == ["log.1 is empty"])
    }

    @Test func `says that a log begins late`() throws {
        let lines = Self.lines(9)
        let summary = try Self.verify([Array(lines[4...])])
        #expect(summary.first == 5)
        #expect(summary.notes == ["starts at record 5; what came before is not in these files"])
    }

    @Test func `finds an edited line`() throws {
        var lines = Self.lines(5)
        lines[2] = Array(String(decoding: lines[2], as: UTF8.self).replacing("vm/2", with: "vm/3").utf8)
        #expect(Self.finding(lines) == "log.0:3: was edited: its content does not fit its hash")
    }

    @Test func `finds a line edited together with its hash`() throws {
        var lines = Self.lines(5)
        let before = try Self.head(lines[1])
        lines[2] = AuditRecord(.sample(99), after: before, at: Timestamp(moment)).line
        #expect(Self.finding(lines) == "log.0:4: does not continue record 3: its 'prev' is another hash")
    }

    @Test func `finds removed, swapped and inserted lines`() {
        let lines = Self.lines(6)
        var removed = lines
        removed.remove(at: 2)
        #expect(Self.finding(removed) == "log.0:3: is record 4 where 3 belongs: some are missing")
        var swapped = lines
        swapped.swapAt(2, 3)
        #expect(Self.finding(swapped) == "log.0:3: is record 4 where 3 belongs: some are missing")
        var inserted = lines
        inserted.insert(lines[1], at: 3)
        #expect(Self.finding(inserted) == "log.0:4: is record 2 where 4 belongs: out of order")
        var blank = lines
        blank.insert([], at: 3)
        #expect(Self.finding(blank) == "log.0:4: is not JSON: unexpected end of the document")
    }

    @Test func `finds a forged beginning`() {
        let lines = Self.lines(3, after: AuditHead(seq: 0, hash: String(repeating: "1", count: 64)))
        #expect(Self.finding(lines) == "log.0:1: is record 1, but its 'prev' is not 64 zeros")
    }

    @Test func `finds a torn end`() throws {
        var verifier = AuditVerifier()
        try verifier.begin(file: "log")
        let line = Self.lines(1)[0]
        try verifier.feed((line + [UInt8(ascii: "\n")] + line.prefix(20))[...])
        #expect(throws: AuditFinding(file: "log", line: 2, reason: "has no newline at its end: torn or cut")) {
            try verifier.finish()
        }
    }

    @Test func `a saved head shows a cut tail`() throws {
        let lines = Self.lines(6)
        let saved = try Self.head(lines[4])
        #expect(Self.finding(lines, saved: saved) == nil)
        #expect(Self.finding(Array(lines[..<5]), saved: saved) == nil)
        #expect(
            Self.finding(Array(lines[..<4]), saved: saved)
                == "log.0:4: ends at record 4, but the saved head is 5: cut")
        #expect(Self.finding([], saved: saved) == "log.0: ends at record 0, but the saved head is 5: cut")
    }

    @Test func `a saved head shows a log written anew`() throws {
        let saved = AuditHead(seq: 3, hash: String(repeating: "a", count: 64))
        let lines = Self.lines(6)
        #expect(
            Self.finding(lines, saved: saved) == "log.0:3: is record 3, but not the one that the saved head names")
        #expect(Self.finding(Array(lines[3...]), saved: saved) == "log.0:1: does not continue the saved head 3")
        #expect(
            Self.finding(Array(lines[4...]), saved: saved)
                == "log.0:1: is record 5, after the saved head 3: give the older files too")
        #expect(Self.finding(Array(lines[5...]), saved: try Self.head(lines[4])) == nil)
    }

    @Test func `notes that the clock went back`() throws {
        var chain = AuditChain()
        let lines = [5.0, 4, 3].map { chain.extend(with: .sample(1), at: Timestamp(moment + $0)).line }
        #expect(try Self.verify([lines]).notes == ["the clock went back 2 times, first at log.0:2"])
    }

    /// Lines of a log whose agent had these names, one after the other.
    private static func lines(of agents: [String?]) -> [[UInt8]] {
        var head = AuditHead.empty
        return agents.enumerated().map { number, agent in
            let record = AuditRecord(.sample(number), after: head, at: Timestamp(moment), by: agent)
            head = record.head
            return record.line
        }
    }

    @Test func `a log is of one agent, also if that got its name later`() throws {
        #expect(try Self.verify([Self.lines(of: [nil, nil])]).agents == [])
        let summary = try Self.verify([Self.lines(of: [nil, nil, "anna", "anna"])])
        #expect(summary.agents == ["anna"] && summary.notes == [])
    }

    @Test func `notes that an agent was renamed`() throws {
        let once = try Self.verify([Self.lines(of: ["anna", "anna", "carla"])])
        #expect(once.agents == ["anna", "carla"])
        #expect(once.notes == ["the agent was renamed once, first from anna to carla at log.0:3"])
        let often = try Self.verify([Self.lines(of: ["anna", nil, "anna"])])
        #expect(often.agents == ["anna"])
        #expect(often.notes == ["the agent was renamed 2 times, first from anna to no name at log.0:2"])
    }

    @Test func `a log of a hundred agents is none`() throws {
        let lines = Self.lines(of: (0..<100).map { "a\($0)" })
        #expect(Self.finding(lines) == "log.0:65: is of agent a64, after 64 others: that is not the log of one agent")
    }

    @Test func `any events make a chain that verifies, and any changed byte one that does not`() throws {
        var random = RandomJSON(seed: 7)
        for _ in 0..<60 {
            var chain = AuditChain()
            var lines = (0..<8).map { _ in
                chain.extend(
                    with: AuditEvent(
                        kind: AuditKind.allCases.randomElement(using: &random.generator) ?? .read,
                        actor: random.text(), principal: random.text(), label: random.maybe { $0.text() },
                        requestID: random.maybe { $0.text() },
                        trace: random.maybe { random in
                            TraceContext(
                                random: .random(in: .min ... .max, using: &random.generator),
                                .random(in: .min ... .max, using: &random.generator))
                        }, environment: random.maybe { $0.text() },
                        planID: random.maybe { $0.text() }, operationID: random.maybe { $0.text() },
                        request: random.maybe { $0.value() }, decision: random.maybe { $0.value() },
                        result: random.maybe { $0.value() }),
                    at: Timestamp(moment)
                ).line
            }
            #expect(try Self.verify([lines]).head == chain.head)
            let line = Int.random(in: 0..<8, using: &random.generator)
            let byte = Int.random(in: 0..<lines[line].count, using: &random.generator)
            lines[line][byte] ^= UInt8.random(in: 1...255, using: &random.generator)
            #expect(Self.finding(lines) != nil)
        }
    }
}

struct AuthFailureTallyTests {
    private static let start = Date(timeIntervalSince1970: 1_795_382_160)

    @Test func `makes one event per source and minute`() {
        var tally = AuthFailureTally()
        for second in 0..<59 {
            let source = second.isMultiple(of: 2) ? "10.0.0.1" : "10.0.0.2"
            let (ended, earlier) = tally.count(source: source, at: Self.start + Double(second))
            #expect(ended.isEmpty && earlier == second / 2)
        }
        let (events, earlier) = tally.count(source: "10.0.0.1", at: Self.start + 60)
        #expect(earlier == 0)
        #expect(events.map(\.kind) == [.authFailures, .authFailures])
        #expect(events.map { $0.result?["source"] } == ["10.0.0.1", "10.0.0.2"])
        #expect(events.map { $0.result?["count"] } == [30, 29])
        #expect(events[0].result?["first_at"] == "2026-11-22T21:16:00.000Z")
        #expect(events[0].result?["last_at"] == "2026-11-22T21:16:58.000Z")
        #expect(tally.drain().map { $0.result?["count"] } == [1])
    }

    @Test func `a lull ends the minute too`() {
        var tally = AuthFailureTally()
        _ = tally.count(source: "a", at: Self.start)
        #expect(tally.flush(at: Self.start + 59).isEmpty)
        #expect(tally.flush(at: Self.start + 61).count == 1)
        #expect(tally.flush(at: Self.start + 200).isEmpty)
    }

    @Test func `bounds the sources it tells apart`() {
        var tally = AuthFailureTally(maximumSources: 3)
        for number in 0..<1000 { _ = tally.count(source: "10.0.0.\(number)", at: Self.start) }
        _ = tally.count(source: "10.0.0.1", at: Self.start)
        let events = tally.drain()
        #expect(events.count == 4)
        #expect(events.first { $0.result?["source"] == "others" }?.result?["count"] == 997)
        #expect(events.first { $0.result?["source"] == "10.0.0.1" }?.result?["count"] == 2)
    }
}
