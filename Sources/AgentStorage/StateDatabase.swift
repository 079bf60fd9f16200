import AgentService
internal import SQLite

/// A connection to a state's database, for one thread at a time. SQL is SQLite's, with `?` for values; what differs
/// elsewhere is translated. Errors name the place and what to do.
protocol StateDatabase: AnyObject {
    /// What errors call the place.
    var name: String { get }
    /// Whether each statement is a question to a server, and takes the time of one.
    var isFar: Bool { get }
    /// Whether other agents may work on the state too.
    var isShared: Bool { get }
    /// What the state calls this agent; empty for one that has it for itself.
    var agent: String { get }
    /// Runs one statement with `values`; `take` gets each row until it returns false.
    func scan(_ sql: String, _ values: [Value], while take: ([Value]) -> Bool) throws(StoreError)
    /// Begins a transaction: for one that reads, a snapshot.
    func begin() throws(StoreError)
    /// Ends it. Throws ``StoreError/mayBeStored`` if the state closes before it is known whether all of it is stored.
    func commit() throws(StoreError)
    /// Lets other agents know of that when the open transaction is committed.
    func tell(_ signal: StoreSignal)
    /// Whether a transaction is open. An error may have ended it.
    var isInTransaction: Bool { get }
    /// Whether an error keeps the open transaction from anything but being rolled back.
    var isFailed: Bool { get }
    /// Returns once it is connected again, if it is not, or the store is closing.
    func revive()
    /// Makes the numbers of new rows of the table go on after those that it has.
    func continueNumbers(of table: String) throws(StoreError)
}

extension StateDatabase {
    /// Runs one statement; `take` gets every row.
    func run(_ sql: String, _ values: [Value] = [], _ take: ([Value]) -> Void = { _ in }) throws(StoreError) {
        try scan(sql, values) { row in
            take(row)
            return true
        }
    }

    func rows(_ sql: String, _ values: [Value] = []) throws(StoreError) -> [[Value]] {
        var rows: [[Value]] = []
        try run(sql, values) { rows.append($0) }
        return rows
    }

    /// The only column of the first row; `nil` if there is no row.
    func value(_ sql: String, _ values: [Value] = []) throws(StoreError) -> Value? {
        try rows(sql, values).first?.first
    }
}

/// A connection to the file of a state.
final class SQLiteState: StateDatabase {
    private let database: Database
    private let beginning: String
    let name: String

    init(_ database: Database, _ place: StatePlace, isReader: Bool = true) {
        self.database = database
        name = place.database
        beginning = isReader ? "BEGIN" : "BEGIN IMMEDIATE"
    }

    func scan(_ sql: String, _ values: [Value], while take: ([Value]) -> Bool) throws(StoreError) {
        do throws(SQLiteError) { try database.scan(sql, values, while: take) } catch {
            throw StoreError(error, in: name)
        }
    }

    func begin() throws(StoreError) { try run(beginning) }
    func commit() throws(StoreError) { try run("COMMIT") }
    let isFar = false
    let isShared = false
    let agent = ""
    func tell(_ signal: StoreSignal) {}
    var isInTransaction: Bool { database.isInTransaction }
    var isFailed: Bool { false }
    func revive() {}
    // AUTOINCREMENT does that by itself.
    func continueNumbers(of table: String) {}
}
