import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Glibc
import PostgreSQLTestSupport
import Testing

/// What is refused when a state in PostgreSQL is opened: one line with the cure, and nothing half done.
@Suite(.timeLimit(.minutes(1)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct PostgreSQLOpeningTests {
    private func isOneLine(_ refusal: String, _ state: borrowing StateInPostgreSQL) -> Bool {
        refusal.hasPrefix("state ") && !refusal.contains("\n") && !refusal.contains(PostgreSQLServer.password)
    }

    @Test(arguments: [
        ("no-such-user", "login", "state_password_file"), ("wrong", "28P01", "state_password_file"),
        ("no-such-database", "3D000", "state_password_file"), ("nobody-listens", "refused", "start the server"),
        ("unknown-authority", "certificate", "sslrootcert"),
        ("no-service", "service", "correct state_url"),
    ])
    func `an address that does not work`(what: String, words: String, cure: String) async throws {
        let state = try StateInPostgreSQL()
        let (server, database) = (state.server, state.database)
        let address =
            switch what {
            case "no-such-user": server.address(database, at: "127.0.0.1", user: "login")
            case "no-such-database": server.address("none", at: "127.0.0.1")
            case "nobody-listens": server.address(database, at: "127.0.0.1", port: try PostgreSQLServer.freePort())
            case "unknown-authority": server.address(database, at: "0.0.0.0")
            case "no-service": "postgresql:///?service=none"
            default: server.address(database, at: "127.0.0.1")
            }
        let password = what == "wrong" ? "wrong" : PostgreSQLServer.password
        let refusal = try await state.refusal(try state.place(address, password: password))
        #expect(refusal.contains(words) && refusal.contains(cure) && isOneLine(refusal, state), "\(refusal)")
        #expect(access(state.key, F_OK) != 0, "no key was made")
        #expect(try state.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0\n")
    }

    @Test func `what a service's file says is judged too`() async throws {
        // libpq reads its name from the environment.
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let file = "\(directory.path)/services"
            let descriptor = open(file, O_WRONLY | O_CREAT, 0o600)
            let text = Array("[plain]\nhost=0.0.0.0\nsslmode=disable\n".utf8)
            try #require(write(descriptor, text, text.count) == text.count)
            close(descriptor)
            setenv("PGSERVICEFILE", file, 1)
            let address = try PostgreSQLAddress(parsing: "postgresql:///x?service=plain")
            let error = #expect(throws: StoreError.self) {
                try PostgreSQLStore(PostgreSQLPlace(address, key: "\(directory.path)/state.key"))
            }
            #expect(error?.detail.contains("leave sslmode out") == true, "\(error?.detail ?? "")")
        }
    }

    @Test func `without libpq the error says what to install`() async throws {
        let state = try StateInPostgreSQL()
        var place = try state.place()
        place.library = "libpq.so.4711"
        let refusal = try await state.refusal(place)
        #expect(refusal.contains("libpq.so.4711") && refusal.contains("apt-get install libpq5"), "\(refusal)")
    }

    @Test func `with TLS that proves the server another host is reached`() async throws {
        let state = try StateInPostgreSQL()
        let address = state.server.address(
            state.database, at: "0.0.0.0", "?sslrootcert=\(state.server.authority)")
        let place = try state.place(address, password: PostgreSQLServer.password)
        #expect(try await state.refusal(place) == "")
    }

    // MARK: States of others

    @Test(arguments: [
        ("CREATE TABLE strangers (x int)", "is the database of another program"),
        ("CREATE TABLE agent_state (x int)", "is the database of another program"),
        (
            "CREATE TABLE agent_state (application text, version text); INSERT INTO agent_state VALUES ('a', 'b')",
            "is the database of another program"
        ),
        (
            "CREATE TABLE agent_state (application int, version int); INSERT INTO agent_state VALUES (1, 1)",
            "is the database of another program"
        ),
        ("CREATE VIEW plans AS SELECT 1 AS x", "is the database of another program"),
        ("CREATE SEQUENCE plans", "is the database of another program"),
        ("CREATE TYPE plans AS ENUM ('x')", "is the database of another program"),
        ("CREATE TYPE plans AS (x int)", "is the database of another program"),
        ("CREATE DOMAIN plans AS text", "is the database of another program"),
        ("CREATE MATERIALIZED VIEW agent_state AS SELECT 1 AS application", "is the database of another program"),
    ])
    func `a database of another program stays as it is`(sql: String, words: String) async throws {
        let state = try StateInPostgreSQL()
        try state.sql(sql)
        let refusal = try await state.refusal()
        #expect(refusal.contains(words) && isOneLine(refusal, state), "\(refusal)")
        #expect(try state.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'meta'") == "0\n")
        #expect(access(state.key, F_OK) != 0)
    }

    @Test func `what an extension brings along is not of another program`() async throws {
        let state = try StateInPostgreSQL()
        try state.sql("CREATE EXTENSION pg_stat_statements; CREATE EXTENSION citext")
        #expect(try await state.refusal() == "")
    }

    @Test(arguments: StateCheckTests.layouts)
    func `tables and columns are those of the schema's steps`(change: String, words: String) async throws {
        let state = try StateInPostgreSQL()
        await (try state.open()).close()
        try state.sql(change)
        var texts = [try await state.refusal()]
        let place = try state.place()
        do throws(StoreError) { texts += try place.check().flaws } catch { texts.append(error.detail) }
        for text in texts {
            #expect(words.isEmpty ? text.isEmpty : text.contains("is damaged (\(words)); restore a backup"), "\(text)")
        }
        #expect(words.isEmpty || texts.count == 2)
    }

    @Test(arguments: ["UPDATE writers SET commits = 9223372036854775807", "UPDATE writers SET commits = -1"])
    func `a count of commits that no agent writes is refused`(change: String) async throws {
        let state = try StateInPostgreSQL()
        await (try state.open()).close()
        try state.sql(change)
        #expect(try await state.refusal().contains("writers  cannot be read"))
    }

    @Test func `a state of a newer version stays as it is`() async throws {
        let state = try StateInPostgreSQL()
        await (try state.open()).close()
        try state.sql("UPDATE agent_state SET version = version + 1, oldest = oldest + 1")
        let refusal = try await state.refusal()
        #expect(refusal.contains("was written by a newer version (schema") && isOneLine(refusal, state), "\(refusal)")
    }

    @Test func `a state under another key, and one whose key is gone`() async throws {
        let state = try StateInPostgreSQL()
        await (try state.open()).close()
        let other = try StateInPostgreSQL()
        await (try other.open()).close()
        let address = try PostgreSQLAddress(parsing: state.server.address(state.database))
        let mixed = try await state.refusal(PostgreSQLPlace(address, key: other.key))
        #expect(mixed.contains("was made under another key than \(other.key)"), "\(mixed)")
        #expect(unlink(state.key) == 0)
        let missing = try await state.refusal()
        #expect(missing.contains("\(state.key): the key is missing"), "\(missing)")
        #expect(access(state.key, F_OK) != 0)
    }

    @Test func `a second agent is refused while the first runs`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let refusal = try await state.refusal()
        let words = "another process uses it without a name; give each agent a name of its own (agent_name)"
        #expect(refusal.contains(words) && isOneLine(refusal, state), "\(refusal)")
        try await store.put(.sample(1))
        await store.close()
        #expect(try await state.refusal() == "")
    }

    @Test func `two states are kept apart by schemas of one database`() async throws {
        let state = try StateInPostgreSQL()
        try state.sql("CREATE ROLE two LOGIN; CREATE SCHEMA AUTHORIZATION two")
        let second = try PostgreSQLAddress(parsing: state.server.address(state.database, user: "two"))
        let (one, two) = (
            try state.open(), try PostgreSQLStore(PostgreSQLPlace(second, key: "\(state.key).two"))
        )
        try await one.put(.sample(1))
        #expect(try await two.ids.isEmpty)
        await one.close()
        await two.close()
        unlink("\(state.key).two")
    }

    @Test(arguments: [
        ("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", "is not in UTF-8"),
        ("ENCODING 'UTF8'", ""),
    ])
    func `a database must be in UTF-8`(options: String, words: String) async throws {
        let state = try StateInPostgreSQL(options)
        let refusal = try await state.refusal()
        #expect(words.isEmpty ? refusal.isEmpty : refusal.contains(words), "\(refusal)")
    }

    @Test func `a role that may not make tables is told so, and nothing is made`() async throws {
        let state = try StateInPostgreSQL()
        try state.sql("CREATE ROLE guest_\(state.database) LOGIN")
        let address = try PostgreSQLAddress(
            parsing: state.server.address(state.database, user: "guest_\(state.database)"))
        let refusal = try await state.refusal(PostgreSQLPlace(address, key: state.key))
        #expect(refusal.contains("42501") && refusal.contains("OWNER TO"), "\(refusal)")
        #expect(access(state.key, F_OK) != 0, "nothing can be made under it")
    }

    // MARK: Read-only, full

    @Test func `a read-only standby is refused, and so is a state that becomes one`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        try await store.put(.sample(1))
        try state.sql("ALTER DATABASE \(state.database) SET default_transaction_read_only = on")
        try state.server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\(state.database)'")
        let error = await #expect(throws: StoreError.self) { try await store.put(.sample(2)) }
        #expect(error?.detail.contains("is a standby, or set to be read-only") == true, "\(error?.detail ?? "")")
        #expect(try await store.ids == [.sample(1)], "it is still read")
        try state.server.sql("ALTER DATABASE \(state.database) RESET default_transaction_read_only")
        var isBack = false
        while !isBack { isBack = (try? await store.put(.sample(3))) != nil }
        await store.close()
    }

    @Test func `a real standby is refused`() async throws {
        let server = try PostgreSQLServer()
        try server.restartAsStandby()
        let address = try PostgreSQLAddress(parsing: server.address("postgres"))
        let directory = try TemporaryDirectory()
        let error = #expect(throws: StoreError.self) {
            try PostgreSQLStore(PostgreSQLPlace(address, key: "\(directory.path)/state.key"))
        }
        #expect(error?.detail.contains("is a standby") == true, "\(error?.detail ?? "")")
    }

    @Test(.enabled(if: SmallDisk.isPossible, "mounting a tmpfs is not permitted"))
    func `on a full disk a write fails whole, reads go on, and it heals`() async throws {
        let disk = try SmallDisk(kilobytes: 24_576)
        #expect(run(["chown", "nobody:nogroup", disk.path]) == 0)
        // Of its own, with room for all that is not written: what such a disk took only half must not come up elsewhere.
        let server = try PostgreSQLServer(["shared_buffers = 64MB"])
        let space = "small\(getpid())"
        try server.sql("CREATE TABLESPACE \(space) LOCATION '\(disk.path)'")
        let state = try StateInPostgreSQL(on: server, "TABLESPACE \(space)")
        let store = try state.open()
        for number in 0..<5 { try await store.put(.sample(number)) }
        let ballast = "\(disk.path)/ballast"
        disk.fill(ballast)
        var failure: StoreError?
        for number in 5..<50 where failure == nil {
            let plan = try Plan.sample(number, padding: 200_000)
            do throws(StoreError) { try await store.put(plan) } catch { failure = error }
        }
        #expect(failure?.detail.contains("free space on the server's disk") == true, "\(failure?.detail ?? "none")")
        let before = try await store.ids.count
        #expect(unlink(ballast) == 0)
        try await store.put(.sample(99))
        #expect(try await store.ids.count == before + 1)
        await store.close()
        try server.sql("DROP DATABASE \(state.database)")
        try server.sql("DROP TABLESPACE \(space)")
    }

    // MARK: Schema

    @Test func `an older state is brought to the present schema, with all that is in it`() async throws {
        let state = try StateInPostgreSQL()
        let old = try state.open(StateSchema(steps: Array(StateSchema.current.steps.prefix(1))))
        await old.close()
        try state.sql("INSERT INTO freezes VALUES ('', 'why', 'dora', 1000, NULL)")
        let store = try state.open()
        let freezes = try await store.read { $0.freezes() }
        #expect(freezes.map(\.reason) == ["why"] && freezes.first?.id != nil)
        #expect(store.installation.count == 16)
        await store.close()
    }

    @Test func `plans and operations of before are found by their targets`() async throws {
        let state = try StateInPostgreSQL()
        let store = try state.open()
        let plan = try Plan.whole(secret: "hidden")
        let other = Plan.sample(try .sample(.stopVM, "vm/102"), number: 7)
        try await store.write { records in
            records.put(plan)
            records.put(other)
            records.put(.whole(of: plan))
        }
        await store.close()
        let before = try StateMigrationTests.version(before: "ADD COLUMN target")
        try state.sql(StateMigrationTests.withoutTargets + "UPDATE agent_state SET version = \(before)")
        let again = try state.open()
        try await again.checkTargets(plan, other)
        await again.close()
        #expect(try state.place().check().flaws == [])
    }

    @Test func `a step that fails leaves the older state as it was`() async throws {
        let state = try StateInPostgreSQL()
        await (try state.open()).close()
        let broken = StateSchema(steps: StateSchema.current.steps + ["DELETE FROM plans; SELECT nonsense"])
        #expect(try await state.refusal(nil, broken).contains("42703"))
        #expect(try state.sql("SELECT version FROM agent_state") == "\(StateSchema.current.steps.count)\n")
        #expect(try await state.refusal() == "")
    }

    @Test func `the tables are those that are written down`() async throws {
        let state = try StateInPostgreSQL()
        await (try state.open()).close()
        let columns = """
            SELECT table_name || '.' || column_name || ' ' || data_type || coalesce(' ' || collation_name, '')
                || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
            FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
            """
        let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"
        let lines = try (state.sql(columns) + state.sql(indexes)).split(separator: "\n").map(String.init)
        try expectGolden(lines, "schema-postgresql.txt")
    }

    // MARK: Addresses

    @Test(arguments: [
        "postgresql:///agent", "postgresql://agent@/agent?host=/run/postgresql", "postgres://db.example/agent",
        "postgresql://agent@db.example:5432/agent?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://agent@[::1]:5432/agent?sslmode=disable", "postgresql:///?service=agent",
        "postgresql://a@localhost/x?sslmode=disable", "postgresql://a@127.0.0.1,localhost/x?sslmode=prefer",
        "postgresql://a@/x?host=%2Frun%2Fpostgresql&sslmode=disable",
    ])
    func `addresses that are taken`(text: String) throws {
        #expect(try PostgreSQLAddress(parsing: text).url == text)
    }

    @Test(arguments: [
        ("postgresql:///agent", "postgresql:///agent"), ("postgres://db.example", "postgresql://db.example"),
        (
            "postgresql://agent@db.example:5432,[::1]:5433/agent?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgresql://agent@db.example:5432,[::1]:5433/agent"
        ),
        (
            "postgresql://agent@/agent?host=/run/postgresql&port=5433&connect_timeout=pw",
            "postgresql://agent@/agent?host=/run/postgresql&port=5433"
        ),
        ("postgresql:///?service=agent&passfile=pw", "postgresql:///?service=agent"),
        ("postgresql:///?user=a&dbname=b&options=pw", "postgresql:///?user=a&dbname=b"),
    ])
    func `of an address host, port, database and user are shown, and no other option`(
        text: String, shown: String
    ) throws {
        #expect(try PostgreSQLAddress(parsing: text).description == shown)
    }

    @Test func `what libpq takes of an address into its errors is not shown`() async throws {
        let state = try StateInPostgreSQL()
        for option in ["hunter2=x", "channel_binding=hunter2", "keepalives=hunter2", "gssencmode=hunter2"] {
            let refusal = try await state.refusal(
                try state.place(state.server.address(state.database, at: "127.0.0.1", "?\(option)")))
            #expect(refusal.hasPrefix("state postgresql://agent@") && !refusal.contains("hunter2"), "\(refusal)")
        }
    }

    @Test(
        arguments: [
            ("/var/lib/state.db", .form), ("mysql://x", .form), ("postgresql://a b/x", .form), ("", .form),
            ("postgresql://a:pw@h/x", .password), ("postgresql://a%3Apw@h/x", .password),
            ("postgresql://a:p@w@h/x", .password),
            ("postgresql://a:p/w@h/x", .password), ("postgresql://a:p?w@h/x", .password),
            ("postgresql://a:pw?x=y@127.0.0.1:5611/x", .password), ("postgresql://a:pw?x=y&z@h/x", .password),
            ("postgresql://a:pw/x", .password), ("postgresql://a:pw", .password), ("postgresql://a:5pw/x", .password),
            ("postgresql://a:99999/x", .password), ("postgresql://h:1,a:pw/x", .password),
            ("postgresql://[::1]:pw/x", .password), ("postgresql://a@p:w@h/x", .password),
            ("postgresql://a@pw@h/x", .password), ("postgresql://a:5/pw?x=y@h/x", .password),
            ("postgresql://a:5/p:w", .password), ("postgresql://a@h/password=pw", .password),
            ("postgresql://a@h/x?port=pw", .form), ("postgresql://a@h/x?user=a:pw", .password),
            ("postgresql://a@h/x?sslmode=pw", .form), ("postgresql://a@h/x?ssl=pw", .form),
            ("postgresql://a@[pw/x", .form), ("postgresql://a@p%w/x", .form), ("postgresql://a@h/x?host=p%zw", .form),
            ("postgresql://a@h/x?password=pw", .password), ("postgresql://a@h/x?pass%77ord=pw", .form),
            ("postgresql://a@h/x?sslpassword=pw", .password), ("postgresql://a@h/x?sslmode", .form),
            ("postgresql://h/x?sslmode=require", .sslmode("sslmode=require")),
            ("postgresql://localhost,h/x?sslmode=disable", .sslmode("sslmode=disable")),
            ("postgresql:///x?host=h&sslmode=prefer", .sslmode("sslmode=prefer")),
            ("postgresql://localhost/x?hostaddr=10.0.0.1&sslmode=disable", .sslmode("sslmode=disable")),
            ("postgresql://localhost,h/x?hostaddr=127.0.0.1,&sslmode=disable", .sslmode("sslmode=disable")),
        ] as [(String, PostgreSQLAddress.Invalid)])
    func `addresses that are refused, without being repeated`(text: String, error: PostgreSQLAddress.Invalid) {
        #expect(throws: error) { try PostgreSQLAddress(parsing: text) }
        #expect(!error.detail.contains("pw"))
    }
}
