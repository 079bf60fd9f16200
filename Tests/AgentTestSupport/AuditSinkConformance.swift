package import AgentAudit
internal import StrictJSON
internal import TransparencyLog

/// What every ``AuditSink`` has to keep, checked on a real one and on the fake alike.
package struct AuditSinkConformance {
    package struct Violation: Error, CustomStringConvertible {
        package let description: String
    }

    private let sink: any AuditSink

    package init(_ sink: any AuditSink) { self.sink = sink }

    /// Throws the first promise that is broken.
    package func check() async throws {
        try await checkNumbers()
        try await checkConcurrentAppends()
        try await checkTree()
    }

    private func require(_ condition: Bool, _ promise: String) throws {
        guard condition else { throw Violation(description: promise) }
    }

    private func checkNumbers() async throws {
        try require(sink.fault == nil, "a healthy log has no fault")
        let before = sink.head
        let first = try await sink.append(.sample(1), .now)
        try require(first.seq == before.seq + 1, "numbers follow each other")
        try require(sink.head == first, "the head is the synced record")
        let second = try await sink.append(.sample(2), .soon)
        try require(second.seq == first.seq + 1, "numbers follow each other across durabilities")
        let third = try await sink.append(.sample(3), .now)
        try require(sink.head == third, "the head moves on")
        try require(Set([first.hash, second.hash, third.hash]).count == 3, "each record has its own hash")
    }

    private func checkTree() async throws {
        let last = try await sink.append(.sample(65), .now)
        let end = sink.end
        try require(end.head == last && end.tree?.size == last.seq, "the tree has a leaf for each record")
        guard let tree = end.tree, let parts = TreeProof.inclusion(of: 0, in: tree.size) else { return }
        let path = try await sink.hashes(of: parts, in: tree.size, from: nil)
        let first = try await sink.records(after: 0, limit: 1)[0]
        try require(
            TreeProof.holds(.leaf(first.line), at: 0, path, in: tree.head), "the first record is proven to be in it")
        await sink.expect(tree.head)
        try require(sink.end.tree == tree, "a checkpoint that the log has is no contradiction")
        await sink.expect(TreeHead(size: 1, root: .empty))
        try require(sink.end.tree == nil && sink.end.flaw == .contradiction, "another one is")
    }

    private func checkConcurrentAppends() async throws {
        let before = sink.head.seq
        let heads = try await withThrowingTaskGroup(of: AuditHead.self) { group in
            for number in 0..<64 {
                group.addTask { try await sink.append(.sample(number), number.isMultiple(of: 4) ? .soon : .now) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        try require(
            heads.map(\.seq).sorted() == Array(before + 1...before + 64), "concurrent appends each get one number")
        let last = try await sink.append(.sample(64), .now)
        try require(sink.head == last && last.seq == before + 65, "the head is the newest of all")
    }
}

extension AuditEvent {
    /// Some event, told apart from others by its number.
    package static func sample(_ number: Int, kind: AuditKind = .plan) -> AuditEvent {
        AuditEvent(
            kind: kind, actor: "pi-agent", principal: "pi-agent", requestID: "req_\(number)", environment: "home",
            request: ["action": "start_vm", "target": "vm/\(number)"], result: ["status": "ok", "n": JSON(number)])
    }
}
