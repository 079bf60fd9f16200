import AgentAudit
internal import FoundationEssentials
import StrictJSON
internal import SystemFile
internal import SystemPackage

/// Reads whole records from a log that may be being written, and checks each against its hash.
struct AuditLogReader: ~Copyable {
    private let path: String
    private let file: OpenFile
    private let length: Int64

    /// Opens the log for reading, up to `end`: where the last whole record ends, if known.
    init(path: String, upTo end: Int64? = nil) throws(AuditError) {
        self.path = path
        do throws(Errno) { file = try OpenFile(path, .readOnly, .noFollow) } catch {
            throw .system("cannot be read", path, error, cure: "let the agent's user read it")
        }
        let size = (try? file.stat().size) ?? 0
        length = min(size, end ?? size)
    }

    /// Calls `body` with the records from number `seq` on, oldest first, until it returns false. Checks each against
    /// the one before it. `chain` is the end of the records so far, `nil` before the first.
    ///
    /// Throws with the line that is no record, or does not follow.
    func walk(
        from seq: UInt64, _ chain: inout AuditChain?, _ body: (AuditRecord) throws(AuditError) -> Bool
    ) throws(AuditError) {
        var at = try start(after: seq > 0 ? seq - 1 : 0)
        while let line = try line(at: at) {
            switch Self.next(line, chain) {
            case .success(let record):
                chain = AuditChain(from: record.head)
                if try !body(record) { return }
            case .failure(let flaw):
                throw AuditError(
                    "audit log \(path):\(try lines(before: at) + 1): \(flaw.words); see proxmox-agent audit verify")
            }
            at += Int64(line.count) + 1
        }
    }

    private struct Flaw: Error {
        let words: String
    }

    /// The record in the line, if it is valid and continues `chain`.
    private static func next(_ line: [UInt8], _ chain: AuditChain?) -> Result<AuditRecord, Flaw> {
        do throws(AuditRecord.Flaw) {
            let record = try AuditRecord(line: line)
            var next = chain ?? AuditChain(from: AuditHead(seq: record.seq - 1, hash: record.prev))
            do throws(AuditChain.Break) { try next.accept(record) } catch {
                return .failure(Flaw(words: error.words(record)))
            }
            return .success(record)
        } catch {
            return .failure(Flaw(words: error.words))
        }
    }

    /// Calls `body` with the whole lines from record `seq` on, without their newlines, until it returns false.
    func lines(from seq: UInt64, _ body: ([UInt8]) throws(AuditError) -> Bool) throws(AuditError) {
        var at = try start(after: seq > 0 ? seq - 1 : 0)
        var line: [UInt8] = []
        while at < length {
            let block = try read(at, 4 * Self.block)
            at += Int64(block.count)
            var rest = block[...]
            while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
                line += rest[..<newline]
                rest = rest[(newline + 1)...]
                if try !body(line) { return }
                line.removeAll(keepingCapacity: true)
            }
            line += rest
            guard line.count <= AuditRecord.maximumLineLength else {
                throw AuditError("audit log \(path): has a line too long for a record; see proxmox-agent audit verify")
            }
        }
    }

    /// Whether the file has the record of this number.
    func holds(_ seq: UInt64) throws(AuditError) -> Bool {
        let at = try start(after: seq > 0 ? seq - 1 : 0)
        return at < length ? try number(at: at) == seq : false
    }

    /// The number of the first record; `nil` in an empty file. Throws if the first line is no record.
    func first() throws(AuditError) -> UInt64? { length > 0 ? try number(at: 0) : nil }

    /// The head from the last whole line; `nil` if there is none or it is damaged.
    func last() throws(AuditError) -> AuditHead? {
        var window = Int64(Self.block)
        while true {
            let from = max(0, length - window)
            let bytes = try read(from, Int(length - from))
            // After the last newline there is at most a torn line.
            guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) ?? (from == 0 ? bytes.startIndex : nil) else {
                window *= 2
                continue
            }
            let begin = bytes[..<end].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
            if begin != nil || from == 0 { return (try? AuditRecord(line: Array(bytes[(begin ?? 0)..<end])))?.head }
            window *= 2
        }
    }

    /// The log's files, oldest first: rotated ones with its name and a suffix, such as `audit.log.1`, and the current
    /// one. Skips files that are no logs, such as compressed ones.
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

    /// The offset of the first record after number `seq`, by binary search: records are in order.
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

    /// The first start of a line at or after `offset`; the end of the file if there is none.
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

    private func lines(before end: Int64) throws(AuditError) -> Int {
        var count = 0
        var at: Int64 = 0
        while at < end {
            let block = try read(at, min(Self.block, Int(end - at)))
            count += block.count { $0 == UInt8(ascii: "\n") }
            at += Int64(block.count)
        }
        return count
    }

    func line(at offset: Int64) throws(AuditError) -> [UInt8]? {
        guard offset < length, let end = try newline(from: offset) else { return nil }
        return try read(offset, Int(end - offset))
    }

    /// The `seq` of the record at `offset`, from the start of its line.
    private func number(at offset: Int64) throws(AuditError) -> UInt64 {
        guard let seq = Self.number(of: try read(offset, 64)) else {
            throw AuditError("audit log \(path): has a line that is no record; see proxmox-agent audit verify")
        }
        return seq
    }

    private static let prefix = Array("{\"v\":1,\"seq\":".utf8)

    /// The `seq` of the record with this beginning; `nil` if it has none.
    static func number(of line: [UInt8]) -> UInt64? {
        guard line.starts(with: prefix) else { return nil }
        var seq: UInt64 = 0
        var count = 0
        for byte in line.dropFirst(prefix.count) {
            guard (0x30...0x39).contains(byte) else { break }
            guard count < 19 else { return nil }
            (seq, count) = (seq * 10 + UInt64(byte - 0x30), count + 1)
        }
        return count > 0 ? seq : nil
    }

    /// At most `count` bytes from `offset` on, and at least one.
    private func read(_ offset: Int64, _ count: Int) throws(AuditError) -> [UInt8] {
        do throws(Errno) { return try file.read(offset..<min(offset + Int64(count), length)) } catch {
            throw .system("cannot be read", path, error, cure: "look after its file system")
        }
    }
}
