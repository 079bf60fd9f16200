import AgentAudit
import AgentModel
import FoundationEssentials
import Signatures
import StrictJSON

extension Replay {
    /// Applies to a state that knows nothing of this log what it says of plans that could still be applied there: that they
    /// were, or have ended.
    func consume(in records: any StoreTransaction, isShared: Bool, agent: String?, _ now: Date) {
        let live = records.plans(PlanFilter(isLive: true)).filter { $0.operationID == nil }
        let plans = Set(live.map(\.id))
        let told = entries.filter { entry in
            [.applyIntent, .apply, .reject, .expire, .cancel].contains(entry.event.kind)
                && entry.planID.map(plans.contains) ?? false
        }
        guard !told.isEmpty else { return }
        let step = ReplayStep(self, isOlder: true, isShared: isShared, agent: agent, now)
        for entry in told { step.take(entry, in: records) }
        step.doubt(of: Set(told.compactMap(\.planID)), in: records)
    }
}

/// Applies records to a state, one after the other, in one transaction.
struct ReplayStep {
    let replay: Replay
    let isOlder: Bool
    let isShared: Bool
    /// The agent whose log it is, of several on one state.
    let agent: String?
    let now: Date

    init(_ replay: Replay, isOlder: Bool, isShared: Bool, agent: String?, _ now: Date) {
        (self.replay, self.isOlder, self.isShared, self.agent, self.now) = (replay, isOlder, isShared, agent, now)
    }

    func take(_ entry: Replay.Entry, in records: any StoreTransaction) {
        let plan = entry.planID.flatMap { records.plan($0) }
        switch entry.event.kind {
        case .apply: takeOutcome(entry, plan, records)
        case .applyIntent: if isOlder { takeIntent(entry, plan, records) }
        case .reject: reject(plan, entry, records)
        case .expire: end(plan, .expired, records)
        case .withdraw: withdraw(plan, entry, records)
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
        case .read, .plan, .approve, .queue, .breakGlass, .review, .freeze, .unfreeze, .config, .authFailures, .notify,
            .log, .void, .session:
            break
        }
    }

    /// Ends the sessions whose sign-outs are recorded, but not stored. One that has not begun in the state never will.
    func endSessions(in records: any StoreTransaction) {
        let ended = Set(
            replay.entries.compactMap { entry -> String? in
                guard entry.event.kind == .session, let result = entry.event.result,
                    ["signed_out", "ended"].contains(result["status"]?.string)
                else { return nil }
                return result["session_id"]?.string
            })
        guard !ended.isEmpty else { return }
        for session in records.signIns(.session, of: nil).compactMap(\.session)
        where ended.contains(session.id.description) { records.removeSignIn(.session, session.key) }
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
                reason: result?["reason"]?.string, ticket: result?["ticket"]?.string,
                signed: result?["signed"].flatMap { try? SignedApproval(form: $0) }))
        records.put(plan)
    }

    private func withdraw(_ plan: Plan?, _ entry: Replay.Entry, _ records: any StoreTransaction) {
        let keys = (entry.event.result?["approvals"]?.array ?? []).compactMap { $0["key"]?.string }
        guard var plan,
            plan.withdrawSignatures(
                at: now, where: { $0.signed.map { keys.contains($0.key.fingerprint) } ?? false },
                isEnough: { _ in entry.leaves == .approved })
        else { return }
        records.put(plan)
    }

    /// Ends an operation that was refused or cancelled while it was queued.
    private func takeEnd(
        of entry: Replay.Entry, _ state: OperationState, _ plan: Plan?, _ next: PlanState,
        _ records: any StoreTransaction
    ) {
        if var operation = entry.operationID.flatMap({ records.operation($0) }), operation.state == .queued {
            operation.code = entry.event.result?["code"]?.string
            operation.message = "as the audit log says; nothing was sent"
            if operation.move(to: state, at: now) { records.end(operation) }
        }
        guard var plan, plan.state.isLive, plan.operationID == nil || plan.operationID == entry.operationID else {
            return
        }
        plan.release()
        if next == .awaitingApproval {
            plan.withdraw(at: now) { _ in false }
        } else {
            _ = plan.move(to: next, at: now)
        }
        records.put(plan)
    }

    /// Consumes a plan whose intent is recorded, but not stored.
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
        plan.claim(by: id, passing: replay.glass(of: id))
        for next in [.approved, .applying, state].compactMap({ $0 }) { _ = plan.move(to: next, at: now) }
        records.put(plan)
    }

    private func takeOutcome(_ entry: Replay.Entry, _ plan: Plan?, _ records: any StoreTransaction) {
        guard let id = entry.operationID, let result = entry.event.result,
            let state = result["status"]?.string.flatMap(OperationState.init),
            var operation = records.operation(id) ?? replay.operation(entry, of: plan, isShared: isShared),
            !operation.state.isEnded, isOlder || !operation.isElsewhere(for: agent)
        else { return }
        operation.take(outcome: result, at: entry.time)
        let wasIntended = replay.isIntended(id) || operation.state == .running
        if wasIntended { _ = operation.move(to: .running, at: entry.time) }
        guard operation.move(to: state, at: now) else { return }
        if wasIntended {
            records.put(operation)
            records.releaseHeld(of: id)
            consume(plan, id, state.planState, records)
        } else {
            records.end(operation)
            // The operation never began: leave its plan as it was.
            guard var plan, plan.operationID == id, plan.state.isLive else { return }
            plan.release()
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

    /// Marks operations of an older state that are running without a call. Nothing tells whether one was sent, so it
    /// counts as sent, and PVE is searched for it. Of all plans, unless some are named.
    func doubt(of plans: Set<RecordID>? = nil, in records: any StoreTransaction) {
        let others = records.operations(OperationFilter()).flatMap { $0.steps.compactMap(\.upid) }
        for operation in records.operations(OperationFilter(state: .running))
        where plans?.contains(operation.planID) ?? true && !operation.isElsewhere(for: agent)
            && operation.steps.last.map({ $0.isDone && operation.steps.count < operation.calls.count }) ?? true
        {
            var operation = operation
            let before = operation.steps.last?.sentAt ?? operation.startedAt
            operation.steps.append(Step(sentAt: before ?? operation.createdAt))
            operation.knownTasks += others + replay.tasks
            records.put(operation)
        }
    }
}
