import AgentAudit
package import AgentModel
import FoundationEssentials
import Logging
import StrictJSON

/// Shows operations, cancels them, and settles unknown outcomes by hand.
package final class OperationService: Sendable {
    private let audited: AuditedStore
    private let access: AccessControl
    private let workflow: PlanWorkflow
    private let registry: OperationRegistry
    private let outcomes: OutcomeRecorder
    private let ports: Ports

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ workflow: PlanWorkflow, _ registry: OperationRegistry,
        _ outcomes: OutcomeRecorder
    ) {
        (self.audited, self.access, self.workflow) = (audited, access, workflow)
        (self.registry, self.outcomes, ports) = (registry, outcomes, audited.ports)
    }

    /// The operations that the caller may see and that match `filter`, newest first, up to a page's size.
    package func list(
        _ filter: OperationFilter, _ context: Context
    ) async throws(ServiceError) -> StoredPage<Operation> {
        var filter = filter
        filter.environments = access.narrowed(filter.environments, to: .view, context)
        let bounded = filter
        var page = try await audited.read { $0.summaries(bounded, bytes: ControlPlane.pageBytes) }
        page.rows = page.rows.map(registry.placed)
        return page
    }

    /// One operation by its id, if the caller may see it; waits at most `wait` for its end.
    package func operation(
        _ id: RecordID, _ context: Context, wait: Duration? = nil
    ) async throws(ServiceError) -> Operation {
        let found = try await load(operation: id)
        guard context.principal.may(.view, in: found.environment) else { throw Self.noOperation(id) }
        return wait == nil ? found : try await operation(id, wait: wait)
    }

    /// One operation by its id; waits at most `wait` for its end.
    func operation(_ id: RecordID, wait: Duration? = nil) async throws(ServiceError) -> Operation {
        let deadline = ContinuousClock.now + (wait ?? .zero)
        while true {
            let version = registry.hub.version
            let operation = try await load(operation: id)
            if operation.state.isEnded {
                // Its locks are free then, so that the caller can go on with its guest.
                await registry.end(of: id)
                return operation
            }
            let left = deadline - .now
            if left <= .zero || Task.isCancelled { return operation }
            await registry.hub.wait(for: id, after: version, atMost: left)
        }
    }

    /// One operation, with its current place in the queue.
    private func load(operation id: RecordID) async throws(ServiceError) -> Operation {
        guard let operation = try await audited.read({ $0.operation(id) }) else { throw Self.noOperation(id) }
        return registry.placed(operation)
    }

    private static func noOperation(_ id: RecordID) -> ServiceError {
        ServiceError(.operationNotFound, "there is no operation \(id)")
    }

    /// A page of PVE's log of the operation's task.
    package func log(
        of id: RecordID, from start: Int, limit: Int, _ context: Context
    ) async throws(ServiceError) -> (lines: [String], total: Int) {
        let operation = try await operation(id, context)
        guard let upid = operation.upid else { return ([], 0) }
        let managed = try access.managedEnvironment(operation.environment)
        try await managed.enter(context.caller)
        defer { managed.leave(context.caller) }
        let redaction: Redaction
        switch try await TaskTexts(audited: audited).secrets(of: upid, in: operation) {
        case .known(let known): redaction = known
        case .erased(let lines, _): return (Array(lines.dropFirst(start).prefix(limit)), lines.count)
        }
        do throws(HypervisorError) {
            let page = try await managed.hypervisor.log(of: upid, from: start, limit: limit)
            var used = 0
            let lines = page.lines.map { redaction($0) }.prefix { line in
                used += JSON.string(line).bytes.count + 1
                return used <= ControlPlane.pageBytes
            }
            return (Array(lines), page.total)
        } catch {
            throw ServiceError(error, operation.environment, during: "GET the log of \(upid)")
        }
    }

    /// Cancels a queued operation, or asks PVE to stop a running one's task.
    package func cancel(_ id: RecordID, _ context: Context) async throws(ServiceError) -> Operation {
        try await audited.recordingRefusals(of: context) { (subject: inout RefusedSubject) async throws(ServiceError) in
            let operation = try await operation(id, context)
            subject.plan = try await audited.read { $0.plan(operation.planID) }
            try workflow.checkMayCancel(
                operation.requester, in: operation.environment, context, planID: operation.planID)
            try registry.checkOpen()
            switch operation.state {
            case .queued: return try await cancelQueued(operation, context)
            case .running:
                guard let upid = operation.upid else {
                    throw notCancellable(operation, "PVE has not accepted it yet; try again in a moment")
                }
                return try await stop(operation, upid, context)
            case .succeeded, .succeededWithWarnings, .failed, .cancelled, .unknown:
                throw notCancellable(operation, "it has ended: \(operation.state.rawValue)")
            }
        }
    }

    private func notCancellable(_ operation: Operation, _ why: String) -> ServiceError {
        var error = ServiceError(.notCancellable, "operation \(operation.id) cannot be cancelled: \(why)")
        error.operationID = operation.id
        return error
    }

    private func cancelQueued(_ operation: Operation, _ context: Context) async throws(ServiceError) -> Operation {
        let (ticket, lease) = (registry.ticket(of: operation.id), registry.lease(of: operation.id))
        let aboutToStart = notCancellable(operation, "it is about to start; try again in a moment")
        guard ticket.map({ $0.ahead > 0 }) ?? (ports.leases != nil) else { throw aboutToStart }
        let cancel = AuditEvent(
            .cancel, context, environment: operation.environment, plan: operation.planID,
            operation: operation.id, result: AuditEvent.cancelled)
        let now = ports.now()
        let actor = context.caller.actor
        // Record first: if the log fails later, an operation that has left the queue cannot go back.
        var hasLeft = false
        do throws(ServiceError) {
            let cancelled = try await audited.commit(
                cancel,
                recorded: {
                    // Of an operation that another agent begins, the store knows whether it has begun.
                    guard let ticket else { return true }
                    hasLeft = registry.locks.withdraw(ticket)
                    return hasLeft
                }
            ) { records -> Operation? in
                // Another agent may have begun it.
                guard var operation = records.operation(operation.id), operation.state == .queued,
                    operation.move(to: .cancelled, at: now)
                else { return nil }
                operation.cancelRequestedBy = actor
                operation.message = "cancelled while it waited; nothing was done"
                records.end(operation)
                if var plan = records.plan(operation.planID), plan.move(to: .cancelled, at: now) { records.put(plan) }
                return operation
            }
            guard let cancelled else { throw aboutToStart }
            workflow.deadlines.forget(operation.planID)
            ports.observed(.ended(cancelled))
            registry.hub.publish(operation.id)
            return cancelled
        } catch {
            // It has lost its place: end it and free its plan, even if the caller has gone.
            if hasLeft {
                await Task { await outcomes.refuseQueued(operation, error, context, under: lease) }.value
                registry.hub.publish(operation.id)
            }
            throw error
        }
    }

    private func stop(_ operation: Operation, _ upid: UPID, _ context: Context) async throws(ServiceError) -> Operation
    {
        // Another agent carries it out, and sends the stop.
        let isElsewhere = ports.leases != nil && registry.lease(of: operation.id) == nil
        let ask = AuditEvent(
            .cancel, context, environment: operation.environment, plan: operation.planID,
            operation: operation.id, result: AuditEvent.asked(toStop: upid))
        let actor = context.caller.actor
        let lease = registry.lease(of: operation.id)
        let asked = try await audited.commit(ask) { records -> Operation? in
            guard var operation = records.operation(operation.id), operation.state == .running else { return nil }
            operation.cancelRequestedBy = actor
            operation.isStopAsked = isElsewhere || !(lease.map { records.holds($0) } ?? true)
            records.put(operation)
            return operation
        }
        guard let asked else { throw notCancellable(operation, "it has ended meanwhile") }
        if !asked.isStopAsked { try await send(stop: asked, of: upid, by: actor) }
        return asked
    }

    /// Sends the stop of an operation under the lease that another agent has asked for.
    func sendStop(of id: RecordID, under lease: Lease) async throws(ServiceError) {
        let wanted = try await audited.write { records -> Operation? in
            guard records.holds(lease), var operation = records.operation(id), operation.isStopAsked else { return nil }
            operation.isStopAsked = false
            records.put(operation)
            return operation.state == .running ? operation : nil
        }
        guard let wanted, let upid = wanted.upid, let actor = wanted.cancelRequestedBy else { return }
        do throws(ServiceError) { try await send(stop: wanted, of: upid, by: actor) } catch {
            ports.log.warning(
                "PVE was not asked to stop a task",
                metadata: ["operation_id": "\(id)", "detail": "\(error.detail)"])
        }
    }

    private func send(stop asked: Operation, of upid: UPID, by actor: String) async throws(ServiceError) {
        let (lease, leases) = (registry.lease(of: asked.id), outcomes.leases)
        registry.noteStop(of: asked.id, by: actor)
        let hypervisor = try access.managedEnvironment(asked.environment).hypervisor
        // Send the stop even if the caller has gone: it is recorded already.
        let answer = await Task { () async -> Result<Void, HypervisorError> in
            do throws(HypervisorError) {
                return .success(try await hypervisor.stop(upid, passing: { lease.map(leases.proves) ?? true }))
            } catch {
                return .failure(error)
            }
        }.value
        do throws(HypervisorError) { try answer.get() } catch {
            if !error.mayHaveExecuted { try await outcomes.forgetCancel(of: asked.id) }
            var refusal = ServiceError(error, asked.environment, during: "DELETE of task \(upid)")
            if case .withheld = error {
                refusal = ServiceError(
                    .storeUnavailable,
                    "the database did not confirm in time that this agent leads in \(asked.environment); ask again")
            }
            refusal.operationID = asked.id
            throw refusal
        }
    }

    /// Settles by hand an operation that ended as `unknown`.
    package func resolve(
        _ id: RecordID, succeeded: Bool, reason: String, _ context: Context
    ) async throws(ServiceError) -> Operation {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            let found = try await operation(id, context)
            try access.check(.approve, in: found.environment, context)
            return try await workflow.withPlan(found.planID) { () async throws(ServiceError) in
                let operation = try await operation(id)
                guard operation.state == .unknown else {
                    var error = ServiceError(
                        .invalidRequest,
                        "only an operation with an unknown outcome can be resolved; operation \(id) is "
                            + operation.state.rawValue)
                    error.operationID = id
                    throw error
                }
                let outcome: OperationState = succeeded ? .succeeded : .failed
                let resolve = AuditEvent(
                    .resolve, context, environment: operation.environment, plan: operation.planID, operation: id,
                    result: AuditEvent.settled(as: outcome, reason))
                let now = ports.now()
                let resolved = try await audited.commit(resolve) { records -> Operation? in
                    guard var operation = records.operation(id), operation.move(to: outcome, at: now) else {
                        return nil
                    }
                    operation.message += "; settled by \(context.caller.actor): \(reason)"
                    operation.code = nil
                    records.put(operation)
                    if var plan = records.plan(operation.planID), let next = outcome.planState,
                        plan.move(to: next, at: now)
                    {
                        records.put(plan)
                    }
                    return operation
                }
                return resolved ?? operation
            }
        }
    }
}
