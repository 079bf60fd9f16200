internal import AgentAudit
internal import AgentModel
internal import AgentService
internal import FoundationEssentials
internal import StrictJSON

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

    /// A value whose every level, kind of number and awkward text has to survive.
    private static var json: JSON {
        [
            "null": .null,
            "list": [
                1, .number(1), .number(-0.0), .number(1e300), .number(0.1), true, "\u{0}\u{1F600}e\u{301}\u{2028}\\\"",
            ],
            "large": .integer(.max), "small": .integer(.min), "empty": [:], "z": [], "a": ["b": [["c": .null]]],
        ]
    }

    private static func approval(_ approver: String) -> Approval {
        Approval(
            approver: approver, assurance: .verified, at: .sample.addingTimeInterval(0.001), reason: "fine\n",
            ticket: "CHG-1")
    }

    /// A plan that has something in every field.
    private static func full(secret: String) throws -> Plan {
        let sample = try plan(1)
        let request = ActionRequest(
            environment: sample.request.environment, action: sample.request.action, target: sample.request.target,
            params: ["a": json, "cipassword": "<redacted>"],
            secrets: [
                JSONPath([.key("cipassword")]): Secret(secret),
                JSONPath([.key("x"), .index(2)]): Secret("\0é" + secret),
            ], dryRun: true,
            notes: .init(
                reason: "why", expiresAt: .sample.addingTimeInterval(60.007), approvalTicket: "T-1",
                approvedBy: "carol"))
        var preview = Preview(
            calls: [
                Call(
                    .post, ["nodes", "pve1", "a/b"],
                    [
                        ("text", .text("")), ("one", .secret(Secret(secret))), ("digest", .observedDigest),
                        ("list", .list(["", "é"])), ("none", .list([])),
                    ], tasks: ["qmstart", "hastart"], taskID: "101", expectedDrift: ["status"]),
                Call(.delete, [], [("two", .secret(Secret(secret + "2"))), ("three", .secret(Secret("")))]),
            ], observed: Observed(shown: ["x": json], compared: ["x", "y"]),
            changes: [Change("memory", from: .null, to: json)], noop: true, irreversible: true, undo: json,
            checks: [Check("guest", .warn, "so so"), Check("b", .block, ""), Check("c", .ok, "é")],
            reach: Reach(
                subjects: [
                    Subject(.target, "vm/101", aliases: ["pool/a", "é"], tags: ["web"]), Subject(.source, "vm/7"),
                ],
                touches: ["touches-firewall"], losses: ["tag/web", "pool/a"]))
        preview.digest = "abc"
        preview.undoLeaves = [UndoGap("unused0", "stays"), UndoGap("", "é")]
        return Plan(
            id: sample.id, request: request, requestHash: "r", planHash: "p",
            requester: Caller(principal: "bot", label: "label", isShared: false), environmentIdentity: "i",
            policyVersion: "v",
            decision: Decision(
                allowed: true, risk: .high, requiresApproval: true, reason: "because", rules: ["a", "b"], approvals: 3,
                subjects: [JudgedSubject(.target, "vm/101", rules: ["rule:a"]), JudgedSubject(.member, "vm/7")]),
            preview: preview, requires: Requirement(approvals: 3, assurance: .verified),
            createdAt: .sample.addingTimeInterval(-0.5), expiresAt: .sample.addingTimeInterval(0.999),
            standing: .init(
                state: .awaitingApproval, approvals: [approval("dora"), approval("emil")], rejection: nil,
                operationID: .sample(9, .operation), endedAt: nil))
    }

    func checkWholePlans() async throws {
        let live = try Self.full(secret: "s3cret-é-\u{1}")
        let plain = try Self.plan(3)
        try requireFull(live, otherThan: plain)
        try requireFull(live.request, otherThan: plain.request, but: ["environment", "action", "target"])
        try requireFull(live.preview, otherThan: Preview())
        try requireFull(live.preview.calls[0], otherThan: Call(.get, []))
        try await store.write { $0.put(live) }
        try requireSame(try await store.read { $0.plan(live.id) }, live, "a live plan comes back whole, with secrets")
        try requireSame(try await store.read { $0.plans(PlanFilter()).first }, live, "a list has whole plans")
        var ended = live
        try require(ended.reject(Self.approval("fred")), "the sample can be rejected")
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
        guard let upid = UPID("UPID:pve1:0000A1B2:01234567:6543ABCD:qmstart:101:root@pam!x:") else { return }
        let bare = Operation(id: .sample(1, .operation), plan: plan, approvals: [], createdAt: .sample)
        var full = Operation(
            id: .sample(2, .operation), plan: plan, approvals: [Self.approval("dora")], createdAt: .sample)
        _ = full.move(to: .running, at: .sample.addingTimeInterval(0.123))
        full.steps = [Step(sentAt: .sample, upid: upid, state: .done), Step(sentAt: .sample.addingTimeInterval(9.009))]
        full.hasWarnings = true
        full.knownTasks = [upid]
        full.code = "upstream_refused"
        full.partial = PartialOutcome(code: "plan_stale", detail: "é", undo: Self.json, undoLeaves: [UndoGap("a", "é")])
        full.keptLog = ["one", ""]
        full.message = "no\u{0} \u{202E}"
        full.data = Self.json
        full.logTail = ["", "two\n"]
        full.moved = [
            StateDrift(field: "status", planned: "stopped", found: Self.json),
            StateDrift(field: "x", planned: 1, found: .number(1)),
        ]
        full.upstream = PVERejection(status: 500, reason: "é", errors: ["b": "2", "a": "1"])
        full.cancelRequestedBy = "mallory"
        full.queuePosition = 7
        let running = full
        try requireFull(
            running, otherThan: bare,
            but: ["planID", "environment", "action", "target", "requester", "calls", "createdAt", "endedAt"])
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
            AuditMark(head: AuditHead(seq: .max, hash: "f00"), settled: .max - 1),
        ] {
            try await store.write { $0.put(mark) }
            try require(try await store.read { $0.mark } == mark, "the newest mark comes back")
        }
    }
}
