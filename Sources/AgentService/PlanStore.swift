package import AgentAudit
package import AgentModel
package import FoundationEssentials
package import TransparencyLog

/// Why an access to the store failed.
package struct StoreError: Error, Sendable, Hashable {
    package let detail: String
    /// Whether what was to be stored may be stored all the same: the database went away, and the store closed before
    /// it could look.
    package let mayBeStored: Bool
    /// Whether it may work a little later with nothing changed: a server that starts, or an old connection that ends.
    package let isTemporary: Bool

    package init(_ detail: String, mayBeStored: Bool = false, isTemporary: Bool = false) {
        self.detail = detail
        self.mayBeStored = mayBeStored
        self.isTemporary = isTemporary
    }
}

/// Which plans to list, newest first. A plan must meet all conditions that are given.
package struct PlanFilter: Sendable {
    package var environments: Set<EnvironmentName>?
    package var state: PlanState?
    /// The ``Caller/party`` that requested them.
    package var party: String?
    /// The principal that requested them, whatever its label.
    package var principal: String?
    package var requestHash: String?
    /// True for plans that await approval or can be applied, false for the rest.
    package var isLive: Bool?
    /// True for plans of changes, false for those of reads and dry runs.
    package var changes: Bool?
    /// What the plan is about, or reaches otherwise.
    package var target: Target?
    /// Only live plans that no operation has claimed and whose ``Plan/expiresAt`` is not after this date.
    package var dueAt: Date?
    /// Only plans older than this one; all if that plan does not exist.
    package var before: RecordID?
    package var limit: Int

    package init(
        environments: Set<EnvironmentName>? = nil, state: PlanState? = nil, party: String? = nil,
        principal: String? = nil, requestHash: String? = nil, isLive: Bool? = nil, changes: Bool? = nil,
        target: Target? = nil, dueAt: Date? = nil, before: RecordID? = nil, limit: Int = .max
    ) {
        self.environments = environments
        self.state = state
        self.party = party
        self.principal = principal
        self.requestHash = requestHash
        self.isLive = isLive
        self.changes = changes
        self.target = target
        self.dueAt = dueAt
        self.before = before
        self.limit = limit
    }
}

/// Which operations to list, newest first. An operation must meet all conditions that are given.
package struct OperationFilter: Sendable {
    package var environments: Set<EnvironmentName>?
    package var state: OperationState?
    package var plan: RecordID?
    /// What the operation is about, or what its plan reaches otherwise, as long as that is stored.
    package var target: Target?
    /// False for queued or running ones, true for those that have ended.
    package var isEnded: Bool?
    package var before: RecordID?
    package var limit: Int

    package init(
        environments: Set<EnvironmentName>? = nil, state: OperationState? = nil, plan: RecordID? = nil,
        target: Target? = nil, isEnded: Bool? = nil, before: RecordID? = nil, limit: Int = .max
    ) {
        self.environments = environments
        self.state = state
        self.plan = plan
        self.target = target
        self.isEnded = isEnded
        self.before = before
        self.limit = limit
    }
}

/// A caller's `Idempotency-Key`: one principal's key on one route.
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

/// A response as it was sent; holds no secret.
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

/// A stored request with an `Idempotency-Key`.
package struct IdempotentRequest: Sendable, Hashable {
    package let key: IdempotencyKey
    /// ``PlanDigest/payloadHash(_:)`` of the body.
    package let payloadHash: String
    /// What it created: a plan, or the operation of an apply.
    package let record: RecordID
    /// Where that is. Still known when the record is gone.
    package let environment: EnvironmentName
    package let createdAt: Date
    /// `nil` until there is one, and for good if the process ended before.
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

/// Where the audit log ended when something was last stored.
package struct AuditMark: Sendable, Hashable {
    /// The newest synced record.
    package var head: AuditHead
    /// Up to this record, every transition is stored or recorded as void.
    package var settled: UInt64
    /// Whether this is a copy of a state, such as a backup: it may then be older than the log by any amount.
    package var isOfCopy: Bool
    /// The tree of the records up to the head, if it continues every checkpoint that was signed; else `nil`.
    package var tree: CompactRange?

    package init(head: AuditHead, settled: UInt64, isOfCopy: Bool = false, tree: CompactRange? = nil) {
        self.head = head
        self.settled = settled
        self.isOfCopy = isOfCopy
        self.tree = tree
    }
}

/// The newest checkpoint that was signed for a log.
package struct SignedCheckpoint: Sendable, Hashable {
    package let origin: String
    package let head: TreeHead
    /// What the tree consisted of; `nil` if only its root is known.
    package let tree: CompactRange?
    package let signedAt: Date
    /// With the signatures of the witnesses that have signed it too.
    package var note: SignedNote

    package init(origin: String, head: TreeHead, tree: CompactRange?, signedAt: Date, note: SignedNote) {
        self.origin = origin
        self.head = head
        self.tree = tree
        self.signedAt = signedAt
        self.note = note
    }
}

/// Part of a list.
package struct StoredPage<Row: Sendable>: Sendable {
    package var rows: [Row] = []
    /// Whether it ends before its limit because it would be too large.
    package var isCut = false

    package init() {}

    /// Adds a row of `size` bytes if the page stays within `limit` bytes; always adds the first row.
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

/// How many plans and operations there are.
package struct StoreTally: Sendable, Hashable {
    /// By state; states without a plan are missing.
    package var plans: [PlanState: Int] = [:]
    package var operations: [OperationState: Int] = [:]
    /// When the oldest plan that awaits approval was made.
    package var oldestAwaiting: Date?
    /// How many reviews of emergencies are open, and when the oldest was opened.
    package var openReviews = 0
    package var oldestReview: Date?
    /// By destination; those without a notice that waits or was given up are missing.
    package var notices: [String: NoticeTally] = [:]

    package init() {}
}

/// The storage that a caller's keys use.
package struct KeyUse: Sendable, Hashable {
    package var count: Int
    /// The bytes of the stored answers.
    package var bytes: Int

    package init(count: Int, bytes: Int) {
        self.count = count
        self.bytes = bytes
    }
}

/// Which reviews to find.
package struct ReviewFilter: Sendable, Hashable {
    /// Open ones, or closed ones; `nil` for both.
    package var isOpen: Bool?
    /// `nil` for all.
    package var environments: Set<EnvironmentName>?
    /// Only those older than that of this operation.
    package var before: RecordID?
    package var limit: Int

    package init(
        isOpen: Bool? = nil, environments: Set<EnvironmentName>? = nil, before: RecordID? = nil, limit: Int = .max
    ) {
        self.isOpen = isOpen
        self.environments = environments
        self.before = before
        self.limit = limit
    }
}

/// An audit record with its place in the history that the agents on a state share.
package struct HistoryRecord: Sendable {
    /// Counts the records of all agents, without gaps. For a lone agent, that of the record.
    package let number: UInt64
    package let record: AuditRecord
    /// Whether a later record voids it.
    package let isVoid: Bool

    package init(number: UInt64, record: AuditRecord, isVoid: Bool = false) {
        self.number = number
        self.record = record
        self.isVoid = isVoid
    }
}

/// The same as the state has it: the line of a log, which may be one that only a newer version can read.
package struct HistoryLine: Sendable {
    package let number: UInt64
    package let line: [UInt8]
    package let isVoid: Bool

    package init(number: UInt64, line: [UInt8], isVoid: Bool) {
        self.number = number
        self.line = line
        self.isVoid = isVoid
    }
}

/// What a reading body works with. Valid only inside that body.
package protocol StoreReader: SignInReader {
    func plan(_ id: RecordID) -> Plan?
    func plans(_ filter: PlanFilter) -> [Plan]
    /// How many plans match; ignores `before` and `limit`.
    func count(_ filter: PlanFilter) -> Int
    func operation(_ id: RecordID) -> Operation?
    func operations(_ filter: OperationFilter) -> [Operation]
    func request(_ key: IdempotencyKey) -> IdempotentRequest?
    /// What ``plans(_:)`` returns, in outline and without reading the rest; at most `bytes` bytes of it.
    func summaries(_ filter: PlanFilter, bytes: Int) -> StoredPage<PlanSummary>
    /// What ``operations(_:)`` returns, likewise.
    func summaries(_ filter: OperationFilter, bytes: Int) -> StoredPage<Operation>
    func keyUse(of principal: String) -> KeyUse
    /// Counts all plans and operations, without reading them.
    func tally() -> StoreTally
    /// The review of what the operation passed in an emergency.
    func review(of operation: RecordID) -> Review?
    /// Newest first.
    func reviews(_ filter: ReviewFilter) -> [Review]
    /// All freezes, ended ones too: global ones first, then by environment, older before newer.
    func freezes() -> [Freeze]
    /// The newest count of signatures by the passkey with this fingerprint; `nil` if there is none.
    func signatureCount(of key: String) -> UInt32?
    /// The uses of the counter that were taken at `date` or later, to the millisecond; all for `nil`. Oldest first.
    func limitUses(of counter: LimitCounter, since date: Date?) -> [LimitUse]
    /// The uses of all counters of a limit, by its rule and its place there. Oldest first.
    func limitUses(of rule: String, _ index: Int) -> [LimitUse]
    /// `nil` until the first write that has one.
    var mark: AuditMark? { get }
    /// Those of the other agents on the state, by their names.
    var otherMarks: [String: AuditMark] { get }
    /// How many freezes of each environment have been stored, by the rows of its leases; empty for a lone agent.
    var freezeCounts: [EnvironmentName: Int64] { get }
    func notice(_ id: RecordID) -> QueuedNotice?
    func notices(_ filter: NoticeFilter) -> [QueuedNotice]
    /// How many notices match; ignores `before` and `limit`.
    func countNotices(_ filter: NoticeFilter) -> Int
    /// The notice that its destination gets next, though not before its time: the oldest that met an outage; else the
    /// oldest that is due; else the one that is due first.
    func nextNotice(for target: String, at now: Date) -> QueuedNotice?
    /// The record up to which notices were made from the audit log.
    var noticePosition: UInt64? { get }
    /// `nil` until the first for this log.
    func checkpoint(of origin: String) -> SignedCheckpoint?
    /// The records behind that number of the history, oldest first: at most `limit`, and no more once their lines have
    /// `bytes` bytes in total.
    func history(after number: UInt64, limit: Int, bytes: Int) -> [HistoryLine]
    /// The numbers of the records that the history has now; `nil` if it has none.
    var historyNumbers: ClosedRange<UInt64>? { get }
    /// The record up to which this agent's log is in the history.
    var historyPosition: UInt64 { get }
}

/// What a body of ``PlanStore/write(_:)`` works with. Valid only inside that body.
package protocol StoreTransaction: StoreReader, SignInTransaction {
    /// Whether the lease is still held. If so, nobody acquires the environment before the body's writes are stored.
    /// Always true where one agent has the state alone.
    func holds(_ lease: Lease) -> Bool
    /// Adds the plan, or replaces the one with its id. An ended plan is stored without its secrets.
    func put(_ plan: Plan)
    /// Removes all plans that match except the newest `count`; ignores the filter's `limit`.
    func remove(_ filter: PlanFilter, keeping count: Int)
    /// Adds the operation, or replaces the one with its id.
    func put(_ operation: Operation)
    /// Adds it, or replaces the one with its key.
    func put(_ request: IdempotentRequest)
    /// Adds the review, or replaces the one of its operation.
    func put(_ review: Review)
    /// Adds the freeze, or replaces the one that it ``Freeze/replaces(_:)``, and counts it in ``freezeCounts``.
    func put(_ freeze: Freeze)
    /// Removes the freeze of the same party and scope.
    func remove(_ freeze: Freeze)
    func put(_ mark: AuditMark)
    /// Adds the notice unless its destination has one of the same key. Returns whether it was added.
    func add(_ notice: QueuedNotice) -> Bool
    /// Replaces the notice with its id, which keeps its place.
    func put(_ notice: QueuedNotice)
    /// Removes the other notices of its destination and environment that wait untried and whose keys are the same from
    /// their first colon on.
    func removeUntold(like notice: QueuedNotice)
    func putNoticePosition(_ seq: UInt64?)
    /// Gives up all that wait for other destinations than these.
    func giveUpNotices(except targets: Set<String>, _ why: String, at now: Date)
    /// Removes those that ended long ago, and all but the newest of each destination.
    func pruneNotices(_ limits: NoticeLimits, at now: Date)
    /// Adds the count, or replaces the one of its key.
    func put(_ count: SignatureCount)
    /// Adds the use, or replaces the one of the same operation and counter.
    func put(_ use: LimitUse)
    /// Removes all that the operation took, for one that does not begin.
    func removeLimitUses(of operation: RecordID)
    /// Removes what the operation holds (``LimitUse/isHeld``), for one that has ended. What it took for a time stays.
    func releaseHeld(of operation: RecordID)
    /// Removes uses from before `date`, except held ones.
    func pruneLimitUses(before date: Date)
    /// Replaces the log's checkpoint.
    func put(_ checkpoint: SignedCheckpoint)
    /// Adds records of this agent's log to the history, in this order, but those that it has; and notes that it has the
    /// log up to record `seq`. In an empty history the first one keeps its number.
    func putHistory(_ records: [(record: AuditRecord, isVoid: Bool)], through seq: UInt64, at now: Date)
    /// Removes the history before the first record that is not older than `date`, at most so many; never the newest.
    func pruneHistory(before date: Date, atMost count: Int)
    /// Removes plans and operations that ended before `date`, and all but the newest `count` of the ended rest of each.
    /// Keeps unknown outcomes, what is under way, and what an open review is about. Removes reviews that were closed before `date`,
    /// and idempotent requests from before `requestsBefore`.
    func prune(endedBefore date: Date, keeping count: Int, requestsBefore: Date)
}

/// The port to the storage of plans, operations and their records.
///
/// Writing bodies run one after the other. Each sees all earlier writes, and is stored whole or not at all. When
/// `write` has returned, its writes outlive the process if the store is durable. A reading body sees what was written
/// before it began, and blocks no writer. A body does no I/O of its own, and may run again: what its last run returned counts. If the store fails during a body, its results
/// may be wrong: nothing of it is stored, and the call throws.
package protocol PlanStore: Sendable {
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(StoreError) -> Value

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value
}
