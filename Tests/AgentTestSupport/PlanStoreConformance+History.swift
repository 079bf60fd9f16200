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
        let put = records.map { (record: $0, isVoid: $0.seq == 2) }
        try await store.write { $0.putHistory(Array(put[..<3]), through: 4) }
        try require(try await store.read { $0.historyPosition } == 4, "how far the log is there is kept")
        try await store.write { $0.putHistory(put, through: 5) }
        let all = try await store.read { $0.history(after: 0, limit: .max, bytes: .max) }
        try require(all.map(\.number) == [1, 2, 3, 4, 5], "no record is there twice, and numbers have no gaps")
        try require(all.map(\.record.line) == records.map(\.line), "a record comes back to the byte")
        try require(all.map(\.isVoid) == [false, true, false, false, false], "what is void is known")
        try require(try await store.read { $0.historyNumbers } == 1...5, "the first and the last number")
        try require(try await numbers(after: 2) == [3, 4, 5], "what comes behind a number")
        try require(try await numbers(after: 1, limit: 2) == [2, 3], "at most so many")
        try require(try await numbers(limit: 0) == [], "or none")
        for number: UInt64 in [5, .max] {
            try require(try await numbers(after: number) == [], "nothing behind the last one")
        }
        try require(
            try await numbers(bytes: records[0].line.count + 2) == [1, 2], "no more once there are so many bytes")
        func prune(_ seconds: Double) async throws {
            try await store.write { $0.pruneHistory(before: .sample.addingTimeInterval(seconds)) }
        }
        try await prune(2)
        try require(try await numbers() == [3, 4, 5], "what is older is forgotten")
        try await prune(9)
        try require(try await numbers() == [3, 4, 5], "with nothing newer nothing is")
    }
}
