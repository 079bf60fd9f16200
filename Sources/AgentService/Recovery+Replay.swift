import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import StrictJSON

/// Compares the stored state with the records behind its mark, before anything else.
extension Recovery {
    /// Brings the state up to the log, in one transaction.
    ///
    /// A recorded step that is missing in the state is stored if it only ends something: outcomes, rejections,
    /// cancellations, expiries, withdrawn approvals, freezes, sign-outs. Reviews of emergencies and
    /// what was taken of limits come back to an older or a new state. Every other missing step gets a `void` record, unless the state is older than
    /// a crash can explain. Then an intent consumes its plan, and an operation without an outcome is in doubt.
    func replay(behind mark: AuditMark?) async throws(ServiceError) {
        let (replay, agent) = (try await gather(behind: mark), ports.agent)
        let isOlder = mark == nil ? false : try await isOlder(mark, replay)
        if isOlder, let mark {
            ports.log.warning(
                "the state is older than the audit log: it is brought up to date",
                metadata: ["behind": "\(mark.settled)"])
            try await audited.record(
                AuditEvent(
                    kind: .log, actor: Context.agent.caller.actor, principal: Context.agent.caller.principal,
                    result: ["event": "state_older", "state_head": .string(mark.head.description)]))
        }
        var voided: Set<UInt64> = []
        if !isOlder, mark != nil {
            let open = try await audited.read { records in
                replay.entries.filter { Self.isOpen($0, replay, of: agent, in: records) }
            }
            let stillFrozen = try await audited.read { records in
                replay.lifted.filter { entry in records.freezes().contains { entry.lifts($0) } }
            }
            for entry in (open + stillFrozen).sorted(by: { $0.seq < $1.seq }) {
                try await audited.record(AuditEvent(voiding: entry.event, entry.seq))
                voided.insert(entry.seq)
            }
        }
        let (now, isShared) = (ports.now(), access.currentRules.directory.isShared)
        let late = try await audited.write { [voided] records -> [Replay.Entry] in
            for freeze in replay.freezes where freeze.endsAt.map({ $0 > now }) ?? true {
                if !records.freezes().contains(where: { $0.id == freeze.id }) { records.put(freeze) }
            }
            if isOlder || mark == nil { replay.restoreReviews(in: records) }
            defer { if isOlder || mark == nil { replay.restoreUses(in: records) } }
            // A new state beside an old log: the plans and operations of those records are gone and cannot be applied. But
            // a state that has others' marks may be a copy from before this agent was forgotten.
            guard mark != nil else {
                replay.consume(in: records, isShared: isShared, agent: agent, now)
                return []
            }
            let step = ReplayStep(replay, isOlder: isOlder, isShared: isShared, agent: agent, now)
            for entry in replay.entries { step.take(entry, in: records) }
            step.endSessions(in: records)
            if isOlder { step.doubt(in: records) }
            guard !isOlder else { return [] }
            // Outcomes whose operations another agent has taken over since they were looked at.
            return replay.entries.filter { entry in
                entry.event.kind == .apply && !voided.contains(entry.seq)
                    && entry.operationID.flatMap { records.operation($0) }?.isElsewhere(for: agent) == true
            }
        }
        for entry in late { try await audited.record(AuditEvent(voiding: entry.event, entry.seq)) }
    }

    private func gather(behind mark: AuditMark?) async throws(ServiceError) -> Replay {
        var replay = Replay()
        var last = mark?.settled ?? 0
        // After rotation a log begins later than its first record.
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

    /// Whether the log has more than the last steps of a crashed process.
    ///
    /// Each process stores the head once it has opened the log, so behind that head no other process can have opened
    /// it. An operation is stored before its intent is recorded.
    private func isOlder(_ mark: AuditMark?, _ replay: Replay) async throws(ServiceError) -> Bool {
        guard let mark, !mark.isOfCopy, replay.openings <= 1 else { return true }
        return try await audited.read { records in replay.begun.contains { records.operation($0) == nil } }
    }

    /// Whether the recorded step is not in the store that a crash left, and will not be.
    private static func isOpen(
        _ entry: Replay.Entry, _ replay: Replay, of agent: String?, in records: any StoreReader
    ) -> Bool {
        let event = entry.event
        let plan = entry.planID.flatMap { records.plan($0) }
        let operation = entry.operationID.flatMap { records.operation($0) }
        switch event.kind {
        case .plan: return entry.planID != nil && plan == nil
        case .approve:
            let approver = event.result?["approver"]?.string ?? event.actor
            // If it was withdrawn later, the store had it once, and the plan awaits approval again.
            return plan.map { plan in
                plan.state == .awaitingApproval
                    && !(plan.approvals + plan.standing.withdrawn).contains { $0.approver == approver }
            } ?? false
        // For a live plan, rejections and expiries are completed instead.
        case .reject: return plan.map { $0.state != .rejected && !$0.state.isLive } ?? false
        case .expire, .withdraw: return false
        case .cancel:
            guard let operation else { return false }
            return operation.state == .queued || operation.cancelRequestedBy == nil
        case .queue, .breakGlass: return operation == nil
        case .review: return entry.operationID.flatMap { records.review(of: $0) }.map { $0.verdict == nil } ?? false
        case .applyIntent:
            return entry.operationID.map { !replay.hasOutcome($0) } ?? true && operation?.startedAt == nil
        case .resolve: return operation.map { $0.state == .unknown } ?? false
        // Only a refusal of a queued operation. Other refusals may name an operation, but change nothing.
        case .refuse: return operation?.state == .queued && entry.leaves != nil
        // Another agent has settled it since, or is about to.
        case .apply: return operation?.isElsewhere(for: agent) ?? false
        case .read, .config, .session, .authFailures, .notify, .log, .void, .freeze, .unfreeze:
            return false
        }
    }
}
