import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import StrictJSON

/// Holds a state against the records behind its mark, before anything else is done.
extension ActionService {
    /// Brings the state to what the log says, in one transaction.
    ///
    /// What was audited and is not stored is stored where it only ends something: outcomes, rejections, cancellations,
    /// expiries, freezes. Everything else that the state lacks gets a `void` record, unless the state is older than a
    /// crash can make it: then an intent consumes its plan, and an operation without an outcome is in doubt.
    func replay(behind mark: AuditMark?) async throws(ServiceError) {
        let replay = try await gather(behind: mark)
        let isOlder = mark == nil ? false : try await isOlder(mark, replay)
        if isOlder, let mark {
            ports.log.warning(
                "the state is older than the audit log: it is brought up to date",
                metadata: ["behind": "\(mark.settled)"])
            try await audited.record(
                AuditEvent(
                    kind: .log, actor: Context.agent.caller.actor, principal: Context.agent.caller.principal,
                    result: ["event": "state_older", "state_head": .string(mark.head.description)]))
        } else if mark != nil {
            let open = try await audited.read { records in
                replay.entries.filter { Self.isOpen($0, replay, in: records) }
            }
            let stillFrozen = try await audited.read { records in
                replay.lifted.filter { entry in records.freezes().contains { entry.lifts($0) } }
            }
            for entry in (open + stillFrozen).sorted(by: { $0.seq < $1.seq }) {
                try await audited.record(AuditEvent(voiding: entry.event, entry.seq))
            }
        }
        let (now, isShared) = (ports.now(), access.currentRules.directory.isShared)
        try await audited.write { records in
            for freeze in replay.freezes where freeze.endsAt.map({ $0 > now }) ?? true {
                if !records.freezes().contains(where: { $0.id == freeze.id }) { records.put(freeze) }
            }
            // A new state beside an old log: what that tells of is gone, and cannot be applied.
            guard mark != nil else { return }
            let step = ReplayStep(replay, isOlder: isOlder, isShared: isShared, now)
            for entry in replay.entries { step.take(entry, in: records) }
            if isOlder { step.doubt(in: records) }
        }
    }

    private func gather(behind mark: AuditMark?) async throws(ServiceError) -> Replay {
        var replay = Replay()
        var last = mark?.settled ?? 0
        // A log that was rotated begins later than its first record.
        while true {
            let page: [AuditRecord]
            do throws(AuditError) { page = try await ports.audit.records(after: last, limit: 1000) } catch {
                throw ServiceError(.auditUnavailable, "the audit log cannot be read: \(error)")
            }
            guard let end = page.last else { break }
            for record in page { replay.add(record, behind: mark?.head.seq ?? .max) }
            last = end.seq
        }
        replay.close { ports.newID(.freeze) }
        return replay
    }

    /// Whether the log tells of more than the last steps of a process that died.
    ///
    /// Each process stores the head once it has opened the log, so that behind it no other process can have done so; and
    /// an operation is stored before its intent is recorded.
    private func isOlder(_ mark: AuditMark?, _ replay: Replay) async throws(ServiceError) -> Bool {
        guard let mark, !mark.isOfCopy, replay.openings <= 1 else { return true }
        return try await audited.read { records in replay.begun.contains { records.operation($0) == nil } }
    }

    /// Whether what the record tells of has not come about, and will not: the store, which a crash left, says otherwise.
    private static func isOpen(_ entry: Replay.Entry, _ replay: Replay, in records: any StoreReader) -> Bool {
        let event = entry.event
        let plan = entry.planID.flatMap { records.plan($0) }
        let operation = entry.operationID.flatMap { records.operation($0) }
        switch event.kind {
        case .plan: return entry.planID != nil && plan == nil
        case .approve:
            let approver = event.result?["approver"]?.string ?? event.actor
            // One that was withdrawn later was there once: its plan then awaits others.
            return plan.map { plan in
                plan.state == .awaitingApproval && !plan.approvals.contains { $0.approver == approver }
            } ?? false
        // Of a plan that still waits these are completed instead.
        case .reject: return plan.map { $0.state != .rejected && !$0.state.isLive } ?? false
        case .expire: return false
        case .cancel:
            guard let operation else { return false }
            return operation.state == .queued || operation.cancelRequestedBy == nil
        case .queue: return operation == nil
        case .applyIntent:
            return entry.operationID.map { !replay.hasOutcome($0) } ?? true && operation?.startedAt == nil
        case .resolve: return operation.map { $0.state == .unknown } ?? false
        // Of what waited; other refusals, which may name an operation too, change nothing.
        case .refuse: return operation?.state == .queued && entry.leaves != nil
        case .read, .apply, .config, .authFailures, .log, .void, .freeze, .unfreeze: return false
        }
    }
}

/// Takes records over into a state, one after the other, in one transaction.
private struct ReplayStep {
    let replay: Replay
    let isOlder: Bool
    let isShared: Bool
    let now: Date

    init(_ replay: Replay, isOlder: Bool, isShared: Bool, _ now: Date) {
        (self.replay, self.isOlder, self.isShared, self.now) = (replay, isOlder, isShared, now)
    }

    func take(_ entry: Replay.Entry, in records: any StoreTransaction) {
        let plan = entry.planID.flatMap { records.plan($0) }
        switch entry.event.kind {
        case .apply: takeOutcome(entry, plan, records)
        case .applyIntent: if isOlder { takeIntent(entry, plan, records) }
        case .reject: reject(plan, entry, records)
        case .expire: end(plan, .expired, records)
        case .cancel:
            if entry.operationID == nil {
                end(plan, .cancelled, records)
            } else if isOlder, entry.event.result?["status"] == "cancelled" {
                takeEnd(of: entry, .cancelled, plan, .cancelled, records)
            }
        case .refuse:
            if isOlder, let state = entry.leaves { takeEnd(of: entry, .failed, plan, state, records) }
        case .resolve:
            if isOlder { takeResolution(entry, plan, records) }
        case .read, .plan, .approve, .queue, .freeze, .unfreeze, .config, .authFailures, .log, .void: break
        }
    }

    private func end(_ plan: Plan?, _ state: PlanState, _ records: any StoreTransaction) {
        guard var plan, plan.state.isLive, plan.operationID == nil else { return }
        if plan.move(to: state, at: now) { records.put(plan) }
    }

    private func reject(_ plan: Plan?, _ entry: Replay.Entry, _ records: any StoreTransaction) {
        guard var plan, plan.state == .awaitingApproval else { return end(plan, .cancelled, records) }
        let result = entry.event.result
        _ = plan.reject(
            Approval(
                approver: entry.event.actor,
                assurance: result?["assurance"]?.string.flatMap(Assurance.init) ?? .declared, at: entry.time,
                reason: result?["reason"]?.string, ticket: result?["ticket"]?.string))
        records.put(plan)
    }

    /// What waited was turned away or cancelled.
    private func takeEnd(
        of entry: Replay.Entry, _ state: OperationState, _ plan: Plan?, _ next: PlanState,
        _ records: any StoreTransaction
    ) {
        if var operation = entry.operationID.flatMap({ records.operation($0) }), operation.state == .queued {
            operation.code = entry.event.result?["code"]?.string
            operation.message = "as the audit log says; nothing was sent"
            if operation.move(to: state, at: now) { records.put(operation) }
        }
        guard var plan, plan.state.isLive, plan.operationID == nil || plan.operationID == entry.operationID else {
            return
        }
        plan.claim(by: nil)
        if next == .awaitingApproval {
            plan.withdraw(at: now) { _ in false }
        } else {
            _ = plan.move(to: next, at: now)
        }
        records.put(plan)
    }

    /// The plan was about to be carried out, and the state does not know: it is consumed.
    private func takeIntent(_ entry: Replay.Entry, _ plan: Plan?, _ records: any StoreTransaction) {
        guard let id = entry.operationID,
            var operation = records.operation(id) ?? replay.operation(entry, of: plan, isShared: isShared),
            !operation.state.isEnded
        else { return }
        _ = operation.move(to: .running, at: entry.time)
        records.put(operation)
        consume(plan, id, nil, records)
    }

    private func consume(_ plan: Plan?, _ id: RecordID, _ state: PlanState?, _ records: any StoreTransaction) {
        guard var plan, plan.state.isLive || plan.operationID == id else { return }
        plan.claim(by: id)
        for next in [.approved, .applying, state].compactMap({ $0 }) { _ = plan.move(to: next, at: now) }
        records.put(plan)
    }

    private func takeOutcome(_ entry: Replay.Entry, _ plan: Plan?, _ records: any StoreTransaction) {
        guard let id = entry.operationID, let result = entry.event.result,
            let state = result["status"]?.string.flatMap(OperationState.init),
            var operation = records.operation(id) ?? replay.operation(entry, of: plan, isShared: isShared),
            !operation.state.isEnded
        else { return }
        operation.take(outcome: result, at: entry.time)
        let wasIntended = replay.isIntended(id) || operation.state == .running
        if wasIntended { _ = operation.move(to: .running, at: entry.time) }
        guard operation.move(to: state, at: now) else { return }
        records.put(operation)
        if wasIntended {
            consume(plan, id, state.planState, records)
        } else if var plan, plan.operationID == id, plan.state.isLive {
            // What was never begun leaves its plan as it was.
            plan.claim(by: nil)
            records.put(plan)
        }
    }

    private func takeResolution(_ entry: Replay.Entry, _ plan: Plan?, _ records: any StoreTransaction) {
        guard var operation = entry.operationID.flatMap({ records.operation($0) }), operation.state == .unknown,
            let state = entry.event.result?["status"]?.string.flatMap(OperationState.init),
            operation.move(to: state, at: now)
        else { return }
        operation.message += "; settled by \(entry.event.actor): \(entry.event.result?["reason"]?.string ?? "")"
        operation.code = nil
        records.put(operation)
        guard var plan, let next = state.planState, plan.move(to: next, at: now) else { return }
        records.put(plan)
    }

    /// Of what an older state shows as running without a call nobody knows whether one was sent: it counts as sent, so
    /// that it is looked for at PVE.
    func doubt(in records: any StoreTransaction) {
        let others = records.operations(OperationFilter()).flatMap { $0.steps.compactMap(\.upid) }
        for operation in records.operations(OperationFilter(state: .running))
        where operation.steps.last.map({ $0.isDone && operation.steps.count < operation.calls.count }) ?? true {
            var operation = operation
            let before = operation.steps.last?.sentAt ?? operation.startedAt
            operation.steps.append(Step(sentAt: before ?? operation.createdAt))
            operation.knownTasks += others + replay.tasks
            records.put(operation)
        }
    }
}

extension Operation {
    /// What a record says of the end.
    fileprivate mutating func take(outcome result: JSON, at time: Date) {
        message = result["message"]?.string ?? ""
        code = result["code"]?.string
        logTail = result["log_tail"]?.array?.compactMap(\.string) ?? []
        takeSteps(of: result, at: time)
        // Records of before name the task alone.
        if let upid = result["upid"]?.string.flatMap(UPID.init), self.upid == nil {
            steps = steps.dropLast() + [Step(sentAt: steps.last?.sentAt ?? time, upid: upid, state: .done)]
        }
        guard let upstream = result["upstream"], let status = upstream["status"]?.integer else { return }
        self.upstream = PVERejection(
            status: Int(clamping: status), reason: upstream["reason"]?.string ?? "",
            errors: (upstream["errors"]?.object?.members ?? []).reduce(into: [:]) { $0[$1.key] = $1.value.string })
    }
}
