internal import AgentModel
internal import AgentService
internal import FoundationEssentials

// What is looked for by time and standing, and what is forgotten.
extension PlanStoreConformance {
    private static func ended(_ number: UInt64, _ state: PlanState, at seconds: Double?) throws -> Plan {
        let plan = try plan(number)
        return Plan(
            id: plan.id, request: plan.request, requestHash: plan.requestHash, planHash: plan.planHash,
            requester: plan.requester, environmentIdentity: plan.environmentIdentity,
            policyVersion: plan.policyVersion, decision: plan.decision, preview: plan.preview,
            requires: plan.requires, createdAt: plan.createdAt, expiresAt: .sample.addingTimeInterval(Double(number)),
            standing: .init(state: state, endedAt: seconds.map { .sample.addingTimeInterval($0) }))
    }

    /// Filters that the standing of a plan answers, lists and counts alike.
    func checkStandings() async throws {
        var claimed = try Self.ended(4, .approved, at: nil)
        claimed.claim(by: .sample(1, .operation))
        let all = [
            try Self.ended(1, .approved, at: nil), try Self.ended(2, .awaitingApproval, at: nil),
            try Self.ended(3, .applying, at: nil), claimed, try Self.ended(5, .unknown, at: 0),
            try Self.ended(6, .failed, at: 0), try Plan.sample(.sample(.readVM, "vm/101"), number: 7),
        ]
        try await store.write { records in for plan in all { records.put(plan) } }
        let expectations: [(PlanFilter, [Int], String)] = [
            (PlanFilter(isLive: true), [7, 4, 2, 1], "live plans"), (PlanFilter(isLive: false), [6, 5, 3], "others"),
            (PlanFilter(changes: false), [7], "reads"),
            (PlanFilter(isLive: true, changes: true), [4, 2, 1], "changes"),
            (PlanFilter(principal: "operator"), [7, 6, 5, 4, 3, 2, 1], "plans of a principal, whatever the label"),
            (PlanFilter(principal: "label:alice"), [], "a party is no principal"),
            (PlanFilter(dueAt: .sample.addingTimeInterval(0.999)), [], "what is due before all"),
            (PlanFilter(dueAt: .sample.addingTimeInterval(1)), [1], "what is due at this very moment"),
            (PlanFilter(dueAt: .sample.addingTimeInterval(9999)), [7, 2, 1], "what is due, live and unclaimed"),
            (PlanFilter(state: .approved, dueAt: .sample.addingTimeInterval(99)), [1], "what is due and approved"),
        ]
        for (filter, numbers, what) in expectations {
            let found = try await plans(filter)
            try require(found == numbers.map { .sample(UInt64($0)) }, "\(what): \(numbers)")
            try require(try await store.read { $0.count(filter) } == numbers.count, "the number of \(what)")
        }
        let paged = PlanFilter(isLive: true, before: all[3].id, limit: 1)
        try require(try await plans(paged) == [all[1].id], "a page of some")
        try require(try await store.read { $0.count(paged) } == 4, "pages do not count")
        let unknown = PlanFilter(before: .sample(99))
        try require(try await plans(unknown).count == 7, "before a plan that is not there come all")
        try await clear()
        try require(try await plans() == [], "cleared")
    }

    func checkPruning() async throws {
        // Numbers are the order in which they came; seconds are when they ended.
        let plans = [
            try Self.ended(1, .failed, at: 50), try Self.ended(2, .unknown, at: -99),
            try Self.ended(3, .applied, at: 40), try Self.ended(4, .approved, at: nil),
            try Self.ended(5, .expired, at: 60), try Self.ended(6, .denied, at: 30),
            try Self.ended(7, .applying, at: nil), try Self.ended(8, .stale, at: -1),
        ]
        let source = try Self.plan(1)
        let states: [OperationState] = [.succeeded, .unknown, .failed, .running, .cancelled, .queued]
        let operations = states.enumerated().map { index, state in
            Operation(
                id: .sample(UInt64(index + 1), .operation), planID: source.id,
                environment: source.request.environment, action: source.request.action,
                target: source.request.target, requester: source.requester, approvals: [], createdAt: .sample,
                state: state, endedAt: state.isEnded ? .sample.addingTimeInterval(index == 0 ? -5 : 5) : nil)
        }
        let key = IdempotencyKey(principal: "bot", route: "plan", key: "k")
        try await store.write { records in
            for plan in plans { records.put(plan) }
            for operation in operations { records.put(operation) }
            records.put(
                IdempotentRequest(
                    key: key, payloadHash: "", record: source.id, environment: .sample, createdAt: .sample))
        }
        func prune(_ seconds: Double, _ count: Int, _ requests: Double) async throws -> ([UInt64], [UInt64], Bool) {
            try await store.write { records in
                records.prune(
                    endedBefore: .sample.addingTimeInterval(seconds), keeping: count,
                    requestsBefore: .sample.addingTimeInterval(requests))
                let plans = records.plans(PlanFilter()).map(\.id)
                let operations = records.operations(OperationFilter()).map(\.id)
                return (
                    (1...8).filter { plans.contains(.sample($0)) },
                    (1...8).filter { operations.contains(.sample($0, .operation)) }, records.request(key) != nil
                )
            }
        }
        try require(
            try await prune(-1, 99, 0) == ([1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6], true), "by age, exactly")
        try require(
            try await prune(0, 3, 0) == ([2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6], true),
            "by age first, then all but the newest of what is left; what is under way or unknown stays")
        try require(
            try await prune(0, 1, 0.001) == ([2, 4, 6, 7], [2, 4, 5, 6], false),
            "the newest is the one that came last, not the one that ended last")
        try require(try await prune(0, 0, 1) == ([2, 4, 7], [2, 4, 6], false), "nothing ended is kept")
        try await clear()
    }
}
