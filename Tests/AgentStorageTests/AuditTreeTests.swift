import AgentAudit
import AgentStorage
import AgentTestSupport
import Glibc
import StrictJSON
import Testing
import TransparencyLog

/// The tree over the lines of the log, through rotations, restarts, upgrades and losses.
@Suite(.timeLimit(.minutes(1)))
struct AuditTreeTests {
    /// The tree of the lines in these files.
    private static func tree(_ place: borrowing LogDirectory, _ files: [String]? = nil) throws -> CompactRange {
        try (files ?? [place.log]).reduce(into: CompactRange.empty) { tree, file in
            for line in try place.read(file).split(separator: UInt8(ascii: "\n")) { tree.append(.leaf(Array(line))) }
        }
    }

    private static func sink(
        _ place: borrowing LogDirectory, continuing end: AuditEnd? = nil, signed: TreeHead? = nil
    ) throws -> FileAuditSink {
        try FileAuditSink(
            path: place.log, continuing: end?.head, tree: end?.tree, signed: signed, timing: LogDirectory.idle
        ) { moment }
    }

    /// A log in two files, closed, and its end.
    private static func rotated(_ place: borrowing LogDirectory) async throws -> AuditEnd {
        let sink = try Self.sink(place)
        for number in 0..<5 { try await sink.append(.sample(number), .soon) }
        try #require(rename(place.log, "\(place.log).1") == 0)
        try await sink.reopen()
        for number in 5..<9 { try await sink.append(.sample(number), .soon) }
        try await sink.close()
        return sink.end
    }

    @Test func `the end has the tree of all lines, and moves with the synced head`() async throws {
        let place = try LogDirectory()
        let sink = try Self.sink(place)
        #expect(try sink.end.tree == Self.tree(place), "the first record says that it was opened")
        for number in 0..<20 { try await sink.append(.sample(number), .now) }
        #expect(try sink.end.tree == Self.tree(place))
        #expect(sink.end.tree?.size == sink.head.seq)
        try await sink.append(.sample(20), .soon)
        #expect(sink.end.tree?.size == sink.end.head.seq)
        try await sink.close()
        #expect(try sink.end.tree == Self.tree(place))
    }

    @Test func `a rotated log goes on, with and without its older files`() async throws {
        let place = try LogDirectory()
        let end = try await Self.rotated(place)
        let whole = try Self.tree(place, ["\(place.log).1", place.log])
        #expect(end.tree == whole)
        // An agent of an earlier version stored no tree: it is made anew from all files.
        let anew = try Self.sink(place, continuing: AuditEnd(head: end.head, tree: nil))
        #expect(try anew.end.tree == Self.tree(place, ["\(place.log).1", place.log]))
        try await anew.close()
        try #require(unlink("\(place.log).1") == 0)
        // The stored tree is enough, and so is what the file tells of what was before it.
        let stored = try Self.sink(place, continuing: anew.end)
        #expect(stored.end.tree?.size == stored.head.seq)
        try await stored.close()
        let told = try Self.sink(place, continuing: AuditEnd(head: stored.head, tree: nil))
        var expected = try #require(stored.end.tree)
        expected.append(.leaf(try #require(try place.records().last).line))
        #expect(told.end.tree == expected)
        try await told.close()
    }

    @Test func `without older files, and without what tells their tree, there is none`() async throws {
        let place = try LogDirectory()
        let end = try await Self.rotated(place)
        try #require(unlink("\(place.log).1") == 0)
        // A file of an earlier version does not tell the tree.
        let lines = try place.read(place.log).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let rest = Array(lines.dropFirst().joined(separator: [UInt8(ascii: "\n")]))
        try #require(truncate(place.log, 0) == 0)
        try place.overwrite(rest)
        let sink = try Self.sink(place, continuing: AuditEnd(head: end.head, tree: nil))
        #expect(sink.end.tree == nil && sink.end.flaw == .incomplete)
        try await sink.append(.sample(1), .now)
        #expect(sink.end.tree == nil && sink.end.flaw == .incomplete, "records are taken all the same")
        await #expect(throws: AuditError.self) { try await sink.hashes(of: [0..<1], in: 3, from: nil) }
        try await sink.close()
    }

    @Test func `a log that is not the one of a signed checkpoint has no tree any more`() async throws {
        let place = try LogDirectory()
        let end = try await Self.rotated(place)
        let other = TreeHead(size: 3, root: .leaf([1]))
        let contradicted = try Self.sink(place, continuing: AuditEnd(head: end.head, tree: nil), signed: other)
        #expect(contradicted.end.tree == nil && contradicted.end.flaw == .contradiction)
        try await contradicted.close()
        // It is shorter than the checkpoint: the tree is known until it is as long.
        let longer = TreeHead(size: end.head.seq + 4, root: .leaf([1]))
        let behind = try Self.sink(place, signed: longer)
        #expect(behind.end.tree?.size == behind.head.seq)
        while behind.head.seq < longer.size { try await behind.append(.sample(1), .now) }
        #expect(behind.end.tree == nil && behind.end.flaw == .contradiction)
        try await behind.close()
        let good = try Self.tree(place, ["\(place.log).1", place.log]).head
        let again = try Self.sink(place, continuing: AuditEnd(head: behind.head, tree: nil), signed: good)
        #expect(again.end.tree != nil && again.end.flaw == nil, "it continues this one")
        await again.expect(TreeHead(size: 2, root: .leaf([1])))
        #expect(again.end.flaw == .contradiction, "and is told of another while it runs")
        try await again.close()
    }

    @Test func `proofs are read from all files`() async throws {
        let place = try LogDirectory()
        let end = try await Self.rotated(place)
        let head = try #require(end.tree).head
        let sink = try Self.sink(place, continuing: end)
        let lines = try ["\(place.log).1", place.log].flatMap {
            try place.read($0).split(separator: UInt8(ascii: "\n"))
        }
        for index in 0..<head.size {
            let parts = try #require(TreeProof.inclusion(of: index, in: head.size))
            let path = try await sink.hashes(of: parts, in: head.size, from: nil)
            #expect(TreeProof.holds(.leaf(Array(lines[Int(index)])), at: index, path, in: head))
        }
        try #require(unlink("\(place.log).1") == 0)
        let parts = try #require(TreeProof.inclusion(of: head.size - 1, in: head.size))
        let path = try await sink.hashes(of: parts, in: head.size, from: nil)
        #expect(TreeProof.holds(.leaf(Array(lines[Int(head.size - 1)])), at: head.size - 1, path, in: head))
        let older = try #require(TreeProof.inclusion(of: 0, in: head.size))
        let error = await #expect(throws: AuditError.self) {
            try await sink.hashes(of: older, in: head.size, from: nil)
        }
        #expect(error?.description.contains("bring the files back") == true)
        try await sink.close()
    }

    @Test func `lines that do not follow each other make no tree`() async throws {
        let place = try LogDirectory()
        let head = try await place.written(6)
        let lines = try place.read(place.log).split(separator: UInt8(ascii: "\n"))
        let swapped = lines[..<2] + [lines[3], lines[2]] + lines[4...]
        try place.overwrite(Array(swapped.joined(separator: [UInt8(ascii: "\n")])))
        let sink = try Self.sink(place, continuing: AuditEnd(head: head, tree: nil))
        #expect(sink.end.tree == nil && sink.end.flaw == .incomplete)
        try? await sink.close()
    }

    @Test func `verifying compares the files with a checkpoint`() async throws {
        let place = try LogDirectory()
        _ = try await Self.rotated(place)
        let files = ["\(place.log).1", place.log]
        let trees = try files.flatMap { try place.read($0).split(separator: UInt8(ascii: "\n")) }.reduce(
            into: [CompactRange.empty]
        ) { trees, line in
            var tree = trees[trees.count - 1]
            tree.append(.leaf(Array(line)))
            trees.append(tree)
        }
        for tree in trees.dropFirst() {
            let summary = try AuditVerifier.verify(files: files, signed: tree.head)
            #expect(summary.notes.contains("the first \(tree.size) records are those of the checkpoint"))
        }
        func reason(_ files: [String], _ size: UInt64, _ root: TreeHash = .empty) -> String {
            do {
                _ = try AuditVerifier.verify(files: files, signed: TreeHead(size: size, root: root))
                return ""
            } catch {
                return error.reason
            }
        }
        #expect(reason(files, 4).contains("records were replaced"))
        #expect(reason(files, 99).contains("cut"))
        #expect(reason([place.log], 2).contains("give the older files too"))
        // The present file tells the tree of the one before it.
        let last = try #require(trees.last)
        #expect(reason([place.log], last.size, last.root) == "")
    }
}
