import AgentAudit
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing

@Suite(.timeLimit(.minutes(1)))
struct FileAuditSinkTests {
    @Test func `keeps what every audit log keeps`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink(LogDirectory.quick)
        try await AuditSinkConformance(sink).check()
        try await sink.close()
        #expect(try place.verify().head == sink.head)
        try await AuditSinkConformance(MemoryAuditSink()).check()
    }

    @Test func `the fake refuses when told to, and heals`() async throws {
        let sink = MemoryAuditSink { moment }
        let error = AuditError("full")
        sink.fault = error
        await #expect(throws: error) { try await sink.append(.sample(1), .now) }
        sink.fault = nil
        try await sink.append(.sample(2), .soon)
        #expect(sink.events.map(\.requestID) == ["req_2"])
        #expect(sink.durabilities == [.soon])
    }

    @Test func `makes the file for its user alone, and says that it was opened`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        #expect(place.mode(place.log) == 0o600)
        #expect(place.mode("\(place.directory.path)/data") == 0o700)
        let records = try place.records()
        #expect(records.map(\.event.kind) == [.log])
        #expect(records[0].event.result == ["event": "opened"])
        #expect(sink.head == records[0].head)
        try await sink.close()
    }

    @Test func `one record a line, in the order of the numbers that were returned`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        let heads = try await withThrowingTaskGroup(of: [(Int, AuditHead)].self) { group in
            for writer in 0..<64 {
                group.addTask {
                    var heads: [(Int, AuditHead)] = []
                    for number in 0..<20 {
                        let id = writer * 100 + number
                        heads.append((id, try await sink.append(.sample(id), .now)))
                    }
                    return heads
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        let records = try place.records()
        #expect(records.map(\.seq) == Array(1...1281))
        for (id, head) in heads { #expect(records[Int(head.seq) - 1].event.requestID == "req_\(id)") }
        for writer in 0..<64 {
            let own = heads.filter { $0.0 / 100 == writer }.map(\.1.seq)
            #expect(own == own.sorted())
        }
        let counters = sink.counters
        #expect(counters.records == 1281)
        #expect(counters.syncs * 3 < counters.records, "64 writers share their syncs")
        #expect(counters.writes <= counters.syncs + 1)
        #expect(try place.verify(saved: sink.head).records == 1281)
        try await sink.close()
    }

    @Test func `a record for soon is written at once and synced by itself`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink(.init(sync: .milliseconds(50), retry: .seconds(600), look: .seconds(600)))
        let syncs = sink.counters.syncs
        let head = try await sink.append(.sample(1), .soon)
        #expect(try place.records().last?.head == head)
        #expect(try await eventually { sink.head == head })
        #expect(sink.counters.syncs == syncs + 1)
        try await sink.close()
    }

    @Test func `a record for soon is not in the head before it is synced`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        let opened = sink.head
        let soon = try await sink.append(.sample(1), .soon)
        #expect(sink.head == opened)
        let now = try await sink.append(.sample(2), .now)
        #expect(sink.head == now && now.seq == soon.seq + 1)
        try await sink.close()
    }

    @Test func `goes on where it ended`() async throws {
        let place = try LogDirectory()
        let first = try await place.written(3)
        let second = try await place.written(2)
        #expect(second.seq == first.seq + 3)
        let opened = try place.records()[Int(first.seq)]
        #expect(opened.event.result == ["event": "opened", "continued_from": .string(first.description)])
        #expect(try place.verify(saved: first).records == second.seq)
    }

    @Test func `closed, it refuses`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        try await sink.close()
        #expect(sink.fault != nil)
        let size = try place.read(place.log).count
        await #expect(throws: AuditError.self) { try await sink.append(.sample(1), .now) }
        await #expect(throws: AuditError.self) { try await sink.reopen() }
        await #expect(throws: AuditError.self) { try await sink.close() }
        #expect(try place.read(place.log).count == size)
    }

    @Test func `forgotten, it syncs, closes and lets another in`() async throws {
        let place = try LogDirectory()
        do {
            let sink = try place.sink()
            try await sink.append(.sample(1), .soon)
        }
        let log = place.log
        #expect(try await eventually { (try? FileAuditSink(path: log)) != nil })
    }

    @Test func `refuses what cannot be read again, and only that`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        var deep: JSON = 1
        for _ in 0..<AuditRecord.maximumDepth { deep = [deep] }
        let tooDeep = deep
        await #expect(throws: AuditError.self) {
            try await sink.append(AuditEvent(kind: .plan, actor: "a", principal: "a", request: tooDeep), .now)
        }
        let long = String(repeating: "x", count: AuditRecord.maximumLineLength)
        await #expect(throws: AuditError("audit log: a record is too large; send a smaller request")) {
            try await sink.append(AuditEvent(kind: .plan, actor: long, principal: "a"), .now)
        }
        #expect(sink.fault == nil)
        let head = try await sink.append(.sample(1), .now)
        #expect(head.seq == 2)
        try await sink.close()
        #expect(try place.verify().records == 2)
    }

    @Test func `can be verified while it is written`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        let log = place.log
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<8 {
                group.addTask { for number in 0..<50 { try await sink.append(.sample(writer + number), .soon) } }
            }
            group.addTask { for _ in 0..<20 { _ = try AuditVerifier.verify(files: [log]) } }
            try await group.waitForAll()
        }
        try await sink.close()
        #expect(try place.verify().records == 401)
    }

    @Test func `whatever is recorded verifies`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        var random = RandomJSON(seed: 11)
        for _ in 0..<300 {
            let event = AuditEvent(
                kind: .plan, actor: random.text(), principal: random.text(), label: random.maybe { $0.text() },
                request: random.value(), result: random.maybe { $0.value() })
            try await sink.append(event, .soon)
        }
        try await sink.close()
        #expect(try place.verify(saved: sink.head).records == 301)
    }
}
