import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials

/// Records and stores how operations go on and end.
final class OutcomeRecorder: Sendable {
    private let audited: AuditedStore
    private let access: AccessControl
    private let freezes: FreezeService
    private let workflow: PlanWorkflow
    private let registry: OperationRegistry
    private let ports: Ports

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ freezes: FreezeService, _ workflow: PlanWorkflow,
        _ registry: OperationRegistry
    ) {
        (self.audited, self.access, self.freezes, self.workflow) = (audited, access, freezes, workflow)
        (self.registry, ports) = (registry, audited.ports)
    }

    /// Stores what is known so far and tells who waits.
    func store(_ operation: Operation) async throws(ServiceError) {
        try await audited.write { $0.put(operation.keepingCancel(of: $0.operation(operation.id))) }
        registry.hub.publish(operation.id)
    }

    /// The same, before its last step leaves; not where a freeze is stored by then.
    func store(aboutToSend operation: Operation) async throws(ServiceError) {
        let freeze = try await audited.write { records -> Freeze? in
            if let found = self.freezes.freeze(covering: operation.environment, in: records) { return found }
            records.put(operation.keepingCancel(of: records.operation(operation.id)))
            return nil
        }
        if let freeze { throw FreezeService.frozen(freeze) }
        registry.hub.publish(operation.id)
    }

    /// The same, and keeps trying: what was sent must not be forgotten. False when the agent stopped before it worked.
    func keep(_ operation: Operation) async -> Bool {
        await registry.persistently("an operation's task") { () async throws(ServiceError) in
            try await self.store(operation)
        }
    }

    /// PVE would have none of it: whatever ends the operation now, it is not the cancel.
    func forgetCancel(of id: RecordID) async throws(ServiceError) {
        registry.forgetStop(of: id)
        try await audited.write { records in
            guard var operation = records.operation(id), operation.state == .running else { return }
            operation.cancelRequestedBy = nil
            records.put(operation)
        }
    }

    /// Records and stores how an operation ended; answers it as it is stored, or `nil` where the agent stopped first.
    ///
    /// With its plan an operation that failed with a part of it carried out says what stays.
    func finish(
        _ ended: Operation, _ wanted: OperationState, of plan: Plan?, _ context: Context
    ) async -> Operation? {
        let now = ports.now()
        var operation = ended
        operation.cancelRequestedBy = registry.stopper(of: ended.id) ?? ended.cancelRequestedBy
        let wasStopped =
            operation.cancelRequestedBy != nil
            && (try? access.managedEnvironment(ended.environment))?.planning.isInterruption(operation.message) == true
        let state = wanted == .failed && wasStopped ? .cancelled : wanted
        if state == .cancelled, let other = registry.overruler(of: ended.id) {
            operation.message += "; ended by operation \(other), which overrules it"
        }
        if let plan, state == .failed || state == .cancelled { operation.notePartlyDone(plan) }
        guard operation.move(to: state, at: now) else { return nil }
        let final = operation
        let ticket = audited.open()
        ports.reached(.outcomeRecording)
        let isRecorded = await registry.persistently("an outcome") { () async throws(ServiceError) in
            try await self.audited.record(
                AuditEvent(
                    .apply, context, environment: final.environment, plan: final.planID, operation: final.id,
                    result: final.auditOutcome))
        }
        guard isRecorded else { return nil }
        ports.reached(.outcomeRecorded)
        guard await store(endOf: final, at: now) else { return nil }
        audited.close(ticket)
        ports.reached(.outcomeStored)
        return final
    }

    /// Stores an operation that has ended, and what its end makes of its plan; keeps trying.
    private func store(endOf final: Operation, at now: Date) async -> Bool {
        let isStored = await registry.persistently("an outcome") { () async throws(ServiceError) in
            try await self.audited.write { records in
                var final = final
                final.cancelRequestedBy = final.cancelRequestedBy ?? records.operation(final.id)?.cancelRequestedBy
                records.put(final)
                guard var plan = records.plan(final.planID), plan.operationID == final.id,
                    let next = final.state.planState
                else { return }
                // What was never begun leaves its plan as it was.
                if plan.state == .approved { plan.release() } else { _ = plan.move(to: next, at: now) }
                records.put(plan)
            }
        }
        if isStored { workflow.deadlines.forget(final.planID) }
        return isStored
    }

    /// Ends an operation that was turned away before its first call. Its plan goes where the refusal says, or, where that
    /// could not be recorded, is free to be applied again.
    func refuseQueued(_ queued: Operation, _ error: ServiceError, _ context: Context) async {
        let now = ports.now()
        let plan = (try? await audited.read { $0.plan(queued.planID) }) ?? nil
        let ticket = audited.open()
        var noted = error
        noted.operationID = queued.id
        let next = Self.planState(after: error.code)
        var isRecorded = true
        // How an operation ends is recorded, also where new requests are turned away without a record.
        do throws(ServiceError) {
            try await audited.record(refusal: noted, context, RefusedSubject(plan: plan), leaving: next)
        } catch {
            noted = error
            isRecorded = false
        }
        let (refusal, mayMove) = (noted, isRecorded)
        let settings = (try? access.managedEnvironment(queued.environment))?.settings
        let directory = access.currentRules.directory
        let isStored = await registry.persistently("a refusal") { () async throws(ServiceError) in
            try await self.audited.write { records in
                if var plan = records.plan(queued.planID), plan.operationID == queued.id {
                    plan.release()
                    let before = plan
                    if mayMove, next == .awaitingApproval {
                        plan.withdraw(at: now) { approval in
                            settings.map { ApprovalCheck.stillCounts(approval, for: before, in: $0, among: directory) }
                                ?? true
                        }
                    } else if mayMove {
                        _ = plan.move(to: next, at: now)
                    }
                    records.put(plan)
                }
                guard var operation = records.operation(queued.id) else { return }
                operation.note(refusal)
                if operation.move(to: .failed, at: now) { records.put(operation) }
            }
        }
        if isStored { audited.close(ticket) }
    }

    /// Where a plan goes whose operation was refused with that code; as it was, where nothing is wrong with the plan.
    private static func planState(after code: ErrorCode) -> PlanState {
        switch code {
        case .planStale: .stale
        case .planExpired: .expired
        case .policyDenied: .denied
        case .approvalRequired: .awaitingApproval
        default: .approved
        }
    }
}
