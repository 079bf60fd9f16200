import AgentAudit
import AgentStorage
import AgentTestSupport
import Glibc
import StrictJSON
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AuditLogOpeningTests {
    private static func refusal(_ open: () throws(AuditError) -> FileAuditSink) -> String {
        do throws(AuditError) {
            _ = try open()
            return ""
        } catch {
            return error.description
        }
    }

    @Test(arguments: [0o640, 0o604, 0o622, 0o777] as [mode_t])
    func `refuses a file that others may touch, and names the cure`(mode: mode_t) async throws {
        let place = try LogDirectory()
        try await place.written(1)
        #expect(chmod(place.log, mode) == 0)
        #expect(Self.refusal { () throws(AuditError) in try place.sink() }.hasSuffix("run: chmod 600 \(place.log)"))
        #expect(chmod(place.log, 0o600) == 0)
        try await place.written(1)
    }

    @Test func `refuses links, directories and pipes`() throws {
        let place = try LogDirectory()
        let data = "\(place.directory.path)/data"
        #expect(mkdir(data, 0o700) == 0)
        #expect(symlink("/dev/null", place.log) == 0)
        #expect(Self.refusal { () throws(AuditError) in try place.sink() }.contains("symbolic link"))
        #expect(unlink(place.log) == 0 && mkdir(place.log, 0o700) == 0)
        #expect(Self.refusal { () throws(AuditError) in try place.sink() }.contains("cannot open"))
        #expect(rmdir(place.log) == 0 && mkfifo(place.log, 0o600) == 0)
        #expect(Self.refusal { () throws(AuditError) in try place.sink() }.contains("not a regular file"))
    }

    @Test func `makes one directory, not a whole path`() throws {
        let place = try LogDirectory()
        let path = "\(place.directory.path)/a/b/audit.log"
        #expect(
            Self.refusal { () throws(AuditError) in try FileAuditSink(path: path) }.contains(
                "cannot create the directory"))
    }

    @Test func `refuses a second writer`() async throws {
        let place = try LogDirectory()
        let sink = try place.sink()
        #expect(Self.refusal { () throws(AuditError) in try place.sink() }.contains("another process writes it"))
        try await sink.append(.sample(1), .now)
        try await sink.close()
        let next = try place.sink()
        try await next.close()
    }

    @Test(arguments: [
        #"{"v":1,"seq":4,"ts":"2026"#, "{", #"{"v":1,"seq":4,"ts"# + "\n", "\0\0\0\0\0\0\0\0", "\0\0\0\n", "\n",
    ])
    func `sets a torn last line aside and says so`(torn: String) async throws {
        let place = try LogDirectory()
        let head = try await place.written(2)
        try place.append(Array(torn.utf8))
        let sink = try place.sink()
        let aside = "\(place.log).torn-4"
        #expect(try place.read(aside) == Array(torn.utf8))
        #expect(place.mode(aside) == 0o600)
        try await sink.append(.sample(9), .now)
        try await sink.close()
        #expect(try place.verify(saved: head).records == 5)
        let note = try place.records()[3]
        #expect(note.event.kind == .log)
        #expect(note.event.result?["torn_file"] == .string(aside))
        #expect(note.event.result?["torn_bytes"] == JSON(torn.utf8.count))
    }

    @Test func `keeps every torn line of the same place`() async throws {
        let place = try LogDirectory()
        try await place.written(0)
        let first = try place.read(place.log)
        try place.append(Array("{".utf8))
        try await place.sink().close()
        #expect(truncate(place.log, first.count) == 0)
        try place.append(Array("{\"".utf8))
        try await place.sink().close()
        #expect(try place.read("\(place.log).torn-2") == Array("{".utf8))
        #expect(try place.read("\(place.log).torn-2-2") == Array("{\"".utf8))
    }

    @Test func `a log that is nothing but torn begins anew`() async throws {
        let place = try LogDirectory()
        try await place.written(0)
        #expect(truncate(place.log, 40) == 0)
        try await place.written(1)
        #expect(try place.records().map(\.seq) == [1, 2])
    }

    @Test func `refuses a last record that was edited, and names its line`() async throws {
        let place = try LogDirectory()
        try await place.written(3)
        var bytes = try place.read(place.log)
        let place4 = try #require(bytes.lastIndex(of: UInt8(ascii: "}"))) - 5
        bytes[place4] = bytes[place4] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
        try place.overwrite(bytes)
        let refusal = Self.refusal { () throws(AuditError) in try place.sink() }
        #expect(refusal.contains("line 4 was edited"), "\(refusal)")
        #expect(try place.read(place.log) == bytes)
    }

    @Test func `refuses a bad record before a torn line`() async throws {
        let place = try LogDirectory()
        try await place.written(1)
        try place.append(Array("{}\n{".utf8))
        let refusal = Self.refusal { () throws(AuditError) in try place.sink() }
        #expect(refusal.contains("line 3 needs an integer in 'v'"), "\(refusal)")
    }

    @Test(arguments: [
        "-----BEGIN KEY-----\nabc\n-----END KEY-----\n", "no log at all", "[]\n", #"{"name":"x"}"# + "\n",
    ])
    func `leaves a file alone that is no audit log`(content: String) async throws {
        let place = try LogDirectory()
        try await place.written(0)
        #expect(truncate(place.log, 0) == 0)
        try place.append(Array(content.utf8))
        #expect(Self.refusal { () throws(AuditError) in try place.sink() } != "")
        #expect(try place.read(place.log) == Array(content.utf8))
    }

    @Test func `an empty log continues the head that is known from elsewhere`() async throws {
        let place = try LogDirectory()
        let head = try await place.written(4)
        #expect(rename(place.log, "\(place.log).1") == 0)
        let sink = try place.sink(continuing: head)
        #expect(sink.head.seq == head.seq + 1)
        try await sink.close()
        #expect(try place.verify("\(place.log).1", place.log, saved: head).records == 6)
    }

    @Test func `refuses a log that ends before what is known from elsewhere`() async throws {
        let place = try LogDirectory()
        let head = try await place.written(4)
        let later = AuditHead(seq: head.seq + 1, hash: head.hash)
        #expect(
            Self.refusal { () throws(AuditError) in try place.sink(continuing: later) }
                .contains("ends at record 5, but 6 was synced"))
        let other = AuditHead(seq: head.seq, hash: AuditHead.empty.hash)
        #expect(
            Self.refusal { () throws(AuditError) in try place.sink(continuing: other) }
                .contains("its record 5 is not the one that was synced"))
        try await place.sink(continuing: head).close()
    }
}
