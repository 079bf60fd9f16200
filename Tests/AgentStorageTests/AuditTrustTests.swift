import AgentAudit
import AgentModel
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing

/// A log is believed as far as it is known from elsewhere, and verified otherwise.
@Suite(.timeLimit(.minutes(1)))
struct AuditTrustTests {
    /// Writes the log anew with the event of record `seq` changed, and all hashes from there to `last` made to fit.
    private func forge(_ place: borrowing LogDirectory, _ seq: UInt64, upTo last: UInt64 = .max, more: Int = 0) throws {
        var records = try place.records()
        var head = AuditHead.empty
        for index in records.indices {
            var event = records[index].event
            if records[index].seq == seq { event.actor = "mallory" }
            if records[index].seq >= seq, records[index].seq <= last {
                records[index] = AuditRecord(event, after: head, at: records[index].time)
            }
            head = records[index].head
        }
        for number in 0..<more {
            let record = AuditRecord(.sample(number), after: head, at: Timestamp(.sample))
            records.append(record)
            head = record.head
        }
        let bytes = records.flatMap { $0.line + [UInt8(ascii: "\n")] }
        #expect(truncate(place.log, 0) == 0)
        try place.overwrite(bytes)
    }

    private func refusal(_ place: borrowing LogDirectory, _ saved: AuditHead?) -> String {
        do throws(AuditError) { _ = try place.sink(continuing: saved) } catch { return error.description }
        return ""
    }

    @Test(arguments: [0, 1, 5])
    func `a log that was written anew does not open, however long it is`(more: Int) async throws {
        let place = try LogDirectory()
        let head = try await place.written(20)
        try forge(place, 7, more: more)
        _ = try place.verify()
        let refused = refusal(place, head)
        #expect(refused.contains("its record 21 is not the one that was synced"), "\(refused)")
        #expect(refused.contains("audit accept --config FILE --head \(try #require(try place.records().last).head)"))
    }

    @Test func `what stands behind the saved head is verified before it opens`() async throws {
        let place = try LogDirectory()
        _ = try await place.written(20)
        let saved = try #require(try place.records().first { $0.seq == 5 }).head
        try forge(place, 9, upTo: 9)
        let refused = refusal(place, saved)
        #expect(refused.contains("\(place.log):10: does not continue record 9"), "\(refused)")
        #expect(refused.hasSuffix("--head none") && refused.contains("move it to another directory"), "\(refused)")
    }

    @Test func `a log whose saved record was put aside and broken there goes on where it is whole`() async throws {
        let place = try LogDirectory()
        _ = try await place.written(20)
        let saved = try #require(try place.records().first { $0.seq == 5 }).head
        #expect(rename(place.log, place.log + ".1") == 0)
        let sink = try place.sink()
        try await sink.close()
        var records = try place.records(place.log + ".1")
        records.remove(at: 9)
        try Data(records.flatMap { $0.line + [UInt8(ascii: "\n")] }).write(to: URL(filePath: place.log + ".1"))
        let refused = refusal(place, saved)
        #expect(refused.contains(".1:10: ") && refused.hasSuffix("--head \(sink.head)"), "\(refused)")
        let accepting = try FileAuditSink(path: place.log, continuing: saved, accepting: sink.head)
        try await accepting.close()
        try await place.sink(continuing: accepting.head).close()
    }

    @Test func `what stands before it is verified afterwards, and a break stops the log`() async throws {
        let place = try LogDirectory()
        let head = try await place.written(20)
        try forge(place, 9, upTo: 9)
        let sink = try place.sink(continuing: head)
        #expect(try await eventually { sink.fault != nil })
        #expect(sink.fault?.description.contains("\(place.log):10: does not continue record 9") == true)
        #expect(sink.faultCause == .chain)
        await #expect(throws: AuditError.self) { try await sink.append(.sample(1), .now) }
        await #expect(throws: AuditError.self) { try await sink.reopen() }
        #expect(sink.fault != nil, "the same file is as broken as before")
        #expect(rename(place.log, place.log + ".evidence") == 0)
        try await sink.reopen()
        #expect(sink.fault == nil)
        try await sink.append(.sample(2), .now)
        try await sink.close()
    }

    @Test(arguments: ["gone", "empty", "shorter"])
    func `a log that holds less than is known does not open`(harm: String) async throws {
        let place = try LogDirectory()
        let head = try await place.written(4)
        switch harm {
        case "gone": #expect(unlink(place.log) == 0)
        case "empty": #expect(truncate(place.log, 0) == 0)
        default:
            let bytes = try place.read(place.log)
            #expect(truncate(place.log, try #require(bytes.dropLast().lastIndex(of: UInt8(ascii: "\n"))) + 1) == 0)
        }
        let refused = refusal(place, head)
        let end = try place.records().last.map { "\($0.head)" } ?? "none"
        #expect(refused.contains("proxmox-agent audit accept --config FILE --head \(end)"), "\(refused)")
        #expect(refused.contains("5 was synced"))
        let accepted = end == "none" ? AuditHead.empty : try #require(AuditHead(end))
        let other = AuditHead(seq: 1, hash: head.hash)
        #expect(throws: AuditError.self) { try FileAuditSink(path: place.log, continuing: head, accepting: other) }
        let sink = try FileAuditSink(path: place.log, continuing: head, accepting: accepted)
        #expect(sink.head.seq == (accepted == .empty ? head.seq : accepted.seq) + 1)
        try await sink.close()
        try await place.sink(continuing: sink.head).close()
        _ = try place.verify()
    }

    @Test(arguments: [1, 9, 17, 20] as [UInt64])
    func `records whose chain is broken are not given out`(seq: UInt64) async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        for number in 0..<600 { try await sink.append(.sample(number), number % 50 == 49 ? .now : .soon) }
        #expect(try await sink.records(after: 3, limit: 4).map(\.seq) == [4, 5, 6, 7])
        try forge(place, seq, upTo: seq)
        let anything = (seq + 1) % 100
        for (after, limit) in [(0, 5), (seq - 1, 1), (seq, 3), (10, 100), (0, 1000)] as [(UInt64, Int)] {
            do throws(AuditError) {
                _ = try await sink.records(after: after, limit: limit)
                // A page of which nothing hangs on what was changed: it is not followed back to the beginning.
                #expect(after > seq, "\(anything) \(after) \(limit)")
            } catch {
                #expect(error.description.contains(":\(seq + 1): does not continue record \(seq)"), "\(error)")
            }
        }
        // A rewritten run whose hashes fit up to the end is another log.
        try forge(place, seq)
        await #expect(throws: AuditError.self) { try await sink.records(after: seq, limit: 3) }
        await #expect(throws: AuditError.self) { try await sink.records(after: 0, limit: 1000) }
        #expect(truncate(place.log, try place.read(place.log).count / 2) == 0)
        await #expect(throws: AuditError.self) { try await sink.records(after: 0, limit: 1000) }
    }
}
