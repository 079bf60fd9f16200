import AgentAudit
import AgentModel
import FoundationEssentials
import StrictJSON

/// What the records behind a state's mark say, for comparison with that state.
///
/// After a crash the state lacks at most the last step of each thing under way. A state from a backup is older: it may
/// lack plans and operations as a whole, and nothing that it lacks may count as not done.
struct Replay: Sendable {
    /// A record, reduced to what replay needs.
    struct Entry: Sendable {
        let seq: UInt64
        let time: Date
        let event: AuditEvent
        let planID: RecordID?
        let operationID: RecordID?
        /// What an intent took of limits.
        let uses: [LimitUse]

        init(_ record: AuditRecord) {
            seq = record.seq
            time = record.time.date
            var event = record.event
            planID = event.planID.flatMap { RecordID($0, .plan) }
            let operation = event.operationID.flatMap { RecordID($0, .operation) }
            operationID = operation
            let (limits, time) = (event.kind == .applyIntent ? event.result?["limits"]?.array ?? [] : [], time)
            uses = limits.compactMap { form in
                operation.flatMap { LimitUse(audited: form, by: $0, at: time) }
            }
            event.decision = nil
            event.request = event.request.map { request in
                ["action": request["action"] ?? .null, "target": request["target"] ?? .null]
            }
            if event.kind == .applyIntent || event.kind == .plan { event.result = nil }
            self.event = event
        }

        /// The state in which a refusal left the plan.
        var leaves: PlanState? { event.result?["state"]?.string.flatMap(PlanState.init) }

        /// Whether it ends that freeze. A record without an id, from an earlier version, ends the freeze of its scope.
        func lifts(_ freeze: Freeze) -> Bool {
            event.result?["freeze_id"]?.string.map { $0 == freeze.id?.description }
                ?? (freeze.environment?.description == event.environment)
        }
    }

    /// Changes of plans, operations and sessions, oldest first, without voided ones.
    private(set) var entries: [Entry] = []
    /// Freezes that were set and still hold by the log.
    private(set) var freezes: [Freeze] = []
    /// What was passed in emergencies, and the reviews of that, oldest first, without voided ones.
    private(set) var reviewEntries: [Entry] = []
    /// Ends of freezes. Only the store knows whether each was stored.
    private(set) var lifted: [Entry] = []
    /// Operations whose intent or end is behind the head that the state knows. Each was stored before either was
    /// recorded.
    private(set) var begun: Set<RecordID> = []
    /// How often a process opened the log behind that head.
    private(set) var openings = 0
    /// The tasks of ended operations.
    private(set) var tasks: [UPID] = []
    private var freezeEntries: [Entry] = []
    private var voided: Set<UInt64> = []
    private var intents: Set<RecordID> = []
    private var requests: [RecordID: Entry] = [:]

    /// Adds the next record; `head` is the newest one that the state knows.
    mutating func add(_ record: AuditRecord, behind head: UInt64) {
        let entry = Entry(record)
        let isUnknown = record.seq > head
        switch entry.event.kind {
        case .log:
            if isUnknown, entry.event.result?["event"] == "opened" { openings += 1 }
        case .freeze, .unfreeze: freezeEntries.append(entry)
        case .breakGlass, .review:
            reviewEntries.append(entry)
            entries.append(entry)
        case .void:
            if let seq = entry.event.voids { voided.insert(UInt64(clamping: seq)) }
        case .plan, .applyIntent, .apply:
            if let plan = entry.planID, entry.event.kind == .plan { requests[plan] = entry }
            if let id = entry.operationID, isUnknown { begun.insert(id) }
            if let upid = entry.event.result?["upid"]?.string.flatMap(UPID.init) { tasks.append(upid) }
            entries.append(entry)
        case .approve, .reject, .cancel, .refuse, .queue, .resolve, .expire, .withdraw, .session: entries.append(entry)
        case .read, .config, .authFailures, .notify: break
        }
    }

    /// Call it after the last record; `newID` names freezes whose record has no id.
    mutating func close(newID: () -> RecordID) {
        entries.removeAll { voided.contains($0.seq) }
        reviewEntries.removeAll { voided.contains($0.seq) }
        let intended = entries.filter { $0.event.kind == .applyIntent }
        intents = Set(intended.compactMap(\.operationID))
        for entry in intended { if let plan = entry.planID, requests[plan] == nil { requests[plan] = entry } }
        for entry in freezeEntries where !voided.contains(entry.seq) {
            if entry.event.kind == .freeze { set(entry, newID) } else { lift(entry) }
        }
    }

    private mutating func set(_ entry: Entry, _ newID: () -> RecordID) {
        let event = entry.event
        let environment = event.environment.flatMap(EnvironmentName.init)
        // A record with an invalid environment name covers nothing.
        guard environment != nil || event.environment == nil else { return }
        let freeze = Freeze(
            id: event.result?["freeze_id"]?.string.flatMap { RecordID($0, .freeze) } ?? newID(),
            environment: environment, reason: event.result?["reason"]?.string ?? "", by: event.actor,
            party: event.result?["party"]?.string ?? "", setAt: entry.time,
            endsAt: event.result?["ends_at"]?.string.flatMap(Date.init(rfc3339:)))
        freezes.removeAll { freeze.replaces($0) }
        freezes.append(freeze)
    }

    private mutating func lift(_ entry: Entry) {
        freezes.removeAll { entry.lifts($0) }
        // The store knows whether this was stored.
        lifted.append(entry)
    }

    /// Whether the log has an intent: the operation's first call was about to be sent.
    func isIntended(_ operation: RecordID) -> Bool { intents.contains(operation) }

    /// Whether the log has the operation's outcome.
    func hasOutcome(_ operation: RecordID) -> Bool {
        entries.contains { $0.operationID == operation && $0.event.kind == .apply }
    }

    /// Puts the reviews that the records tell of into a state that lacks them, and closes those that were closed.
    func restoreReviews(in records: any StoreTransaction) {
        for entry in reviewEntries {
            guard let id = entry.operationID else { continue }
            if let review = Review(entry) {
                if records.review(of: id) == nil { records.put(review) }
            } else if entry.event.kind == .review, var review = records.review(of: id), review.verdict == nil {
                review.verdict = Review.Verdict(
                    audited: entry.event.result ?? [:], by: entry.event.actor, at: entry.time)
                records.put(review)
            }
        }
    }

    /// Puts what operations took of limits into a state that lacks it. Those that have ended hold nothing any more.
    func restoreUses(in records: any StoreTransaction) {
        for use in entries.flatMap(\.uses)
        where !use.isHeld || records.operation(use.operation)?.state.isEnded == false { records.put(use) }
    }

    /// What the operation passes in an emergency, as the log says.
    func glass(of operation: RecordID) -> BreakGlass? {
        reviewEntries.last { $0.operationID == operation && $0.event.kind == .breakGlass }.flatMap(Review.init)?.glass
    }

    /// Builds an operation that the state lacks, from its plan or from the log; `nil` if that is not enough.
    func operation(_ entry: Entry, of plan: Plan?, isShared: Bool) -> Operation? {
        var operation = bare(entry, of: plan, isShared: isShared)
        operation?.breakGlass = entry.operationID.flatMap(glass)
        operation?.trace = entry.event.trace
        return operation
    }

    private func bare(_ entry: Entry, of plan: Plan?, isShared: Bool) -> Operation? {
        guard let id = entry.operationID else { return nil }
        if let plan { return Operation(id: id, plan: plan, approvals: plan.approvals, createdAt: entry.time) }
        guard let planID = entry.planID, let asked = requests[planID],
            let environment = asked.event.environment.flatMap(EnvironmentName.init),
            let action = asked.event.request?["action"]?.string.flatMap(Action.init(rawValue:)),
            let target = asked.event.request?["target"]?.string.flatMap(Target.init)
        else { return nil }
        let requester = Caller(principal: asked.event.principal, label: asked.event.label, isShared: isShared)
        return Operation(
            id: id, planID: planID, environment: environment, action: action, target: target, requester: requester,
            approvals: [], createdAt: entry.time)
    }
}
