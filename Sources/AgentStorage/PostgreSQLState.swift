import AgentModel
import AgentService
internal import FoundationEssentials
internal import PostgreSQL
internal import SQLite

/// A connection to a state in PostgreSQL, which it makes anew when it is lost. Used on one thread.
///
/// The one that an agent writes with holds locks of the database while it is connected (``PostgreSQLLock``): its name
/// alone, and the state together with other agents. It counts its commits in the table `writers`, in the same
/// transactions. After a `COMMIT` without an answer it connects again and looks there whether it was done. The lock is
/// not to be had before the server's old process has ended, so what is found is final.
final class PostgreSQLState: StateDatabase {
    /// What waiting goes by while the server is away.
    struct Waiting {
        /// Waits; false once the store is closing.
        var pause: (Duration) -> Bool = { _ in false }
        /// Told why the database is away, and of `nil` when it is back.
        var tell: (StoreError?) -> Void = { _ in }
    }

    struct Writer {
        /// The number of its last commit.
        var commits: Int64
    }

    /// What a connection is for.
    enum Role {
        /// Reads snapshots, and takes no lock.
        case reader
        /// Writes, beside other agents of other names.
        case agent
        /// Has the state alone.
        case alone
    }

    let place: PostgreSQLPlace
    var name: String { place.name }
    let isFar = true
    let isShared = true
    var agent: String { place.agent }
    var waiting = Waiting()
    private let library: Library
    private let role: Role
    private var isReader: Bool { role == .reader }
    private(set) var session: Session?
    var writer: Writer?
    /// Of this process and opening.
    let writerID = UUID().uuidString
    /// What the open transaction changes that other agents want to know.
    private var changes = SharedChanges()
    /// What each session holds, in the order of taking.
    var locks: [PostgreSQLLock]
    /// The version of the schema that this program knows, once the state is open.
    var version: Int64?
    /// The server's process of the last session, and when it began.
    private var process: [Field] = []
    /// Why the state is of no use to this process any more, whatever the server does.
    private var end: StoreError?
    private var translations: [String: String] = [:]

    /// Connects. For an agent the opening of the state begins, which ``finishOpening(knowing:)`` ends.
    init(_ place: PostgreSQLPlace, _ library: Library, as role: Role) throws(StoreError) {
        self.place = place
        self.library = library
        self.role = role
        locks =
            switch role {
            case .reader: []
            case .agent: [PostgreSQLLock(subject: .agent(place.agent)), PostgreSQLLock(subject: .opening)]
            case .alone: [PostgreSQLLock(subject: .state)]
            }
        try connect()
    }

    // MARK: Statements

    func scan(_ sql: String, _ values: [Value], while take: ([Value]) -> Bool) throws(StoreError) {
        let statement: String
        if let known = translations[sql] {
            statement = known
        } else {
            statement = PostgreSQLDialect.statement(sql)
            translations[sql] = statement
        }
        try naming { session throws(PostgreSQLError) in
            try session.scan(statement, values.map(\.field)) { take($0.map { Value($0) }) }
        }
    }

    /// Runs statements without values, all at once.
    func execute(_ sql: String) throws(StoreError) {
        try naming { session throws(PostgreSQLError) in try session.execute(sql) }
    }

    func continueNumbers(of table: String) throws(StoreError) {
        try run(
            "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('\(table)', 'number')::regclass, "
                + "(SELECT coalesce(max(number), 0) + 1 FROM \(table)), false)")
    }

    func naming<T>(_ work: (Session) throws(PostgreSQLError) -> T) throws(StoreError) -> T {
        guard let session else { throw end ?? StoreError("state \(name): the connection is lost") }
        return try place.naming { () throws(PostgreSQLError) in try work(session) }
    }

    var isInTransaction: Bool { session?.isInTransaction ?? false }
    var isFailed: Bool { session?.isFailed ?? false }
    private var isLost: Bool { session?.isLost ?? true }

    // MARK: Transactions

    /// If the connection turns out to be lost, connects once more: nothing was done on it.
    func begin() throws(StoreError) {
        changes = SharedChanges()
        if isLost, !isOpening { try connect() }
        do throws(StoreError) { try start() } catch {
            // While the state is being opened, what was looked at may have changed meanwhile.
            guard isLost, !isOpening else { throw error }
            try connect()
            try start()
        }
    }

    private func start() throws(StoreError) {
        do throws(StoreError) {
            switch role {
            case .reader: try execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            case .agent: try takeTurn()
            case .alone: try execute("BEGIN")
            }
        } catch {
            if isInTransaction { try? execute("ROLLBACK") }
            throw error
        }
    }

    /// Begins a transaction that no other agent's writes run into.
    private func takeTurn() throws(StoreError) {
        guard let session else { return try execute("BEGIN") }
        do throws(PostgreSQLError) {
            try session.execute(PostgreSQLLock.beginning(within: place.turnTimeout))
        } catch {
            guard error.cause == .busy else { throw StoreError(error, at: name) }
            throw StoreError("state \(name): \(PostgreSQLLock(subject: .turn).refusal)", isTemporary: true)
        }
    }

    func tell(_ signal: StoreSignal) { changes.add(signal) }

    func commit() throws(StoreError) {
        guard let next = writer.map({ $0.commits + 1 }) else { return try execute("COMMIT") }
        try count(next)
        do throws(StoreError) { try execute("COMMIT") } catch {
            guard isLost else { throw error }
            return try lookUp(next, error)
        }
        writer?.commits = next
    }

    /// Notes the number of the commit that follows, unless another process has taken the agent's name over, and tells
    /// other agents what it changes.
    private func count(_ next: Int64) throws(StoreError) {
        guard let writer else { return }
        let payload = changes.payload(by: writerID)
        let mine = try rows(
            "UPDATE writers SET commits = ? WHERE agent = ? AND id = ? AND commits = ? RETURNING commits"
                + (payload == nil ? "" : ", \(SharedChanges.notify("?"))"),
            [.integer(next), .text(agent), .text(writerID), .integer(writer.commits)]
                + (payload.map { [.text($0)] } ?? []))
        guard mine.count == 1 else { throw usurped() }
    }

    private func usurped(
        _ why: String =
            "was used by another process under this agent's name since, or the agent was forgotten; see that there is "
            + "one, and restart it"
    ) -> StoreError {
        let error = StoreError("state \(name): \(why)")
        end = error
        session = nil
        return error
    }

    // MARK: Connecting

    /// Looks whether the commit of that number was done, however long it takes to get there. Throws if it was not.
    ///
    /// What was found may not have reached the standbys that it should wait for. So it commits once more: the answer to
    /// that says that it, and all before it, has.
    private func lookUp(_ next: Int64, _ failure: StoreError) throws(StoreError) {
        waiting.tell(failure)
        var expected = next
        while true {
            guard try isBack(expecting: expected) else {
                throw StoreError(
                    "\(failure.detail); whether the change is stored is looked up at the next start", mayBeStored: true)
            }
            guard let found = writer?.commits, found >= next else {
                throw StoreError("\(failure.detail); the change is not stored")
            }
            do throws(StoreError) {
                try execute("BEGIN")
                try count(found + 1)
                try execute("COMMIT")
                writer?.commits = found + 1
                return
            } catch {
                guard isLost, end == nil else { throw StoreError(error.detail, mayBeStored: true) }
                waiting.tell(error)
                expected = found + 1
            }
        }
    }

    /// Connects again if the connection is lost, however long it takes, unless the store is closing.
    func revive() {
        guard isLost else { return }
        waiting.tell(end ?? StoreError("state \(name): the connection is lost; the agent connects again by itself"))
        _ = try? isBack()
    }

    /// Tries until it is connected; false if the store is closing. Throws if there is no use in that.
    private func isBack(expecting next: Int64? = nil) throws(StoreError) -> Bool {
        var wait = Duration.milliseconds(50)
        while true {
            do throws(StoreError) {
                try connect(expecting: next)
                waiting.tell(nil)
                return true
            } catch {
                waiting.tell(error)
                if end != nil { throw StoreError(error.detail, mayBeStored: next != nil) }
            }
            guard waiting.pause(wait) else { return false }
            wait = min(wait * 2, .seconds(5))
        }
    }

    /// One try. A writer takes the lock again, and learns what its last commit was; `next` may have been done.
    private func connect(expecting next: Int64? = nil) throws(StoreError) {
        if let end { throw end }
        session = nil
        let session = try place.naming { () throws(PostgreSQLError) in try Session(library, place.settings) }
        try prepare(session)
        self.session = session
        guard !isReader else { return }
        do throws(StoreError) {
            for lock in locks { try take(lock) }
            try resume(next)
        } catch {
            self.session = nil
            throw error
        }
    }

    private var idleTimeout: Duration { role == .agent ? place.idleTimeout : .seconds(60) }

    /// Sets the limits for the session, and checks that the server will do.
    private func prepare(_ session: Session) throws(StoreError) {
        let old = process
        let found = try place.naming { () throws(PostgreSQLError) in
            try session.execute(
                """
                SET statement_timeout = \(place.statementTimeout.milliseconds);
                SET lock_timeout = \(PostgreSQLLock.patience.milliseconds);
                SET idle_in_transaction_session_timeout = \(idleTimeout.milliseconds);
                SET standard_conforming_strings = on;
                SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
                SET tcp_user_timeout = \(role == .agent ? 5000 : 15_000)
                """)
            try session.keepCommits()
            // What a broken connection left behind would keep the lock until the server notices.
            if !old.isEmpty {
                _ = try session.rows(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE pid = $1::bigint AND backend_start::text = $2
                    """, old)
            }
            return try session.rows(
                """
                SELECT current_setting('server_encoding'), pg_is_in_recovery()
                    OR current_setting('transaction_read_only')::boolean, current_schema()::text,
                    (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())
                """
            ).first ?? []
        }
        guard session.version >= 150_000 else {
            throw StoreError("state \(name): PostgreSQL \(session.version / 10_000) is too old; it takes 15 or newer")
        }
        guard found.count == 4, found[0] == .text("UTF8") else {
            throw StoreError("state \(name): the database is not in UTF-8; create one with ENCODING 'UTF8'")
        }
        guard isReader || found[1] == .integer(0) else {
            throw StoreError("state \(name): is a standby, or set to be read-only; name the primary")
        }
        guard case .text = found[2] else {
            throw StoreError("state \(name): the role has no schema; run: CREATE SCHEMA AUTHORIZATION …")
        }
        process = [.integer(session.process), found[3]]
    }

    /// Waits for it a little; `refusal` says why it is not to be had.
    func take(_ lock: PostgreSQLLock, refusal: String? = nil) throws(StoreError) {
        guard let session else { return }
        do throws(PostgreSQLError) { try lock.take(on: session) } catch {
            guard error.cause == .busy else { throw StoreError(error, at: name) }
            throw StoreError("state \(name): \(refusal ?? lock.refusal)", isTemporary: true)
        }
    }

    /// Continues after a broken connection.
    private func resume(_ next: Int64?) throws(StoreError) {
        guard let writer else { return }
        if let version {
            guard let found = try StateSchema.versions(of: self), found.oldest <= version, version <= found.present
            else {
                throw usurped(
                    "was brought to another version by another agent since; restart this one with the new version")
            }
        }
        let found = try rows("SELECT id, commits FROM writers WHERE agent = ?", [.text(agent)])
        guard found.count == 1, found[0][0] == .text(writerID), let commits = found[0][1].integer else {
            throw usurped()
        }
        guard [writer.commits, next ?? writer.commits].contains(commits) else {
            throw usurped(
                "has lost commits, by a failover or a restored backup; restart the agent, which brings it up to the "
                    + "audit log")
        }
        self.writer?.commits = commits
    }
}

extension Session {
    /// A commit that was answered must not be lost.
    func keepCommits() throws(PostgreSQLError) {
        _ = try rows(
            """
            SELECT set_config('synchronous_commit', 'on', false)
            WHERE current_setting('synchronous_commit') IN ('off', 'local')
            """)
    }
}
