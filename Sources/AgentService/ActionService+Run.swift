import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization

/// Carries operations out, apart from the requests that asked for them.
extension ActionService {
    /// Sets an operation going; it runs to its end whether anybody waits or not. False when the agent is stopping.
    func start(_ operation: Operation, _ ticket: TargetLocks.Ticket, _ context: Context) -> Bool {
        runs.withLock { runs in
            guard !runs.draining else { return false }
            runs.tickets[operation.id] = ticket
            runs.tasks[operation.id] = Task {
                await self.run(operation, ticket, context)
                self.runs.withLock { runs in
                    runs.tasks[operation.id] = nil
                    runs.tickets[operation.id] = nil
                }
            }
            return true
        }
    }

    private func run(_ queued: Operation, _ ticket: TargetLocks.Ticket, _ context: Context) async {
        guard await targetLocks.wait(for: ticket) else { return }
        defer { targetLocks.leave(ticket) }
        var operation = queued
        do throws(ServiceError) {
            let (plan, digest) = try await preflight(operation, hasWaited: ticket.ahead > 0)
            operation = try await consume(plan, operation, context)
            await execute(plan, operation, digest, context)
        } catch {
            await refuseQueued(operation, error, context)
        }
    }

    /// Looks once more at everything that may have changed since the plan was made or the operation was queued.
    private func preflight(
        _ operation: Operation, hasWaited: Bool
    ) async throws(ServiceError) -> (plan: Plan, digest: String?) {
        // What was under way when the agent was told to stop is finished; what waited is not begun.
        if Task.isCancelled || (hasWaited && runs.withLock { $0.draining }) {
            throw ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: operation.planID)
        }
        guard let plan = try await read({ $0.plan(operation.planID) }), plan.operationID == operation.id,
            plan.state == .approved
        else { throw ServiceError(.planNotFound, "plan \(operation.planID) is gone", planID: operation.planID) }
        let site = try site(operation.environment)
        guard plan.expiresAt > ports.now() else {
            throw ServiceError(.planExpired, "plan \(plan.id) expired while it waited; plan again", planID: plan.id)
        }
        guard plan.environmentIdentity == site.facts.identity else {
            throw ServiceError(.planStale, "environment \(site.facts.name) is another one now", planID: plan.id)
        }
        let preview = try await look(again: plan, at: site)
        let moved = plan.preview.observed.moved(to: preview.observed)
        guard moved.isEmpty else {
            var error = ServiceError(
                .planStale,
                "\(plan.request.target) is not what was planned: "
                    + moved.map { "\($0.field) was \($0.planned.shown) and is \($0.found.shown)" }
                    .joined(separator: ", ") + ". Plan again.", planID: plan.id)
            error.moved = moved
            throw error
        }
        let decision = inForce.policy.evaluate(
            plan.request, by: plan.requester, in: site.facts, tags: preview.observed.tags, checks: preview.checks)
        guard decision.allowed else { throw ServiceError(.policyDenied, decision.reason, planID: plan.id) }
        guard
            plan.approvals.count
                >= inForce.policy.requirement(of: decision, in: site.facts, among: inForce.directory).approvals
        else {
            throw ServiceError(
                .approvalRequired,
                "plan \(plan.id) has \(plan.approvals.count) approvals, which is not enough any more",
                planID: plan.id)
        }
        return (plan, preview.digest)
    }

    /// Everything that planning looked at, as it is now.
    private func look(again plan: Plan, at site: Site) async throws(ServiceError) -> Preview {
        do throws(HypervisorError) {
            return try await Observer(site: site).preview(of: plan.request)
        } catch {
            throw ServiceError(error, site.facts.name, during: "looking at \(plan.request.target) again")
        }
    }

    /// Records the intent durably, then consumes the plan. From here on the outcome is recorded, whatever happens.
    private func consume(
        _ plan: Plan, _ operation: Operation, _ context: Context
    ) async throws(ServiceError) -> Operation {
        try await record(
            event(
                .applyIntent, context, environment: operation.environment, plan: plan.id, operation: operation.id,
                request: plan.request.json, decision: plan.decision.json,
                result: [
                    "plan_hash": .string(plan.planHash), "calls": .array(plan.preview.calls.map(\.json)),
                    "approvals": .array(
                        plan.approvals.map {
                            ["approver": .string($0.approver), "assurance": .string($0.assurance.rawValue)]
                        }),
                ]))
        // The world went on while the intent was written: a plan out of time is not sent any more.
        let now = ports.now()
        let isOpen = !Task.isCancelled
        do throws(ServiceError) {
            let started = try await write { records -> Operation? in
                guard isOpen, var plan = records.plan(plan.id), var operation = records.operation(operation.id),
                    plan.expiresAt > now, plan.move(to: .applying, at: now), operation.move(to: .running, at: now)
                else { return nil }
                records.put(plan)
                records.put(operation)
                return operation
            }
            if let started { return started }
            throw isOpen
                ? ServiceError(.planExpired, "plan \(plan.id) expired before it was sent; plan again", planID: plan.id)
                : ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: plan.id)
        } catch {
            try await record(
                event(
                    .void, context, environment: operation.environment, plan: plan.id, operation: operation.id,
                    result: ["status": "not_executed", "code": .string(error.code.rawValue)]))
            throw error
        }
    }

    /// Sends the calls, each at most once, and follows PVE's task to its end.
    private func execute(
        _ plan: Plan, _ started: Operation, _ digest: String?, _ context: Context
    ) async {
        var operation = started
        var state = OperationState.succeeded
        let redaction = Redaction(plan.preview.calls)
        guard let site = try? site(operation.environment) else { return }
        for call in plan.preview.calls {
            do throws(HypervisorError) {
                switch try await site.hypervisor.change(call.filled(digest: digest)) {
                case .done(let data): operation.data = Self.bounded(redaction(data))
                case .task(let upid):
                    operation.steps = [Step(sentAt: ports.now(), upid: upid)]
                    await keep(operation)
                    let end = await settle(await follow(upid, at: site), upid, plan, at: site)
                    operation.message = redaction(String(end.message.prefix(4096)))
                    operation.logTail = end.logTail.map { redaction($0) }
                    if end.state != .succeeded { state = end.state }
                }
            } catch {
                operation.note(error, site.facts.name, call, redaction)
                state = error.mayHaveExecuted ? .unknown : .failed
            }
            guard state == .succeeded || state == .succeededWithWarnings else { break }
        }
        await finish(operation, state, context)
    }

    /// What PVE answered, unless it is too much to keep.
    private static func bounded(_ data: JSON) -> JSON {
        data.bytes.count <= 64 << 10 ? data : "more than is kept of an answer"
    }

    /// Stores what is known so far and tells who waits; keeps trying, for what was sent must not be forgotten.
    private func keep(_ operation: Operation) async {
        await persistently("an operation's task") { () async throws(ServiceError) in
            try await self.write { records in
                var operation = operation
                operation.cancelRequestedBy = records.operation(operation.id)?.cancelRequestedBy
                records.put(operation)
            }
        }
        hub.publish(operation.id)
    }

    /// Records and stores how an operation ended.
    private func finish(_ ended: Operation, _ wanted: OperationState, _ context: Context) async {
        let now = ports.now()
        var operation = ended
        operation.cancelRequestedBy = (try? await read { $0.operation(ended.id)?.cancelRequestedBy }) ?? nil
        let wasStopped = operation.cancelRequestedBy != nil && Self.isInterruption(operation.message)
        let state = wanted == .failed && wasStopped ? .cancelled : wanted
        guard operation.move(to: state, at: now) else { return }
        let final = operation
        await persistently("an outcome") { () async throws(ServiceError) in
            try await self.record(
                self.event(
                    .apply, context, environment: final.environment, plan: final.planID, operation: final.id,
                    result: final.record))
        }
        await persistently("an outcome") { () async throws(ServiceError) in
            try await self.write { records in
                records.put(final)
                guard var plan = records.plan(final.planID), let next = final.state.planState else { return }
                if plan.move(to: next, at: now) { records.put(plan) }
            }
        }
        hub.publish(final.id)
    }

    /// PVE's words for a task that somebody stopped.
    private static func isInterruption(_ exit: String) -> Bool {
        exit.contains("interrupt") || exit == "unexpected status"
    }

    /// Tries until it works, and takes no new changes meanwhile; a cancelled task tries a last time and gives up.
    private func persistently(_ what: String, _ body: () async throws(ServiceError) -> Void) async {
        var isStuck = false
        defer { if isStuck { runs.withLock { $0.stuck -= 1 } } }
        while true {
            do throws(ServiceError) { return try await body() } catch {
                if !isStuck { runs.withLock { $0.stuck += 1 } }
                isStuck = true
                ports.log.error("cannot write \(what); trying again", metadata: ["error": "\(error.detail)"])
            }
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
    }

    /// Ends an operation that was turned away before its first call; its plan goes where the refusal says.
    func refuseQueued(_ queued: Operation, _ error: ServiceError, _ context: Context) async {
        let now = ports.now()
        _ = await refuse(error, context, plan: try? await write { $0.plan(queued.planID) } ?? nil)
        let next: PlanState? =
            switch error.code {
            case .planStale: .stale
            case .planExpired: .expired
            case .policyDenied: .denied
            case .approvalRequired: .awaitingApproval
            default: nil
            }
        await persistently("a refusal") { () async throws(ServiceError) in
            try await self.write { records in
                if var plan = records.plan(queued.planID), plan.operationID == queued.id {
                    plan.claim(by: nil)
                    if let next { _ = plan.move(to: next, at: now) }
                    records.put(plan)
                }
                guard var operation = records.operation(queued.id) else { return }
                operation.note(error)
                if operation.move(to: .failed, at: now) { records.put(operation) }
            }
        }
        hub.publish(queued.id)
    }
}

extension Operation {
    fileprivate mutating func note(
        _ error: HypervisorError, _ environment: EnvironmentName, _ call: Call, _ redaction: Redaction
    ) {
        note(ServiceError(error, environment, during: "\(call.method.rawValue) \(call.shownPath)"))
        message = redaction(message)
        upstream = upstream.map { upstream in
            Upstream(
                status: upstream.status, reason: redaction(upstream.reason),
                errors: upstream.errors.mapValues { redaction($0) })
        }
        if error.mayHaveExecuted { message += "; whether it was carried out is unknown, and it is not sent again" }
    }

    fileprivate mutating func note(_ error: ServiceError) {
        code = error.code.rawValue
        message = error.detail
        moved = error.moved
        upstream = error.upstream
    }

    /// What the audit log keeps of the end.
    fileprivate var record: JSON {
        [
            "status": .string(state.rawValue), "message": .string(message), "code": code.map { .string($0) },
            "upid": upid.map { .string($0.description) }, "log_tail": logTail.isEmpty ? nil : JSON(logTail),
            "upstream": upstream?.json, "cancel_requested_by": cancelRequestedBy.map { .string($0) },
        ]
    }
}
