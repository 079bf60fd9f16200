import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import PostgreSQLTestSupport
import Testing

/// An empty database, and a directory for the key of the state in it.
struct StateInPostgreSQL: ~Copyable {
    let server: PostgreSQLServer
    let database: String
    private let directory: TemporaryDirectory
    let key: String

    init(on server: PostgreSQLServer? = nil, _ options: String = "") throws {
        let server = try server ?? .shared
        let database = try server.makeDatabase(options)
        directory = try TemporaryDirectory()
        self.server = server
        self.database = database
        key = "\(directory.path)/data/state.key"
    }

    /// Through the Unix socket, or at `address`.
    func place(_ address: String? = nil, password: String? = nil, agent: String = "") throws -> PostgreSQLPlace {
        let address = try PostgreSQLAddress(parsing: address ?? server.address(database))
        var place = PostgreSQLPlace(address, password: password.map { Secret($0) }, key: key)
        place.agent = agent
        return place
    }

    func open(_ schema: StateSchema = .current, as agent: String = "") throws -> PostgreSQLStore {
        try PostgreSQLStore(try place(agent: agent), schema: schema)
    }

    /// Why the state is refused; empty where it opens.
    func refusal(_ place: PostgreSQLPlace? = nil, _ schema: StateSchema = .current) async throws -> String {
        let place = try place ?? self.place()
        do throws(StoreError) {
            try await PostgreSQLStore(place, schema: schema).close()
            return ""
        } catch {
            return error.detail
        }
    }

    /// How many of its sessions wait for locks of this kind, as in `pg_locks`.
    func waiting(for kind: String) -> Int {
        let count = try? sql(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() "
                + "AND NOT granted AND locktype = '\(kind)'")
        return count.flatMap { Int($0.dropLast()) } ?? 0
    }

    /// Ends the sessions for this purpose.
    func end(_ purpose: String) throws {
        try sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                + "AND application_name LIKE '% \(purpose)'")
    }

    @discardableResult
    func sql(_ text: String) throws -> String { try server.sql(text, in: database) }
}

extension StateStore {
    func put(_ plan: Plan) async throws(StoreError) { try await write { $0.put(plan) } }

    /// That the whole plan of `vm/101` and its operation, and the other plan of `vm/102`, are found by these.
    func checkTargets(_ plan: Plan, _ other: Plan) async throws {
        for (target, expected) in [("vm/101", plan), ("vm/102", other)] {
            let target = try #require(Target(target))
            #expect(try await read { $0.plans(PlanFilter(target: target)).map(\.id) } == [expected.id])
            let operations = try await read { $0.operations(OperationFilter(target: target)).map(\.planID) }
            #expect(operations == (expected.id == plan.id ? [plan.id] : []))
        }
    }

    var ids: Set<RecordID> {
        get async throws(StoreError) { try await read { Set($0.plans(PlanFilter()).map(\.id)) } }
    }
}
