import AgentAudit
import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite
import StrictJSON

/// What bodies work with: the tables, through one connection and on its thread.
///
/// Bodies do not throw. The first error is kept in ``failure``; after it, nothing is written and nothing is found.
final class StoreRecords {
    let database: any StateDatabase
    let key: InstallationKey
    /// Cleared before each body by the code that runs it.
    var failure: StoreError?

    init(_ database: any StateDatabase, _ key: InstallationKey) {
        self.database = database
        self.key = key
    }

    /// Runs one statement, unless an earlier one failed.
    func run(_ sql: String, _ values: [Value] = [], _ take: ([Value]) -> Void = { _ in }) {
        guard failure == nil else { return }
        do throws(StoreError) { try database.run(sql, values, take) } catch { failure = error }
    }

    /// Applies `read` to each row; empty after a failure. The first column identifies the row in errors.
    func records<T>(
        _ table: String, _ sql: String, _ values: [Value] = [], _ read: ([Value]) throws(RowDecodingError) -> T
    ) -> [T] {
        var found: [T] = []
        run(sql, values) { row in
            guard failure == nil else { return }
            do throws(RowDecodingError) { found.append(try read(row)) } catch {
                fail(table, row.first.flatMap { $0.text ?? $0.integer.map(String.init) }, error.detail)
            }
        }
        return failure == nil ? found : []
    }

    /// Applies `read` to each row's summary, or to its document if it has none, until the page has enough bytes.
    private func page<T>(
        _ table: String, _ condition: SQLCondition, limit: Int, bytes: Int,
        _ read: (_ id: Value, _ summary: Value, _ document: Value) throws(RowDecodingError) -> T
    ) -> StoredPage<T> {
        var (page, used) = (StoredPage<T>(), 0)
        let sql = """
            SELECT id, summary, CASE WHEN summary IS NULL THEN document END FROM \(table) \(condition.newestFirst)
            """
        guard failure == nil else { return page }
        do throws(StoreError) {
            try database.scan(sql, condition.limited(limit)) { row in
                do throws(RowDecodingError) {
                    let size = (row[1].text ?? row[2].text ?? "").utf8.count
                    return page.take(try read(row[0], row[1], row[2]), size: size, filling: &used, of: bytes)
                } catch {
                    fail(table, row[0].text, error.detail)
                    return false
                }
            }
        } catch {
            failure = error
        }
        return failure == nil ? page : StoredPage()
    }

    private func plans(where condition: SQLCondition, limit: Int) -> [Plan] {
        records("plans", "SELECT id, document, sealed FROM plans \(condition.newestFirst)", condition.limited(limit)) {
            row throws(RowDecodingError) in
            let plan = try Self.document(Plan.self, row[1])
            guard row[0] == .text(plan.id.description) else { throw RowDecodingError(detail: "holds another plan") }
            return try PlanSecrets.open(row[2].blob, with: key, in: plan)
        }
    }

    private func operations(where condition: SQLCondition, limit: Int) -> [Operation] {
        records(
            "operations", "SELECT id, document FROM operations \(condition.newestFirst)", condition.limited(limit)
        ) { row throws(RowDecodingError) in
            let operation = try Self.document(Operation.self, row[1])
            guard row[0] == .text(operation.id.description) else {
                throw RowDecodingError(detail: "holds another operation")
            }
            return operation
        }
    }

    static func document<T: Stored>(_ type: T.Type, _ value: Value) throws(RowDecodingError) -> T {
        guard let text = value.text else { throw RowDecodingError(detail: "its document is no text") }
        let json: JSON
        // PVE's answers may themselves have the parser's full depth.
        do throws(JSONError) { json = try JSON.parse(text.utf8, maximumDepth: 2 * JSON.maximumDepth) } catch {
            throw RowDecodingError(detail: "its document is broken at byte \(error.offset ?? 0)")
        }
        return try StoredFields.read(type, json)
    }
}

// MARK: - Columns

/// The columns that queries use, computed from the record. The id comes first.
extension StoreRecords {
    static let planColumns = [
        "id", "state", "environment", "party", "principal", "request_hash", "live", "changes", "operation",
        "expires_at", "ended_at", "target",
    ]
    static let operationColumns = ["id", "plan", "environment", "state", "ended_at", "target"]

    static func columns(of plan: Plan) -> [Value] {
        [
            Value(plan.id), .text(plan.state.rawValue), Value(plan.request.environment), .text(plan.requester.party),
            .text(plan.requester.principal), .text(plan.requestHash), Value(plan.state.isLive),
            Value(plan.request.changes), Value(plan.operationID?.description), Value(plan.expiresAt),
            Value(plan.endedAt), .text(plan.request.target.description),
        ]
    }

    static func columns(of operation: Operation) -> [Value] {
        [
            Value(operation.id), Value(operation.planID), Value(operation.environment),
            .text(operation.state.rawValue), Value(operation.endedAt), .text(operation.target.description),
        ]
    }

    private static func reached(by plan: Plan) -> Value {
        let names = plan.reachedTargets.map(\.description)
        return names.isEmpty ? .null : .text("\n" + names.joined(separator: "\n") + "\n")
    }

    /// Adds a row, or updates the one with the same first columns, which keeps its position.
    func upsert(_ table: String, _ columns: [String], key count: Int = 1, _ values: [Value]) {
        run(Self.upsert(table, columns, key: count), values)
    }

    private static func upsert(_ table: String, _ columns: [String], key count: Int) -> String {
        let marks = columns.map { _ in "?" }.joined(separator: ", ")
        let changes = columns.dropFirst(count).map { "\($0) = excluded.\($0)" }.joined(separator: ", ")
        return "INSERT INTO \(table) (\(columns.joined(separator: ", "))) VALUES (\(marks)) "
            + "ON CONFLICT (\(columns.prefix(count).joined(separator: ", "))) DO UPDATE SET \(changes)"
    }

    /// Fails if the columns of a row do not match its record. A state of an earlier version has no column of targets.
    func compare(_ plan: Plan, isCurrent: Bool) {
        compare("plans", Self.planColumns, Self.columns(of: plan), isCurrent)
    }

    func compare(_ operation: Operation, isCurrent: Bool) {
        compare("operations", Self.operationColumns, Self.columns(of: operation), isCurrent)
    }

    private func compare(_ table: String, _ columns: [String], _ values: [Value], _ isCurrent: Bool) {
        let columns = isCurrent ? columns : columns.filter { $0 != "target" }
        let values = Array(values.prefix(columns.count))
        var found: [Value] = []
        run("SELECT \(columns.joined(separator: ", ")) FROM \(table) WHERE id = ?", [values[0]]) { found = $0 }
        guard failure == nil, found != values else { return }
        let wrong = zip(columns, zip(found, values)).filter { $1.0 != $1.1 }.map(\.0)
        fail(table, values[0].text, "its \(wrong.joined(separator: ", ")) is not that of its document")
    }

    /// Notes as the failure that a row cannot be used.
    func fail(_ table: String, _ row: String?, _ what: String) {
        failure = .unreadable(table, row ?? "?", what, in: database.name)
    }
}

extension StoreError {
    /// A row that no version of this program writes.
    static func unreadable(_ table: String, _ row: String, _ what: String, in state: String) -> StoreError {
        StoreError(
            "state \(state): \(table) \(row) cannot be read: \(what); restore a backup, or run a version that can read it"
        )
    }
}

// MARK: - Reading

extension StoreRecords: StoreReader {
    func plan(_ id: RecordID) -> Plan? { plans(where: SQLCondition("id = ?", Value(id)), limit: 1).first }

    func plans(_ filter: PlanFilter) -> [Plan] { plans(where: SQLCondition(filter), limit: filter.limit) }

    func count(_ filter: PlanFilter) -> Int {
        var filter = filter
        filter.before = nil
        let condition = SQLCondition(filter)
        var count = 0
        run("SELECT count(*) FROM plans \(condition.sql)", condition.values) { count = Int($0[0].integer ?? 0) }
        return failure == nil ? count : 0
    }

    func operation(_ id: RecordID) -> Operation? {
        operations(where: SQLCondition("id = ?", Value(id)), limit: 1).first
    }

    func operations(_ filter: OperationFilter) -> [Operation] {
        operations(where: SQLCondition(filter), limit: filter.limit)
    }

    func summaries(_ filter: PlanFilter, bytes: Int) -> StoredPage<PlanSummary> {
        page("plans", SQLCondition(filter), limit: filter.limit, bytes: bytes) {
            id, summary, document throws(RowDecodingError) in
            let found =
                summary == .null
                ? PlanSummary(try Self.document(Plan.self, document)) : try Self.document(PlanSummary.self, summary)
            guard id == .text(found.plan.id.description) else { throw RowDecodingError(detail: "holds another plan") }
            return found
        }
    }

    func summaries(_ filter: OperationFilter, bytes: Int) -> StoredPage<Operation> {
        page("operations", SQLCondition(filter), limit: filter.limit, bytes: bytes) {
            id, summary, document throws(RowDecodingError) in
            let found = try Self.document(Operation.self, summary == .null ? document : summary)
            guard id == .text(found.id.description) else { throw RowDecodingError(detail: "holds another operation") }
            return found.outline
        }
    }

    func keyUse(of principal: String) -> KeyUse {
        var use = KeyUse(count: 0, bytes: 0)
        let sql = "SELECT count(*), coalesce(sum(length(body)), 0) FROM requests WHERE principal = ?"
        run(sql, [.text(principal)]) { row in
            use = KeyUse(count: Int(clamping: row[0].integer ?? 0), bytes: Int(clamping: row[1].integer ?? 0))
        }
        return use
    }

    func request(_ key: IdempotencyKey) -> IdempotentRequest? {
        let sql = """
            SELECT key, payload_hash, record, created_at, status, body, location, environment FROM requests
            WHERE principal = ? AND route = ? AND key = ?
            """
        let values: [Value] = [.text(key.principal), .text(key.route), .text(key.key)]
        return records("requests", sql, values) { row throws(RowDecodingError) in
            guard let payloadHash = row[1].text, let record = row[2].text.flatMap(RecordID.init(stored:)),
                let createdAt = Date(row[3]), let environment = row[7].text.flatMap(EnvironmentName.init)
            else { throw RowDecodingError.otherForm }
            let answer = try row[4].integer.map { number throws(RowDecodingError) in
                guard let status = Int(exactly: number), (200...599).contains(status), let body = row[5].blob else {
                    throw .otherForm
                }
                return StoredResponse(status: status, body: body, location: row[6].text)
            }
            return IdempotentRequest(
                key: key, payloadHash: payloadHash, record: record, environment: environment, createdAt: createdAt,
                answer: answer)
        }.first
    }

    func freezes() -> [Freeze] {
        let sql = """
            SELECT environment, id, party, reason, set_by, set_at, ends_at FROM freezes
            ORDER BY environment, set_at, party
            """
        return records("freezes", sql) { row throws(RowDecodingError) in
            let name = row[0].text ?? ""
            let environment = EnvironmentName(name)
            guard let id = row[1].text.flatMap({ RecordID($0, .freeze) }), environment != nil || name.isEmpty,
                let party = row[2].text, let reason = row[3].text, let by = row[4].text, let setAt = Date(row[5])
            else { throw RowDecodingError.otherForm }
            return Freeze(
                id: id, environment: environment, reason: reason, by: by, party: party, setAt: setAt,
                endsAt: try Date.orNull(row[6]))
        }
    }

    func signatureCount(of key: String) -> UInt32? {
        records("passkeys", "SELECT key, count FROM passkeys WHERE key = ?", [.text(key)]) {
            row throws(RowDecodingError) in
            guard let count = row[1].integer.flatMap({ UInt32(exactly: $0) }) else {
                throw RowDecodingError.otherForm
            }
            return count
        }.first
    }
}

// MARK: - Writing

extension StoreRecords: StoreTransaction {
    func put(_ plan: Plan) {
        let values =
            Self.columns(of: plan) + [
                Value(plan.stored), Value(PlanSecrets(of: plan).sealed(with: key, for: plan)),
                Value(PlanSummary(plan).stored), Self.reached(by: plan),
            ]
        upsert("plans", Self.planColumns + ["document", "sealed", "summary", "reached"], values)
    }

    func remove(_ filter: PlanFilter, keeping count: Int) {
        let condition = SQLCondition(filter)
        run(
            "DELETE FROM plans WHERE number IN (SELECT number FROM plans \(condition.sql) "
                + "ORDER BY number DESC LIMIT \(Int32.max) OFFSET ?)",
            condition.values + [.integer(Int64(max(0, count)))])
    }

    func put(_ operation: Operation) {
        let isLarge =
            operation.data != nil || !operation.logTail.isEmpty || !operation.keptLog.isEmpty
            || !operation.moved.isEmpty
        let values =
            Self.columns(of: operation) + [
                Value(operation.stored), isLarge ? Value(operation.outline.stored) : .null,
            ]
        upsert("operations", Self.operationColumns + ["document", "summary"], values)
        database.tell(.operation(operation.id))
    }

    func put(_ request: IdempotentRequest) {
        upsert(
            "requests",
            [
                "principal", "route", "key", "payload_hash", "record", "environment", "created_at", "status", "body",
                "location",
            ], key: 3,
            [
                .text(request.key.principal), .text(request.key.route), .text(request.key.key),
                .text(request.payloadHash), Value(request.record), .text(request.environment.description),
                Value(request.createdAt), Value(request.answer.map { Int64($0.status) }), Value(request.answer?.body),
                Value(request.answer?.location),
            ])
    }

    func put(_ freeze: Freeze) {
        upsert(
            "freezes", ["environment", "party", "id", "reason", "set_by", "set_at", "ends_at"], key: 2,
            [
                .text(freeze.environment?.description ?? ""), .text(freeze.party),
                .text(freeze.id?.description ?? ""), .text(freeze.reason), .text(freeze.by), Value(freeze.setAt),
                Value(freeze.endsAt),
            ])
        count(freeze)
        database.tell(.freezes)
    }

    func remove(_ freeze: Freeze) {
        run(
            "DELETE FROM freezes WHERE environment = ? AND party = ?",
            [.text(freeze.environment?.description ?? ""), .text(freeze.party)])
        database.tell(.freezes)
    }

    func put(_ count: SignatureCount) {
        upsert("passkeys", ["key", "count"], [.text(count.key), .integer(Int64(count.number))])
    }

    func prune(endedBefore date: Date, keeping count: Int, requestsBefore: Date) {
        let plans = PlanState.allCases.filter { $0.isEnded && $0 != .unknown }.map(\.rawValue)
        let operations = OperationState.allCases.filter { $0.isEnded && $0 != .unknown }.map(\.rawValue)
        for (table, states, key) in [("plans", plans, "operation"), ("operations", operations, "id")] {
            // Not what somebody still has to review.
            let ended =
                "state IN (\(states.map { "'\($0)'" }.joined(separator: ", "))) AND (\(key) IS NULL OR \(key) NOT IN "
                + "(SELECT operation FROM reviews WHERE closed_at IS NULL))"
            run("DELETE FROM \(table) WHERE \(ended) AND ended_at < ?", [Value(date)])
            let surplus = "SELECT number FROM \(table) WHERE \(ended) ORDER BY number DESC LIMIT \(Int32.max) OFFSET ?"
            run("DELETE FROM \(table) WHERE number IN (\(surplus))", [.integer(Int64(max(0, count)))])
        }
        run("DELETE FROM requests WHERE created_at < ?", [Value(requestsBefore)])
        run("DELETE FROM reviews WHERE closed_at < ?", [Value(date)])
    }
}
