import AgentService
internal import SQLite

/// Copies all rows of a state into a new one, whatever the databases, and compares them row by row.
///
/// What agents have written about themselves, and their leases, end with them, and so do sessions of the console: one
/// that has ended since must not come back with a copy. What the state knows of their logs stays
/// under their names.
enum StateCopy {
    /// A table by its columns; the first few are its key.
    struct Table {
        let name: String
        let keyCount: Int
        let columns: [String]

        init(_ name: String, key count: Int = 1, _ columns: String) {
            self.name = name
            keyCount = count
            self.columns = columns.split(separator: " ").map(String.init)
        }
    }

    static let tables = [
        Table("meta", "name value"),
        Table(
            "plans",
            "number id state environment party principal request_hash live changes operation expires_at ended_at "
                + "document sealed summary target reached"),
        Table("operations", "number id plan environment state ended_at document summary target"),
        Table(
            "requests", key: 3,
            "principal route key payload_hash record environment created_at status body location"),
        Table("freezes", key: 2, "environment party id reason set_by set_at ends_at"),
        Table("audit_marks", "agent seq hash settled copy tree"),
        Table(
            "notices",
            "number id target key state environment queued_at next_at attempts ended_at error document refusals"),
        Table("notice_positions", "agent seq"), Table("passkeys", "key count"),
        Table("checkpoints", "origin size root tree signed_at note"),
        Table("limit_uses", key: 6, "operation rule number counted scope key amount at"),
        Table("reviews", "number operation environment opened_at closed_at document"),
        Table("history", "number agent seq at void line"), Table("history_positions", "agent seq"),
    ]

    /// Tables of which nothing is copied.
    static let left: Set<String> = ["agents", "leases", "sign_ins", "writers"]

    /// Fills `target`, which has the tables and no rows but those of `meta`, within its open transaction. The caller
    /// keeps `source` at one moment.
    static func fill(_ target: any StateDatabase, from source: any StateDatabase) throws(StoreError) {
        for table in tables {
            try target.run("DELETE FROM \(table.name)")
            let marks = table.columns.map { _ in "?" }.joined(separator: ", ")
            let insert = "INSERT INTO \(table.name) (\(table.columns.joined(separator: ", "))) VALUES (\(marks))"
            try table.pages(of: source) { page throws(StoreError) in
                for row in page { try target.run(insert, row) }
            }
            if table.columns[0] == "number", table.name != "history" { try target.continueNumbers(of: table.name) }
        }
        for table in tables { try table.compare(source, target) }
        // A copy goes on otherwise than its original: who knows a number of that one learns that it is gone.
        try target.run(
            "UPDATE history SET number = number + (SELECT max(number) + 1 FROM history) "
                + "WHERE (SELECT max(number) FROM history) < \(Int64.max / 4)")
    }
}

extension StateCopy.Table {
    private static let pageSize = 200

    /// The next rows by the key, after the one that ends with `last`.
    private func page(of state: any StateDatabase, after last: [Value]?) throws(StoreError) -> [[Value]] {
        let key = columns.prefix(keyCount).joined(separator: ", ")
        let marks = columns.prefix(keyCount).map { _ in "?" }.joined(separator: ", ")
        return try state.rows(
            "SELECT \(columns.joined(separator: ", ")) FROM \(name) \(last == nil ? "" : "WHERE (\(key)) > (\(marks))") "
                + "ORDER BY \(key) LIMIT \(Self.pageSize)", last.map { Array($0.prefix(keyCount)) } ?? [])
    }

    fileprivate func pages(
        of state: any StateDatabase, _ take: ([[Value]]) throws(StoreError) -> Void
    ) throws(StoreError) {
        var last: [Value]?
        repeat {
            let page = try page(of: state, after: last)
            try take(page)
            last = page.last
        } while last != nil
    }

    fileprivate func compare(_ source: any StateDatabase, _ target: any StateDatabase) throws(StoreError) {
        var last: [Value]?
        repeat {
            let (wanted, found) = (try page(of: source, after: last), try page(of: target, after: last))
            guard wanted == found else {
                let row = zip(wanted, found).first { $0 != $1 }?.0 ?? wanted.last ?? found.last
                let key = row?.prefix(keyCount).map { $0.text ?? $0.integer.map(String.init) ?? "?" } ?? []
                throw StoreError(
                    "state \(target.name): \(name) \(key.joined(separator: " ")) is not what it is in \(source.name); "
                        + "nothing is copied")
            }
            last = wanted.last
        } while last != nil
    }
}
