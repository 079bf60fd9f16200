internal import AgentModel
internal import AgentService
internal import FoundationEssentials

// Notices on their way.
extension PlanStoreConformance {
    private static func notice(
        _ number: UInt64, to target: String = "a", about environment: EnvironmentName? = .sample
    ) -> QueuedNotice {
        self.notice(number, key: "\(number)", to: target, about: environment)
    }

    private static func notice(
        _ number: UInt64, key: String, to target: String = "a", about environment: EnvironmentName? = .sample
    ) -> QueuedNotice {
        let notice = Notice(
            .operationEnded, outcome: .failed, at: .sample, environment: environment, planID: .sample(number),
            operationID: .sample(number, .operation), risk: .high, title: "title \(number)",
            facts: [Notice.Fact("Name", "web<01>", .guest), Notice.Fact("Reason", "\"why\"", .caller)])
        return QueuedNotice(
            id: .sample(number, .notification), target: target, key: key, notice: notice,
            queuedAt: .sample.addingTimeInterval(Double(number)))
    }

    private func found(_ filter: NoticeFilter = NoticeFilter()) async throws -> [RecordID] {
        try await store.read { $0.notices(filter).map(\.id) }
    }

    func checkNotices() async throws {
        let all = [Self.notice(1), Self.notice(2, to: "b"), Self.notice(3, about: nil), Self.notice(4)]
        let added = try await store.write { records in all.map(records.add) + all.map(records.add) }
        try require(added == [true, true, true, true, false, false, false, false], "no notice is queued twice")
        let ids = all.map(\.id)
        try require(try await found() == ids.reversed(), "the newest notice comes first")
        try require(try await store.read { $0.notice(ids[0]) } == all[0], "a notice comes back as it was put")
        try require(try await found(NoticeFilter(target: "b")) == [ids[1]], "destinations are told apart")
        try require(
            try await found(NoticeFilter(environments: [.sample], limit: 2)) == [ids[3], ids[1]],
            "notices of an environment leave out those of none")
        try require(try await found(NoticeFilter(before: ids[2])) == [ids[1], ids[0]], "notices older than one")
        try require(
            try await store.read { $0.nextNotice(for: "a", at: .sample)?.id } == ids[0], "the oldest is the next")
        try await checkOrder(of: all)
        try await checkEnds(of: all)
        let tally = try await store.read { $0.tally().notices }
        try require(tally["a"]?.waiting == 1 && tally["a"]?.dead == 1, "notices are counted by state")
        try require(tally["a"]?.oldestWaiting == all[3].queuedAt, "the oldest that waits is known")
        try require(tally["b"] == nil, "delivered notices are not counted")
        try require(try await store.read { $0.noticePosition } == nil, "at first nothing was told")
        for position: UInt64? in [7, UInt64(Int64.max) - 1, nil] {
            try await store.write { $0.putNoticePosition(position) }
            try require(try await store.read { $0.noticePosition } == position, "how far the log was told is kept")
        }
        try await checkEndOfNotices(ids)
    }

    /// What is sent next, after refusals and outages. Ends as it began.
    private func checkOrder(of all: [QueuedNotice]) async throws {
        let later = Date.sample.addingTimeInterval(100)
        func next(at now: Date) async throws -> QueuedNotice? {
            try await store.read { $0.nextNotice(for: "a", at: now) }
        }
        func put(_ notice: QueuedNotice) async throws { try await store.write { $0.put(notice) } }
        var refused = all[0]
        refused.fail("refused", isRefusal: true, at: .sample, next: later)
        try await put(refused)
        try require(try await next(at: later.addingTimeInterval(-1))?.id == all[2].id, "others pass a refused notice")
        try require(try await next(at: later) == refused, "a refused notice that is due comes again, as it was put")
        var held = all[3]
        held.fail("away", at: .sample, next: later.addingTimeInterval(50))
        try await put(held)
        try require(try await next(at: later) == held, "a notice that met an outage holds back all others")
        for row in all { try await put(row) }
        try require(try await next(at: .sample)?.id == all[0].id, "at first the oldest is the next")
    }

    /// The first is given up, the second and the third are delivered.
    private func checkEnds(of all: [QueuedNotice]) async throws {
        try await store.write { records in
            var dead = all[0]
            dead.giveUp("no longer wanted", at: .sample)
            records.put(dead)
            for row in all[1...2] {
                records.put(
                    QueuedNotice(
                        id: row.id, target: row.target, key: row.key, notice: row.notice, state: .delivered,
                        queuedAt: row.queuedAt, nextAt: row.nextAt, attempts: 3, endedAt: .sample))
            }
        }
        let dead = try await store.read { $0.notice(all[0].id) }
        try require(dead?.state == .dead && dead?.error == "no longer wanted", "a notice changes its state")
        try require(try await found(NoticeFilter(state: .delivered)) == [all[2].id, all[1].id], "notices by state")
        try require(try await store.read { $0.notice(all[1].id)?.attempts } == 3, "tries are counted")
        try require(try await store.read { $0.nextNotice(for: "a", at: .sample)?.id } == all[3].id, "the next waits")
        try require(try await store.read { $0.nextNotice(for: "b", at: .sample) } == nil, "nothing waits for b")
    }

    private func checkEndOfNotices(_ ids: [RecordID]) async throws {
        var limits = NoticeLimits()
        try await store.write { [limits] in $0.pruneNotices(limits, at: .sample) }
        try require(try await found().count == 4, "what ended just now is kept")
        limits.delivered = 0
        try await store.write { [limits] in $0.pruneNotices(limits, at: .sample) }
        try require(try await found() == [ids[3], ids[0]], "of those delivered so many are kept")
        try await store.write { $0.giveUpNotices(except: ["b"], "gone", at: .sample) }
        try require(try await store.read { $0.notice(ids[3])?.error } == "gone", "those of others are given up")
        try await store.write { [limits] in
            $0.pruneNotices(limits, at: .sample.addingTimeInterval(limits.deadSeconds + 1))
        }
        try require(try await found().isEmpty, "those given up are kept for a time")
        let again = try await store.write { $0.add(Self.notice(1)) }
        try require(try await found() == [ids[0]] && again, "a notice can be queued again once it is forgotten")
        try await checkUntold()
    }

    /// News that replaces what was not told yet.
    private func checkUntold() async throws {
        var failed = Self.notice(11, key: "11:x:alice")
        failed.fail("no answer", isRefusal: false, at: .sample, next: .sample)
        let tried = failed
        let others = [
            tried, Self.notice(12, key: "12:x:bob"), Self.notice(13, key: "13:x:alice", to: "b"),
            Self.notice(14, key: "14:x:alice", about: nil), Self.notice(15, key: "alice"),
        ]
        let (old, new) = (Self.notice(16, key: "16:x:alice"), Self.notice(17, key: "17:x:alice"))
        let before = try await found()
        try await store.write { records in
            for notice in others + [old, new] { _ = records.add(notice) }
            records.put(tried)
            records.removeUntold(like: new)
        }
        try require(
            try await found() == [new.id] + others.reversed().map(\.id) + before,
            "only what waits untried, for the same destination and of the same kind, is replaced")
    }
}
