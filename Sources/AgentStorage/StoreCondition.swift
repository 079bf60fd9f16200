import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite
import StrictJSON

/// A filter as SQL: one statement for each combination of conditions, with its values separate.
struct SQLCondition {
    private var terms: [String] = []
    private(set) var values: [Value] = []

    init(_ term: String, _ value: Value) { add(term, value) }

    init(_ filter: PlanFilter) {
        add(filter.environments)
        add("state = ?", filter.state.map { .text($0.rawValue) })
        add("party = ?", filter.party.map { .text($0) })
        add("principal = ?", filter.principal.map { .text($0) })
        add("request_hash = ?", filter.requestHash.map { .text($0) })
        add("live = ?", filter.isLive.map { Value($0) })
        add("changes = ?", filter.changes.map { Value($0) })
        // With OR in its place SQLite reads all plans.
        if let target = filter.target {
            add(
                target,
                "number IN (SELECT number FROM plans WHERE target = ? UNION ALL SELECT number FROM plans WHERE "
                    + "\(Self.reached))")
        }
        // The index on plans contains the first two terms exactly as they are here.
        add("live = 1 AND operation IS NULL AND expires_at <= ?", filter.dueAt.map { Value($0) })
        add(before: filter.before, in: "plans")
    }

    init(_ filter: OperationFilter) {
        add(filter.environments)
        add("state = ?", filter.state.map { .text($0.rawValue) })
        add("plan = ?", filter.plan.map { Value($0) })
        if let target = filter.target {
            add(target, "(target = ? OR plan IN (SELECT id FROM plans WHERE \(Self.reached)))")
        }
        if let isEnded = filter.isEnded {
            let states = OperationState.allCases.filter { $0.isEnded == isEnded }.map { "'\($0.rawValue)'" }
            terms.append("state IN (\(states.joined(separator: ", ")))")
        }
        add(before: filter.before, in: "operations")
    }

    init(_ filter: NoticeFilter) {
        add("target = ?", filter.target.map { .text($0) })
        add("state = ?", filter.state.map { .text($0.rawValue) })
        add(filter.environments)
        add(before: filter.before, in: "notices")
    }

    private mutating func add(_ term: String, _ value: Value?) {
        guard let value else { return }
        terms.append(term)
        values.append(value)
    }

    /// The first term is that of the index.
    private static let reached = "reached IS NOT NULL AND instr(reached, ?) > 0"

    private mutating func add(_ target: Target, _ term: String) {
        terms.append(term)
        values += [.text(target.description), .text("\n\(target)\n")]
    }

    private mutating func add(_ environments: Set<EnvironmentName>?) {
        let names = environments.map { JSON($0.map(\.description)).text }
        add("environment IN (SELECT value FROM json_each(?))", names.map { .text($0) })
    }

    private mutating func add(before id: RecordID?, in table: String) {
        add("number < coalesce((SELECT number FROM \(table) WHERE id = ?), \(Int64.max))", id.map { Value($0) })
    }

    var sql: String { terms.isEmpty ? "" : "WHERE " + terms.joined(separator: " AND ") }

    /// With a `LIMIT`, whose value ``limited(_:)`` appends.
    var newestFirst: String { sql + " ORDER BY number DESC LIMIT ?" }

    func limited(_ limit: Int) -> [Value] { values + [.integer(Int64(max(0, limit)))] }
}

extension Value {
    init(_ id: RecordID) { self = .text(id.description) }
    init(_ name: EnvironmentName) { self = .text(name.description) }
    init(_ flag: Bool) { self = .integer(flag ? 1 : 0) }
    init(_ date: Date) { self = .integer(Timestamp(date).milliseconds) }
    init(_ date: Date?) { self = date.map { Value($0) } ?? .null }
    init(_ document: JSON) { self = .text(String(decoding: document.bytes(.exact), as: UTF8.self)) }
}

extension Value {
    /// A number of a record, or of how many there are; `nil` for one that no agent reaches. One more is a number too.
    var count: UInt64? { integer.flatMap { $0 < .max ? UInt64(exactly: $0) : nil } }

    var isFlag: Bool { [.integer(0), .integer(1)].contains(self) }
}

extension Date {
    /// The time from a column's value; `nil` if a timestamp cannot be of that year.
    init?(_ value: Value) {
        guard let milliseconds = value.integer else { return nil }
        let date = Date(timeIntervalSince1970: Double(milliseconds) / 1000)
        guard Timestamp(date).milliseconds == milliseconds else { return nil }
        self = date
    }

    /// The time from a column that may be null.
    static func orNull(_ value: Value) throws(RowDecodingError) -> Date? {
        if value == .null { return nil }
        guard let date = Date(value) else { throw .otherForm }
        return date
    }
}

extension RecordID {
    /// The id of either kind.
    init?(stored text: String) {
        guard let id = Kind.allCases.lazy.compactMap({ RecordID(text, $0) }).first else { return nil }
        self = id
    }
}
