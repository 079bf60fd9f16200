import Testing
import TransparencyLog

/// What a witness answers to each request.
struct WitnessRuleTests {
    private let key: SigningKey
    private let stranger: SigningKey
    private let trees: [CompactRange]

    init() throws {
        key = try #require(SigningKey(name: "log.example/a", use: .log, seed: Array(0..<32)))
        stranger = try #require(SigningKey(name: "log.example/a", use: .log, seed: Array(1...32)))
        trees = (0..<10).reduce(into: [.empty]) { trees, number in
            var tree = trees[trees.count - 1]
            tree.append(.leaf([UInt8(number)]))
            trees.append(tree)
        }
    }

    private func note(_ head: TreeHead, by key: SigningKey, origin: String = "log.example/a") throws -> SignedNote {
        let text = Checkpoint(origin: origin, head: head).text
        return SignedNote(text: text, signatures: [try #require(key.signature(on: text, at: 0))])
    }

    private func proof(from old: Int, to new: Int) throws -> [TreeHash] {
        var walk = TreeWalk(try #require(TreeProof.consistency(from: UInt64(old), to: UInt64(new))))
        for number in 0..<new { walk.append(.leaf([UInt8(number)])) }
        return try #require(walk.hashes)
    }

    private func verdict(_ request: AddCheckpoint, knowing size: Int?) throws -> AddCheckpoint.Verdict {
        // As it comes over the wire.
        let read = try AddCheckpoint(parsing: Array(request.description.utf8))
        #expect(read == request)
        return read.verdict(
            { [key] in $0 == "log.example/a" ? key.verifier : nil }, newest: { _ in size.map { trees[$0].head } })
    }

    @Test(arguments: [(nil, 1), (nil, 9), (1, 1), (1, 2), (3, 9), (9, 10), (4, 8)] as [(Int?, Int)])
    func `a log that goes on is signed`(known: Int?, size: Int) throws {
        let request = AddCheckpoint(
            old: UInt64(known ?? 0), proof: try proof(from: known ?? 0, to: size),
            note: try note(trees[size].head, by: key))
        #expect(try verdict(request, knowing: known) == .good(trees[size].head))
    }

    @Test func `another size than the known one is a conflict that names it`() throws {
        let request = AddCheckpoint(
            old: 3, proof: try proof(from: 3, to: 9), note: try note(trees[9].head, by: key))
        #expect(try verdict(request, knowing: nil) == .conflict(0))
        #expect(try verdict(request, knowing: 4) == .conflict(4))
        #expect(try verdict(request, knowing: 10) == .conflict(10))
    }

    @Test func `a log that was changed is not signed`() throws {
        var forked = trees[2]
        for number in 50..<57 { forked.append(.leaf([UInt8(number)])) }
        func expectRefusal(_ old: Int, _ head: TreeHead, _ proof: [TreeHash]) throws {
            let request = AddCheckpoint(old: UInt64(old), proof: proof, note: try note(head, by: key))
            guard case .inconsistent = try verdict(request, knowing: old) else {
                Issue.record("\(old) → \(head)")
                return
            }
        }
        try expectRefusal(3, forked.head, try proof(from: 3, to: 9))
        try expectRefusal(9, forked.head, [])
        try expectRefusal(3, trees[9].head, [])
        try expectRefusal(0, trees[9].head, [.empty])
        try expectRefusal(0, TreeHead(size: 0, root: .leaf([])), [])
    }

    @Test func `other logs, other keys and other forms are told apart`() throws {
        let good = AddCheckpoint(old: 0, proof: [], note: try note(trees[3].head, by: key))
        let other = AddCheckpoint(old: 0, proof: [], note: try note(trees[3].head, by: key, origin: "log.example/b"))
        #expect(try verdict(other, knowing: nil) == .unknownLog)
        let forged = AddCheckpoint(old: 0, proof: [], note: try note(trees[3].head, by: stranger))
        #expect(try verdict(forged, knowing: nil) == .badSignature)
        let changed = SignedNote(
            text: Checkpoint(origin: "log.example/a", head: trees[4].head).text, signatures: good.note.signatures)
        #expect(try verdict(AddCheckpoint(old: 0, proof: [], note: changed), knowing: nil) == .badSignature)
        let backwards = AddCheckpoint(old: 4, proof: [], note: good.note)
        #expect(try verdict(backwards, knowing: 4) == .malformed("the old size is larger than the checkpoint's"))
    }

    @Test(arguments: [
        "", "old", "old 1", "old 1\n", "old x\n\n", "old 01\n\n", "new 1\n\n", "old 1\nAAAA\n\n",
        "old 1\n" + String(repeating: "\(TreeHash.empty)\n", count: 64) + "\n", "old 1\n\nno note\n",
    ])
    func `what is no request is refused`(text: String) {
        #expect(throws: NoteError.self) { try AddCheckpoint(parsing: Array(text.utf8)) }
    }

    @Test(
        arguments: [
            ("0\n", 0), ("17\n", 17), ("17", nil), ("017\n", nil), ("\n", nil), ("", nil), ("-1\n", nil),
            ("99999999999999999999\n", nil), ("1\n2\n", nil),
        ] as [(String, UInt64?)])
    func `the size of a conflict is read strictly`(text: String, size: UInt64?) {
        #expect(AddCheckpoint.size(in: Array(text.utf8)) == size)
    }
}
