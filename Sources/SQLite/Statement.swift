internal import CSQLite

/// Owner of a `sqlite3_stmt *`, for the thread of its connection.
@safe struct Statement: ~Copyable {
    private let raw: OpaquePointer

    /// The connection must outlive this value; closing it with `sqlite3_close_v2` ensures that.
    @unsafe init(_ sql: String, on connection: OpaquePointer) throws(SQLiteError) {
        var prepared: OpaquePointer?
        let code = unsafe sqlite3_prepare_v3(
            connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let statement = unsafe prepared else {
            throw unsafe SQLiteError(code, "sqlite3_prepare_v3 \(sql.beginning)", connection)
        }
        unsafe raw = statement
    }

    deinit { unsafe sqlite3_finalize(raw) }

    /// Runs it from the start with `values`, one for each `?`; `take` gets a copy of each row until it returns false.
    func run(_ values: [Value], while take: ([Value]) -> Bool) throws(SQLiteError) {
        precondition(unsafe values.count == Int(sqlite3_bind_parameter_count(raw)), "one value for each parameter")
        defer {
            unsafe sqlite3_reset(raw)
            unsafe sqlite3_clear_bindings(raw)
        }
        for (index, value) in values.enumerated() {
            try check(bind(value, at: Int32(index + 1)), "sqlite3_bind")
        }
        while true {
            let code = unsafe sqlite3_step(raw)
            guard code == SQLITE_ROW else { return try check(code == SQLITE_DONE ? SQLITE_OK : code, "sqlite3_step") }
            var row: [Value] = []
            for index in unsafe 0..<sqlite3_column_count(raw) { row.append(column(index)) }
            if !take(row) { return }
        }
    }

    private func bind(_ value: Value, at index: Int32) -> Int32 {
        switch value {
        case .null: return unsafe sqlite3_bind_null(raw, index)
        case .integer(let number): return unsafe sqlite3_bind_int64(raw, index, number)
        case .text(var text):
            return text.withUTF8 { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) { bytes in
                    unsafe csqlite_bind_text(raw, index, bytes.baseAddress, UInt64(bytes.count))
                }
            }
        case .blob(let blob):
            return unsafe blob.withUnsafeBytes { bytes in
                unsafe csqlite_bind_blob(raw, index, bytes.baseAddress, UInt64(bytes.count))
            }
        }
    }

    private func column(_ index: Int32) -> Value {
        switch unsafe sqlite3_column_type(raw, index) {
        case SQLITE_NULL: return .null
        case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(raw, index))
        case let type:
            // For a real number this is its text; a STRICT table has none without such a column.
            let start = unsafe sqlite3_column_blob(raw, index)
            let length = unsafe Int(sqlite3_column_bytes(raw, index))
            let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : length))
            guard type == SQLITE_TEXT, let text = String(validating: bytes, as: UTF8.self) else { return .blob(bytes) }
            return .text(text)
        }
    }

    private func check(_ code: Int32, _ operation: String) throws(SQLiteError) {
        guard code != SQLITE_OK else { return }
        let sql = unsafe sqlite3_sql(raw).map { unsafe String(cString: $0) } ?? ""
        throw unsafe SQLiteError(code, "\(operation) \(sql.beginning)", sqlite3_db_handle(raw))
    }
}
