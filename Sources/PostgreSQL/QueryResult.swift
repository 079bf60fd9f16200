internal import CPostgreSQL

/// Owner of a `PGresult *`.
@safe struct QueryResult: ~Copyable {
    private let raw: OpaquePointer
    private let library: Library
    private var pq: cpq_functions { library.functions }

    @unsafe init(_ raw: OpaquePointer, _ library: Library) {
        unsafe self.raw = unsafe raw
        self.library = library
    }

    deinit { unsafe pq.PQclear(raw) }

    var status: ExecStatusType { unsafe pq.PQresultStatus(raw) }
    var count: Int32 { unsafe pq.PQntuples(raw) }

    /// A copy of the row; `nil` if a column has an unknown type.
    func row(_ row: Int32) -> [Field]? {
        var fields: [Field] = []
        for column in unsafe 0..<pq.PQnfields(raw) {
            guard unsafe pq.PQgetisnull(raw, row, column) == 0 else {
                fields.append(.null)
                continue
            }
            let (start, length) = unsafe (pq.PQgetvalue(raw, row, column), Int(pq.PQgetlength(raw, row, column)))
            let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: length))
            guard let field = unsafe Field(bytes, type: pq.PQftype(raw, column)) else { return nil }
            fields.append(field)
        }
        return fields
    }

    /// What the server reported; `nil` if it is libpq's own error. Details may repeat values, so they are left out.
    func error(_ operation: String) -> PostgreSQLError? {
        guard let state = field("C") else { return nil }
        return PostgreSQLError(state: state, operation, field("M") ?? "")
    }

    private func field(_ code: Unicode.Scalar) -> String? {
        unsafe pq.PQresultErrorField(raw, Int32(code.value)).map { unsafe String(cString: $0) }
    }
}
