import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite

/// What operations took of the policy's limits.
extension StoreRecords {
    private static let counterTerms = "rule = ? AND number = ? AND counted = ? AND scope = ? AND key = ?"

    private static func values(_ counter: LimitCounter) -> [Value] {
        [
            .text(counter.rule), .integer(Int64(counter.index)), .text(counter.counted.rawValue),
            .text(counter.scope.rawValue), .text(counter.key),
        ]
    }

    private func limitUses(_ condition: String, _ values: [Value]) -> [LimitUse] {
        let sql = "SELECT operation, rule, number, counted, scope, key, amount, at FROM limit_uses \(condition)"
        return records("limit_uses", sql, values) { row throws(RowDecodingError) in
            guard let operation = row[0].text.flatMap({ RecordID($0, .operation) }), let rule = row[1].text,
                let index = row[2].integer.flatMap(Int.init(exactly:)),
                let counted = row[3].text.flatMap(LimitCounter.Counted.init),
                let scope = row[4].text.flatMap(LimitCounter.Scope.init), let key = row[5].text,
                let amount = row[6].integer, amount >= 0, let at = Date(row[7])
            else { throw RowDecodingError.otherForm }
            let counter = LimitCounter(rule: rule, index: index, counted: counted, scope: scope, key: key)
            return LimitUse(counter, by: operation, amount: amount, at: at)
        }
    }

    func limitUses(of counter: LimitCounter, since date: Date?) -> [LimitUse] {
        let since = date.map { [Value($0)] } ?? []
        return limitUses(
            "WHERE \(Self.counterTerms)\(since.isEmpty ? "" : " AND at >= ?") ORDER BY at, operation",
            Self.values(counter) + since)
    }

    func limitUses(of rule: String, _ index: Int) -> [LimitUse] {
        limitUses("WHERE rule = ? AND number = ? ORDER BY at, operation", [.text(rule), .integer(Int64(index))])
    }

    /// All of them, of every counter.
    func limitUses() -> [LimitUse] { limitUses("", []) }

    func countLimitUses() -> Int {
        var count = 0
        run("SELECT count(*) FROM limit_uses") { count = Int(clamping: $0[0].integer ?? 0) }
        return failure == nil ? count : 0
    }

    // MARK: Writing

    func put(_ use: LimitUse) {
        upsert(
            "limit_uses", ["operation", "rule", "number", "counted", "scope", "key", "amount", "at"], key: 6,
            [Value(use.operation)] + Self.values(use.counter) + [.integer(use.amount), Value(use.at)])
    }

    func removeLimitUses(of operation: RecordID) {
        run("DELETE FROM limit_uses WHERE operation = ?", [Value(operation)])
    }

    func releaseHeld(of operation: RecordID) {
        run("DELETE FROM limit_uses WHERE operation = ? AND counted = ?", [Value(operation), Self.held])
    }

    func pruneLimitUses(before date: Date) {
        run("DELETE FROM limit_uses WHERE at < ? AND counted <> ?", [Value(date), Self.held])
    }

    /// As ``LimitUse/isHeld`` has it.
    private static let held = Value.text(LimitCounter.Counted.concurrent.rawValue)
}
