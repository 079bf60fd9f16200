import AgentService
internal import PostgreSQL

/// A lock of the database that names the schema (`pg_advisory_lock`). The server gives it up with the session.
struct PostgreSQLLock: Hashable {
    enum Subject: Hashable {
        /// The whole state: agents share it, what needs the state alone does not. Versions before agents had names took
        /// it alone too.
        case state
        /// The state under an agent's name.
        case agent(String)
        /// The opening of the state, and the change of its schema with it.
        case opening
        /// The right to write, for the length of a transaction.
        case turn
        /// The schema as programs of this version know it: its agents share it, and a change of the schema that would be
        /// two steps ahead of them takes it alone.
        case version(Int64)
    }

    let subject: Subject
    var isShared = false

    /// Why it was not to be had, with what to do.
    var refusal: String {
        switch subject {
        case .state:
            isShared
                ? "another process uses it alone; wait for that one, or stop it (pg_stat_activity shows it)"
                : "another process uses it; stop that one (pg_stat_activity shows it), or name another database"
        case .agent(let name):
            "another process uses it \(name.isEmpty ? "without a name" : "under the name \(name)"); give each agent a "
                + "name of its own (agent_name), or stop that one (pg_stat_activity shows it, also a connection of before "
                + "that hangs)"
        case .opening: "another agent is opening it, and may be changing its schema; wait for that one"
        case .turn: "another agent has been writing for too long; look for its process in pg_stat_activity"
        case .version:
            isShared
                ? "another agent is changing its schema; wait for that one"
                : "an agent of a version that is two steps of the schema older uses it; upgrade that one, or stop it"
        }
    }

    /// The two numbers that the server knows it by.
    private var key: (kind: Int64, name: String) {
        switch subject {
        case .state: (StateSchema.applicationID, "")
        case .agent(let name): (StateSchema.applicationID + 1, "\n\(name)")
        case .opening: (StateSchema.applicationID + 2, "")
        case .turn: (StateSchema.applicationID + 3, "")
        case .version(let version): (StateSchema.applicationID + 4, "\n\(version)")
        }
    }

    private var values: [Field] { [.integer(key.kind), .text(key.name)] }
    private static let numbers = "$1::int, hashtext(current_schema()::text || $2)"

    func take(on session: Session) throws(PostgreSQLError) {
        let function = isShared ? "pg_advisory_lock_shared" : "pg_advisory_lock"
        _ = try session.rows("SELECT 1 FROM \(function)(\(Self.numbers))", values)
    }

    func release(on session: Session) throws(PostgreSQLError) {
        let function = isShared ? "pg_advisory_unlock_shared" : "pg_advisory_unlock"
        _ = try session.rows("SELECT \(function)(\(Self.numbers))", values)
    }

    /// A condition: no process uses the state under the agent's name, which is this text, until the transaction ends.
    static func isFree(agent name: String) -> String {
        let kind = PostgreSQLLock(subject: .agent("")).key.kind
        return "pg_try_advisory_xact_lock(\(kind), hashtext(current_schema()::text || chr(10) || \(name)))"
    }

    /// Takes it until the transaction ends, if it is free now.
    func isFree(on session: Session) throws(PostgreSQLError) -> Bool {
        try session.value("SELECT pg_try_advisory_xact_lock(\(Self.numbers))", values) == .integer(1)
    }

    /// How long statements wait for locks.
    static let patience = Duration.seconds(2)
    /// How long a change of the schema waits for tables, and all others behind it: less than the server takes to look for
    /// deadlocks, which would hit a reader.
    static let tablePatience = Duration.milliseconds(500)

    /// Begins a transaction that has its turn to write, in one question. Waits for that no longer than `limit`. Each of
    /// its statements sees what others have committed by then.
    static func beginning(within limit: Duration) -> String {
        let kind = PostgreSQLLock(subject: .turn).key.kind
        return """
            BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = \(limit.milliseconds);
            SELECT pg_advisory_xact_lock(\(kind), hashtext(current_schema()::text));
            SET LOCAL lock_timeout = \(patience.milliseconds)
            """
    }
}

extension Duration {
    /// As the server's settings take it.
    var milliseconds: Int { Int(self / .milliseconds(1)) }
}
