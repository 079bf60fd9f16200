import AgentAudit
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing

@testable import AgentStorage

/// Logs that were put aside: their pages are given out where they lead to what was written, and not otherwise.
@Suite(.timeLimit(.minutes(1)))
struct AuditAsideTests {
    enum Harm: CaseIterable {
        /// The last record is gone.
        case cut
        /// A record is another one, and all hashes behind it fit.
        case rewritten
        /// Both.
        case rewrittenAndCut
    }

    private static func harm(_ path: String, _ harm: Harm, _ place: borrowing LogDirectory) throws {
        var records = try place.records(path)
        if harm != .cut {
            var head = AuditHead.empty
            for index in records.indices {
                var event = records[index].event
                if records[index].seq == 7 { event.actor = "mallory" }
                records[index] = AuditRecord(event, after: head, at: records[index].time)
                head = records[index].head
            }
        }
        if harm != .rewritten { records.removeLast() }
        let bytes = records.flatMap { $0.line + [UInt8(ascii: "\n")] }
        try Data(bytes).write(to: URL(filePath: path))
    }

    /// A log of so many samples that was put aside, and one that goes on from it.
    private func rotated(_ place: borrowing LogDirectory, _ count: Int) async throws -> AuditHead {
        try await place.written(count)
        #expect(rename(place.log, place.log + ".1") == 0)
        let sink = try place.sink()
        try await sink.append(.sample(1), .now)
        try await sink.close()
        return sink.head
    }

    @Test(arguments: Harm.allCases)
    func `a page that does not lead to what was written is not given out`(harm: Harm) async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        for number in 0..<20 { try await sink.append(.sample(number), .now) }
        #expect(rename(place.log, place.log + ".1") == 0)
        try await sink.reopen()
        try await sink.append(.sample(20), .now)
        #expect(try await sink.records(after: 3, limit: 3).map(\.seq) == [4, 5, 6])
        try Self.harm(place.log + ".1", harm, place)
        for after in [3, 8] as [UInt64] {
            await #expect(throws: AuditError.self) { try await sink.records(after: after, limit: 3) }
        }
        #expect(try await sink.records(after: 22, limit: 3).map(\.seq) == [23])
        try await sink.close()
    }

    @Test func `what was put aside is verified after a restart, and then its pages are near`() async throws {
        let place = try LogDirectory()
        let head = try await rotated(place, 4500)
        let sink = try place.sink(continuing: head)
        sink.serve()
        let deadline = ContinuousClock.now + .seconds(20)
        var page: [UInt64] = []
        while page.isEmpty, ContinuousClock.now < deadline {
            page = (try? await sink.records(after: 3, limit: 3).map(\.seq)) ?? []
        }
        #expect(page == [4, 5, 6], "it is no longer being verified")
        try await sink.close()
    }

    @Test(arguments: [nil] + Harm.allCases)
    func `only what leads to the present file is learned`(harm: Harm?) async throws {
        let place = try LogDirectory()
        _ = try await rotated(place, 600)
        if let harm { try Self.harm(place.log + ".1", harm, place) }
        let first = try #require(try place.records().first)
        let anchors = AuditAnchors()
        AuditTrail(path: place.log).learnAside(
            upTo: AuditHead(seq: first.seq - 1, hash: first.prev), anchors, isWanted: { true })
        #expect(anchors.next(from: 10)?.seq == (harm == nil ? 256 : nil))
    }
}
