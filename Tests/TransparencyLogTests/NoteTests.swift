import Testing
import TransparencyLog

/// The signatures were made by a program in Python, from the specifications alone.
struct NoteTests {
    static let log = "log.example/a+d870bab6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    static let witness = "witness.example/w+76d9f8e5+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    static let text = "log.example/a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
    static let ofLog =
        "— log.example/a 2HC6tqBWUPgJZcU/1anf/eFAkivMJR4QU5Wc1u93cbVqs3bNC3Uyw6l46H3EsHI3VlSflTpaJ34LFGRMvVv8wceRnQM=\n"
    static let ofWitness =
        "— witness.example/w dtn45QAAAABlU/EAvuCMMU8HATNSNV5gSyDfARVmNRAwlT3PTuwvYhWEvsLId77c8BhY59Yd7dzqiWeZ46Vk/Q6mh+qDeqGd//8bAg==\n"

    static func note(_ text: String) throws -> SignedNote { try SignedNote(parsing: Array(text.utf8)) }

    private static func key(_ use: NoteKeyUse) throws -> SigningKey {
        let name = use == .log ? "log.example/a" : "witness.example/w"
        return try #require(SigningKey(name: name, use: use, seed: Array(0..<32)))
    }

    @Test func `the specification's own note is verified by its own key`() throws {
        let key = try #require(VerifierKey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"))
        let signature =
            "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
        let note = try Self.note("This is an example message.\n\n\(signature)")
        #expect(key.verdict(on: note) == .good(at: nil))
        #expect(key.verdict(on: try Self.note("This is another message.\n\n\(signature)")) == .forged)
    }

    @Test func `keys and signatures are those that another program makes`() throws {
        let (log, witness) = (try Self.key(.log), try Self.key(.witness))
        #expect(log.verifier.description == Self.log && witness.verifier.description == Self.witness)
        #expect(log.signature(on: Self.text, at: 0).map { "\($0)\n" } == Self.ofLog)
        #expect(witness.signature(on: Self.text, at: 1_700_000_000).map { "\($0)\n" } == Self.ofWitness)
    }

    @Test func `each key finds its own signature, and no other's`() throws {
        let (log, witness) = (try #require(VerifierKey(Self.log)), try #require(VerifierKey(Self.witness)))
        let both = try Self.note("\(Self.text)\n\(Self.ofLog)\(Self.ofWitness)")
        #expect(log.verdict(on: both) == .good(at: nil))
        #expect(witness.verdict(on: both) == .good(at: 1_700_000_000))
        #expect(both.description == "\(Self.text)\n\(Self.ofLog)\(Self.ofWitness)")
        #expect(witness.verdict(on: try Self.note("\(Self.text)\n\(Self.ofLog)")) == .unsigned)
        let head = try Checkpoint.verified(both, by: log)
        #expect(head.head.size == 8 && head.origin == "log.example/a" && head.text == Self.text)
        // A good signature does not make up for a bad one of the same key.
        var forged = both
        forged.signatures.append(.init(name: log.name, keyID: log.id, bytes: Array(repeating: 0, count: 64)))
        #expect(log.verdict(on: forged) == .forged)
        forged.signatures = [.init(name: witness.name, keyID: witness.id, bytes: [])]
        #expect(witness.verdict(on: forged) == .forged)
    }

    @Test(arguments: [
        "", "\n", "\n\n", "text\n", "text\n\n", "text\n\n— a\n", "text\n\n— a AAAA\n", "text\n\n— a AAAAAA=\n",
        "text\n\n- a AAAAAAA=\n", "text\n\n— a+b AAAAAAA=\n", "text\n\n— a  AAAAAAA=\n", "text\n\n—  AAAAAAA=\n",
        "text\n\n— a AAAAAAA=", "text\n\n— a AAAAAAA=\n— b", "te\u{7}xt\n\n— a AAAAAAA=\n", "te\rxt\n\n— a AAAAAAA=\n",
        "text\n\n— a AAAAAAA=\r\n", "text\n\n— a AAAAAAB=\n", "text\n\n— a\u{3000}b AAAAAAA=\n",
        "text\n\n" + String(repeating: "— a AAAAAAA=\n", count: 65), String(repeating: "x", count: 70_000),
    ])
    func `what is no note is refused`(text: String) {
        #expect(throws: NoteError.self) { try Self.note(text) }
    }

    @Test func `the text ends at the last empty line`() throws {
        let note = try Self.note("one\n\ntwo\n\n— a AAAAAAA=\n")
        #expect(note.text == "one\n\ntwo\n" && note.signatures.count == 1)
        #expect(throws: NoteError.self) { try SignedNote(parsing: [0xFF, 0x0A, 0x0A]) }
    }

    @Test(arguments: [
        "", "log.example/a", "log.example/a+d870bab6",
        "log.example/a+d870bab7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "log.example/a+D870BAB6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "log.example/b+d870bab6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "log.example/a+d870bab6+AwOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "log.example/a+d870bab6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVQ==", "+d870bab6+AQ==",
    ])
    func `what is no verifier key is refused`(text: String) { #expect(VerifierKey(text) == nil) }

    @Test(arguments: [
        "a\n1\n", "a\n1\nAAAA\n", "a\n01\n\(TreeHash.empty)\n", "a\n+1\n\(TreeHash.empty)\n",
        "a\n\n\(TreeHash.empty)\n",
        "a\n9223372036854775808\n\(TreeHash.empty)\n", "a\n1\n\(TreeHash.empty)\n\nmore\n",
    ])
    func `what is no checkpoint is refused`(text: String) throws {
        let note = SignedNote(text: text, signatures: [])
        #expect(throws: NoteError.self) { try Checkpoint(note) }
    }

    @Test func `a checkpoint of another log, or signed by nobody known, is refused`() throws {
        let key = try #require(VerifierKey(Self.log))
        let other = Self.text.replacing("example/a", with: "example/b")
        for text in ["\(other)\n\(Self.ofLog)", "\(Self.text)\n\(Self.ofWitness)", "\(Self.text)x\n\n\(Self.ofLog)"] {
            let note = try Self.note(text)
            #expect(throws: NoteError.self, "\(text)") { try Checkpoint.verified(note, by: key) }
        }
    }

    @Test func `a proof is read as it is written`() throws {
        let note = try Self.note("\(Self.text)\n\(Self.ofLog)")
        let proof = ProofFile(index: 3, path: [.empty, .leaf([1])], checkpoint: note)
        #expect(try ProofFile(parsing: Array(proof.description.utf8)) == proof)
        let extra = proof.description.replacing("index 3", with: "extra AAAA\nindex 3")
        #expect(try ProofFile(parsing: Array(extra.utf8)) == proof, "extra data is allowed, and says nothing")
        for wrong in ["@v2", "index 03", "index", "index -1", "index 3\nAAAA"] {
            let text = proof.description.replacing(wrong == "@v2" ? "@v1" : "index 3", with: wrong)
            #expect(throws: NoteError.self, "\(wrong)") { try ProofFile(parsing: Array(text.utf8)) }
        }
    }
}
