import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials

/// Records and stores the progress and the end of operations.
final class OutcomeRecorder: Sendable {
    private let audited: AuditedStore
    private let access: AccessControl
    private let freezes: FreezeService
    private let workflow: PlanWorkflow
    private let registry: OperationRegistry
    let leases: LeaseKeeper
    private let ports: Ports

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ freezes: FreezeService, _ workflow: PlanWorkflow,
        _ registry: OperationRegistry, _ leases: LeaseKeeper
    ) {
        (self.audited, self.access, self.freezes, self.workflow) = (audited, access, freezes, workflow)
        (self.registry, self.leases, ports) = (registry, leases, audited.ports)
    }

    /// Whether other agents go on with what this one does not end.
    private var isShared: Bool { ports.leases != nil }

    // MARK: Fences

    /// Stores something about an operation that is under way here, unless another agent leads its environment by then:
    /// then its task is cancelled, and this throws.
    private func write<Value: Sendable>(
        _ operation: Operation, under known: Lease? = nil, _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(ServiceError) -> Value {
        guard let lease = known ?? registry.lease(of: operation.id) else { throw Self.elsewhere(operation) }
        let (isHeld, value) = try await audited.write { records -> (Bool, Value?) in
            guard records.holds(lease) else { return (false, nil) }
            // Another one may have ended it: an agent that led before, and has started anew.
            guard records.operation(operation.id)?.state.isEnded != true else { return (true, nil) }
            return (true, body(records))
        }
        if !isHeld { lose(lease) }
        guard let value else { throw Self.elsewhere(operation) }
        return value
    }

    /// Ends all that is under way under a lease that another agent has taken. Stores nothing.
    func lose(_ lease: Lease) {
        leases.drop(lease)
        registry.cancel(under: lease)
    }

    private static func elsewhere(_ operation: Operation) -> ServiceError {
        var error = ServiceError(
            .storeUnavailable, "another agent carries out operations in \(operation.environment) now")
        error.isLost = true
        return error
    }

    /// Whether the operation is under way here, and under a lease that holds as far as this process knows.
    func isHere(_ operation: RecordID) -> Bool { registry.lease(of: operation).map(leases.has) ?? false }

    // MARK: Progress

    /// Stores what is known so far and notifies waiters.
    func store(_ operation: Operation) async throws(ServiceError) {
        try await write(operation) { $0.put(operation.keepingCancel(of: $0.operation(operation.id))) }
        registry.hub.publish(operation.id)
    }

    /// The same, before its last step is sent, unless a freeze is stored by then.
    func store(aboutToSend operation: Operation) async throws(ServiceError) {
        let freeze = try await write(operation) { records -> Freeze? in
            if let found = self.freezes.freeze(stopping: operation, in: records) { return found }
            records.put(operation.keepingCancel(of: records.operation(operation.id)))
            return nil
        }
        if let freeze { throw FreezeService.frozen(freeze) }
        registry.hub.publish(operation.id)
    }

    /// The same, but keeps trying: it must not forget a sent call. False if the agent stopped before it worked.
    func keep(_ operation: Operation) async -> Bool {
        await registry.persistently("an operation's task") { () async throws(ServiceError) in
            try await self.store(operation)
        }
    }

    /// Forgets the cancel because PVE refused it: whatever ends the operation now, it is not the cancel.
    func forgetCancel(of id: RecordID) async throws(ServiceError) {
        registry.forgetStop(of: id)
        let lease = registry.lease(of: id)
        try await audited.write { records in
            guard lease.map({ records.holds($0) }) ?? true, var operation = records.operation(id),
                operation.state == .running
            else { return }
            operation.cancelRequestedBy = nil
            records.put(operation)
        }
    }

    // MARK: Ends

    /// Records and stores how an operation ended. Returns it as stored, or `nil` if the agent stopped first, or another
    /// one leads by now.
    ///
    /// With its plan, an operation that failed halfway says what remains of it.
    func finish(
        _ ended: Operation, _ wanted: OperationState, of plan: Plan?, _ context: Context
    ) async -> Operation? {
        guard isHere(ended.id) else { return nil }
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
        let event = AuditEvent(
            .apply, context, environment: final.environment, plan: final.planID, operation: final.id,
            result: final.auditOutcome)
        var record: AuditHead?
        let isRecorded = await registry.persistently("an outcome") { () async throws(ServiceError) in
            record = try await self.audited.record(event)
        }
        guard isRecorded else {
            if isShared { audited.abandon(ticket, event) }
            return nil
        }
        ports.reached(.outcomeRecorded)
        guard await store(endOf: final, at: now) else {
            // Another agent has settled it, or will. Of a lone one the next start looks.
            if let record, isShared { settle(ticket, event, record, of: ended.id) }
            return nil
        }
        audited.close(ticket)
        ports.observed(.ended(final))
        ports.reached(.outcomeStored)
        return final
    }

    /// Stores an ended operation and the new state of its plan; keeps trying.
    private func store(endOf final: Operation, at now: Date) async -> Bool {
        let isStored = await registry.persistently("an outcome") { () async throws(ServiceError) in
            try await self.write(final) { records in
                var final = final
                final.cancelRequestedBy = final.cancelRequestedBy ?? records.operation(final.id)?.cancelRequestedBy
                records.end(final)
                guard var plan = records.plan(final.planID), plan.operationID == final.id,
                    let next = final.state.planState
                else { return }
                // The operation never began: leave its plan approved.
                if plan.state == .approved { plan.release() } else { _ = plan.move(to: next, at: now) }
                records.put(plan)
            }
        }
        if isStored { workflow.deadlines.forget(final.planID) }
        return isStored
    }

    /// Ends an operation that was refused before its first call. The refusal decides the plan's next state. If it could
    /// not be recorded, the plan can be applied again.
    ///
    /// If another agent leads by then, that one begins it. `known` is its lease if its task has ended.
    func refuseQueued(
        _ queued: Operation, _ error: ServiceError, _ context: Context, under known: Lease? = nil
    ) async {
        guard let lease = known ?? registry.lease(of: queued.id), leases.has(lease) else { return }
        let now = ports.now()
        // Another agent can begin it.
        if ports.leases != nil, error.code == .shuttingDown { return }
        // Another agent may have cancelled it.
        if let stored = try? await audited.read({ $0.operation(queued.id) }), stored.state != .queued { return }
        let plan = (try? await audited.read { $0.plan(queued.planID) }) ?? nil
        let ticket = audited.open()
        var noted = error
        noted.operationID = queued.id
        let next = Self.planState(after: error.code)
        var isRecorded = true
        var refused: (event: AuditEvent, head: AuditHead)?
        // The end of an operation is recorded even when new requests are refused without a record.
        do throws(ServiceError) {
            refused = try await audited.record(refusal: noted, context, RefusedSubject(plan: plan), leaving: next)
        } catch {
            noted = error
            isRecorded = false
        }
        let (refusal, mayMove) = (noted, isRecorded)
        let settings = (try? access.managedEnvironment(queued.environment))?.settings
        let directory = access.currentRules.directory
        var ended: Operation?
        let isStored = await registry.persistently("a refusal") { () async throws(ServiceError) in
            ended = try await self.write(queued, under: lease) { records -> Operation? in
                if var plan = records.plan(queued.planID), plan.operationID == queued.id {
                    plan.release()
                    let before = plan
                    if mayMove, next == .awaitingApproval {
                        let needed = settings.map { self.access.requirement(of: before, in: $0, at: now) }
                        plan.withdraw(at: now) { approval in
                            guard let settings, let needed else { return true }
                            // What is signed with a key that is gone is withdrawn by itself, with a record.
                            if directory.isKeyGone(of: approval) { return true }
                            return ApprovalCheck.stillCounts(
                                approval, for: before, needing: needed, in: settings, among: directory)
                        }
                    } else if mayMove {
                        _ = plan.move(to: next, at: now)
                    }
                    records.put(plan)
                }
                guard var operation = records.operation(queued.id) else { return nil }
                operation.note(refusal)
                guard operation.move(to: .failed, at: now) else { return nil }
                records.end(operation)
                return operation
            }
        }
        if isStored {
            audited.close(ticket)
        } else if isShared {
            if let refused {
                settle(ticket, refused.event, refused.head, of: queued.id)
            } else {
                audited.close(ticket)
            }
        }
        if let ended { ports.observed(.ended(ended)) }
    }

    /// Closes the record of an end under a lease that is lost, as soon as the store says whether the end is there: the last
    /// write may have been done without an answer. If it is not, another agent settles the operation.
    private func settle(_ ticket: UInt64, _ event: AuditEvent, _ head: AuditHead, of id: RecordID) {
        Task { [audited, ports] in
            while true {
                do throws(ServiceError) {
                    let stored = try await audited.read { $0.operation(id) }
                    let isStored = stored.map { $0.state.isEnded && !$0.isElsewhere(for: ports.agent) } ?? false
                    if isStored { audited.close(ticket) } else { await audited.close(ticket, void: event, head) }
                    return
                } catch {
                    try? await Task.sleep(for: .seconds(1))
                }
            }
        }
    }

    /// The state of a plan whose operation was refused with that code: still approved, if the plan is not at fault.
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
