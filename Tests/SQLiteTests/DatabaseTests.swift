import Glibc
import SQLite
import Testing

/// An empty file in a directory of its own.
private final class Place {
    let path: String

    init() throws {
        var template = Array("/tmp/proxmox-agent-XXXXXX".utf8CString)
        try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } } != nil)
        path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" } + "/test.db"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        try #require(descriptor >= 0)
        close(descriptor)
    }

    deinit {
        for end in ["", "-wal", "-shm", "-journal", ".link"] { unlink(path + end) }
        rmdir(String(path.dropLast("/test.db".count)))
    }
}

@Suite(.timeLimit(.minutes(1)))
struct DatabaseTests {
    private let place: Place
    private let database: Database

    init() throws {
        place = try Place()
        database = try Database(path: place.path)
    }

    private static let values: [Value] = [
        .null, .integer(0), .integer(.min), .integer(.max), .text(""), .text("a\0b"), .text("é\u{301}\u{1F600}'\""),
        .blob([]), .blob([0, 0xFF, 0]),
    ]

    @Test(arguments: values)
    func `a value comes back as it was bound`(value: Value) throws { try expectBack(value) }

    @Test func `a large text comes back as it was bound`() throws {
        try expectBack(.text(String(repeating: "x", count: 1 << 20)))
    }

    private func expectBack(_ value: Value) throws {
        try database.execute("CREATE TABLE t (x ANY) STRICT")
        try database.run("INSERT INTO t VALUES (?)", [value])
        #expect(try database.rows("SELECT x FROM t") == [[value]])
    }

    @Test func `a text that is no valid UTF-8 is bytes`() throws {
        #expect(try database.value("SELECT CAST(x'61FF' AS TEXT)") == .blob([0x61, 0xFF]))
    }

    @Test func `a statement runs from the start with new values each time`() throws {
        try database.execute("CREATE TABLE t (x INTEGER UNIQUE) STRICT; INSERT INTO t VALUES (1), (2), (3)")
        for bound in 1...3 as ClosedRange<Int64> {
            let rows = try database.rows("SELECT x FROM t WHERE x >= ? ORDER BY x", [.integer(bound)])
            #expect(rows == (bound...3).map { [.integer($0)] })
        }
        #expect(throws: SQLiteError.self) { try database.run("INSERT INTO t VALUES (?)", [.integer(1)]) }
        try database.run("INSERT INTO t VALUES (?)", [.integer(4)])
        #expect(try database.value("SELECT count(*) FROM t") == .integer(4))
    }

    @Test func `an error tells code, function and statement, but not what was bound`() throws {
        try database.execute("CREATE TABLE t (x TEXT UNIQUE) STRICT")
        try database.run("INSERT INTO t VALUES (?)", [.text("canary")])
        let error = #expect(throws: SQLiteError.self) {
            try database.run("INSERT INTO t VALUES (?)", [.text("canary")])
        }
        #expect(error?.description == "UNIQUE constraint failed: t.x (SQLite 2067, sqlite3_step INSERT INTO t)")
        #expect(error?.cause == .other)
    }

    @Test func `a savepoint that is rolled back leaves the transaction open`() throws {
        try database.execute("CREATE TABLE t (x) ")
        #expect(!database.isInTransaction)
        try database.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2)")
        try database.execute("ROLLBACK TO s; RELEASE s")
        #expect(database.isInTransaction)
        try database.execute("COMMIT")
        #expect(!database.isInTransaction)
        #expect(try database.rows("SELECT x FROM t") == [[.integer(1)]])
    }

    @Test func `a second connection finds the first one's lock, and says busy`() throws {
        let other = try Database(path: place.path)
        try other.wait(atMost: 1)
        try database.execute("BEGIN IMMEDIATE")
        let error = #expect(throws: SQLiteError.self) { try other.execute("BEGIN IMMEDIATE") }
        #expect(error?.cause == .busy)
    }

    @Test func `what cannot be opened says why`() throws {
        #expect(symlink(place.path, place.path + ".link") == 0)
        for path in [place.path + ".link", place.path + ".missing", "/"] {
            let error = #expect(throws: SQLiteError.self) { _ = try Database(path: path) }
            #expect(error?.cause == .cannotOpen, "\(path)")
        }
        let reader = try Database(path: place.path, isReadOnly: true)
        #expect(#expect(throws: SQLiteError.self) { try reader.execute("CREATE TABLE t (x)") }?.cause == .readOnly)
    }

    @Test func `closing keeps the log when told to, and else moves it into the file`() throws {
        func write(keepingLog isKept: Bool) throws {
            let writer = try Database(path: place.path)
            try writer.set(.noCheckpointOnClose, isKept)
            _ = try writer.value("PRAGMA journal_mode = WAL")
            try writer.execute("CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (1)")
        }
        try write(keepingLog: true)
        #expect(access(place.path + "-wal", F_OK) == 0)
        try write(keepingLog: false)
        #expect(access(place.path + "-wal", F_OK) != 0)
    }
}
