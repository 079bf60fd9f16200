package import TransparencyLog

extension ProofFile {
    /// The proof that the record of that number, from 1, is in the log of the checkpoint `note`, whose tree is `head`.
    /// `hashes` finds the hashes of parts of that tree. The proof was verified; throws if the log does not bear it out.
    package init(
        of seq: UInt64, in note: SignedNote, _ head: TreeHead,
        _ hashes: ([Range<UInt64>]) async throws(AuditError) -> [TreeHash]
    ) async throws(AuditError) {
        guard seq > 0, let parts = TreeProof.inclusion(of: seq - 1, in: head.size) else {
            throw AuditError("record \(seq) is not in the checkpoint of \(head.size) records")
        }
        let found = try await hashes([seq - 1..<seq] + parts)
        let path = Array(found.dropFirst())
        guard let leaf = found.first, TreeProof.holds(leaf, at: seq - 1, path, in: head) else {
            throw AuditError("audit log: is not the one of the checkpoint of \(head.size) records")
        }
        self.init(index: seq - 1, path: path, checkpoint: note)
    }
}
