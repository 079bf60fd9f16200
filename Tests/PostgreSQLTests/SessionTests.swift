import Glibc
import PostgreSQLTestSupport
import Testing

@testable import PostgreSQL

@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct SessionTests {
    private let server: PostgreSQLServer
    private let library: Library

    init() throws {
        server = try PostgreSQLServer.shared
        library = try Library()
    }

    private func session(_ database: String = "postgres") throws -> Session {
        try Session(library, Session.Settings(address: server.address(database)))
    }

    /// Why no connection is made; `nil` if one is.
    private func refusal(_ address: String, password: String? = PostgreSQLServer.password) -> PostgreSQLError? {
        var settings = Session.Settings(address: address, password: password)
        settings.connectTimeout = .seconds(5)
        do throws(PostgreSQLError) {
            _ = try Session(library, settings)
            return nil
        } catch {
            return error
        }
    }

    // MARK: Values

    @Test(
        arguments: [
            .null, .integer(0), .integer(.min), .integer(.max), .integer(-1), .text(""),
            .text("é\u{301}\u{1F600}'\""), .bytes([]), .bytes([0, 0xFF, 0]),
        ] as [Field])
    func `a value comes back as it was sent`(value: Field) throws {
        let type =
            switch value {
            case .integer: "bigint"
            case .text, .null: "text"
            case .bytes: "bytea"
            }
        #expect(try session().rows("SELECT $1::\(type)", [value]) == [[value]])
    }

    @Test(
        arguments: [
            ("(-2)::int2", .integer(-2)), ("7::int4", .integer(7)), ("true", .integer(1)), ("false", .integer(0)),
            ("'x'::varchar", .text("x")), ("current_database()", .text("postgres")), ("NULL::bigint", .null),
        ] as [(String, Field)])
    func `the types that statements return are read`(sql: String, value: Field) throws {
        #expect(try session().value("SELECT \(sql)") == value)
    }

    @Test func `a type that is not read is an error, and the session goes on`() throws {
        let session = try session()
        #expect(throws: PostgreSQLError.self) { try session.rows("SELECT 1.5::numeric") }
        #expect(try session.value("SELECT 1") == .integer(1))
    }

    @Test func `a text with a NUL is refused by the server, whole`() throws {
        let session = try session()
        let error = #expect(throws: PostgreSQLError.self) { try session.rows("SELECT $1", [.text("a\0b")]) }
        #expect(error?.state == "22021")
    }

    @Test func `a large text and many rows come back, and reading can stop early`() throws {
        let session = try session()
        let large = Field.text(String(repeating: "x", count: 4 << 20))
        #expect(try session.value("SELECT $1", [large]) == large)
        #expect(try session.rows("SELECT generate_series(1, 5000)").count == 5000)
        var taken = 0
        try session.scan("SELECT generate_series(1, 5000)") { _ in
            taken += 1
            return taken < 3
        }
        #expect(taken == 3)
        #expect(try session.value("SELECT 2") == .integer(2))
    }

    // MARK: Errors

    @Test func `an error has the state, the statement's beginning and no value`() throws {
        let session = try session()
        try session.execute("CREATE TEMPORARY TABLE t (x bigint UNIQUE)")
        try session.scan("INSERT INTO t VALUES ($1)", [.integer(4711)]) { _ in true }
        let error = #expect(throws: PostgreSQLError.self) {
            try session.scan("INSERT INTO t VALUES ($1)", [.integer(4711)]) { _ in true }
        }
        #expect(error?.state == "23505" && error?.cause == .other)
        #expect(error?.description.contains("INSERT INTO t") == true && error?.description.contains("4711") == false)
    }

    @Test func `an error makes a transaction void until it is rolled back`() throws {
        let session = try session()
        try session.execute("BEGIN; SAVEPOINT a")
        #expect(session.isInTransaction && !session.isFailed)
        #expect(throws: PostgreSQLError.self) { try session.execute("SELECT nonsense") }
        #expect(session.isInTransaction && session.isFailed)
        try session.execute("ROLLBACK TO a; COMMIT")
        #expect(!session.isInTransaction && !session.isLost)
    }

    @Test(
        arguments: [
            ("SELECT pg_terminate_backend(pg_backend_pid())", .lost),
            ("SET statement_timeout = 1; SELECT pg_sleep(9)", .tooSlow),
            ("SET default_transaction_read_only = on; CREATE TABLE no ()", .readOnly),
            ("SET ROLE pg_monitor; CREATE TABLE no ()", .forbidden),
        ] as [(String, PostgreSQLError.Cause)])
    func `a failure has the cause that its remedy goes by`(sql: String, cause: PostgreSQLError.Cause) throws {
        let session = try session()
        for part in sql.split(separator: "; ").dropLast() { try session.execute(String(part)) }
        let last = sql.split(separator: "; ").last.map(String.init) ?? ""
        #expect(#expect(throws: PostgreSQLError.self) { try session.execute(last) }?.cause == cause)
        #expect(session.isLost == (cause == .lost))
    }

    @Test func `a server that stays silent counts as lost`() throws {
        var settings = Session.Settings(address: server.address("postgres"))
        settings.answerTimeout = .milliseconds(50)
        let session = try Session(library, settings)
        let error = #expect(throws: PostgreSQLError.self) { try session.execute("SELECT pg_sleep(5)") }
        #expect(error?.cause == .lost && session.isLost)
        #expect(#expect(throws: PostgreSQLError.self) { try session.execute("SELECT 1") }?.cause == .lost)
    }

    // MARK: Notifications

    @Test func `notifications come with their payloads, in order, and only those of the channel`() throws {
        let (listener, waker) = (try session(), try Waker())
        try listener.execute("LISTEN \"a channel\"")
        let other = try session()
        for payload in ["one", "", "t\u{1F600}"] {
            try other.execute("NOTIFY elsewhere, 'x'; NOTIFY \"a channel\", '\(payload)'")
        }
        var found: [String] = []
        while found.count < 3 { found += try listener.notifications(or: waker) }
        #expect(found == ["one", "", "t\u{1F600}"])
    }

    @Test func `what came with an answer is not waited for`() throws {
        let (listener, waker) = (try session(), try Waker())
        try listener.execute("LISTEN here; NOTIFY here, 'mine'")
        #expect(try listener.value("SELECT 1") == .integer(1))
        #expect(try listener.notifications(or: waker) == ["mine"])
    }

    @Test func `waiting for notifications ends when it is woken, and with the session`() async throws {
        let (listener, waker) = (try session(), try Waker())
        try listener.execute("LISTEN nothing")
        #expect(waker.sleep(.milliseconds(1)))
        async let woken: Void = waker.wake()
        #expect(try listener.notifications(or: waker) == [])
        await woken
        #expect(waker.sleep(.seconds(3600)) == false)
        let fresh = try Waker()
        try server.sql("SELECT pg_terminate_backend(\(listener.process))")
        let error = #expect(throws: PostgreSQLError.self) { try listener.notifications(or: fresh) }
        #expect(error?.cause == .lost && listener.isLost)
    }

    // MARK: Connecting

    @Test func `without libpq the error names what is missing`() {
        let error = #expect(throws: PostgreSQLError.self) { try Library("libpq.so.4711") }
        #expect(error?.cause == .noLibrary && error?.text.contains("libpq.so.4711") == true)
    }

    @Test(arguments: [("wrong", .login), (nil, .login)] as [(String?, PostgreSQLError.Cause)])
    func `a wrong password is refused and not repeated`(password: String?, cause: PostgreSQLError.Cause) throws {
        let error = refusal(server.address("postgres", at: "127.0.0.1"), password: password)
        #expect(error?.cause == cause, "\(error.map(String.init(describing:)) ?? "")")
        #expect(error?.description.contains(password ?? "\0") != true)
        if password != nil { #expect(error?.state == "28P01") }
    }

    @Test(
        arguments: [
            ("no_database", "", .login), ("postgres", "?sslmode=nonsense", .address),
            ("postgres", "?nonsense=1", .address),
            ("postgres", "?service=no-such-service", .address),
        ] as [(String, String, PostgreSQLError.Cause)])
    func `a wrong address has its cause`(database: String, more: String, cause: PostgreSQLError.Cause) {
        let error = refusal(server.address(database, at: "127.0.0.1", more))
        #expect(error?.cause == cause, "\(error.map(String.init(describing:)) ?? "")")
    }

    @Test func `where nobody listens is unreachable`() throws {
        #expect(refusal("postgresql://a@127.0.0.1:\(try PostgreSQLServer.freePort())/x")?.cause == .unreachable)
        #expect(refusal("postgresql:///x?host=/nonexistent")?.cause == .unreachable)
        #expect(refusal("postgresql://a@no-such-host.invalid/x")?.cause == .unreachable)
    }

    @Test(arguments: ["localhost", "127.0.0.1"])
    func `loopback may be reached in plain text`(host: String) throws {
        let settings = Session.Settings(
            address: server.address("postgres", at: host, "?sslmode=disable"), password: PostgreSQLServer.password)
        #expect(try Session(library, settings).isEncrypted == false)
    }

    // Linux takes 0.0.0.0 for loopback; for us it is another host.
    @Test(arguments: ["disable", "allow", "require", "verify-ca"])
    func `another host is not reached unless it proves itself`(mode: String) {
        #expect(refusal(server.address("postgres", at: "0.0.0.0", "?sslmode=\(mode)"))?.cause == .unprotected)
    }

    @Test func `another host is asked to prove itself by default`() throws {
        #expect(refusal(server.address("postgres", at: "0.0.0.0"))?.cause == .tls, "its authority is not known")
        let known = server.address("postgres", at: "0.0.0.0", "?sslrootcert=\(server.authority)")
        let settings = Session.Settings(address: known, password: PostgreSQLServer.password)
        #expect(try Session(library, settings).isEncrypted)
    }

    @Test func `a certificate for another name is refused`() {
        let more = "?sslmode=verify-full&sslrootcert=\(server.authority)"
        #expect(refusal(server.address("postgres", at: "localhost", more)) == nil)
        #expect(refusal(server.address("postgres", at: "127.0.0.1", more))?.cause == .tls)
    }

    @Test(arguments: [
        ("localhost", true), ("", true), ("127.0.0.1", true), ("127.1.2.3", true), ("::1", true),
        ("/run/postgresql", true),
        ("@abstract", true), ("127.0.0.1.evil.example", false), ("127.evil", false), ("db.example", false),
        ("0.0.0.0", false), ("::", false), ("localhost.example", false),
    ])
    func `what is this machine`(host: String, isLocal: Bool) { #expect(Session.isLocal(host) == isLocal) }

    @Test(
        arguments: [
            (["hostaddr": "127.0.0.1", "host": "localhost,db.example"], false),
            (["hostaddr": ",", "host": "localhost,db.example"], false),
            (["hostaddr": "10.0.0.1", "host": "localhost"], false),
            (["hostaddr": "127.0.0.1", "host": "localhost"], true), (["host": "/run/a,localhost"], true), ([:], true),
        ] as [([String: String], Bool)])
    func `hosts are this machine only where all of them are`(options: [String: String], isLocal: Bool) {
        #expect(Connection.isLocal(options) == isLocal)
    }

    @Test func `what the server says is one line`() throws {
        let session = try session()
        let error = #expect(throws: PostgreSQLError.self) {
            try session.execute("DO $$ BEGIN RAISE EXCEPTION E'one\\ntwo\\r\\nthree'; END $$")
        }
        #expect(error?.text == "one two three")
    }
}
