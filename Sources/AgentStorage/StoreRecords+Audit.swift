import AgentAudit
import AgentService
internal import FoundationEssentials
internal import SQLite
internal import TransparencyLog

/// What the state knows of the audit log.
extension StoreRecords {
    var mark: AuditMark? { readMarks("WHERE agent = ?", [.text(database.agent)]).first?.mark }

    var otherMarks: [String: AuditMark] {
        let others = readMarks("WHERE agent <> ?", [.text(database.agent)])
        return Dictionary(others.map { ($0.agent, $0.mark) }) { first, _ in first }
    }

    /// Those of all agents.
    var marks: [(agent: String, mark: AuditMark)] { readMarks("", []) }

    private func readMarks(_ condition: String, _ values: [Value]) -> [(agent: String, mark: AuditMark)] {
        let sql = "SELECT agent, hash, seq, settled, copy, tree FROM audit_marks \(condition) ORDER BY agent"
        return records("audit_marks", sql, values) { row throws(RowDecodingError) in
            guard let agent = row[0].text, let hash = row[1].text, let seq = row[2].count,
                let settled = row[3].count, row[4].isFlag
            else { throw RowDecodingError.otherForm }
            let head = AuditHead(seq: seq, hash: hash)
            let tree = try row[5].blob.map { bytes throws(RowDecodingError) in try Self.tree(head.seq, bytes) }
            let mark = AuditMark(
                head: head, settled: settled, isOfCopy: row[4] != .integer(0), tree: tree)
            return (agent, mark)
        }
    }

    /// The record up to which each agent has got with something, by its name.
    func positions(_ table: String, _ condition: String = "", _ values: [Value] = []) -> [(agent: String, seq: UInt64)]
    {
        records(table, "SELECT agent, seq FROM \(table) \(condition)", values) { row throws(RowDecodingError) in
            guard let agent = row[0].text, let seq = row[1].count else { throw .otherForm }
            return (agent, seq)
        }
    }

    func position(_ table: String) -> UInt64? {
        positions(table, "WHERE agent = ?", [.text(database.agent)]).first?.seq
    }

    func checkpoint(of origin: String) -> SignedCheckpoint? {
        checkpoints("WHERE origin = ?", [.text(origin)]).first
    }

    /// All of them, of every origin that the log has had.
    func checkpoints() -> [SignedCheckpoint] { checkpoints("", []) }

    private func checkpoints(_ condition: String, _ values: [Value]) -> [SignedCheckpoint] {
        let sql = "SELECT origin, size, root, tree, signed_at, note FROM checkpoints \(condition)"
        return records("checkpoints", sql, values) { row throws(RowDecodingError) in
            guard let origin = row[0].text, let size = row[1].count, let root = row[2].blob.flatMap(TreeHash.init),
                let signedAt = Date(row[4]), let text = row[5].text,
                let note = try? SignedNote(parsing: Array(text.utf8))
            else { throw RowDecodingError.otherForm }
            let head = TreeHead(size: size, root: root)
            let tree = try row[3].blob.map { bytes throws(RowDecodingError) in try Self.tree(head.size, bytes) }
            return SignedCheckpoint(origin: origin, head: head, tree: tree, signedAt: signedAt, note: note)
        }
    }

    private static func tree(_ size: UInt64, _ bytes: [UInt8]) throws(RowDecodingError) -> CompactRange {
        guard let tree = CompactRange(size: size, bytes: bytes) else {
            throw RowDecodingError(detail: "its tree has another size")
        }
        return tree
    }

    func put(_ mark: AuditMark) {
        upsert(
            "audit_marks", ["agent", "seq", "hash", "settled", "copy", "tree"],
            [
                .text(database.agent), .integer(Int64(bitPattern: mark.head.seq)), .text(mark.head.hash),
                .integer(Int64(bitPattern: mark.settled)), Value(mark.isOfCopy), Value(mark.tree?.bytes),
            ])
    }

    func put(_ checkpoint: SignedCheckpoint) {
        upsert(
            "checkpoints", ["origin", "size", "root", "tree", "signed_at", "note"],
            [
                .text(checkpoint.origin), .integer(Int64(bitPattern: checkpoint.head.size)),
                .blob(checkpoint.head.root.bytes), Value(checkpoint.tree?.bytes), Value(checkpoint.signedAt),
                .text(checkpoint.note.description),
            ])
    }
}
