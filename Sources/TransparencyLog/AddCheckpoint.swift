/// The request for a cosignature (c2sp.org/tlog-witness): a checkpoint, and the proof that it continues an older one.
package struct AddCheckpoint: Sendable, Hashable, CustomStringConvertible {
    /// The largest request that is read, in bytes.
    package static let maximumBytes = SignedNote.maximumBytes + 4096

    package let old: UInt64
    package let proof: [TreeHash]
    package let note: SignedNote

    package init(old: UInt64, proof: [TreeHash], note: SignedNote) {
        self.old = old
        self.proof = proof
        self.note = note
    }

    package var description: String { "old \(old)\n" + proof.map { "\($0)\n" }.joined() + "\n\(note)" }

    package init(parsing bytes: [UInt8]) throws(NoteError) {
        guard bytes.count <= Self.maximumBytes else { throw NoteError("the request is too large") }
        var rest = LinesBefore(bytes)
        guard let line = rest.next(), line.hasPrefix("old "), let old = strictDecimal(line.dropFirst(4)) else {
            throw NoteError("the first line is no \"old SIZE\"")
        }
        self.old = old
        proof = try rest.hashes()
        note = try SignedNote(parsing: rest.bytes)
    }

    /// The media type of an answer with status 409.
    package static let sizeType = "text/x.tlog.size"

    /// The size that such an answer names; `nil` if it names none.
    package static func size(in answer: [UInt8]) -> UInt64? {
        guard answer.count <= 20, answer.last == 0x0A else { return nil }
        return strictDecimal(String(decoding: answer.dropLast(), as: UTF8.self))
    }

    /// What a witness is to answer.
    package enum Verdict: Sendable, Hashable {
        /// It may cosign, once it has stored this as the newest.
        case good(TreeHead)
        case malformed(String)
        case unknownLog
        case badSignature
        /// Its newest checkpoint of the log has another size than the request says: this one.
        case conflict(UInt64)
        case inconsistent(String)
    }

    /// Judges the request; pure and total. `key` finds a log's key by its origin, `newest` the newest checkpoint that
    /// was cosigned for it.
    package func verdict(
        _ key: (_ origin: String) -> VerifierKey?, newest: (_ origin: String) -> TreeHead?
    ) -> Verdict {
        let checkpoint: Checkpoint
        do throws(NoteError) { checkpoint = try Checkpoint(note) } catch { return .malformed(error.description) }
        guard let key = key(checkpoint.origin), key.name == checkpoint.origin else { return .unknownLog }
        guard case .good = key.verdict(on: note) else { return .badSignature }
        let head = checkpoint.head
        guard old <= head.size else { return .malformed("the old size is larger than the checkpoint's") }
        let newest = newest(checkpoint.origin) ?? TreeHead(size: 0, root: .empty)
        guard old == newest.size else { return .conflict(newest.size) }
        if head.size == 0, head.root != .empty { return .inconsistent("the root of an empty log is another") }
        guard TreeProof.holds(from: newest, to: head, proof) else {
            return .inconsistent(
                old == head.size ? "the same size has another root" : "the proof does not lead to the checkpoint")
        }
        return .good(head)
    }
}
