import AgentAudit
import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite
import StrictJSON

/// What bodies work with: the tables, through one connection and on its thread.
///
/// Bodies do not throw. The first failure is kept in ``failure``; from then on nothing is done and nothing found.
final class StoreRecords {
    private let database: Database
    private let key: InstallationKey
    private let path: String
    /// Whoever runs bodies clears it before each.
    var failure: StoreError?

    init(_ database: Database, _ key: InstallationKey, _ place: StatePlace) {
        self.database = database
        self.key = key
        path = place.database
    }

    var isInTransaction: Bool { database.isInTransaction }

    /// Runs one statement, unless something failed before.
    func run(_ sql: String, _ values: [Value] = [], _ take: ([Value]) -> Void = { _ in }) {
        guard failure == nil else { return }
        do throws(SQLiteError) { try database.run(sql, values, take) } catch { failure = StoreError(error, in: path) }
    }

    /// What `read` makes of each row, or nothing once something failed. The first column names the row.
    private func records<T>(
        _ table: String, _ sql: String, _ values: [Value] = [], _ read: ([Value]) throws(RowFlaw) -> T
    ) -> [T] {
        var found: [T] = []
        run(sql, values) { row in
            guard failure == nil else { return }
            do throws(RowFlaw) { found.append(try read(row)) } catch {
                let id = row.first?.text ?? "a row"
                failure = StoreError(
                    "state \(path): \(table) \(id) cannot be read: \(error.detail); restore a backup, or a version "
                        + "that can read it")
            }
        }
        return failure == nil ? found : []
    }

    private func plans(where condition: Condition, limit: Int) -> [Plan] {
        records("plans", "SELECT id, document, sealed FROM plans \(condition.newestFirst)", condition.limited(limit)) {
            row throws(RowFlaw) in
            let plan = try Self.document(Plan.self, row[1])
            guard row[0] == .text(plan.id.description) else { throw RowFlaw(detail: "holds another plan") }
            return try PlanSecrets.open(row[2].blob, with: key, in: plan)
        }
    }

    private func operations(where condition: Condition, limit: Int) -> [Operation] {
        records(
            "operations", "SELECT id, document FROM operations \(condition.newestFirst)", condition.limited(limit)
        ) { row throws(RowFlaw) in
            let operation = try Self.document(Operation.self, row[1])
            guard row[0] == .text(operation.id.description) else { throw RowFlaw(detail: "holds another operation") }
            return operation
        }
    }

    private static func document<T: Stored>(_ type: T.Type, _ value: Value) throws(RowFlaw) -> T {
        guard let text = value.text else { throw RowFlaw(detail: "its document is no text") }
        let json: JSON
        // What PVE answered may itself be as deep as the parser goes.
        do throws(JSONError) { json = try JSON.parse(text.utf8, maximumDepth: 2 * JSON.maximumDepth) } catch {
            throw RowFlaw(detail: "its document is broken at byte \(error.offset ?? 0)")
        }
        return try StoredFields.read(type, json)
    }
}

// MARK: - Reading

extension StoreRecords: StoreReader {
    func plan(_ id: RecordID) -> Plan? { plans(where: Condition("id = ?", Value(id)), limit: 1).first }

    func plans(_ filter: PlanFilter) -> [Plan] { plans(where: Condition(filter), limit: filter.limit) }

    func count(_ filter: PlanFilter) -> Int {
        var filter = filter
        filter.before = nil
        let condition = Condition(filter)
        var count = 0
        run("SELECT count(*) FROM plans \(condition.sql)", condition.values) { count = Int($0[0].integer ?? 0) }
        return failure == nil ? count : 0
    }

    func operation(_ id: RecordID) -> Operation? {
        operations(where: Condition("id = ?", Value(id)), limit: 1).first
    }

    func operations(_ filter: OperationFilter) -> [Operation] {
        operations(where: Condition(filter), limit: filter.limit)
    }

    func request(_ key: IdempotencyKey) -> KeptRequest? {
        let sql = """
            SELECT key, payload_hash, record, created_at, status, body, location FROM requests
            WHERE principal = ? AND route = ? AND key = ?
            """
        let values: [Value] = [.text(key.principal), .text(key.route), .text(key.key)]
        return records("requests", sql, values) { row throws(RowFlaw) in
            guard let payloadHash = row[1].text, let record = row[2].text.flatMap(RecordID.init(stored:)),
                let createdAt = Date(row[3])
            else { throw RowFlaw(detail: "has values of another form") }
            let answer = row[4].integer.map {
                KeptAnswer(status: Int($0), body: row[5].blob ?? [], location: row[6].text)
            }
            return KeptRequest(
                key: key, payloadHash: payloadHash, record: record, createdAt: createdAt, answer: answer)
        }.first
    }

    func freezes() -> [Freeze] {
        let sql = "SELECT environment, reason, set_by, set_at, ends_at FROM freezes ORDER BY environment"
        return records("freezes", sql) { row throws(RowFlaw) in
            let name = row[0].text ?? ""
            let environment = EnvironmentName(name)
            guard environment != nil || name.isEmpty, let reason = row[1].text, let by = row[2].text,
                let setAt = Date(row[3])
            else { throw RowFlaw(detail: "has values of another form") }
            return Freeze(environment: environment, reason: reason, by: by, setAt: setAt, endsAt: Date(row[4]))
        }
    }

    var mark: AuditMark? {
        records("audit_mark", "SELECT hash, seq, settled FROM audit_mark") { row throws(RowFlaw) in
            guard let hash = row[0].text, let seq = row[1].integer, let settled = row[2].integer else {
                throw RowFlaw(detail: "has values of another form")
            }
            return AuditMark(
                head: AuditHead(seq: UInt64(bitPattern: seq), hash: hash), settled: UInt64(bitPattern: settled))
        }.first
    }
}

// MARK: - Writing

extension StoreRecords: StoreTransaction {
    func put(_ plan: Plan) {
        let sql = """
            INSERT INTO plans (id, state, environment, party, principal, request_hash, live, changes, operation,
                expires_at, ended_at, document, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET state = excluded.state, environment = excluded.environment,
                party = excluded.party, principal = excluded.principal, request_hash = excluded.request_hash,
                live = excluded.live, changes = excluded.changes, operation = excluded.operation,
                expires_at = excluded.expires_at, ended_at = excluded.ended_at, document = excluded.document,
                sealed = excluded.sealed
            """
        run(
            sql,
            [
                Value(plan.id), .text(plan.state.rawValue), Value(plan.request.environment),
                .text(plan.requester.party), .text(plan.requester.principal), .text(plan.requestHash),
                Value(plan.state.isLive), Value(plan.request.changes), Value(plan.operationID?.description),
                Value(plan.expiresAt), Value(plan.endedAt), Value(plan.stored),
                Value(PlanSecrets(of: plan).sealed(with: key, for: plan)),
            ])
    }

    func remove(plan id: RecordID) { run("DELETE FROM plans WHERE id = ?", [Value(id)]) }

    func put(_ operation: Operation) {
        let sql = """
            INSERT INTO operations (id, plan, environment, state, ended_at, document) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET plan = excluded.plan, environment = excluded.environment,
                state = excluded.state, ended_at = excluded.ended_at, document = excluded.document
            """
        run(
            sql,
            [
                Value(operation.id), Value(operation.planID), Value(operation.environment),
                .text(operation.state.rawValue), Value(operation.endedAt), Value(operation.stored),
            ])
    }

    func put(_ request: KeptRequest) {
        run(
            "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                .text(request.key.principal), .text(request.key.route), .text(request.key.key),
                .text(request.payloadHash), Value(request.record), Value(request.createdAt),
                Value(request.answer.map { Int64($0.status) }), Value(request.answer?.body),
                Value(request.answer?.location),
            ])
    }

    func put(_ freeze: Freeze) {
        run(
            "INSERT OR REPLACE INTO freezes VALUES (?, ?, ?, ?, ?)",
            [
                .text(freeze.environment?.description ?? ""), .text(freeze.reason), .text(freeze.by),
                Value(freeze.setAt), Value(freeze.endsAt),
            ])
    }

    func removeFreeze(of environment: EnvironmentName?) {
        run("DELETE FROM freezes WHERE environment = ?", [.text(environment?.description ?? "")])
    }

    func put(_ mark: AuditMark) {
        run(
            "INSERT OR REPLACE INTO audit_mark VALUES (1, ?, ?, ?)",
            [
                .integer(Int64(bitPattern: mark.head.seq)), .text(mark.head.hash),
                .integer(Int64(bitPattern: mark.settled)),
            ])
    }

    func prune(endedBefore date: Date, keeping count: Int, requestsBefore: Date) {
        let plans = PlanState.allCases.filter { $0.isEnded && $0 != .unknown }.map(\.rawValue)
        let operations = OperationState.allCases.filter { $0.isEnded && $0 != .unknown }.map(\.rawValue)
        for (table, states) in [("plans", plans), ("operations", operations)] {
            let ended = "state IN (\(states.map { "'\($0)'" }.joined(separator: ", ")))"
            run("DELETE FROM \(table) WHERE \(ended) AND ended_at < ?", [Value(date)])
            let surplus = "SELECT number FROM \(table) WHERE \(ended) ORDER BY number DESC LIMIT -1 OFFSET ?"
            run("DELETE FROM \(table) WHERE number IN (\(surplus))", [.integer(Int64(max(0, count)))])
        }
        run("DELETE FROM requests WHERE created_at < ?", [Value(requestsBefore)])
    }
}
