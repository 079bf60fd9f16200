import AgentAudit
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import StrictJSON
import Testing

/// A directory with an audit log in it, and what a rough world does to one.
struct LogDirectory: ~Copyable {
    let directory: TemporaryDirectory
    let log: String

    /// Makes the directory in the one that `path` names.
    init(at path: String = "/tmp") throws {
        directory = try TemporaryDirectory(in: path)
        log = "\(directory.path)/data/audit.log"
    }

    /// Quick at what it does unasked, so that tests need not wait.
    static let quick = FileAuditSink.Timing(sync: .milliseconds(20), retry: .milliseconds(10), look: .milliseconds(10))
    /// Does nothing unasked within a test.
    static let idle = FileAuditSink.Timing(sync: .seconds(600), retry: .seconds(600), look: .seconds(600))

    func sink(
        _ timing: FileAuditSink.Timing = idle, continuing saved: AuditHead? = nil
    ) throws(AuditError) -> FileAuditSink {
        try FileAuditSink(path: log, continuing: saved, timing: timing) { moment }
    }

    /// A closed log of so many samples, after the record that says it was opened.
    @discardableResult
    func written(_ count: Int) async throws -> AuditHead {
        let sink = try sink()
        for number in 0..<count { try await sink.append(.sample(number), .soon) }
        try await sink.close()
        return sink.head
    }

    func records(_ path: String? = nil) throws -> [AuditRecord] {
        try read(path ?? log).split(separator: UInt8(ascii: "\n")).map { try AuditRecord(line: Array($0)) }
    }

    func verify(_ paths: String..., saved: AuditHead? = nil) throws -> AuditSummary {
        try AuditVerifier.verify(files: paths.isEmpty ? [log] : paths, saved: saved)
    }

    func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

    /// Writes into the file that is there, keeping its inode.
    func overwrite(_ bytes: [UInt8], at offset: Int = 0) throws {
        let descriptor = open(log, O_WRONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        try #require(pwrite(descriptor, bytes, bytes.count, offset) == bytes.count)
    }

    func append(_ text: [UInt8]) throws { try overwrite(text, at: try read(log).count) }

    func mode(_ path: String) -> mode_t {
        var info = stat()
        return lstat(path, &info) == 0 ? info.st_mode & 0o7777 : 0
    }
}

/// Waits until something is so; `false` when it is not within ten seconds.
func eventually(_ condition: () -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(10)
    while !condition() {
        guard ContinuousClock.now < deadline else { return false }
        try await Task.sleep(for: .milliseconds(2))
    }
    return true
}
