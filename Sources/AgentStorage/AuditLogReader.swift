import AgentAudit
internal import FoundationEssentials
import Glibc
import StrictJSON

/// Reads records out of a log that another may be writing: whole lines only, each held to its own hash.
struct AuditLogReader: ~Copyable {
    private let path: String
    private let descriptor: Int32
    private let length: Int64

    init(path: String) throws(AuditError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        var info = stat()
        length = descriptor >= 0 && fstat(descriptor, &info) == 0 ? Int64(info.st_size) : 0
        guard descriptor >= 0 else { throw .system("cannot be read", path, cure: "let the agent's user read it") }
    }

    deinit { if descriptor >= 0 { _ = close(descriptor) } }

    /// The records after number `seq`, oldest first, at most `limit`, and no more once there are `bytes` bytes of them.
    func records(after seq: UInt64, limit: Int, bytes: Int = .max) throws(AuditError) -> [AuditRecord] {
        var found: [AuditRecord] = []
        let start = try start(after: seq)
        var at = start
        while found.count < limit, at - start < bytes, let line = try line(at: at) {
            do throws(AuditRecord.Flaw) { found.append(try AuditRecord(line: line)) } catch {
                throw AuditError(
                    "audit log \(path): a record after \(found.last?.seq ?? seq) is damaged; see proxmox-agent audit verify"
                )
            }
            at += Int64(line.count) + 1
        }
        return found
    }

    /// The number of the first record; `nil` in an empty file. Throws where that is no record.
    func first() throws(AuditError) -> UInt64? { length > 0 ? try number(at: 0) : nil }

    /// The head that the file ends with, from its last whole line; `nil` where there is none or it is damaged.
    func last() throws(AuditError) -> AuditHead? {
        var window = Int64(Self.block)
        while true {
            let from = max(0, length - window)
            let bytes = try read(from, Int(length - from))
            // Behind the last newline there is at most what was torn off.
            guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) ?? (from == 0 ? bytes.startIndex : nil) else {
                window *= 2
                continue
            }
            let begin = bytes[..<end].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
            if begin != nil || from == 0 { return (try? AuditRecord(line: Array(bytes[(begin ?? 0)..<end])))?.head }
            window *= 2
        }
    }

    /// The log's files, oldest first: those that were put aside under its name with something behind it, `audit.log.1`,
    /// and the present one. Files that are no logs, compressed ones for one, do not count.
    static func files(of path: String) -> [String] {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        var found: [(first: UInt64, path: String)] = []
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: directory.isEmpty ? "/" : directory)) ?? [] {
            guard entry.hasPrefix(name + ".") || entry.hasPrefix(name + "-"), !entry.contains(".torn-") else {
                continue
            }
            let file = "\(directory)/\(entry)"
            guard let reader = try? AuditLogReader(path: file), let first = (try? reader.first()) ?? nil else {
                continue
            }
            found.append((first, file))
        }
        return found.sorted { $0.first < $1.first }.map(\.path) + [path]
    }

    /// As ``records(after:limit:bytes:)``, through all files of the log at `path`.
    static func records(
        of path: String, after seq: UInt64, limit: Int, bytes: Int = .max
    ) throws(AuditError) -> [AuditRecord] {
        let current = try AuditLogReader(path: path)
        let first = try current.first()
        guard first.map({ $0 > seq + 1 }) ?? true else {
            return try current.records(after: seq, limit: limit, bytes: bytes)
        }
        var found: [AuditRecord] = []
        var left = bytes
        for file in files(of: path) where found.count < limit && left > 0 {
            let more = try AuditLogReader(path: file).records(
                after: found.last?.seq ?? seq, limit: limit - found.count, bytes: left)
            left -= more.reduce(0) { $0 + $1.line.count }
            found += more
        }
        return found
    }

    /// Where the first record after number `seq` begins: records stand in their order, so halving finds it.
    private func start(after seq: UInt64) throws(AuditError) -> Int64 {
        var low: Int64 = 0
        var high = length
        while low < high {
            let middle = low + (high - low) / 2
            let line = try lineStart(from: middle)
            if line >= length {
                high = middle
            } else if try number(at: line) > seq {
                high = middle
            } else {
                low = line + 1
            }
        }
        return try lineStart(from: low)
    }

    /// The first beginning of a line at `offset` or behind it; the end of the file where there is none.
    private func lineStart(from offset: Int64) throws(AuditError) -> Int64 {
        guard offset > 0 else { return 0 }
        return try newline(from: offset - 1).map { $0 + 1 } ?? length
    }

    private func newline(from offset: Int64) throws(AuditError) -> Int64? {
        var at = offset
        while at < length {
            let block = try read(at, Self.block)
            if let index = block.firstIndex(of: UInt8(ascii: "\n")) { return at + Int64(index) }
            at += Int64(block.count)
        }
        return nil
    }

    private static var block: Int { 64 << 10 }

    private func line(at offset: Int64) throws(AuditError) -> [UInt8]? {
        guard offset < length, let end = try newline(from: offset) else { return nil }
        return try read(offset, Int(end - offset))
    }

    /// The `seq` of the record that begins at `offset`, read from the beginning of its line.
    private func number(at offset: Int64) throws(AuditError) -> UInt64 {
        let beginning = String(decoding: try read(offset, 64), as: UTF8.self)
        let prefix = "{\"v\":1,\"seq\":"
        guard beginning.hasPrefix(prefix),
            let seq = UInt64(beginning.dropFirst(prefix.count).prefix { $0.isASCII && $0.isNumber })
        else { throw AuditError("audit log \(path): has a line that is no record; see proxmox-agent audit verify") }
        return seq
    }

    /// At most `count` bytes from `offset` on; never none.
    private func read(_ offset: Int64, _ count: Int) throws(AuditError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: min(count, Int(length - offset)))
        var filled = 0
        while filled < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress?.advanced(by: filled), $0.count - filled, off_t(offset) + filled)
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw .system("cannot be read", path, cure: "look after its file system") }
            filled += got
        }
        return bytes
    }
}
