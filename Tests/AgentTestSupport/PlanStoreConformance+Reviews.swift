internal import AgentModel
internal import AgentService
internal import FoundationEssentials

// What operations passed in emergencies.
extension PlanStoreConformance {
    private static func review(_ number: UInt64, closedAt seconds: Double? = nil) throws -> Review {
        let plan = try plan(number)
        let glass = BreakGlass(
            reason: "é\"\n", at: .sample.addingTimeInterval(Double(number)), windows: ["a", "b"],
            limits: [LimitCounter(rule: "é", index: 1, counted: .guests, scope: .tag, key: "")],
            freezes: [.sample(7, .freeze), .sample(8, .freeze)])
        return Review(
            operationID: .sample(number, .operation), planID: plan.id, environment: plan.request.environment,
            action: plan.request.action, target: plan.request.target,
            requester: Caller(principal: "p", label: "l", isShared: false), glass: glass,
            verdict: seconds.map {
                Review.Verdict(
                    by: "dora", at: .sample.addingTimeInterval($0), isJustified: false, comment: "no\u{202E}")
            })
    }

    private func reviews(
        _ isOpen: Bool? = nil, in environments: Set<EnvironmentName>? = nil, before: RecordID? = nil,
        limit: Int = .max
    ) async throws -> [Review] {
        try await store.read {
            $0.reviews(ReviewFilter(isOpen: isOpen, environments: environments, before: before, limit: limit))
        }
    }

    func checkReviews() async throws {
        let (first, second, closed) = (try Self.review(1), try Self.review(2), try Self.review(2, closedAt: 60))
        try await store.write { records in for review in [first, second] { records.put(review) } }
        try require(try await reviews() == [second, first], "reviews come newest first, and whole")
        try require(
            try await store.read { $0.review(of: second.operationID) } == second, "a review is found by its operation")
        try require(
            try await store.read { $0.review(of: .sample(9, .operation)) } == nil,
            "where there is no review, there is none")
        try await store.write { $0.put(closed) }
        try require(try await reviews() == [closed, first], "a closed review keeps its place")
        try require(try await reviews(true) == [first], "open reviews are those without a verdict")
        try require(try await reviews(false) == [closed], "closed reviews are those with one")
        try require(try await reviews(before: closed.operationID) == [first], "older reviews come before newer ones")
        try require(try await reviews(limit: 1) == [closed], "a limit takes the newest")
        try require(try await reviews(in: [first.environment]).count == 2, "reviews are found by their environments")
        try require(try await reviews(in: []).isEmpty, "no environments have no reviews")
        let tally = try await store.read { $0.tally() }
        try require(tally.openReviews == 1, "open reviews are counted")
        try require(tally.oldestReview == Timestamp(first.glass.at).date, "the oldest open review is found")
        for (seconds, left) in [(60.0, 2), (60.001, 1), (1e9, 1)] {
            try await store.write {
                $0.prune(
                    endedBefore: .sample.addingTimeInterval(seconds), keeping: 10, requestsBefore: .distantPast)
            }
            try require(try await reviews().count == left, "reviews that were closed before \(seconds) are forgotten")
        }
        try await checkKept(first)
        try await store.write { $0.put(Review(closing: first)) }
        try await store.write { $0.prune(endedBefore: .distantFuture, keeping: 0, requestsBefore: .distantPast) }
        try require(try await reviews().isEmpty, "closed reviews are forgotten")
    }
}

extension PlanStoreConformance {
    /// Plan and operation of an open review are kept.
    private func checkKept(_ review: Review) async throws {
        var plan = try Self.plan(1)
        plan.claim(by: review.operationID, passing: review.glass)
        var operation = Operation(id: review.operationID, plan: plan, approvals: [], createdAt: .sample)
        _ = plan.move(to: .applying, at: .sample)
        _ = plan.move(to: .applied, at: .sample)
        _ = operation.move(to: .running, at: .sample)
        _ = operation.move(to: .succeeded, at: .sample)
        for (isOpen, left) in [(true, 1), (false, 0)] {
            try await store.write { [plan, operation] records in
                records.put(plan)
                records.put(operation)
                records.put(isOpen ? review : Review(closing: review))
                records.prune(endedBefore: .distantFuture, keeping: 0, requestsBefore: .distantPast)
            }
            let found = try await store.read { ($0.plans(PlanFilter()).count, $0.operations(OperationFilter()).count) }
            try require(found == (left, left), "what somebody has to review is kept, and no longer")
        }
    }
}

extension Review {
    fileprivate init(closing review: Review) {
        self = review
        verdict = Verdict(by: "dora", at: .sample, isJustified: true, comment: "ok")
    }
}
