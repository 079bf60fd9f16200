import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite
import StrictJSON

/// Notifications on their way.
extension StoreRecords {
    private static let noticeColumns =
        "id, target, key, state, queued_at, next_at, attempts, ended_at, error, document, environment, refusals"

    private func notices(where condition: SQLCondition, _ order: String, limit: Int) -> [QueuedNotice] {
        records(
            "notices", "SELECT \(Self.noticeColumns) FROM notices \(condition.sql) ORDER BY number \(order) LIMIT ?",
            condition.limited(limit)
        ) { row throws(RowDecodingError) in
            let notice = try Self.document(Notice.self, row[9])
            guard let id = row[0].text.flatMap({ RecordID($0, .notification) }), let target = row[1].text,
                let key = row[2].text, let state = row[3].text.flatMap(QueuedNotice.State.init),
                let queuedAt = Date(row[4]), let nextAt = Date(row[5]), let attempts = row[6].count,
                let refusals = row[11].count,
                row[10].text == notice.environment?.description
            else { throw RowDecodingError.otherForm }
            return QueuedNotice(
                id: id, target: target, key: key, notice: notice, state: state, queuedAt: queuedAt, nextAt: nextAt,
                attempts: Int(clamping: attempts), refusals: Int(clamping: refusals), endedAt: try Date.orNull(row[7]),
                error: row[8].text)
        }
    }

    func notice(_ id: RecordID) -> QueuedNotice? {
        notices(where: SQLCondition("id = ?", Value(id)), "DESC", limit: 1).first
    }

    func notices(_ filter: NoticeFilter) -> [QueuedNotice] {
        notices(where: SQLCondition(filter), "DESC", limit: filter.limit)
    }

    func countNotices(_ filter: NoticeFilter) -> Int {
        var filter = filter
        filter.before = nil
        let condition = SQLCondition(filter)
        var count = 0
        run("SELECT count(*) FROM notices \(condition.sql)", condition.values) {
            count = Int(clamping: $0[0].integer ?? 0)
        }
        return failure == nil ? count : 0
    }

    func nextNotice(for target: String, at now: Date) -> QueuedNotice? {
        var number: Value?
        run(
            """
            SELECT number FROM notices WHERE target = ? AND state = 'waiting'
            ORDER BY CASE WHEN attempts > 0 AND refusals = 0 THEN 0 WHEN next_at > ? THEN next_at ELSE ? END, number
            LIMIT 1
            """, [.text(target), Value(now), Value(now)]
        ) { number = $0.first }
        guard failure == nil, let number else { return nil }
        return notices(where: SQLCondition("number = ?", number), "ASC", limit: 1).first
    }

    var noticePosition: UInt64? {
        position("notice_positions")
    }

    /// By destination, without reading a document.
    func noticeTally() -> [String: NoticeTally] {
        var tallies: [String: NoticeTally] = [:]
        let sql = "SELECT target, state, count(*), min(queued_at) FROM notices GROUP BY target, state"
        run(sql) { row in
            guard let target = row[0].text, let state = row[1].text.flatMap(QueuedNotice.State.init) else { return }
            let count = Int(clamping: row[2].integer ?? 0)
            switch state {
            case .waiting:
                tallies[target, default: NoticeTally()].waiting = count
                tallies[target, default: NoticeTally()].oldestWaiting = Date(row[3])
            case .dead: tallies[target, default: NoticeTally()].dead = count
            case .delivered: break
            }
        }
        return failure == nil ? tallies : [:]
    }

    // MARK: Writing

    private static func values(_ notice: QueuedNotice) -> [Value] {
        [
            Value(notice.id), .text(notice.target), .text(notice.key), .text(notice.state.rawValue),
            Value(notice.queuedAt), Value(notice.nextAt), .integer(Int64(notice.attempts)), Value(notice.endedAt),
            Value(notice.error), Value(notice.notice.stored), Value(notice.notice.environment?.description),
            .integer(Int64(notice.refusals)),
        ]
    }

    func add(_ notice: QueuedNotice) -> Bool {
        var isThere = false
        run("SELECT 1 FROM notices WHERE target = ? AND key = ?", [.text(notice.target), .text(notice.key)]) { _ in
            isThere = true
        }
        guard failure == nil, !isThere else { return false }
        run(
            "INSERT INTO notices (\(Self.noticeColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            Self.values(notice))
        return failure == nil
    }

    func put(_ notice: QueuedNotice) {
        run(
            "UPDATE notices SET state = ?, queued_at = ?, next_at = ?, attempts = ?, ended_at = ?, error = ?, "
                + "refusals = ? WHERE id = ?",
            Array(Self.values(notice)[3...8]) + [.integer(Int64(notice.refusals)), Value(notice.id)])
    }

    func removeUntold(like notice: QueuedNotice) {
        run(
            """
            DELETE FROM notices WHERE target = ? AND state = 'waiting' AND attempts = 0 AND environment IS NOT DISTINCT FROM ?
                AND id <> ? AND substr(key, instr(key, ':')) = ?
            """,
            [
                .text(notice.target), Value(notice.notice.environment?.description), Value(notice.id),
                .text(String(notice.key.drop { $0 != ":" })),
            ])
    }

    func putNoticePosition(_ seq: UInt64?) {
        let agent = Value.text(database.agent)
        guard let seq else { return run("DELETE FROM notice_positions WHERE agent = ?", [agent]) }
        upsert("notice_positions", ["agent", "seq"], [agent, .integer(Int64(bitPattern: seq))])
    }

    func giveUpNotices(except targets: Set<String>, _ why: String, at now: Date) {
        run(
            "UPDATE notices SET state = 'dead', ended_at = ?, error = ? "
                + "WHERE state = 'waiting' AND target NOT IN (SELECT value FROM json_each(?))",
            [Value(now), .text(why), Value(JSON(targets.sorted()))])
    }

    func pruneNotices(_ limits: NoticeLimits, at now: Date) {
        for (state, seconds, count) in [
            ("delivered", limits.deliveredSeconds, limits.delivered), ("dead", limits.deadSeconds, limits.dead),
        ] {
            run(
                "DELETE FROM notices WHERE state = '\(state)' AND ended_at < ?",
                [Value(now.addingTimeInterval(-seconds))])
            run(
                """
                DELETE FROM notices WHERE number IN (
                    SELECT number FROM (
                        SELECT number, row_number() OVER (PARTITION BY target ORDER BY number DESC) AS place
                        FROM notices WHERE state = '\(state)') AS ranked
                    WHERE place > ?)
                """, [.integer(Int64(max(0, count)))])
        }
    }
}
