internal import CSQLite

/// Owner of a `sqlite3 *`, for one thread at a time.
@safe struct Connection: ~Copyable {
    private let raw: OpaquePointer

    /// `sqlite3_open_v2`: opens an existing file, not through a symbolic link.
    init(path: String, isReadOnly: Bool) throws(SQLiteError) {
        let access = isReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE
        let flags = access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE
        var opened: OpaquePointer?
        let code = unsafe sqlite3_open_v2(path, &opened, flags, nil)
        guard code == SQLITE_OK, let handle = unsafe opened else {
            let error = unsafe SQLiteError(code, "sqlite3_open_v2", opened)
            unsafe sqlite3_close_v2(opened)
            throw error
        }
        unsafe raw = handle
    }

    // With `_v2`, a statement that outlives this value closes the connection when it ends.
    deinit { unsafe sqlite3_close_v2(raw) }

    /// Runs statements that return no rows (`sqlite3_exec`).
    func execute(_ sql: String) throws(SQLiteError) {
        let code = unsafe sqlite3_exec(raw, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw unsafe SQLiteError(code, "sqlite3_exec \(sql.beginning)", raw) }
    }

    func prepare(_ sql: String) throws(SQLiteError) -> Statement { try unsafe Statement(sql, on: raw) }

    /// Gives up after `milliseconds` while another process holds a lock.
    func wait(atMost milliseconds: Int) throws(SQLiteError) {
        let code = unsafe sqlite3_busy_timeout(raw, Int32(clamping: milliseconds))
        guard code == SQLITE_OK else { throw unsafe SQLiteError(code, "sqlite3_busy_timeout", raw) }
    }

    func set(_ flag: Database.Flag, _ isOn: Bool) throws(SQLiteError) {
        let option =
            switch flag {
            case .defensive: SQLITE_DBCONFIG_DEFENSIVE
            case .noCheckpointOnClose: SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE
            }
        let code = unsafe csqlite_set_flag(raw, option, isOn ? 1 : 0)
        guard code == SQLITE_OK else { throw unsafe SQLiteError(code, "sqlite3_db_config(\(flag))", raw) }
    }

    /// Whether a transaction is open. An error such as a full disk ends it too (`sqlite3_get_autocommit`).
    var isInTransaction: Bool { unsafe sqlite3_get_autocommit(raw) == 0 }

}

extension String {
    /// The first words of a statement, enough to identify it.
    var beginning: String { split(whereSeparator: \.isWhitespace).prefix(3).joined(separator: " ") }
}
