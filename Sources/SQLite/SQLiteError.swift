internal import CSQLite

/// A call into SQLite that failed.
package struct SQLiteError: Error, Sendable, Hashable {
    /// What kind of failure it is, as far as there are different cures.
    package enum Cause: Sendable, Hashable {
        case notADatabase, damaged, busy, full, readOnly, cannotOpen, other
    }

    /// The extended result code.
    package let code: Int
    /// What was attempted: the function and the beginning of the statement, which holds no bound value.
    package let operation: String
    /// SQLite's own text.
    package let text: String

    init(_ code: Int32, _ operation: String, _ connection: OpaquePointer?) {
        self.code = Int(code)
        self.operation = operation
        if let connection = unsafe connection {
            text = unsafe String(cString: sqlite3_errmsg(connection))
        } else {
            text = unsafe String(cString: sqlite3_errstr(code))
        }
    }

    package var cause: Cause {
        switch Int32(code & 0xFF) {
        case SQLITE_NOTADB: .notADatabase
        case SQLITE_CORRUPT: .damaged
        case SQLITE_BUSY, SQLITE_LOCKED: .busy
        case SQLITE_FULL: .full
        case SQLITE_READONLY, SQLITE_PERM: .readOnly
        case SQLITE_CANTOPEN: .cannotOpen
        default: .other
        }
    }
}

extension SQLiteError: CustomStringConvertible {
    package var description: String { "\(text) (SQLite \(code), \(operation))" }
}
