/// A connection to a PostgreSQL server and its prepared statements, each prepared once. For one thread at a time.
package final class Session {
    /// Where the database is, and how long to wait for it.
    package struct Settings: Sendable {
        /// `postgresql://…`, as libpq reads it; without a password.
        package var address: String
        package var password: String?
        /// What the server's lists of sessions call this one.
        package var name: String
        package var connectTimeout = Duration.seconds(5)
        /// How long the server may be silent while it owes an answer.
        package var answerTimeout = Duration.seconds(25)
        /// How long what was sent may stay unacknowledged (`TCP_USER_TIMEOUT`).
        package var sendTimeout = Duration.seconds(15)

        package init(address: String, password: String? = nil, name: String = "proxmox-agent") {
            self.address = address
            self.password = password
            self.name = name
        }

        /// For `PQconnectStartParams`: the later ones win.
        var parameters: [(String, String)] {
            [
                ("dbname", address), ("application_name", name), ("client_encoding", "UTF8"),
                // Half-open connections end within some twenty seconds.
                ("keepalives_idle", "5"), ("keepalives_interval", "3"), ("keepalives_count", "4"),
                ("tcp_user_timeout", "\(Int(sendTimeout / .milliseconds(1)))"), ("gssencmode", "disable"),
                // Of several hosts the one that takes changes; a standby lags behind.
                ("target_session_attrs", "primary"),
            ] + (password.map { [("password", $0)] } ?? [])
        }
    }

    private let connection: Connection
    private let limit: Duration
    private var prepared: [Key: String] = [:]
    /// Whether it is of no use any more.
    package private(set) var isLost = false

    private struct Key: Hashable {
        let sql: String
        let types: [UInt32]
    }

    /// Connects. Throws within the time that is set for it; the error holds no password.
    package init(_ library: Library, _ settings: Settings) throws(PostgreSQLError) {
        connection = try Connection.open(library, settings)
        limit = settings.answerTimeout
    }

    /// Whether the host is this machine: `localhost`, a loopback address, or the directory of a Unix socket.
    package static func isLocal(_ host: String) -> Bool {
        if host.hasPrefix("/") || host.hasPrefix("@") || ["", "localhost", "::1"].contains(host) { return true }
        return host.hasPrefix("127.") && host.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2E }
    }

    /// Runs statements that take no values; rows that they return are not read.
    package func execute(_ sql: String) throws(PostgreSQLError) {
        try watching { () throws(PostgreSQLError) in try connection.execute(sql, within: limit) }
    }

    /// Runs one statement with `values`, one for each `$n`; `take` gets each row until it returns false.
    package func scan(
        _ sql: String, _ values: [Field] = [], while take: ([Field]) -> Bool
    ) throws(PostgreSQLError) {
        let key = Key(sql: sql, types: values.map(\.type))
        try watching { () throws(PostgreSQLError) in
            let name: String
            if let known = prepared[key] {
                name = known
            } else {
                name = "s\(prepared.count)"
                try connection.prepare(name, sql, key.types, within: limit)
                prepared[key] = name
            }
            try connection.run(name, values, sql.beginning, within: limit, while: take)
        }
    }

    /// The rows that one statement returns.
    package func rows(_ sql: String, _ values: [Field] = []) throws(PostgreSQLError) -> [[Field]] {
        var rows: [[Field]] = []
        try scan(sql, values) { row in
            rows.append(row)
            return true
        }
        return rows
    }

    /// The only column of the first row; `nil` if there is no row.
    package func value(_ sql: String, _ values: [Field] = []) throws(PostgreSQLError) -> Field? {
        try rows(sql, values).first?.first
    }

    /// The payloads of notifications of any channel that the session listens to. Waits for the first one, until the
    /// `waker` is woken.
    package func notifications(or waker: Waker) throws(PostgreSQLError) -> [String] {
        var payloads: [String] = []
        try watching { () throws(PostgreSQLError) in payloads = try connection.notifications(or: waker) }
        return payloads
    }

    private func watching(_ work: () throws(PostgreSQLError) -> Void) throws(PostgreSQLError) {
        guard !isLost else { throw PostgreSQLError(.lost, "", "the connection is lost") }
        do throws(PostgreSQLError) { try work() } catch {
            isLost = error.cause == .lost || connection.isBroken
            // An error that ended the session: what it was about may have been done or not.
            throw isLost && error.cause == .other ? PostgreSQLError(.lost, error.operation, error.text) : error
        }
    }

    package var isInTransaction: Bool { !isLost && connection.isInTransaction }
    /// Whether an error has made the open transaction void.
    package var isFailed: Bool { !isLost && connection.isFailed }
    package var isEncrypted: Bool { connection.isEncrypted }
    /// The server's process for this session (`PQbackendPID`).
    package var process: Int64 { Int64(connection.process) }
    /// Such as 150018 for 15.18.
    package var version: Int { Int(connection.version) }
}
