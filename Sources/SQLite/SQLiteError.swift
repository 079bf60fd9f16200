internal import CSQLite
internal import Glibc

/// A call into SQLite that failed.
package struct SQLiteError: Error, Sendable, Hashable {
    /// The kind of failure, as far as the remedies differ.
    package enum Cause: Sendable, Hashable {
        case notADatabase, damaged, busy, full, readOnly, cannotOpen, other
    }

    /// The extended result code.
    package let code: Int
    /// What was attempted: the function and the beginning of the statement, without bound values.
    package let operation: String
    /// SQLite's own text.
    package let text: String
    /// What only the system's error shows: no room for the index of the log, or an exhausted quota.
    private let isOutOfRoom: Bool

    init(_ code: Int32, _ operation: String, _ connection: OpaquePointer?) {
        self.code = Int(code)
        self.operation = operation
        let isIO = [SQLITE_IOERR, SQLITE_CANTOPEN].contains(code & 0xFF)
        let system = unsafe connection.map { unsafe sqlite3_system_errno($0) } ?? 0
        isOutOfRoom = isIO && [ENOSPC, EDQUOT].contains(system)
        if isOutOfRoom {
            text = unsafe String(cString: sqlite3_errstr(SQLITE_FULL))
        } else if let connection = unsafe connection {
            text = unsafe String(cString: sqlite3_errmsg(connection))
        } else {
            text = unsafe String(cString: sqlite3_errstr(code))
        }
    }

    package var cause: Cause {
        if isOutOfRoom { return .full }
        return switch Int32(code & 0xFF) {
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
