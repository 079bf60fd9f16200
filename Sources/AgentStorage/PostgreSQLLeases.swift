import AgentModel
import AgentService
import FoundationEssentials
internal import PostgreSQL
internal import SQLite
import StrictJSON
internal import Synchronization

/// Leases, and what agents say of themselves, in PostgreSQL.
///
/// Each call is one statement, and a transaction of its own, on a connection that nothing else waits for. Times are
/// those of the database's clock, in milliseconds since 1970.
final class PostgreSQLLeases: LeaseStore {
    private let place: PostgreSQLPlace
    private let library: Library
    /// The id that the store's own writer signs with.
    private let writer: String
    private let calls: LeaseCalls

    private struct Listening {
        var isClosed = false
        var listeners: [SignalListener] = []
    }
    private let listening = Mutex(Listening())

    private static let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    /// How long a lease is valid.
    private static let validUntil = "\(now) + 10000"

    init(_ place: PostgreSQLPlace, _ library: Library, writer: String) throws(StoreError) {
        self.place = place
        self.library = library
        self.writer = writer
        let calls = LeaseCalls(place, library)
        self.calls = calls
        try place.start { calls.serve() }
    }

    // MARK: Leases

    func prepare(_ environments: [EnvironmentName]) async throws(StoreError) {
        let names = Value(JSON(environments.map(\.description))).field
        _ = try await calls.run { session throws(PostgreSQLError) in
            try session.rows(
                """
                INSERT INTO leases (environment, epoch, renewals, valid_until, freezes, honoured)
                SELECT name, 0, 0, 0, 0, 0 FROM json_array_elements_text($1::json) AS name ORDER BY name
                ON CONFLICT DO NOTHING
                """, [names])
        }
    }

    func acquire(
        _ environment: EnvironmentName, holder: String, agent: String
    ) async throws(StoreError) -> AcquiredLease? {
        let row = try await calls.run { session throws(PostgreSQLError) in
            // The look takes the lock, so that what it finds is what the change is made to.
            try session.rows(
                """
                UPDATE leases AS new SET holder = $2, agent = $3, epoch = old.epoch + 1, renewals = old.renewals + 1,
                    valid_until = \(Self.validUntil), honoured = 0
                FROM (
                    SELECT * FROM leases WHERE environment = $1 AND (holder IS NULL OR valid_until <= \(Self.now))
                    FOR UPDATE) AS old
                WHERE new.environment = old.environment
                RETURNING new.epoch, new.freezes, old.renewals, old.holder IS NULL, \(SharedChanges.notifyOfLeases)
                """, [.text(environment.description), .text(holder), .text(agent)]
            ).first
        }
        guard let row else { return nil }
        guard let epoch = row[0].number, let freezes = row[1].number, let renewals = row[2].number else {
            throw unreadable("leases")
        }
        return AcquiredLease(
            lease: Lease(environment: environment, holder: holder, epoch: epoch), freezes: freezes,
            renewals: renewals, wasFree: row[3] == .integer(1))
    }

    func renew(_ lease: Lease) async throws(StoreError) -> Int64? {
        try await change(lease, "renewals = renewals + 1, valid_until = \(Self.validUntil)", returning: "freezes")
    }

    func release(_ lease: Lease) async throws(StoreError) {
        _ = try await change(
            lease, "holder = NULL, agent = NULL, renewals = renewals + 1, valid_until = \(Self.now)",
            returning: "freezes, \(SharedChanges.notifyOfLeases)")
    }

    func honour(_ lease: Lease, freezes: Int64) async throws(StoreError) {
        _ = try await change(
            lease, "honoured = $4", where: "AND honoured < $4", [.integer(freezes)],
            returning: "freezes, \(SharedChanges.notifyOfLeases)")
    }

    /// Changes its row, if it is still held; the first column.
    private func change(
        _ lease: Lease, _ changes: String, where condition: String = "", _ more: [Field] = [], returning columns: String
    ) async throws(StoreError) -> Int64? {
        try await calls.run { session throws(PostgreSQLError) in
            try session.value(
                """
                UPDATE leases SET \(changes) WHERE environment = $1 AND holder = $2 AND epoch = $3 \(condition)
                RETURNING \(columns)
                """,
                [.text(lease.environment.description), .text(lease.holder), .integer(lease.epoch)] + more)?.number
        }
    }

    func leases() async throws(StoreError) -> [LeaseRow] {
        let rows = try await calls.run { session throws(PostgreSQLError) in
            try session.rows(
                """
                SELECT environment, holder, agent, epoch, renewals, freezes, honoured,
                    holder IS NULL OR valid_until <= \(Self.now) FROM leases ORDER BY environment
                """)
        }
        return try rows.map { row throws(StoreError) in
            guard let environment = row[0].string.flatMap(EnvironmentName.init), let epoch = row[3].number,
                let renewals = row[4].number, let freezes = row[5].number, let honoured = row[6].number
            else { throw unreadable("leases") }
            return LeaseRow(
                environment: environment, holder: row[1].string, agent: row[2].string, epoch: epoch,
                renewals: renewals, freezes: freezes, honoured: honoured, isToBeHad: row[7] == .integer(1))
        }
    }

    private func unreadable(_ table: String) -> StoreError {
        StoreError("state \(place.name): \(table) cannot be read: a row has values of another form")
    }

    // MARK: Agents

    func report(_ agent: AgentRow) async throws(StoreError) -> Date {
        let startedAt = Int64((agent.startedAt.timeIntervalSince1970 * 1000).rounded())
        let now = try await calls.run { session throws(PostgreSQLError) in
            try session.value(
                """
                INSERT INTO agents (name, process, version, configuration, started_at, seen_at, draining)
                VALUES ($1, $2, $3, $4, $5, \(Self.now), 0)
                ON CONFLICT (name) DO UPDATE SET process = excluded.process, version = excluded.version,
                    configuration = excluded.configuration, started_at = excluded.started_at,
                    seen_at = excluded.seen_at,
                    draining = CASE WHEN agents.process = excluded.process THEN agents.draining ELSE 0 END
                RETURNING seen_at
                """,
                [
                    .text(agent.name), .text(agent.process), .text(agent.version), .text(agent.configuration),
                    .integer(startedAt),
                ])
        }
        guard let now = now?.number else { throw unreadable("agents") }
        return Date(timeIntervalSince1970: Double(now) / 1000)
    }

    func agents() async throws(StoreError) -> [AgentRow] {
        let rows = try await calls.run { session throws(PostgreSQLError) in
            try session.rows(
                """
                SELECT name, process, version, configuration, started_at, \(Self.now) - seen_at, draining FROM agents
                ORDER BY name
                """)
        }
        return try rows.map { row throws(StoreError) in
            guard let name = row[0].string, let process = row[1].string, let version = row[2].string,
                let configuration = row[3].string, let startedAt = row[4].number, let age = row[5].number
            else { throw unreadable("agents") }
            return AgentRow(
                name: name, process: process, version: version,
                startedAt: Date(timeIntervalSince1970: Double(startedAt) / 1000), configuration: configuration,
                age: Double(age) / 1000, isDraining: row[6] != .integer(0))
        }
    }

    func drain(_ agent: String, _ isDraining: Bool) async throws(StoreError) -> Bool {
        try await calls.run { session throws(PostgreSQLError) in
            try session.value(
                "UPDATE agents SET draining = $2 WHERE name = $1 RETURNING name, \(SharedChanges.notifyOfLeases)",
                [.text(agent), .integer(isDraining ? 1 : 0)]) != nil
        }
    }

    /// With the row go the mark of its log, what it has notified of, and its right to write. One that never reported
    /// has only these, as in a copy of the state.
    func forget(_ agent: String) async throws(StoreError) -> Bool {
        let tables = ["audit_marks", "notice_positions", "history_positions", "writers"]
        let others = tables.map {
            "\($0)_gone AS (DELETE FROM \($0) WHERE agent IN (SELECT name FROM named) RETURNING 1)"
        }
        let counts = (["gone"] + tables.map { "\($0)_gone" }).map { "(SELECT count(*) FROM \($0))" }
        return try await calls.run { session throws(PostgreSQLError) in
            try session.value(
                """
                WITH gone AS (DELETE FROM agents WHERE name = $1 AND seen_at <= \(Self.now) - 60000 RETURNING name),
                    named AS (
                        SELECT name FROM gone UNION ALL
                        SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM agents WHERE name = $1)
                            AND \(PostgreSQLLock.isFree(agent: "$1"))),
                    \(others.joined(separator: ", "))
                SELECT \(counts.joined(separator: " + ")) > 0
                """, [.text(agent)]) == .integer(1)
        }
    }

    // MARK: Signals

    func tell(_ signals: [StoreSignal]) async throws(StoreError) {
        let payloads = SharedChanges.payloads(signals, by: writer)
        let texts = Value(JSON(payloads)).field
        _ = try await calls.run { session throws(PostgreSQLError) in
            try session.rows(
                "SELECT \(SharedChanges.notify("text")) FROM json_array_elements_text($1::json) AS text", [texts])
        }
    }

    func signals() -> AsyncStream<StoreSignal> {
        listening.withLock { listening in
            guard !listening.isClosed else { return AsyncStream { $0.finish() } }
            let (stream, listener) = SignalListener.make(place, library, ignoring: writer)
            if let listener { listening.listeners.append(listener) }
            return stream
        }
    }

    // MARK: Closing

    /// Takes no more calls, and ends the signals.
    func close() {
        calls.close()
        let listeners = listening.withLock { listening in
            listening.isClosed = true
            defer { listening.listeners = [] }
            return listening.listeners
        }
        for listener in listeners { listener.close() }
    }

    /// Waits for the calls that wait.
    func end() async {
        close()
        await calls.end()
    }
}

extension Field {
    fileprivate var number: Int64? { if case .integer(let number) = self { number } else { nil } }
    fileprivate var string: String? { if case .text(let text) = self { text } else { nil } }
}
