import AgentAudit
import AgentModel
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AuditFullDiskTests {
    /// An event whose line is a bit longer than `size` bytes.
    private static func large(_ size: Int) -> AuditEvent {
        AuditEvent(
            kind: .plan, actor: "a", principal: "a", request: ["x": .string(String(repeating: "x", count: size))])
    }

    /// An event whose line ends right before the end of a page, so that no other fits into what is left of it.
    private static func filler(after size: Int) -> AuditEvent {
        let empty = AuditRecord(large(0), after: .empty, at: Timestamp(moment)).line.count + 1
        return large(2 * 4096 - size % 4096 - empty - 16)
    }

    @Test func `beyond the file size limit it refuses, leaves nothing behind and heals`() async {
        // In a process of its own: the limit holds for every file that a process writes.
        await #expect(processExitsWith: .success) {
            let place = try LogDirectory()
            let sink = try place.sink(LogDirectory.quick)
            let head = try await sink.append(.sample(1), .now)
            let size = try place.read(place.log).count
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            limit.rlim_cur = rlim_t(size + 6000)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)

            let results = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<8 {
                    group.addTask { (try? await sink.append(AuditFullDiskTests.large(8000), .now)) == nil }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(results == Array(repeating: true, count: 8))
            #expect(try await eventually { sink.fault == nil }, "a small record of its own fits again")
            let resumed = try #require(try place.records().last)
            #expect(resumed.event.result?["event"] == "resumed")

            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            try await sink.append(AuditFullDiskTests.large(8000), .now)
            try await sink.close()
            #expect(try place.verify(saved: head).head == sink.head)
        }
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"))
    func `on a full disk it refuses, leaves nothing behind and heals by itself`() async throws {
        let disk = try SmallDisk(kilobytes: 64)
        let place = try LogDirectory(at: disk.path)
        let sink = try place.sink(LogDirectory.quick)
        let ballast = "\(disk.path)/ballast"
        let head = try await sink.append(Self.filler(after: try place.read(place.log).count), .now)
        disk.fill(ballast)
        let size = try place.read(place.log).count

        await #expect(throws: AuditError.self) { try await sink.append(Self.large(8000), .now) }
        await #expect(throws: AuditError.self) { try await sink.append(Self.large(8000), .soon) }
        let fault = try #require(sink.fault)
        #expect(sink.faultCause == .full)
        #expect(fault.description.contains("No space left on device"))
        #expect(sink.head == head)
        #expect(try place.read(place.log).count == size, "what was written of it is cut off")

        #expect(unlink(ballast) == 0)
        #expect(try await eventually { sink.fault == nil })
        let resumed = try #require(try place.records().last)
        #expect(resumed.event.kind == .log)
        #expect(resumed.event.result?["event"] == "resumed")
        #expect(resumed.event.result?["refused"] == 2)
        try await sink.append(Self.large(8000), .now)
        try await sink.close()
        #expect(try place.verify(saved: head).head == sink.head)
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"), arguments: [false, true])
    func `on a full disk it does not open, whether a record would still fit into the last page or not`(
        fits: Bool
    ) async throws {
        let disk = try SmallDisk(kilobytes: 128)
        let place = try LogDirectory(at: disk.path)
        let first = try place.sink()
        if !fits { try await first.append(Self.filler(after: try place.read(place.log).count), .now) }
        try await first.close()
        let before = try place.read(place.log)
        let ballast = "\(disk.path)/ballast"
        disk.fill(ballast)

        let error = #expect(throws: AuditError.self) { try place.sink() }
        #expect(
            error?.description
                == "audit log \(place.log): has no room: No space left on device; free space on its file system")
        #expect(try place.read(place.log) == before)
        #expect(unlink(ballast) == 0)
        let sink = try place.sink()
        try await sink.append(.sample(1), .now)
        try await sink.close()
        #expect(access(place.log + ".room", F_OK) != 0)
        #expect(try place.verify().head == sink.head)
    }

    @Test func `beyond the file size limit it does not open`() async {
        await #expect(processExitsWith: .success) {
            let place = try LogDirectory()
            try await place.written(3)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            limit.rlim_cur = rlim_t(try place.read(place.log).count + 10)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            let error = #expect(throws: AuditError.self) { try place.sink() }
            #expect(error?.description.hasSuffix("raise the file size limit (ulimit -f)") == true, "\(error as Any)")
            #expect(try place.records().count == 4)
        }
    }
}
