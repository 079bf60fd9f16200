internal import CPostgreSQL

/// The functions of libpq, which is loaded at run time (`dlopen`): a program that keeps its state elsewhere does not
/// need the library.
@safe package final class Library: Sendable {
    /// As Debian's package libpq5 names it.
    package static let usual = "libpq.so.5"

    // SAFETY: written once, before anything else can see it.
    nonisolated(unsafe) private let table: UnsafeMutablePointer<cpq_functions>

    /// Loads it for the rest of the process. Throws ``PostgreSQLError/Cause/noLibrary`` if it is missing or too old.
    package init(_ name: String = usual) throws(PostgreSQLError) {
        unsafe table = .allocate(capacity: 1)
        if let reason = unsafe cpq_load(name, table) {
            throw PostgreSQLError(.noLibrary, "dlopen \(name)", unsafe String(cString: reason))
        }
    }

    deinit { unsafe table.deallocate() }

    var functions: cpq_functions { unsafe table.pointee }

    /// Keeps libpq from printing what the server notes.
    @unsafe func ignoreNotices(on connection: OpaquePointer) { unsafe cpq_ignore_notices(table, connection) }
}
