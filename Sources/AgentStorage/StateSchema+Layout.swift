import AgentService
internal import SQLite

/// The tables and columns that the steps make, compared with those of a state.
extension StateSchema {
    /// Table, column, and whether a new row must name it.
    private static let columns = """
        SELECT tables.name, columns.name, columns."notnull" = 1 AND columns.dflt_value IS NULL
        FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'
        """

    /// The same in PostgreSQL.
    private static let postgreSQLColumns = """
        SELECT relname::text, attname::text, attnotnull AND NOT atthasdef AND attidentity = ''
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
            AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        """

    /// What a state of that version lacks, or has that keeps rows out of it; `nil` if it is as the steps make it. What
    /// another program has added does not matter else.
    func flaw(of database: Database, _ version: Int64) throws(SQLiteError) -> String? {
        try flaw(of: try database.rows(Self.columns), version)
    }

    /// Throws for such a state.
    func checkLayout(of state: PostgreSQLState, _ version: Int64) throws(StoreError) {
        let found = try state.rows(Self.postgreSQLColumns)
        let flaw: String?
        do throws(SQLiteError) { flaw = try self.flaw(of: found, version) } catch {
            throw StoreError("state \(state.name): \(error)")
        }
        if let flaw { throw StoreError("state \(state.name): is damaged (\(flaw)); restore a backup") }
    }

    private func flaw(of found: [[Value]], _ version: Int64) throws(SQLiteError) -> String? {
        let own = try Database(path: ":memory:")
        for step in steps.prefix(Int(clamping: version)) { try own.execute(step) }
        let found = Self.layout(found)
        var flaws: [String] = []
        for (table, columns) in Self.layout(try own.rows(Self.columns)).sorted(by: { $0.key < $1.key }) {
            guard let present = found[table] else {
                flaws.append("the table \(table) is missing")
                continue
            }
            for column in columns.keys.sorted() where present[column] == nil {
                flaws.append("the column \(column) of \(table) is missing")
            }
            for column in present.keys.sorted() where columns[column] == nil && present[column] == true {
                flaws.append("the column \(column) of \(table) is unknown and must be given")
            }
        }
        return flaws.isEmpty ? nil : flaws.joined(separator: ", ")
    }

    private static func layout(_ rows: [[Value]]) -> [String: [String: Bool]] {
        var tables: [String: [String: Bool]] = [:]
        for row in rows {
            guard let table = row[0].text, let column = row[1].text else { continue }
            tables[table, default: [:]][column] = row[2] == .integer(1)
        }
        return tables
    }
}
