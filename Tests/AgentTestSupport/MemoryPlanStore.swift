import AgentAudit
import AgentModel
package import AgentService
import FoundationEssentials
import StrictJSON
import Synchronization

/// A store in memory, gone when the process ends. For tests, and for running without persistence.
package final class MemoryPlanStore: PlanStore {
    private let records = Mutex(Records())

    package init() {}

    /// Makes these the marks of the other agents on the state.
    package func know(_ marks: [String: AuditMark]) { records.withLock { $0.otherMarks = marks } }

    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(StoreError) -> Value {
        records.withLock { body($0) }
    }

    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value {
        records.withLock { body($0) }
    }

    /// The tables, in order of arrival. Used only under the lock.
    private final class Records: StoreTransaction {
        private var plans = Table<Plan>()
        private var operations = Table<Operation>()
        private var requests: [IdempotencyKey: IdempotentRequest] = [:]
        private var frozen: [Freeze] = []
        private var counts: [String: UInt32] = [:]
        private(set) var mark: AuditMark?
        var otherMarks: [String: AuditMark] = [:]
        let freezeCounts: [EnvironmentName: Int64] = [:]
        func holds(_ lease: Lease) -> Bool { true }
        private var checkpoints: [String: SignedCheckpoint] = [:]

        func plan(_ id: RecordID) -> Plan? { plans.rows[id] }
        func put(_ plan: Plan) { plans.put(plan, plan.id) }
        func remove(_ filter: PlanFilter, keeping count: Int) {
            var filter = filter
            filter.limit = .max
            for plan in plans(filter).dropFirst(count) { plans.remove(plan.id) }
        }

        func operation(_ id: RecordID) -> Operation? { operations.rows[id] }
        func put(_ operation: Operation) { operations.put(operation, operation.id) }
        func request(_ key: IdempotencyKey) -> IdempotentRequest? { requests[key] }
        func put(_ request: IdempotentRequest) { requests[request.key] = request }
        func put(_ freeze: Freeze) {
            remove(freeze)
            frozen.append(freeze)
        }
        func remove(_ freeze: Freeze) { frozen.removeAll { freeze.replaces($0) } }
        func put(_ mark: AuditMark) { self.mark = mark }
        func signatureCount(of key: String) -> UInt32? { counts[key] }
        func put(_ count: SignatureCount) { counts[count.key] = count.number }
        func checkpoint(of origin: String) -> SignedCheckpoint? { checkpoints[origin] }
        func put(_ checkpoint: SignedCheckpoint) { checkpoints[checkpoint.origin] = checkpoint }

        private var past: [HistoryLine] = []
        private var times: [UInt64: Date] = [:]
        private(set) var historyPosition: UInt64 = 0
        func history(after number: UInt64, limit: Int, bytes: Int) -> [HistoryLine] {
            var used = 0
            return past.filter { $0.number > number }.prefix(max(0, limit)).prefix { line in
                defer { used += line.line.count + 1 }
                return used < bytes
            }
        }
        var historyNumbers: ClosedRange<UInt64>? {
            past.first.flatMap { first in past.last.map { first.number...$0.number } }
        }
        func putHistory(_ records: [(record: AuditRecord, isVoid: Bool)], through seq: UInt64, at now: Date) {
            for (record, isVoid) in records where !past.contains(where: { $0.line == record.line }) {
                let number = past.last.map { $0.number + 1 } ?? record.seq
                past.append(HistoryLine(number: number, line: record.line, isVoid: isVoid))
                times[number] = min(record.time.date, now)
            }
            historyPosition = seq
        }
        func pruneHistory(before date: Date, atMost count: Int) {
            let old = past.dropLast().prefix(count).prefix { (times[$0.number] ?? date) < date }
            past.removeFirst(old.count)
        }

        private let signIns = SignInMemory()
        func signIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) -> SignInRecord? { signIns.signIn(kind, key) }
        func signIns(_ kind: SignInRecord.Kind, of owner: String?) -> [SignInRecord] {
            signIns.signIns(kind, of: owner)
        }
        func countSignIns(_ kind: SignInRecord.Kind, endingAfter date: Date) -> Int {
            signIns.countSignIns(kind, endingAfter: date)
        }
        var firstSignInEnd: Date? { signIns.firstSignInEnd }
        func put(_ record: SignInRecord) { signIns.put(record) }
        func removeSignIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) { signIns.removeSignIn(kind, key) }
        func pruneSignIns(endedBy date: Date) { signIns.pruneSignIns(endedBy: date) }

        private var reviewed: [Review] = []
        func review(of operation: RecordID) -> Review? { reviewed.first { $0.operationID == operation } }
        func reviews(_ filter: ReviewFilter) -> [Review] {
            let place = filter.before.map { id in reviewed.firstIndex { $0.operationID == id } ?? 0 }
            let found = reviewed[..<(place ?? reviewed.endIndex)].reversed().filter { review in
                (filter.isOpen.map { $0 == (review.verdict == nil) } ?? true)
                    && (filter.environments?.contains(review.environment) ?? true)
            }
            return Array(found.prefix(filter.limit))
        }
        func put(_ review: Review) {
            if let index = reviewed.firstIndex(where: { $0.operationID == review.operationID }) {
                reviewed[index] = review
            } else {
                reviewed.append(review)
            }
        }

        private var queue = MemoryNotices()
        func notice(_ id: RecordID) -> QueuedNotice? { queue.notice(id) }
        func notices(_ filter: NoticeFilter) -> [QueuedNotice] { queue.notices(filter) }
        func countNotices(_ filter: NoticeFilter) -> Int { queue.count(filter) }
        func nextNotice(for target: String, at now: Date) -> QueuedNotice? { queue.next(for: target, at: now) }
        var noticePosition: UInt64? { queue.position }
        func add(_ notice: QueuedNotice) -> Bool { queue.add(notice) }
        func put(_ notice: QueuedNotice) { queue.put(notice) }
        func removeUntold(like notice: QueuedNotice) { queue.removeUntold(like: notice) }
        func putNoticePosition(_ seq: UInt64?) { queue.position = seq }
        func giveUpNotices(except targets: Set<String>, _ why: String, at now: Date) {
            queue.giveUp(except: targets, why, at: now)
        }
        func pruneNotices(_ limits: NoticeLimits, at now: Date) { queue.prune(limits, at: now) }

        private var uses = MemoryLimitUses()
        func limitUses(of counter: LimitCounter, since date: Date?) -> [LimitUse] {
            uses.found(of: counter, since: date)
        }
        func limitUses(of rule: String, _ index: Int) -> [LimitUse] { uses.found(of: rule, index) }
        func put(_ use: LimitUse) { uses.put(use) }
        func removeLimitUses(of operation: RecordID) { uses.remove(of: operation) }
        func releaseHeld(of operation: RecordID) { uses.releaseHeld(of: operation) }
        func pruneLimitUses(before date: Date) { uses.prune(before: date) }

        func freezes() -> [Freeze] {
            func key(_ freeze: Freeze) -> (String, Date, String) {
                (freeze.environment?.description ?? "", freeze.setAt, freeze.party)
            }
            return frozen.sorted { key($0) < key($1) }
        }

        func plans(_ filter: PlanFilter) -> [Plan] {
            plans.newest(before: filter.before, limit: filter.limit) { filter.takes($0) }
        }

        func count(_ filter: PlanFilter) -> Int { plans.rows.values.count { filter.takes($0) } }

        func operations(_ filter: OperationFilter) -> [Operation] {
            operations.newest(before: filter.before, limit: filter.limit) { operation in
                filter.takes(operation, of: plans.rows[operation.planID])
            }
        }

        func summaries(_ filter: PlanFilter, bytes: Int) -> StoredPage<PlanSummary> {
            var (page, used) = (StoredPage<PlanSummary>(), 0)
            for plan in plans(filter) {
                let summary = PlanSummary(plan)
                let size = summary.plan.size + 1024
                if !page.take(summary, size: size, filling: &used, of: bytes) { break }
            }
            return page
        }

        func summaries(_ filter: OperationFilter, bytes: Int) -> StoredPage<Operation> {
            var (page, used) = (StoredPage<Operation>(), 0)
            for operation in operations(filter) {
                let size = operation.message.utf8.count + 1024
                if !page.take(operation.outline, size: size, filling: &used, of: bytes) { break }
            }
            return page
        }

        func keyUse(of principal: String) -> KeyUse {
            requests.values.filter { $0.key.principal == principal }.reduce(KeyUse(count: 0, bytes: 0)) { use, kept in
                KeyUse(count: use.count + 1, bytes: use.bytes + (kept.answer?.body.count ?? 0))
            }
        }

        func tally() -> StoreTally {
            var tally = StoreTally()
            let all = plans(PlanFilter())
            tally.plans = Dictionary(grouping: all, by: \.state).mapValues(\.count)
            tally.operations = Dictionary(grouping: operations(OperationFilter()), by: \.state).mapValues(\.count)
            tally.oldestAwaiting = all.last { $0.state == .awaitingApproval }?.createdAt
            let open = reviews(ReviewFilter(isOpen: true))
            tally.openReviews = open.count
            tally.oldestReview = open.map(\.glass.at).min()
            tally.notices = queue.tally
            return tally
        }

        func prune(endedBefore date: Date, keeping count: Int, requestsBefore: Date) {
            let open = Set(reviews(ReviewFilter(isOpen: true)).map(\.operationID))
            let plans = plans(PlanFilter()).filter { plan in
                plan.state.isEnded && plan.state != .unknown && !(plan.operationID.map(open.contains) ?? false)
            }
            for id in Self.forgotten(plans.map { ($0.id, $0.endedAt) }, endedBefore: date, keeping: count) {
                self.plans.remove(id)
            }
            let operations = operations(OperationFilter(isEnded: true)).filter {
                $0.state != .unknown && !open.contains($0.id)
            }
            for id in Self.forgotten(operations.map { ($0.id, $0.endedAt) }, endedBefore: date, keeping: count) {
                self.operations.remove(id)
            }
            requests = requests.filter { $0.value.createdAt >= requestsBefore }
            reviewed.removeAll { review in review.verdict.map { $0.at < date } ?? false }
        }

        /// Those of `ended` (newest first) that are too old, and all others beyond the first `count`.
        private static func forgotten(
            _ ended: [(id: RecordID, at: Date?)], endedBefore date: Date, keeping count: Int
        ) -> [RecordID] {
            let old = ended.filter { ($0.at ?? date) < date }
            return (old + ended.filter { ($0.at ?? date) >= date }.dropFirst(count)).map(\.id)
        }
    }

    private struct Table<Row> {
        private(set) var rows: [RecordID: Row] = [:]
        private var order: [RecordID] = []

        mutating func put(_ row: Row, _ id: RecordID) {
            if rows.updateValue(row, forKey: id) == nil { order.append(id) }
        }

        mutating func remove(_ id: RecordID) {
            guard rows.removeValue(forKey: id) != nil, let index = order.firstIndex(of: id) else { return }
            order.remove(at: index)
        }

        func newest(before: RecordID?, limit: Int, where matches: (Row) -> Bool) -> [Row] {
            var found: [Row] = []
            var skipping = before.map { rows[$0] != nil } ?? false
            for id in order.reversed() where found.count < limit {
                if skipping {
                    skipping = id != before
                    continue
                }
                if let row = rows[id], matches(row) { found.append(row) }
            }
            return found
        }
    }
}

extension PlanFilter {
    fileprivate func takes(_ plan: Plan) -> Bool {
        (environments?.contains(plan.request.environment) ?? true) && (state.map { $0 == plan.state } ?? true)
            && (party.map { $0 == plan.requester.party } ?? true)
            && (principal.map { $0 == plan.requester.principal } ?? true)
            && (requestHash.map { $0 == plan.requestHash } ?? true) && (isLive.map { $0 == plan.state.isLive } ?? true)
            && (changes.map { $0 == plan.request.changes } ?? true)
            && (target.map { $0 == plan.request.target || plan.reachedTargets.contains($0) } ?? true)
            && (dueAt.map { plan.state.isLive && plan.operationID == nil && plan.expiresAt <= $0 } ?? true)
    }
}

extension OperationFilter {
    fileprivate func takes(_ operation: Operation, of whole: Plan?) -> Bool {
        (environments?.contains(operation.environment) ?? true) && (state.map { $0 == operation.state } ?? true)
            && (plan.map { $0 == operation.planID } ?? true)
            && (target.map { $0 == operation.target || whole?.reachedTargets.contains($0) == true } ?? true)
            && (isEnded.map { $0 == operation.state.isEnded } ?? true)
    }
}
