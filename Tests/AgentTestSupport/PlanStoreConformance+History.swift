internal import AgentAudit
internal import AgentModel
internal import AgentService
internal import FoundationEssentials
internal import StrictJSON

// The history that agents share.
extension PlanStoreConformance {
    private func numbers(
        after number: UInt64 = 0, limit: Int = .max, bytes: Int = .max
    ) async throws -> [UInt64] {
        try await store.read { $0.history(after: number, limit: limit, bytes: bytes).map(\.number) }
    }

    func checkHistory() async throws {
        try require(try await numbers() == [], "at first there is no history")
        try require(try await store.read { $0.historyNumbers } == nil, "an empty history has no numbers")
        try require(try await store.read { $0.historyPosition } == 0, "at first nothing of the log is there")
        var chain = AuditChain()
        let records = (0..<5).map { index in
            chain.extend(
                with: AuditEvent(
                    kind: .plan, actor: "ä\u{1F5A5}", principal: "a", environment: "home",
                    result: ["text": "\u{0}\n"]),
                at: Timestamp(.sample.addingTimeInterval(Double(index))))
        }
        let put = records.map { (record: $0, isVoid: $0.seq == 3) }
        let now = Date.sample.addingTimeInterval(3)
        // The history of a log whose beginning is gone.
        try await store.write { $0.putHistory(Array(put[1..<3]), through: 4, at: now) }
        try require(try await store.read { $0.historyPosition } == 4, "how far the log is there is kept")
        try require(try await numbers() == [2, 3], "an empty history goes on with the log's numbers")
        try await store.write { $0.putHistory(put, through: 5, at: now) }
        let all = try await store.read { $0.history(after: 0, limit: .max, bytes: .max) }
        try require(all.map(\.number) == [2, 3, 4, 5, 6], "no record is there twice, and numbers have no gaps")
        let lines = [1, 2, 0, 3, 4].map { records[$0].line }
        try require(all.map(\.line) == lines, "a record comes back to the byte")
        try require(all.map(\.isVoid) == [false, true, false, false, false], "what is void is known")
        try require(try await store.read { $0.historyNumbers } == 2...6, "the first and the last number")
        try require(try await numbers(after: 3) == [4, 5, 6], "what comes behind a number")
        try require(try await numbers(after: 2, limit: 2) == [3, 4], "at most so many")
        try require(try await numbers(limit: 0) == [], "or none")
        for number: UInt64 in [6, .max] {
            try require(try await numbers(after: number) == [], "nothing behind the last one")
        }
        try require(try await numbers(bytes: lines[0].count + 2) == [2, 3], "no more once there are so many bytes")
        let many = (0..<100).map { _ in
            chain.extend(
                with: AuditEvent(kind: .read, actor: "a", principal: "a"),
                at: Timestamp(.sample.addingTimeInterval(9e8)))
        }
        try await store.write { $0.putHistory(many.map { ($0, false) }, through: 105, at: now) }
        try require(try await numbers() == Array(2...106), "many at a time")
        try require(
            try await store.read { $0.history(after: 6, limit: .max, bytes: .max).map(\.line) } == many.map(\.line),
            "many at a time come back in order")
        func prune(_ seconds: Double, atMost count: Int = .max) async throws {
            try await store.write {
                $0.pruneHistory(before: .sample.addingTimeInterval(seconds), atMost: count)
            }
        }
        try await prune(1.5, atMost: 1)
        try require(try await numbers().first == 3, "at most so many are forgotten at a time")
        // The one of second 2 is in front of one of second 0.
        try await prune(1.5)
        try require(try await numbers().first == 3, "nothing is behind a gap")
        try await prune(2.5)
        try require(try await numbers().first == 5, "what is older is forgotten")
        try await prune(10)
        try require(try await numbers() == [106], "what comes from the future is not kept for ever, and the newest is")
    }
}
