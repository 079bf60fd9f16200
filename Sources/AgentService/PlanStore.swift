package import AgentAudit
package import AgentModel
package import FoundationEssentials

/// Why the store did nothing.
package struct StoreError: Error, Sendable, Hashable {
    package let detail: String

    package init(_ detail: String) { self.detail = detail }
}

/// Which plans to list, newest first. All conditions that are given hold at once.
package struct PlanFilter: Sendable {
    package var environments: Set<EnvironmentName>?
    package var state: PlanState?
    /// The ``Caller/party`` that asked for them.
    package var party: String?
    /// The principal that asked for them, whatever its label.
    package var principal: String?
    package var requestHash: String?
    /// Those that await approval or can be applied, or those that cannot.
    package var isLive: Bool?
    /// Plans of changes, or those of reads and dry runs.
    package var changes: Bool?
    /// Live ones that no operation has claimed and whose ``Plan/expiresAt`` is not after this.
    package var dueAt: Date?
    /// Only those older than this one; of a plan that is not there, all.
    package var before: RecordID?
    package var limit: Int

    package init(
        environments: Set<EnvironmentName>? = nil, state: PlanState? = nil, party: String? = nil,
        principal: String? = nil, requestHash: String? = nil, isLive: Bool? = nil, changes: Bool? = nil,
        dueAt: Date? = nil, before: RecordID? = nil, limit: Int = .max
    ) {
        self.environments = environments
        self.state = state
        self.party = party
        self.principal = principal
        self.requestHash = requestHash
        self.isLive = isLive
        self.changes = changes
        self.dueAt = dueAt
        self.before = before
        self.limit = limit
    }
}

/// Which operations to list, newest first. All conditions that are given hold at once.
package struct OperationFilter: Sendable {
    package var environments: Set<EnvironmentName>?
    package var state: OperationState?
    package var plan: RecordID?
    /// Queued or running ones, or those that have ended.
    package var isEnded: Bool?
    package var before: RecordID?
    package var limit: Int

    package init(
        environments: Set<EnvironmentName>? = nil, state: OperationState? = nil, plan: RecordID? = nil,
        isEnded: Bool? = nil, before: RecordID? = nil, limit: Int = .max
    ) {
        self.environments = environments
        self.state = state
        self.plan = plan
        self.isEnded = isEnded
        self.before = before
        self.limit = limit
    }
}

/// What a caller's `Idempotency-Key` stands for: one principal's key on one route.
package struct IdempotencyKey: Sendable, Hashable {
    package let principal: String
    /// `plan` or `apply`.
    package let route: String
    package let key: String

    package init(principal: String, route: String, key: String) {
        self.principal = principal
        self.route = route
        self.key = key
    }
}

/// An answer as it was given; holds no secret.
package struct StoredResponse: Sendable, Hashable {
    package let status: Int
    package let body: [UInt8]
    package let location: String?

    package init(status: Int, body: [UInt8], location: String?) {
        self.status = status
        self.body = body
        self.location = location
    }
}

/// What is known of a request that came with an `Idempotency-Key`.
package struct IdempotentRequest: Sendable, Hashable {
    package let key: IdempotencyKey
    /// ``PlanDigest/payloadHash(_:)`` of the body.
    package let payloadHash: String
    /// What it made: a plan, or the operation of an apply.
    package let record: RecordID
    /// Where that is; it outlives what was made.
    package let environment: EnvironmentName
    package let createdAt: Date
    /// `nil` until there is one, and for good where the process ended before there was.
    package var answer: StoredResponse?

    package init(
        key: IdempotencyKey, payloadHash: String, record: RecordID, environment: EnvironmentName, createdAt: Date,
        answer: StoredResponse? = nil
    ) {
        self.key = key
        self.payloadHash = payloadHash
        self.record = record
        self.environment = environment
        self.createdAt = createdAt
        self.answer = answer
    }
}

/// Where the audit log stood when something was stored last.
package struct AuditMark: Sendable, Hashable {
    /// The newest synced record.
    package var head: AuditHead
    /// Up to this record all that was audited is stored, or was recorded as void.
    package var settled: UInt64
    /// Whether this is a copy of a state, a backup: then it may be older than the log by any amount.
    package var isOfCopy: Bool

    package init(head: AuditHead, settled: UInt64, isOfCopy: Bool = false) {
        self.head = head
        self.settled = settled
        self.isOfCopy = isOfCopy
    }
}

/// Part of a list.
package struct StoredPage<Row: Sendable>: Sendable {
    package var rows: [Row] = []
    /// It ends before its limit, because it would be too large.
    package var isCut = false

    package init() {}

    /// Takes a row of `size` bytes while all of them together are at most `limit`; the first one in any case.
    package mutating func take(_ row: Row, size: Int, filling used: inout Int, of limit: Int) -> Bool {
        guard rows.isEmpty || used + size <= limit else {
            isCut = true
            return false
        }
        used += size
        rows.append(row)
        return true
    }
}

/// What a caller's keys take up.
package struct KeyUse: Sendable, Hashable {
    package var count: Int
    /// Those of the answers that are kept.
    package var bytes: Int

    package init(count: Int, bytes: Int) {
        self.count = count
        self.bytes = bytes
    }
}

/// What a body that only looks works with. Valid only inside that body.
package protocol StoreReader {
    func plan(_ id: RecordID) -> Plan?
    func plans(_ filter: PlanFilter) -> [Plan]
    /// How many there are; `before` and `limit` do not count.
    func count(_ filter: PlanFilter) -> Int
    func operation(_ id: RecordID) -> Operation?
    func operations(_ filter: OperationFilter) -> [Operation]
    func request(_ key: IdempotencyKey) -> IdempotentRequest?
    /// What ``plans(_:)`` finds, in outline and without reading the rest; at most so many bytes of it.
    func summaries(_ filter: PlanFilter, bytes: Int) -> StoredPage<PlanSummary>
    /// What ``operations(_:)`` finds, likewise.
    func summaries(_ filter: OperationFilter, bytes: Int) -> StoredPage<Operation>
    func keyUse(of principal: String) -> KeyUse
    /// All freezes, ended ones too, the global ones first, then by environment, the older before the newer.
    func freezes() -> [Freeze]
    /// `nil` until the first write with one.
    var mark: AuditMark? { get }
}

/// What a body of ``PlanStore/write(_:)`` works with. Valid only inside that body.
package protocol StoreTransaction: StoreReader {
    /// Adds the plan, or replaces the one with its id. An ended plan is stored without its secrets.
    func put(_ plan: Plan)
    /// Removes all plans that the filter finds but the newest `count` of them; its `limit` does not count.
    func remove(_ filter: PlanFilter, keeping count: Int)
    /// Adds the operation, or replaces the one with its id.
    func put(_ operation: Operation)
    /// Adds it, or replaces the one with its key.
    func put(_ request: IdempotentRequest)
    /// Adds the freeze, or puts it in the place of the one that it ``Freeze/replaces(_:)``.
    func put(_ freeze: Freeze)
    /// Removes the freeze of the same party and scope.
    func remove(_ freeze: Freeze)
    func put(_ mark: AuditMark)
    /// Forgets plans and operations that ended before `date`, and of what is left all but the newest `count` ended
    /// ones of each; unknown outcomes and what is under way stay. Forgets kept requests made before `requestsBefore`.
    func prune(endedBefore date: Date, keeping count: Int, requestsBefore: Date)
}

/// The port to where plans, operations and what belongs to them are kept.
///
/// Writing bodies run one after the other, each sees all that earlier ones wrote, and each is kept whole or not at
/// all; when `write` has returned, what the body wrote outlives the process if the store is a durable one. A reading
/// body sees what was written before it began, and keeps nobody from writing. A body does no I/O of its own. What it
/// finds may be wrong when the store fails beneath it: then nothing of it is kept, and the call throws.
package protocol PlanStore: Sendable {
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(StoreError) -> Value

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value
}
