package import AgentAudit
package import TransparencyLog

/// Reads lines for the tree: in constant memory, and without parsing them.
extension AuditTrail {
    /// The tree of what was before the oldest file that tells it, or begins with record 1; `nil` if there is none.
    func beginning(before seq: UInt64) -> CompactRange? {
        for file in AuditLogReader.files(of: path) {
            guard let reader = try? AuditLogReader(path: file), let line = try? reader.line(at: 0),
                let record = try? AuditRecord(line: line), record.seq <= seq, let tree = record.treeBefore
            else { continue }
            return tree
        }
        return nil
    }

    /// Calls `body` with the lines of the records behind `start` up to `head`, without their newlines. Checks that they
    /// follow each other and lead from `start`, if its hash is known, to `head`, but not each line's own hash.
    func lines(
        after start: AuditHead, to head: AuditHead, _ body: ([UInt8]) -> Void
    ) throws(AuditError) {
        var last = Array(start.hash.utf8)
        try lines(from: start.seq + 1, to: head.seq) { line throws(AuditError) in
            guard let link = Link(line), last.isEmpty || link.prev == last[...] else {
                throw AuditError(
                    "audit log \(path): its records do not follow each other; see proxmox-agent audit verify")
            }
            last = Array(link.hash)
            body(line)
        }
        guard last.isEmpty || last == Array(head.hash.utf8) else {
            throw AuditError("audit log \(path): does not lead to record \(head.seq); see proxmox-agent audit verify")
        }
    }

    /// Calls `body` with the lines of these records. Throws if one is not there.
    func lines(
        from first: UInt64, to last: UInt64, _ body: ([UInt8]) throws(AuditError) -> Void
    ) throws(AuditError) {
        var next = first
        while next <= last {
            guard let file = try file(with: next) else {
                throw AuditError(
                    "audit log \(path): record \(next) is in no file beside it; bring the older files back")
            }
            let before = next
            try AuditLogReader(path: file, upTo: file == path ? end : nil).lines(from: next) {
                line throws(AuditError) in
                guard AuditLogReader.number(of: line) == next else {
                    throw AuditError("audit log \(file): record \(next) is missing; see proxmox-agent audit verify")
                }
                try body(line)
                next += 1
                return next <= last
            }
            guard next > before else {
                throw AuditError("audit log \(file): record \(next) is not whole; see proxmox-agent audit verify")
            }
        }
    }

    private func file(with seq: UInt64) throws(AuditError) -> String? {
        for file in AuditLogReader.files(of: path).reversed() {
            let reader = try AuditLogReader(path: file, upTo: file == path ? end : nil)
            if (try? reader.holds(seq)) == true { return file }
        }
        return nil
    }

    /// The hashes of parts of the tree of the first `size` records.
    func hashes(
        of parts: [Range<UInt64>], in size: UInt64, from known: CompactRange?
    ) throws(AuditError) -> [TreeHash] {
        guard !parts.isEmpty else { return [] }
        guard let start = known ?? beginning(before: size) else {
            throw AuditError("audit log \(path): its older files are gone; bring them back")
        }
        var walk = TreeWalk(parts, from: start)
        try lines(from: start.size + 1, to: size) { line in walk.append(.leaf(line)) }
        guard let hashes = walk.hashes else {
            throw AuditError(
                "audit log \(path): needs records from before record \(start.size + 1); bring the files back")
        }
        return hashes
    }
}

/// The files of a log that nothing else is known of.
package enum AuditLogFiles {
    /// The hashes of parts of the tree of the first `size` records, from the log at `path` and the rotated files beside
    /// it.
    package static func hashes(
        of parts: [Range<UInt64>], in size: UInt64, of path: String
    ) throws(AuditError) -> [TreeHash] {
        try AuditTrail(path: path).hashes(of: parts, in: size, from: nil)
    }
}

/// What links a line to the one before it: its last two fields, as every record ends.
private struct Link {
    let prev: ArraySlice<UInt8>
    let hash: ArraySlice<UInt8>

    private static let (first, second) = (Array(#""prev":""#.utf8), Array(#"","hash":""#.utf8))

    init?(_ line: [UInt8]) {
        let length = Self.first.count + 64 + Self.second.count + 64 + 2
        guard line.count > length else { return nil }
        let start = line.count - length
        prev = line[(start + Self.first.count)..<(start + Self.first.count + 64)]
        hash = line[(line.count - 66)..<(line.count - 2)]
        guard line[start..<prev.startIndex] == Self.first[...],
            line[prev.endIndex..<hash.startIndex] == Self.second[...]
        else { return nil }
    }
}
