import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import SQLite
import StrictJSON
import Testing

/// A directory with a state in it, and what a rough world does to one.
struct StateDirectory: ~Copyable {
    let directory: TemporaryDirectory
    let database: String
    let key: String

    init(at path: String = "/tmp") throws {
        directory = try TemporaryDirectory(in: path)
        database = "\(directory.path)/data/state.db"
        key = "\(directory.path)/data/state.key"
    }

    func open(_ schema: StateSchema = .current) throws(StoreError) -> SQLiteStore {
        try SQLiteStore(path: database, schema: schema)
    }

    /// Why the state is refused; empty where it opens.
    func refusal(_ path: String? = nil, _ schema: StateSchema = .current) async -> String {
        do throws(StoreError) {
            try await SQLiteStore(path: path ?? database, schema: schema).close()
            return ""
        } catch {
            return error.detail
        }
    }

    /// A closed state with so many plans.
    func written(_ count: Int) async throws {
        let store = try open()
        for number in 0..<count { try await store.put(.sample(number)) }
        await store.close()
    }

    /// Runs SQL on the file, as a stranger would.
    @discardableResult
    func sql(_ statement: String) throws -> [[Value]] { try Database(path: database).rows(statement) }

    func read(_ path: String? = nil) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(filePath: path ?? database)))
    }

    func overwrite(_ bytes: [UInt8], at offset: Int = 0) throws {
        let descriptor = Glibc.open(database, O_WRONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        try #require(pwrite(descriptor, bytes, bytes.count, offset) == bytes.count)
    }

    /// The names and contents of all files but the lock.
    func files() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for end in ["db", "db-wal", "db-shm", "db-journal", "key"] {
            let path = "\(directory.path)/data/state.\(end)"
            if access(path, F_OK) == 0 { files[end] = try read(path) }
        }
        return files
    }

    func mode(_ path: String) -> mode_t {
        var info = stat()
        return lstat(path, &info) == 0 ? info.st_mode & 0o7777 : 0
    }

    /// Copies the files that a crash would leave, in a process of its own: closing a file ends the locks on it.
    func copyCrashed(to other: borrowing StateDirectory) throws {
        let data = "\(other.directory.path)/data"
        try #require(mkdir(data, 0o700) == 0)
        try #require(run(["cp", "-p", database, database + "-wal", key, data]) == 0)
    }
}

extension Plan {
    /// A live plan whose request and call hold `secret`, told apart by its number.
    static func sample(_ number: Int, secret: String = "hidden", padding: Int = 0) throws -> Plan {
        let plan = Plan.sample(try .sample(.startVM, "vm/101"), number: UInt64(number))
        let request = ActionRequest(
            environment: plan.request.environment, action: plan.request.action, target: plan.request.target,
            params: ["padding": .string(String(repeating: "x", count: padding))],
            secrets: [JSONPath([.key("password")]): Secret(secret)], dryRun: false, notes: .init())
        return Plan(
            id: plan.id, request: request, requestHash: plan.requestHash, planHash: plan.planHash,
            requester: plan.requester, environmentIdentity: plan.environmentIdentity,
            policyVersion: plan.policyVersion, decision: plan.decision,
            preview: Preview(calls: [Call(.post, ["x"], [("password", .secret(Secret(secret)))])]),
            requires: plan.requires, createdAt: plan.createdAt, expiresAt: plan.expiresAt)
    }
}
