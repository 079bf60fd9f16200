internal import AgentAudit
internal import AgentModel
internal import AgentService
internal import FoundationEssentials
internal import StrictJSON
internal import TransparencyLog

// Every field of everything comes back as it was put.
extension PlanStoreConformance {
    /// A difference that ``Mirror`` finds, but for order in dictionaries; secrets are shown.
    private func requireSame<T: Sendable>(_ kept: T?, _ put: T, _ promise: String) throws {
        let (kept, put) = (kept.map(Self.shown) ?? "nothing", Self.shown(put))
        try require(kept == put, "\(promise): put\n\(put)\nfound\n\(kept)")
    }

    /// All that is in a value, down to the last field; dates to the millisecond, as records have them.
    static func shown(_ value: Any) -> String {
        switch value {
        case let secret as Secret: return "secret \(secret.reveal())"
        case let date as Date: return "date \(date.rfc3339)"
        case let json as JSON: return String(decoding: json.bytes(.exact), as: UTF8.self)
        case let object as JSONObject: return shown(JSON.object(object))
        case let map as [JSONPath: Secret]:
            return map.map { "\($0.key.pointer): \($0.value.reveal())" }.sorted().joined(separator: ", ")
        case let map as [String: String]: return map.sorted { $0.key < $1.key }.description
        default:
            let children = Mirror(reflecting: value).children
            if children.isEmpty { return "\(value)" }
            return "{\(children.map { "\($0.label ?? "-"): \(shown($0.value))" }.joined(separator: ", "))}"
        }
    }

    /// That the sample `full` has something in every field, those of tomorrow too: without it nothing would be checked.
    private func requireFull(_ full: Any, otherThan bare: Any, but fields: Set<String> = []) throws {
        for (full, bare) in zip(Mirror(reflecting: full).children, Mirror(reflecting: bare).children) {
            let name = full.label ?? "-"
            try require(
                fields.contains(name) || Self.shown(full.value) != Self.shown(bare.value),
                "the sample's \(name) is only a default; give it a value of its own")
        }
    }

    func checkWholePlans() async throws {
        let live = try Plan.whole(secret: "s3cret-é-\u{1}")
        let plain = try Self.plan(3)
        try requireFull(live, otherThan: plain)
        try requireFull(live.request, otherThan: plain.request, but: ["environment", "action", "target"])
        try requireFull(live.preview, otherThan: Preview())
        try requireFull(live.preview.calls[0], otherThan: Call(.get, []))
        try await store.write { $0.put(live) }
        try requireSame(try await store.read { $0.plan(live.id) }, live, "a live plan comes back whole, with secrets")
        try requireSame(try await store.read { $0.plans(PlanFilter()).first }, live, "a list has whole plans")
        var ended = live
        try require(ended.reject(.whole("fred")), "the sample can be rejected")
        let rejected = ended
        try await store.write { $0.put(rejected) }
        let kept = try await store.read { $0.plan(live.id) }
        try requireSame(kept, rejected, "an ended plan comes back whole")
        try require(
            kept?.request.secrets.isEmpty == true && !Self.shown(kept as Any).contains("s3cret"),
            "nothing is left of the secrets of an ended plan")
        try await clear()
        let bare = try Self.plan(2, by: "")
        try await store.write { $0.put(bare) }
        try requireSame(try await store.read { $0.plan(bare.id) }, bare, "a plan without secrets comes back whole")
        try await clear()
    }

    func checkWholeOperations() async throws {
        let plan = try Self.plan(1)
        let bare = Operation(id: .sample(1, .operation), plan: plan, approvals: [], createdAt: .sample)
        var full = Operation.whole(of: plan)
        let running = full
        try requireFull(
            running, otherThan: bare,
            // Progress is of the process that follows the task, and not stored.
            but: [
                "planID", "environment", "action", "target", "requester", "calls", "createdAt", "endedAt", "progress",
            ])
        try await store.write { records in
            records.put(bare)
            records.put(running)
        }
        try requireSame(try await store.read { $0.operation(bare.id) }, bare, "a new operation comes back whole")
        try requireSame(try await store.read { $0.operation(running.id) }, running, "an operation comes back whole")
        _ = full.move(to: .unknown, at: .sample.addingTimeInterval(60.5))
        full.data = .some(.null)
        full.upstream = PVERejection(status: 599, reason: "")
        let unknown = full
        try await store.write { $0.put(unknown) }
        try requireSame(
            try await store.read { $0.operation(unknown.id) }, unknown, "an ended operation comes back whole")
        try await store.write { records in
            var settled = unknown
            _ = settled.move(to: .failed, at: .sample)
            records.put(settled)
        }
        try await clear()
    }

    func checkRequests() async throws {
        let key = IdempotencyKey(principal: "bot", route: "plan", key: "k '\"\u{1F600}")
        var kept = IdempotentRequest(
            key: key, payloadHash: "h", record: .sample(1), environment: .sample, createdAt: .sample)
        try require(try await store.read { $0.request(key) } == nil, "an unknown key has no request")
        let first = kept
        try await store.write { $0.put(first) }
        try require(try await store.read { $0.request(key) } == first, "a request without answer comes back")
        kept.answer = StoredResponse(status: 202, body: [0, 0xFF, 0x7B], location: "/v1/operations/x")
        let answered = kept
        try await store.write { $0.put(answered) }
        try require(try await store.read { $0.request(key) } == answered, "putting again adds the answer")
        for other in [
            IdempotencyKey(principal: "bob", route: "plan", key: key.key),
            IdempotencyKey(principal: "bot", route: "apply", key: key.key),
            IdempotencyKey(principal: "bot", route: "plan", key: "k"),
        ] {
            try require(try await store.read { $0.request(other) } == nil, "keys are by principal and route")
            let kept = IdempotentRequest(
                key: other, payloadHash: "", record: .sample(2, .operation), environment: .sample, createdAt: .sample,
                answer: StoredResponse(status: 200, body: [], location: nil))
            try await store.write { $0.put(kept) }
            try require(try await store.read { $0.request(other) } == kept, "each key has its own request")
        }
        try require(try await store.read { $0.request(key) } == answered, "other keys leave it alone")
        try await clear()
        try require(try await store.read { $0.request(key) } == nil, "forgotten requests are gone")
    }

    func checkFreezes() async throws {
        guard let home = EnvironmentName("home"), let cloud = EnvironmentName("cloud") else { return }
        func freeze(_ environment: EnvironmentName?, _ reason: String, by: String = "alice") -> Freeze {
            Freeze(
                id: .sample(UInt64(reason.utf8.count), .freeze), environment: environment, reason: reason, by: by,
                party: "principal:\(by)", setAt: .sample,
                endsAt: environment == nil ? nil : .sample.addingTimeInterval(0.25))
        }
        try require(try await store.read { $0.freezes() } == [], "nothing is frozen at first")
        let all = [freeze(nil, "é"), freeze(cloud, "b"), freeze(home, "")]
        try await store.write { records in for freeze in all.reversed() { records.put(freeze) } }
        try require(try await store.read { $0.freezes() } == all, "freezes come back, the global one first")
        let again = freeze(cloud, "another")
        try await store.write { $0.put(again) }
        try require(
            try await store.read { $0.freezes() } == [all[0], again, all[2]], "a party has one freeze in a scope")
        let other = freeze(cloud, "bob's", by: "bob")
        try await store.write { $0.put(other) }
        try require(
            try await store.read { $0.freezes() } == [all[0], again, other, all[2]], "freezes of several add up")
        try await store.write { $0.remove(other) }
        try await store.write { $0.remove(all[0]) }
        try await store.write { $0.remove(all[0]) }
        try require(try await store.read { $0.freezes() } == [again, all[2]], "the global freeze goes alone")
        try await store.write { records in
            records.remove(all[2])
            records.remove(again)
        }
        try require(try await store.read { $0.freezes() } == [], "lifted freezes are gone")
    }

    func checkMark() async throws {
        try require(try await store.read { $0.mark } == nil, "there is no mark before the first")
        for mark in [
            AuditMark(head: .empty, settled: 0), AuditMark(head: .empty, settled: 1, isOfCopy: true),
            AuditMark(head: AuditHead(seq: UInt64(Int64.max) - 1, hash: "f00"), settled: UInt64(Int64.max) - 2),
        ] {
            try await store.write { $0.put(mark) }
            try require(try await store.read { $0.mark } == mark, "the newest mark comes back")
        }
    }

    func checkCheckpoints() async throws {
        try require(try await store.read { $0.checkpoint(of: "a") } == nil, "there is no checkpoint before the first")
        var tree = CompactRange.empty
        for number in UInt8(1)...5 {
            tree.append(.leaf([number]))
            let note = SignedNote(text: "a\n", signatures: [.init(name: "a", keyID: 1, bytes: [number])])
            for (origin, tree) in [("a", tree), ("b", nil)] {
                let made = SignedCheckpoint(
                    origin: origin, head: TreeHead(size: UInt64(number), root: .leaf([number])), tree: tree,
                    signedAt: .sample, note: note)
                try await store.write { $0.put(made) }
                try require(
                    try await store.read { $0.checkpoint(of: origin) } == made, "a log's newest checkpoint comes back")
            }
            let mark = AuditMark(head: AuditHead(seq: UInt64(number), hash: "f00"), settled: 1, tree: tree)
            try await store.write { $0.put(mark) }
            try require(try await store.read { $0.mark } == mark, "a mark comes back with its tree")
        }
    }
}
