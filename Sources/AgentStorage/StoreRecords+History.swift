import AgentAudit
import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite

/// The history that the agents on a state share.
extension StoreRecords {
    func history(after number: UInt64, limit: Int, bytes: Int) -> [HistoryLine] {
        var (found, used): ([HistoryLine], Int) = ([], 0)
        guard failure == nil, limit > 0 else { return [] }
        do throws(StoreError) {
            try database.scan(
                "SELECT number, void, line FROM history WHERE number > ? ORDER BY number LIMIT ?",
                [.integer(Int64(clamping: number)), .integer(Int64(limit))]
            ) { row in
                guard let number = row[0].count, row[1].isFlag, let line = row[2].text else {
                    fail("history", row[0].integer.map { "\($0)" }, "has values of another form")
                    return false
                }
                found.append(HistoryLine(number: number, line: Array(line.utf8), isVoid: row[1] != .integer(0)))
                used += line.utf8.count + 1
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
            guard let first = row[0].integer, let last = row[1].integer else { return }
            // One more must be a number too.
            guard 0 < first, first <= last, last < .max else {
                return fail("history", "\(last)", "its number is none that an agent gives")
            }
            numbers = UInt64(first)...UInt64(last)
        }
        return failure == nil ? numbers : nil
    }

    var historyPosition: UInt64 {
        position("history_positions") ?? 0
    }

    /// Only one transaction writes at a time, so the numbers have no gaps, and are in the order of the commits. Those of
    /// an empty history go on with those of the log: a lone agent's clients know these.
    func putHistory(_ records: [(record: AuditRecord, isVoid: Bool)], through seq: UInt64, at now: Date) {
        guard let first = records.first?.record.seq, let last = records.last?.record.seq else {
            return putHistoryPosition(seq)
        }
        let range: [Value] = [.integer(Int64(clamping: first)), .integer(Int64(clamping: last))]
        var known: Set<String> = []
        // After the agent was forgotten, or got another name, and went on with the same log.
        run("SELECT line FROM history WHERE seq BETWEEN ? AND ?", range) { known.insert($0[0].text ?? "") }
        var next = historyNumbers.map { Int64($0.upperBound) + 1 } ?? Int64(clamping: min(max(first, 1), 1 << 62))
        var rows: [[Value]] = []
        for (record, isVoid) in records {
            let line = String(decoding: record.line, as: UTF8.self)
            guard !known.contains(line) else { continue }
            rows.append([
                .integer(next), .text(database.agent), .integer(Int64(clamping: record.seq)),
                Value(min(record.time.date, now)), Value(isVoid), .text(line),
            ])
            next += 1
        }
        // As few questions to the server as two statements allow.
        while !rows.isEmpty {
            let count = rows.count < Self.historyBatch ? 1 : Self.historyBatch
            let marks = Array(repeating: "(?, ?, ?, ?, ?, ?)", count: count).joined(separator: ", ")
            run(
                "INSERT INTO history (number, agent, seq, at, void, line) VALUES \(marks)",
                rows.prefix(count).flatMap(\.self))
            rows.removeFirst(count)
        }
        putHistoryPosition(seq)
    }

    private static let historyBatch = 32

    private func putHistoryPosition(_ seq: UInt64) {
        upsert("history_positions", ["agent", "seq"], [.text(database.agent), .integer(Int64(bitPattern: seq))])
        database.tell(.history)
    }

    func pruneHistory(before date: Date, atMost count: Int) {
        // The newest one stays: the next one is numbered after it.
        guard let numbers = historyNumbers else { return }
        var end = min(Int64(numbers.lowerBound) + Int64(min(count, 1 << 20)), Int64(numbers.upperBound))
        run(
            "SELECT number FROM history WHERE number < ? AND at >= ? ORDER BY number LIMIT 1",
            [.integer(end), Value(date)]
        ) { end = $0[0].integer ?? end }
        guard end > numbers.lowerBound else { return }
        run("DELETE FROM history WHERE number < ?", [.integer(end)])
    }
}
