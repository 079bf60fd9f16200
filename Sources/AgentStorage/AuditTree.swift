internal import AgentAudit
internal import TransparencyLog

/// The tree of all records, for as long as it is known and continues every checkpoint that was signed.
struct AuditTree {
    private(set) var range: CompactRange?
    private(set) var flaw: AuditEnd.TreeFlaw?
    /// A checkpoint that was signed, until the log is as long as that.
    private var expected: TreeHead?

    /// `nil` for a tree that is not known.
    init(_ range: CompactRange?, expecting expected: TreeHead? = nil) {
        self.range = range
        flaw = range == nil ? .incomplete : nil
        if let expected { expect(expected) }
    }

    mutating func append(_ line: [UInt8]) {
        range?.append(.leaf(line))
        check()
    }

    /// Gives the tree up unless it is or becomes this one. A tree that is larger already is not believed.
    mutating func expect(_ signed: TreeHead) {
        if let expected, expected.size >= signed.size { return }
        expected = signed
        check()
    }

    private mutating func check() {
        guard let expected, let range, range.size >= expected.size else { return }
        if range.head != expected {
            self.range = nil
            flaw = .contradiction
        }
        self.expected = nil
    }
}

extension AuditTree {
    /// The tree of the log at `path` up to `head`.
    ///
    /// Continues `stored`, the tree at `saved`, with the lines behind it. Without that, makes it anew from the files, if
    /// they begin with record 1 or tell the tree of what was before them; then it has to be the one of `signed`, too.
    static func opened(
        _ path: String, end: Int64, at head: AuditHead, from saved: AuditHead?, _ stored: CompactRange?,
        signed: TreeHead?
    ) -> AuditTree {
        let trail = AuditTrail(path: path, end: end)
        if let stored, let saved, stored.size == saved.seq, saved.seq <= head.seq {
            var tree = AuditTree(stored)
            if let signed, signed.size > stored.size { tree.expect(signed) }
            if (try? trail.lines(after: saved, to: head, { tree.append($0) })) != nil { return tree }
        }
        guard head.seq > 0 else { return AuditTree(.empty, expecting: signed) }
        guard let start = trail.beginning(before: head.seq), signed.map({ $0.size >= start.size }) ?? true else {
            return AuditTree(nil)
        }
        var tree = AuditTree(start, expecting: signed)
        let before = AuditHead(seq: start.size, hash: "")
        guard (try? trail.lines(after: before, to: head, { tree.append($0) })) != nil else { return AuditTree(nil) }
        return tree
    }
}
