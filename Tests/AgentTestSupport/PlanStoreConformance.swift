internal import AgentAudit
internal import AgentModel
package import AgentService
internal import FoundationEssentials
internal import StrictJSON

/// What every ``PlanStore`` has to keep, checked on each implementation alike. The store must be empty.
package struct PlanStoreConformance {
    package struct Violation: Error, CustomStringConvertible {
        package let description: String
    }

    let store: any PlanStore

    package init(_ store: any PlanStore) { self.store = store }

    /// Throws the first promise that is broken.
    package func check() async throws {
        try await checkRows()
        try await checkFilters()
        try await checkTargets()
        try await checkPages()
        try await checkOperations()
        try await checkAlone()
        try await checkWholePlans()
        try await checkWholeOperations()
        try await checkRequests()
        try await checkSummaries()
        try await checkTally()
        try await checkFreezes()
        try await checkMark()
        try await checkSignatureCounts()
        try await checkCheckpoints()
        try await checkStandings()
        try await checkPruning()
        try await checkNotices()
        try await checkLimitUses()
        try await checkReviews()
        try await checkHistory()
        try await checkSignIns()
    }

    func require(_ condition: Bool, _ promise: String) throws {
        guard condition else { throw Violation(description: promise) }
    }

    func plans(_ filter: PlanFilter = PlanFilter()) async throws -> [RecordID] {
        try await store.read { $0.plans(filter).map(\.id) }
    }

    func clear() async throws {
        try await store.write { records in
            records.remove(PlanFilter(), keeping: 0)
            for var operation in records.operations(OperationFilter()) where !operation.state.successors.isEmpty {
                _ = operation.move(to: operation.state == .queued ? .cancelled : .failed, at: .sample)
                records.put(operation)
            }
            records.prune(endedBefore: .distantFuture, keeping: 0, requestsBefore: .distantFuture)
        }
    }

    static func plan(
        _ number: UInt64, _ action: Action = .startVM, environment: String = "home", by label: String = "alice"
    ) throws -> Plan {
        .sample(try .sample(action, "vm/101", environment: environment), number: number, requester: .labelled(label))
    }

    private func checkSignatureCounts() async throws {
        let counts = [SignatureCount(key: "SHA256:a", number: 7), SignatureCount(key: "SHA256:b", number: .max)]
        try await store.write { records in
            for count in [SignatureCount(key: "SHA256:a", number: 9)] + counts.reversed() { records.put(count) }
        }
        try await clear()
        let kept = try await store.read { records in counts.map { records.signatureCount(of: $0.key) } }
        try require(kept == [7, .max], "the newest count of each key is kept")
        let other = try await store.read { $0.signatureCount(of: "SHA256:c") }
        try require(other == nil, "a key that was never used has no count")
    }

    private func checkRows() async throws {
        let plan = try Self.plan(1)
        try require(try await store.read { $0.plan(plan.id) == nil }, "an empty store has no plan")
        let seen = try await store.write { records in
            records.put(plan)
            return records.plan(plan.id)?.id
        }
        try require(seen == plan.id, "a body sees what it wrote itself")
        let kept = try await store.read { $0.plan(plan.id) }
        try require(
            kept?.planHash == plan.planHash && kept?.requestHash == plan.requestHash && kept?.state == plan.state
                && kept?.requester == plan.requester && kept.map { Self.shown($0.request) } == Self.shown(plan.request)
                && kept.map { Self.shown($0.preview) } == Self.shown(plan.preview) && kept?.expiresAt == plan.expiresAt,
            "a plan comes back as it was put")
        var moved = plan
        try require(moved.move(to: .cancelled, at: .sample), "the sample can be cancelled")
        let changed = moved
        try await store.write { $0.put(changed) }
        try require(try await store.read { $0.plan(plan.id)?.state == .cancelled }, "putting again replaces")
        try require(try await plans() == [plan.id], "putting again adds no second row")
        let others = [try Self.plan(2), try Self.plan(3, environment: "cloud"), try Self.plan(4)]
        try await store.write { records in
            for plan in others { records.put(plan) }
            records.remove(PlanFilter(environments: [.sample], limit: 1), keeping: 1)
        }
        try require(
            try await plans() == [others[2].id, others[1].id],
            "what is found is removed but the newest, and nothing else")
        for _ in 0..<2 { try await store.write { $0.remove(PlanFilter(), keeping: 0) } }
        try require(try await plans().isEmpty, "removed plans are gone, and removing them twice is no error")
    }

    private func checkFilters() async throws {
        let all = [
            try Self.plan(1), try Self.plan(2, environment: "cloud"), try Self.plan(3, .stopVM),
            try Self.plan(4, by: "bob"),
        ]
        try await store.write { records in
            for plan in all { records.put(plan) }
            var ended = all[3]
            _ = ended.move(to: .expired, at: .sample)
            records.put(ended)
        }
        let ids = all.map(\.id)
        guard let cloud = EnvironmentName("cloud") else { return }
        try require(try await plans() == ids.reversed(), "the newest comes first, and a change keeps the place")
        try require(try await plans(PlanFilter(environments: [cloud])) == [ids[1]], "environments are told apart")
        try require(try await plans(PlanFilter(environments: [])).isEmpty, "no environments, no plans")
        try require(try await plans(PlanFilter(state: .expired)) == [ids[3]], "states are told apart")
        try require(
            try await plans(PlanFilter(party: Caller.labelled("bob").party)) == [ids[3]], "requesters are told apart")
        let hash = all[2].requestHash
        try require(try await plans(PlanFilter(requestHash: hash)) == [ids[2]], "requests are told apart")
        let none = PlanFilter(state: .expired, party: Caller.labelled("alice").party)
        try require(try await plans(none).isEmpty, "all conditions hold at once")
        try await clear()
    }

    /// What plans and operations are about, and what they reach besides.
    private func checkTargets() async throws {
        guard let bulk = Action(rawValue: "bulk_shutdown") else { return }
        let requests: [(ActionRequest, [String])] = [
            (try .sample(.startVM, "vm/101"), ["vm/101", "storage/nas"]), (try .sample(.startVM, "vm/102"), ["vm/102"]),
            (
                try .sample(bulk, "cluster", ["vms": [101, 103]]),
                ["cluster", "vm/101", "vm/103", "volume/nas:vm-103-disk-0", "vm/101"]
            ),
            (try .sample(.startVM, "vm/1011"), []),
        ]
        let all = requests.enumerated().map { index, row in
            let plan = Plan.sample(row.0, number: UInt64(index + 1))
            return Plan(
                id: plan.id, request: plan.request, requestHash: plan.requestHash, planHash: plan.planHash,
                requester: plan.requester, environmentIdentity: plan.environmentIdentity,
                policyVersion: plan.policyVersion, decision: plan.decision,
                preview: Preview(
                    calls: plan.preview.calls, reach: Reach(subjects: row.1.map { Subject(.member, $0) })),
                requires: plan.requires, createdAt: plan.createdAt, expiresAt: plan.expiresAt)
        }
        let operations = all.enumerated().map { index, plan in
            Operation(id: .sample(UInt64(index + 1), .operation), plan: plan, approvals: [], createdAt: .sample)
        }
        try await store.write { records in
            all.forEach { records.put($0) }
            operations.forEach { records.put($0) }
            // Again, as each change of its state does.
            records.put(all[2])
        }
        let expectations: [(String, [Int])] = [
            ("vm/101", [2, 0]), ("vm/103", [2]), ("vm/102", [1]), ("cluster", [2]), ("storage/nas", [0]),
            ("vm/1011", [3]), ("lxc/101", []), ("node/pve1", []),
        ]
        for (name, expected) in expectations {
            guard let target = Target(name) else { continue }
            let ids = expected.map { all[$0].id }
            try require(try await plans(PlanFilter(target: target)) == ids, "plans of \(name)")
            let rows = try await store.read { $0.summaries(PlanFilter(target: target), bytes: .max).rows }
            try require(rows.map(\.plan.id) == ids, "plans of \(name) in outline")
            let found = try await store.read { $0.operations(OperationFilter(target: target)).map(\.id) }
            try require(found == expected.map { operations[$0].id }, "operations of \(name)")
        }
        guard let guest = Target("vm/101") else { return }
        try require(
            try await plans(PlanFilter(state: .expired, target: guest)).isEmpty, "all conditions hold at once")
        try require(
            try await plans(PlanFilter(target: guest, before: all[2].id, limit: 1)) == [all[0].id], "page by page")
        try require(try await store.read { $0.count(PlanFilter(target: guest)) } == 2, "they are counted")
        // An operation is found by its own target when its plan is gone.
        try await store.write { $0.remove(PlanFilter(), keeping: 0) }
        let left = try await store.read { $0.operations(OperationFilter(target: guest)).map(\.id) }
        try require(left == [operations[0].id], "operations without their plans")
        try await clear()
    }

    private func checkPages() async throws {
        let all = try (1...7).map { try Self.plan($0) }
        try await store.write { records in for plan in all { records.put(plan) } }
        var seen: [RecordID] = []
        while true {
            let page = try await plans(PlanFilter(before: seen.last, limit: 3))
            try require(page.count <= 3, "a page is no longer than asked for")
            seen += page
            if page.count < 3 { break }
        }
        try require(seen == all.map(\.id).reversed(), "pages follow each other without gap or repetition")
        try require(try await plans(PlanFilter(limit: 0)).isEmpty, "a page of none is empty")
        try await clear()
    }

    private func checkOperations() async throws {
        let plans = [try Self.plan(1), try Self.plan(2, environment: "cloud")]
        let operations = plans.enumerated().map { index, plan in
            Operation(id: .sample(UInt64(index + 1), .operation), plan: plan, approvals: [], createdAt: .sample)
        }
        try await store.write { records in
            for operation in operations { records.put(operation) }
            var running = operations[1]
            _ = running.move(to: .running, at: .sample)
            running.message = "under way"
            running.logTail = ["one", "two"]
            records.put(running)
        }
        func found(_ filter: OperationFilter) async throws -> [RecordID] {
            try await store.read { $0.operations(filter).map(\.id) }
        }
        let ids = operations.map(\.id)
        guard let home = EnvironmentName("home") else { return }
        try require(try await found(OperationFilter()) == ids.reversed(), "the newest operation comes first")
        try require(try await found(OperationFilter(environments: [home])) == [ids[0]], "operations by environment")
        try require(try await found(OperationFilter(state: .running)) == [ids[1]], "operations by state")
        try require(try await found(OperationFilter(plan: plans[0].id)) == [ids[0]], "operations by plan")
        try require(try await found(OperationFilter(before: ids[1])) == [ids[0]], "operations older than one")
        try require(try await found(OperationFilter(limit: 1)) == [ids[1]], "so many operations")
        let kept = try await store.read { $0.operation(ids[1]) }
        try require(
            kept?.state == .running && kept?.message == "under way" && kept?.logTail == ["one", "two"]
                && kept?.startedAt == .sample && kept?.planID == plans[1].id, "an operation comes back as it was put")
        try await clear()
        try require(try await found(OperationFilter()).isEmpty, "removed operations are gone")
    }

    /// Bodies that read and then write never see each other's halves.
    private func checkAlone() async throws {
        let plan = try Self.plan(1)
        try await store.write {
            $0.put(Operation(id: .sample(1, .operation), plan: plan, approvals: [], createdAt: .sample))
        }
        let store = store
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    try await store.write { records in
                        guard var operation = records.operation(.sample(1, .operation)) else { return }
                        operation.queuePosition += 1
                        records.put(operation)
                    }
                }
            }
            try await group.waitForAll()
        }
        let count = try await store.read { $0.operation(.sample(1, .operation))?.queuePosition }
        try require(count == 200, "each body runs alone: 200 additions make 200, not \(count ?? 0)")
        try await clear()
    }
}
