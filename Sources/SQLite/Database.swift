/// The value of a column or of a `?`.
package enum Value: Sendable, Hashable {
    case null
    case integer(Int64)
    case text(String)
    /// Bytes; also a text that is not valid UTF-8.
    case blob([UInt8])

    package var integer: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }
    package var text: String? {
        guard case .text(let value) = self else { return nil }
        return value
    }
    package var blob: [UInt8]? {
        guard case .blob(let value) = self else { return nil }
        return value
    }
}

extension Value {
    /// The text, or null for `nil`.
    package init(_ text: String?) { self = text.map { .text($0) } ?? .null }
    package init(_ number: Int64?) { self = number.map { .integer($0) } ?? .null }
    package init(_ bytes: [UInt8]?) { self = bytes.map { .blob($0) } ?? .null }
}

/// An open SQLite file and its prepared statements, each prepared once. For one thread at a time.
package final class Database {
    package enum Flag: Sendable, Hashable {
        /// SQL cannot damage the file (`SQLITE_DBCONFIG_DEFENSIVE`).
        case defensive
        /// Closing leaves the write-ahead log as it is (`SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE`).
        case noCheckpointOnClose
    }

    private let connection: Connection
    private var prepared: [String: Prepared] = [:]

    private final class Prepared {
        let statement: Statement
        init(_ statement: consuming Statement) { self.statement = statement }
    }

    /// Opens an existing file. `path` must not contain a symbolic link or begin with `file:`.
    package init(path: String, isReadOnly: Bool = false) throws(SQLiteError) {
        connection = try Connection(path: path, isReadOnly: isReadOnly)
    }

    /// Runs statements that take no values and return no rows.
    package func execute(_ sql: String) throws(SQLiteError) { try connection.execute(sql) }

    /// Runs one statement with `values`, one for each `?`; `take` gets every row, column by column.
    package func run(_ sql: String, _ values: [Value] = [], _ take: ([Value]) -> Void = { _ in }) throws(SQLiteError) {
        try scan(sql, values) { row in
            take(row)
            return true
        }
    }

    /// The same, but stops reading rows once `take` returns false.
    package func scan(_ sql: String, _ values: [Value], while take: ([Value]) -> Bool) throws(SQLiteError) {
        if prepared[sql] == nil { prepared[sql] = Prepared(try connection.prepare(sql)) }
        try prepared[sql]?.statement.run(values, while: take)
    }

    /// The rows that one statement returns.
    package func rows(_ sql: String, _ values: [Value] = []) throws(SQLiteError) -> [[Value]] {
        var rows: [[Value]] = []
        try run(sql, values) { rows.append($0) }
        return rows
    }

    /// The only column of the first row; `nil` if there is no row.
    package func value(_ sql: String, _ values: [Value] = []) throws(SQLiteError) -> Value? {
        try rows(sql, values).first?.first
    }

    package func set(_ flag: Flag, _ isOn: Bool) throws(SQLiteError) { try connection.set(flag, isOn) }

    /// How long a statement waits for a lock that another process holds, in milliseconds.
    package func wait(atMost milliseconds: Int) throws(SQLiteError) { try connection.wait(atMost: milliseconds) }

    /// Whether a transaction is open.
    package var isInTransaction: Bool { connection.isInTransaction }
}
