internal import AgentModel
internal import AgentService
internal import FoundationEssentials
internal import StrictJSON

/// Lists in outline, and what keys take up.
extension PlanStoreConformance {
    func checkSummaries() async throws {
        let large = JSON.string(String(repeating: "x", count: 50_000))
        let plans = try (1...5).map { number in
            let plan = try Self.plan(UInt64(number))
            let changes = [Change("a", from: large, to: .null), Change("b", from: .null, to: large)]
            return Plan(
                id: plan.id, request: plan.request, requestHash: plan.requestHash, planHash: plan.planHash,
                requester: plan.requester, environmentIdentity: plan.environmentIdentity,
                policyVersion: plan.policyVersion, decision: plan.decision,
                preview: Preview(calls: plan.preview.calls, changes: changes, irreversible: true),
                requires: plan.requires, createdAt: plan.createdAt, expiresAt: plan.expiresAt)
        }
        let operations = plans.enumerated().map { index, plan in
            var operation = Operation(
                id: .sample(UInt64(index + 1), .operation), plan: plan, approvals: [], createdAt: .sample)
            operation.data = large
            operation.logTail = ["a line"]
            return operation
        }
        try await store.write { records in
            plans.forEach { records.put($0) }
            operations.forEach { records.put($0) }
        }
        let all = try await store.read { $0.summaries(PlanFilter(), bytes: .max) }
        try require(all.rows.map(\.plan.id) == plans.reversed().map(\.id) && !all.isCut, "all plans, newest first")
        for summary in all.rows {
            try require(summary.changes == 2 && summary.plan.preview.changes.isEmpty, "changes are counted, not listed")
            try require(summary.calls == plans[0].preview.calls.count, "so are calls")
            try require(summary.plan.preview.irreversible, "the outline is kept")
        }
        try require(
            try await store.read { $0.plan(plans[0].id)?.preview.changes.count } == 2, "the plan itself is whole")
        let cut = try await store.read { $0.summaries(PlanFilter(), bytes: 1) }
        try require(cut.rows.map(\.plan.id) == [plans[4].id] && cut.isCut, "one row in any case")
        let limited = try await store.read { $0.summaries(PlanFilter(before: plans[4].id, limit: 2), bytes: 100_000) }
        try require(limited.rows.map(\.plan.id) == [plans[3].id, plans[2].id] && !limited.isCut, "as filters say")
        let outlines = try await store.read { $0.summaries(OperationFilter(), bytes: 100_000) }
        try require(outlines.rows.map(\.id) == operations.reversed().map(\.id), "all operations, newest first")
        try require(outlines.rows.allSatisfy { $0.data == nil && $0.logTail.isEmpty }, "in outline")
        try require(
            try await store.read { $0.operation(operations[0].id)?.data } == large, "the operation itself is whole")
        try await clear()
        try await checkKeyUse()
    }

    private func checkKeyUse() async throws {
        for (principal, name, bytes) in [("bot", "a", 100), ("bot", "b", 50), ("bob", "a", 7)] {
            let kept = IdempotentRequest(
                key: IdempotencyKey(principal: principal, route: "plan", key: name), payloadHash: "",
                record: .sample(1), environment: .sample, createdAt: .sample,
                answer: StoredResponse(status: 200, body: [UInt8](repeating: 0, count: bytes), location: nil))
            try await store.write { $0.put(kept) }
        }
        let use = try await store.read { ($0.keyUse(of: "bot"), $0.keyUse(of: "nobody")) }
        try require(use.0 == KeyUse(count: 2, bytes: 150), "keys are counted by principal")
        try require(use.1 == KeyUse(count: 0, bytes: 0), "who has none has none")
        try await clear()
    }
}

/// Counting everything.
extension PlanStoreConformance {
    func checkTally() async throws {
        try require(try await store.read { $0.tally() } == StoreTally(), "an empty store counts nothing")
        let first = Date.sample.addingTimeInterval(-100)
        let awaiting = try [(1, Date.sample), (2, first), (3, Date.sample)].map { number, createdAt in
            Plan.sample(
                try .sample(.stopVM, "vm/101"), number: UInt64(number), approvals: 1, createdAt: createdAt)
        }
        let approved = try Self.plan(4)
        let operation = Operation(
            id: .sample(1, .operation), plan: approved, approvals: [], createdAt: .sample)
        try await store.write { records in
            for plan in awaiting + [approved] { records.put(plan) }
            var ended = awaiting[0]
            _ = ended.move(to: .cancelled, at: .sample)
            records.put(ended)
            records.put(operation)
        }
        let tally = try await store.read { $0.tally() }
        try require(
            tally.plans == [.awaitingApproval: 2, .approved: 1, .cancelled: 1], "plans are counted by state")
        try require(tally.operations == [.queued: 1], "operations are counted by state")
        try require(tally.oldestAwaiting == first, "the oldest plan that waits is known, not one that waited before")
        try await clear()
    }
}
