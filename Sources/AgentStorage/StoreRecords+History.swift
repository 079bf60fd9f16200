import AgentAudit
import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite

/// The history that the agents on a state share.
extension StoreRecords {
    func history(after number: UInt64, limit: Int, bytes: Int) -> [HistoryRecord] {
        var (found, used): ([HistoryRecord], Int) = ([], 0)
        guard failure == nil, limit > 0 else { return [] }
        do throws(StoreError) {
            try database.scan(
                "SELECT number, void, line FROM history WHERE number > ? ORDER BY number LIMIT ?",
                [.integer(Int64(clamping: number)), .integer(Int64(limit))]
            ) { row in
                let line = Array((row[2].text ?? "").utf8)
                guard let number = row[0].integer.flatMap({ UInt64(exactly: $0) }),
                    let record = try? AuditRecord(line: line)
                else {
                    fail("history", row[0].integer.map { "\($0)" }, "its line is no record")
                    return false
                }
                found.append(HistoryRecord(number: number, record: record, isVoid: row[1] != .integer(0)))
                used += line.count + 1
                return used < bytes
            }
        } catch {
            failure = error
        }
        return failure == nil ? found : []
    }

    var historyNumbers: ClosedRange<UInt64>? {
        var numbers: ClosedRange<UInt64>?
        run("SELECT min(number), max(number) FROM history") { row in
            guard let first = row[0].integer.flatMap({ UInt64(exactly: $0) }),
                let last = row[1].integer.flatMap({ UInt64(exactly: $0) }), first <= last
            else { return }
            numbers = first...last
        }
        return failure == nil ? numbers : nil
    }

    var historyPosition: UInt64 {
        var position: UInt64 = 0
        run("SELECT seq FROM history_positions WHERE agent = ?", [.text(database.agent)]) {
            position = $0[0].integer.map { UInt64(bitPattern: $0) } ?? 0
        }
        return failure == nil ? position : 0
    }

    /// Only one transaction writes at a time, so the numbers have no gaps, and are in the order of the commits.
    func putHistory(_ records: [(record: AuditRecord, isVoid: Bool)], through seq: UInt64) {
        var next = historyNumbers.map { Int64(clamping: $0.upperBound) + 1 } ?? 1
        for (record, isVoid) in records {
            let place: [Value] = [.text(database.agent), .integer(Int64(bitPattern: record.seq))]
            let line = Value.text(String(decoding: record.line, as: UTF8.self))
            var isThere = false
            // After the agent was forgotten, and came back with the same log.
            run("SELECT 1 FROM history WHERE agent = ? AND seq = ? AND line = ?", place + [line]) { _ in isThere = true
            }
            guard !isThere else { continue }
            run(
                "INSERT INTO history (number, agent, seq, at, void, line) VALUES (?, ?, ?, ?, ?, ?)",
                [.integer(next)] + place + [Value(record.time.date), Value(isVoid), line])
            next += 1
        }
        upsert("history_positions", ["agent", "seq"], [.text(database.agent), .integer(Int64(bitPattern: seq))])
        database.tell(.history)
    }

    /// Never removes the newest record: the next one is numbered after it.
    func pruneHistory(before date: Date) {
        run(
            "DELETE FROM history WHERE number < (SELECT number FROM history WHERE at >= ? ORDER BY number LIMIT 1)",
            [Value(date)])
    }
}
