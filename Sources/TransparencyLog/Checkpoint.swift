/// What a log says of its tree (c2sp.org/tlog-checkpoint): the text of a note.
package struct Checkpoint: Sendable, Hashable {
    package let origin: String
    package let head: TreeHead

    package init(origin: String, head: TreeHead) {
        self.origin = origin
        self.head = head
    }

    /// The text to sign, with its last newline.
    package var text: String { "\(origin)\n\(head.size)\n\(head.root)\n" }

    /// Reads the text of a note. Lines after the third are allowed, and say nothing here.
    package init(_ note: SignedNote) throws(NoteError) {
        let lines = note.text.utf8.dropLast().split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard lines.count >= 3, lines.allSatisfy({ !$0.isEmpty }) else {
            throw NoteError("the checkpoint needs three lines: origin, size, root")
        }
        guard let size = strictDecimal(lines[1]) else { throw NoteError("the checkpoint's size is no decimal number") }
        guard let root = TreeHash(lines[2]) else { throw NoteError("the checkpoint's root is no hash in base64") }
        self.init(origin: lines[0], head: TreeHead(size: size, root: root))
    }

    /// Reads a note and checks it: signed by `key`, and with its origin.
    package static func verified(_ note: SignedNote, by key: VerifierKey) throws(NoteError) -> Checkpoint {
        let checkpoint = try Checkpoint(note)
        guard checkpoint.origin == key.name else {
            throw NoteError("the checkpoint is of another log, \(checkpoint.origin.debugDescription)")
        }
        switch key.verdict(on: note) {
        case .good: return checkpoint
        case .unsigned: throw NoteError("the checkpoint is not signed by the key of \(key.name)")
        case .forged: throw NoteError("the checkpoint's signature is not that of the key of \(key.name)")
        }
    }
}

/// A proof that a record is in a log, as a file (c2sp.org/tlog-proof).
package struct ProofFile: Sendable, Hashable, CustomStringConvertible {
    /// The number of the leaf, from 0.
    package let index: UInt64
    package let path: [TreeHash]
    package let checkpoint: SignedNote

    package init(index: UInt64, path: [TreeHash], checkpoint: SignedNote) {
        self.index = index
        self.path = path
        self.checkpoint = checkpoint
    }

    package var description: String {
        "c2sp.org/tlog-proof@v1\nindex \(index)\n" + path.map { "\($0)\n" }.joined() + "\n\(checkpoint)"
    }

    package init(parsing bytes: [UInt8]) throws(NoteError) {
        var rest = LinesBefore(bytes)
        guard rest.next() == "c2sp.org/tlog-proof@v1" else { throw NoteError("the file is no c2sp.org/tlog-proof@v1") }
        var line = rest.next()
        if line?.hasPrefix("extra ") == true { line = rest.next() }
        guard let text = line, text.hasPrefix("index "), let index = strictDecimal(text.dropFirst(6)) else {
            throw NoteError("the proof has no index")
        }
        self.index = index
        path = try rest.hashes()
        checkpoint = try SignedNote(parsing: rest.bytes)
    }
}

/// Lines before an empty one, and what follows it.
struct LinesBefore {
    private(set) var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    /// The next line; `nil` if none ends here.
    mutating func next() -> String? {
        guard let end = bytes.firstIndex(of: 0x0A) else { return nil }
        defer { bytes = bytes[(end + 1)...] }
        return String(validating: bytes[..<end], as: UTF8.self)
    }

    /// The hashes up to the empty line, which is taken too.
    mutating func hashes() throws(NoteError) -> [TreeHash] {
        var found: [TreeHash] = []
        while let line = next() {
            if line.isEmpty { return found }
            guard found.count < 63 else { throw NoteError("the proof has more than 63 hashes") }
            guard let hash = TreeHash(line) else {
                throw NoteError("hash \(found.count + 1) of the proof is no base64")
            }
            found.append(hash)
        }
        throw NoteError("the proof does not end in an empty line")
    }
}
