import AgentAudit
import AgentStorage
import AgentTestSupport
import Glibc
import StrictJSON
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AuditRotationTests {
    /// What other hands do to a log.
    enum Harm: String, CaseIterable, Sendable {
        case cut, cutWithinLine, emptied, grown, edited, deleted, replaced, opened

        func apply(to place: borrowing LogDirectory) throws {
            let bytes = try place.read(place.log)
            switch self {
            case .cut:
                let end = try #require(bytes.dropLast().lastIndex(of: UInt8(ascii: "\n"))) + 1
                #expect(truncate(place.log, end) == 0)
            case .cutWithinLine: #expect(truncate(place.log, bytes.count - 7) == 0)
            case .emptied: #expect(truncate(place.log, 0) == 0)
            case .grown: try place.append(Array("{}\n".utf8))
            case .edited: try place.overwrite([bytes[10]], at: 10)
            case .deleted: #expect(unlink(place.log) == 0)
            case .replaced:
                let copy = "\(place.log).copy"
                let descriptor = open(copy, O_WRONLY | O_CREAT, 0o600)
                #expect(write(descriptor, bytes, bytes.count) == bytes.count)
                close(descriptor)
                #expect(rename(copy, place.log) == 0)
            case .opened: #expect(chmod(place.log, 0o644) == 0)
            }
        }
    }

    @Test(arguments: Harm.allCases)
    func `notices what is done underneath, and takes nothing until it is opened anew`(harm: Harm) async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        for number in 0..<3 { try await sink.append(.sample(number), .now) }
        let head = sink.head
        try harm.apply(to: place)
        let harmed = try? place.read(place.log)

        await #expect(throws: AuditError.self) { try await sink.append(.sample(8), .now) }
        await #expect(throws: AuditError.self) { try await sink.append(.sample(9), .soon) }
        let fault = try #require(sink.fault)
        #expect(sink.faultCause == .changed)
        #expect(fault.description.contains("underneath the running agent"))
        #expect(fault.description.contains(place.log))
        #expect(sink.head == head)
        #expect((try? place.read(place.log)) == harmed, "nothing is written into a harmed log")

        switch harm {
        case .opened:
            await #expect(throws: AuditError.self) { try await sink.reopen() }
            #expect(sink.fault?.description.contains("chmod 600") == true)
            #expect(chmod(place.log, 0o600) == 0)
        case .grown:
            await #expect(throws: AuditError.self) { try await sink.reopen() }
            #expect(truncate(place.log, try place.read(place.log).count - 3) == 0)
        case .cut, .cutWithinLine, .emptied, .edited, .deleted, .replaced: break
        }
        let reopened = try await sink.reopen()
        #expect(sink.fault == nil)
        #expect(reopened.seq == head.seq + 1, "the chain goes on from what was written, not from what was left")
        let note = try #require(try place.records().last { $0.seq == reopened.seq })
        #expect(note.event.result?["event"] == "reopened")
        #expect(note.event.result?["continued_from"] == .string(head.description))
        #expect(note.event.result?["fault"] != nil)
        try await sink.append(.sample(10), .now)
        try await sink.close()
    }

    @Test func `a cut that was healed by reopening stays visible in the chain`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        for number in 0..<3 { try await sink.append(.sample(number), .now) }
        try Harm.cut.apply(to: place)
        try await sink.reopen()
        try await sink.close()
        #expect(
            throws: AuditFinding(
                file: place.log, line: 4, reason: "is record 5 where 4 belongs: some are missing")
        ) { try place.verify() }
    }

    @Test func `an idle log is looked at too`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink(LogDirectory.quick)
        try Harm.deleted.apply(to: place)
        #expect(try await eventually { sink.fault != nil })
        try await sink.reopen()
        #expect(sink.fault == nil)
        try await sink.close()
    }

    @Test func `a rename is a rotation: the old file is written until the new one is opened`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        let rotated = "\(place.log).1"
        try await sink.append(.sample(1), .now)
        #expect(rename(place.log, rotated) == 0)
        let last = try await sink.append(.sample(2), .now)
        #expect(try place.records(rotated).last?.head == last)
        #expect(access(place.log, F_OK) != 0)

        let opened = try await sink.reopen()
        #expect(opened.seq == last.seq + 1)
        #expect(place.mode(place.log) == 0o600)
        let first = try place.records()[0]
        #expect(first.event.kind == .log)
        #expect(first.event.result?["event"] == "reopened")
        #expect(first.event.result?["continued_from"] == .string(last.description))
        #expect(first.event.result?["tree"]?.array?.count == 2, "the tree of the three records before it")
        try await sink.append(.sample(3), .now)
        try await sink.close()
        #expect(try place.verify(rotated, place.log, saved: last).records == 5)
        #expect(try place.verify().notes == ["starts at record 4; what came before is not in these files"])
    }

    @Test func `each record names the agent, those of the log itself too`() async throws {
        let place = try LogDirectory()
        let alone = try place.sink()
        try await alone.append(.sample(1), .now)
        try await alone.close()
        let sink = try FileAuditSink(path: place.log, of: "anna", timing: LogDirectory.idle) { moment }
        try await sink.append(.sample(2), .now)
        try await sink.reopen()
        try await sink.reopen(recording: .sample(3))
        try await sink.close()
        let records = try place.records()
        #expect(records.map(\.agent) == [nil, nil] + [String?](repeating: "anna", count: 4))
        #expect(records[2].event.result?["event"] == "opened" && records[4].event.result?["event"] == "reopened")
        let summary = try place.verify()
        #expect(summary.records == 6 && summary.agents == ["anna"] && summary.notes == [])
    }

    @Test func `the rotated file may already have a successor`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        #expect(rename(place.log, "\(place.log).1") == 0)
        let descriptor = open(place.log, O_WRONLY | O_CREAT, 0o600)
        close(descriptor)
        try await sink.append(.sample(1), .now)
        #expect(try place.read(place.log).isEmpty)
        try await sink.reopen()
        try await sink.close()
        #expect(try place.verify("\(place.log).1", place.log).records == 3)
    }

    @Test func `where the new file cannot be opened, the old one stays in use`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        #expect(rename(place.log, "\(place.log).1") == 0)
        #expect(symlink("/dev/null", place.log) == 0)
        await #expect(throws: AuditError.self) { try await sink.reopen() }
        #expect(sink.fault == nil)
        let head = try await sink.append(.sample(1), .now)
        #expect(try place.records("\(place.log).1").last?.head == head)
        try await sink.close()
    }

    @Test func `opening anew without a reason is harmless, even amid appends`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<40 {
                group.addTask { try await sink.append(.sample(number), .now) }
                if number.isMultiple(of: 10) { group.addTask { try await sink.reopen() } }
            }
            try await group.waitForAll()
        }
        try await sink.close()
        #expect(try place.verify(saved: sink.head).records == 45)
    }

    @Test func `a log that was put aside while nobody wrote is continued, and read through`() async throws {
        let place = try LogDirectory()
        let head = try await place.written(20)
        let saved = try #require(try place.records().dropLast(7).last?.head)
        #expect(rename(place.log, place.log + ".1") == 0)
        #expect(open(place.log + ".2.gz", O_WRONLY | O_CREAT, 0o600) >= 0)
        let sink = try place.sink(continuing: saved)
        try await sink.append(.sample(99), .now)
        let behind = try await sink.records(after: saved.seq, limit: .max)
        #expect(behind.map(\.seq) == Array(saved.seq + 1...head.seq + 2))
        #expect(try await sink.records(after: 3, limit: 5).map(\.seq) == [4, 5, 6, 7, 8])
        try await sink.close()
        #expect(try place.verify(place.log + ".1", place.log).head == sink.head)
    }

    @Test func `a torn end of a log that was put aside does not count`() async throws {
        let place = try LogDirectory()
        let head = try await place.written(3)
        try place.append(Array("{\"v\":1,\"se".utf8))
        #expect(rename(place.log, place.log + ".1") == 0)
        let sink = try place.sink()
        try await sink.close()
        #expect(try place.records().first?.seq == head.seq + 1)
    }

    @Test func `touching its times alone is no harm`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        #expect(link(place.log, "\(place.log).link") == 0)
        try await sink.append(.sample(1), .now)
        #expect(sink.fault == nil)
        try await sink.close()
    }
}
