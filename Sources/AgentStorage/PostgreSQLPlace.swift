package import AgentModel
import AgentService
internal import PostgreSQL
internal import SystemFile
internal import SystemPackage

/// The location of a state in PostgreSQL: a database there, and the installation's key in a file here.
package struct PostgreSQLPlace: Sendable {
    package let address: PostgreSQLAddress
    /// Asked at each connection: it may change while the agent runs.
    private let password: @Sendable () -> Secret?
    /// The file of the installation's key.
    package let key: String
    /// What is loaded as libpq.
    package var library = Library.usual
    package var connectTimeout = Duration.seconds(5)
    /// How long the server may be silent while it owes an answer.
    package var answerTimeout = Duration.seconds(25)
    /// How long the server may work on one statement, and send what it finds; zero for no limit.
    package var statementTimeout = Duration.seconds(20)
    /// How long a transaction waits until other agents let it write.
    package var turnTimeout = Duration.seconds(8)
    /// How long a transaction that writes may ask nothing before the server ends it: others wait for it.
    package var idleTimeout = Duration.seconds(3)
    /// How long a change of the schema tries to have the tables for itself.
    package var migrationTimeout = Duration.seconds(20)
    /// What the state calls the agent; empty for one that has it for itself. Only one process at a time may have it.
    package var agent = ""

    package init(
        _ address: PostgreSQLAddress, password: @autoclosure @escaping @Sendable () -> Secret? = nil, key: String
    ) {
        self.address = address
        self.password = password
        self.key = key
    }

    /// What errors call it.
    var name: String { address.description }

    var settings: Session.Settings {
        var settings = Session.Settings(address: address.url, password: password()?.reveal())
        settings.connectTimeout = connectTimeout
        settings.answerTimeout = answerTimeout
        if !agent.isEmpty { settings.name += " \(agent)" }
        return settings
    }

    /// For a connection besides those of the store, which must not be waited for.
    func settings(for purpose: String) -> Session.Settings {
        var settings = settings
        settings.name += " \(purpose)"
        settings.connectTimeout = min(connectTimeout, PostgreSQLLock.patience)
        // The server's own limit comes first: the connection is still good then.
        settings.answerTimeout = min(answerTimeout, PostgreSQLLock.patience + .milliseconds(500))
        settings.sendTimeout = PostgreSQLLock.patience
        return settings
    }

    /// Runs `work`; its errors get the place and what to do.
    func naming<T>(_ work: () throws(PostgreSQLError) -> T) throws(StoreError) -> T {
        do throws(PostgreSQLError) { return try work() } catch { throw StoreError(error, at: name) }
    }

    /// libpq, loaded for the rest of the process.
    func load() throws(StoreError) -> Library {
        try naming { () throws(PostgreSQLError) in try Library(library) }
    }

    /// The key. If there is none, it is made where the database `isEmpty`, durably.
    func readKey(isEmpty: Bool) throws(StoreError) -> (key: InstallationKey, isNew: Bool) {
        let directory = PrivateFile.directory(of: key)
        if isEmpty { try makeDirectory(directory) }
        if let key = try InstallationKeyFile.read(key) { return (key, false) }
        guard isEmpty else { throw InstallationKeyFile.missing(key) }
        let made = try InstallationKeyFile.create(key)
        try syncDirectory(directory)
        return (made, true)
    }

    /// Makes these bytes the key, durably; false if they are that already. Throws if another key is there.
    func takeKey(_ bytes: [UInt8]) throws(StoreError) -> Bool {
        let directory = PrivateFile.directory(of: key)
        try makeDirectory(directory)
        if let found = try InstallationKeyFile.bytes(key, for: .agent) {
            guard found == bytes else { throw StoreError("state \(key): is another key; name a new file") }
            return false
        }
        try StatePlace.create(key, bytes)
        try syncDirectory(directory)
        return true
    }

    private func makeDirectory(_ directory: String) throws(StoreError) {
        do throws(Errno) { try PrivateFile.makeDirectory(directory) } catch {
            throw .system(
                "cannot create the directory \(directory)", key, error, cure: "create it for the agent's user")
        }
    }

    private func syncDirectory(_ directory: String) throws(StoreError) {
        do throws(Errno) { try PrivateFile.syncDirectory(directory) } catch {
            throw .system("cannot sync the directory \(directory)", key, error, cure: "look after its file system")
        }
    }
}

extension StoreError {
    /// PostgreSQL's error for the state at `name`, and what to do.
    init(_ error: PostgreSQLError, at name: String) {
        let cure =
            switch error.cause {
            case .noLibrary: "libpq is missing: apt-get install libpq5"
            case .address: "correct state_url"
            case .unreachable: "start the server, or correct state_url"
            case .notReady: "the server takes no connections now: wait for it, or let it take more (max_connections)"
            case .login: "look at the user and database of state_url, state_password_file, and the server's pg_hba.conf"
            case .tls:
                "the server must prove its name: give it a certificate, and name its authority with sslrootcert=FILE"
            case .unprotected: "leave sslmode out, or say sslmode=verify-full"
            case .lost: "the agent connects again by itself"
            case .readOnly: "it is a standby or set to be read-only: name the primary"
            case .full: "free space on the server's disk"
            case .forbidden: "let the agent's role own the database: ALTER DATABASE … OWNER TO …"
            case .busy, .tooSlow: "look at pg_stat_activity for what holds it up"
            case .other: "look at the server's log"
            }
        self.init(
            "state \(name): \(error); \(cure)",
            isTemporary: [.unreachable, .notReady, .lost, .readOnly, .busy, .tooSlow].contains(error.cause))
    }
}
