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
        start(operation, ticket) { await self.run(operation, ticket, context) }
    }

    /// The same, for a body of the caller's.
    func start(
        _ operation: Operation, _ ticket: TargetLocks.Ticket, _ body: @escaping @Sendable () async -> Void
    ) -> Bool {
        runs.withLock { runs in
            guard !runs.draining else { return false }
            runs.tickets[operation.id] = ticket
            runs.tasks[operation.id] = Task {
                await body()
                self.runs.withLock { runs in
                    runs.tasks[operation.id] = nil
                    runs.tickets[operation.id] = nil
                    runs.stops[operation.id] = nil
                }
            }
            return true
        }
    }

    private func run(_ queued: Operation, _ ticket: TargetLocks.Ticket, _ context: Context) async {
        guard await targetLocks.wait(for: ticket) else { return }
        defer {
            targetLocks.leave(ticket)
            // Last: whoever hears of the end finds the locks free.
            hub.publish(queued.id)
        }
        do throws(ServiceError) {
            let ready = try await preflight(queued, hasWaited: ticket.ahead > 0)
            let operation = try await consume(ready, queued, context)
            await execute(ready, operation, context)
        } catch {
            await refuseQueued(queued, error, context)
        }
    }

    /// What was found right before the first call.
    private struct Ready {
        var plan: Plan
        var site: Site
        var preview: Preview
        var knownTasks: [UPID]
    }

    /// Looks once more at everything that may have changed since the plan was made or the operation was queued.
    private func preflight(
        _ operation: Operation, hasWaited: Bool
    ) async throws(ServiceError) -> Ready {
        // What was under way when the agent was told to stop is finished; what waited is not begun.
        if Task.isCancelled || (hasWaited && runs.withLock { $0.draining }) {
            throw ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: operation.planID)
        }
        guard let plan = try await read({ $0.plan(operation.planID) }), plan.operationID == operation.id,
            plan.state == .approved
        else { throw ServiceError(.planNotFound, "plan \(operation.planID) is gone", planID: operation.planID) }
        let site = try site(operation.environment)
        try checkRules(of: plan, at: site)
        let preview = try await look(again: plan, at: site)
        try Self.checkUnmoved(plan, plan.preview.observed.moved(to: preview.observed))
        try checkDecision(of: plan, at: site, preview.observed.tags, preview.checks)
        let known = try await tasks(like: plan.preview.calls.first, at: site, "before the call")
        // The world went on meanwhile.
        try checkRules(of: plan, at: site)
        return Ready(plan: plan, site: site, preview: preview, knownTasks: known)
    }

    /// Freeze, expiry, roles, approvals, identity and policy, as they are now.
    private func checkRules(of plan: Plan, at site: Site) throws(ServiceError) {
        try checkNotFrozen(plan.request.environment)
        guard !isPast(plan) else {
            throw ServiceError(.planExpired, "plan \(plan.id) expired while it waited; plan again", planID: plan.id)
        }
        let requester = inForce.directory.principal(of: plan.requester)
        guard requester?.may(.change, in: plan.request.environment) == true else {
            throw ServiceError(
                .forbidden,
                "\(plan.requester.actor), who asked for plan \(plan.id), may not change anything in "
                    + "\(plan.request.environment) any more", planID: plan.id)
        }
        guard plan.environmentIdentity == site.facts.identity else {
            throw ServiceError(
                .planStale, "environment \(site.facts.name) has another address, token or trust now; plan again",
                planID: plan.id)
        }
        try checkDecision(of: plan, at: site, plan.preview.observed.tags, [])
    }

    private func checkDecision(
        of plan: Plan, at site: Site, _ tags: Set<String>, _ checks: [Check]
    ) throws(ServiceError) {
        let decision = inForce.policy.evaluate(
            plan.request, by: plan.requester, in: site.facts, tags: tags, checks: checks)
        guard decision.allowed else { throw ServiceError(.policyDenied, decision.reason, planID: plan.id) }
        if let lack = lack(of: plan, decision, site.facts) { throw lack }
    }

    private static func checkUnmoved(_ plan: Plan, _ moved: [Moved]) throws(ServiceError) {
        guard !moved.isEmpty else { return }
        var error = ServiceError(
            .planStale,
            "\(plan.request.target) is not what was planned: "
                + moved.map { "\($0.field) was \($0.planned.shown) and is \($0.found.shown)" }
                .joined(separator: ", ") + ". Plan again.", planID: plan.id)
        error.moved = moved
        throw error
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
        _ ready: Ready, _ operation: Operation, _ context: Context
    ) async throws(ServiceError) -> Operation {
        let plan = ready.plan
        let intent = event(
            .applyIntent, context, environment: operation.environment, plan: plan.id, operation: operation.id,
            request: plan.request.json, decision: plan.decision.json,
            result: [
                "plan_hash": .string(plan.planHash), "calls": .array(plan.preview.calls.map(\.json)),
                "approvals": .array(
                    plan.approvals.map {
                        ["approver": .string($0.approver), "assurance": .string($0.assurance.rawValue)]
                    }),
            ])
        // The world goes on while the intent is written.
        let isOpen: @Sendable () -> Bool = { [self] in (try? checkRules(of: plan, at: ready.site)) != nil }
        ports.reached(.intentRecording)
        let started = try await commit(
            intent,
            recorded: {
                ports.reached(.intentRecorded)
                ports.reached(.consuming)
                return !Task.isCancelled
            }
        ) { [ports] records -> Operation? in
            let now = ports.now()
            guard isOpen(), var plan = records.plan(plan.id), var operation = records.operation(operation.id),
                plan.move(to: .applying, at: now), operation.move(to: .running, at: now)
            else { return nil }
            operation.knownTasks = ready.knownTasks
            records.put(plan)
            records.put(operation)
            return operation
        }
        guard let started else {
            try checkRules(of: plan, at: ready.site)
            throw ServiceError(.shuttingDown, "the agent is stopping; nothing was done", planID: plan.id)
        }
        ports.reached(.consumed)
        return started
    }

    /// Sends the calls, each at most once, and follows PVE's tasks to their ends.
    private func execute(_ ready: Ready, _ started: Operation, _ context: Context) async {
        var operation = started
        var digest = ready.preview.digest
        for (index, call) in ready.plan.preview.calls.enumerated() {
            do throws(ServiceError) {
                if index > 0 {
                    digest = try await relook(ready, after: index)
                    operation.knownTasks += try await tasks(like: call, at: ready.site, "before the next call")
                }
                operation.steps.append(Step(sentAt: ports.now()))
                ports.reached(.sending)
                try await store(operation)
            } catch {
                // Nothing of this call has left.
                operation.steps = Array(operation.steps.prefix(index))
                operation.note(error)
                return await finish(operation, .failed, context)
            }
            ports.reached(.sent)
            guard let state = await send(call.filled(digest: digest), &operation, ready) else { return }
            guard state == .succeeded || state == .succeededWithWarnings else {
                return await finish(operation, state, context)
            }
        }
        await finish(operation, operation.hasWarnings ? .succeededWithWarnings : .succeeded, context)
    }

    /// After `count` steps of our own: what the plan was made on must be the same but for what those steps move. Answers
    /// the digest as it is now.
    private func relook(_ ready: Ready, after count: Int) async throws(ServiceError) -> String? {
        let preview = try await look(again: ready.plan, at: ready.site)
        let own = Set(ready.plan.preview.calls.prefix(count).flatMap(\.moves))
        let moved = ready.preview.observed.moved(to: preview.observed).filter { !own.contains($0.field) }
        try Self.checkUnmoved(ready.plan, moved)
        return preview.digest
    }

    /// Sends one call and follows what it starts; `nil` when the agent stopped meanwhile, and the next start goes on.
    private func send(_ call: Call, _ operation: inout Operation, _ ready: Ready) async -> OperationState? {
        let redaction = Redaction(ready.plan.preview.calls)
        let last = operation.steps.count - 1
        do throws(HypervisorError) {
            switch try await ready.site.hypervisor.change(call) {
            case .done(let data):
                ports.reached(.answered)
                operation.data = Self.bounded(redaction(data))
                operation.steps[last].isDone = true
                guard await keep(operation) else { return nil }
                ports.reached(.answerStored)
                return .succeeded
            case .task(let upid):
                ports.reached(.answered)
                operation.steps[last].upid = upid
                guard await keep(operation) else { return nil }
                ports.reached(.answerStored)
                return await conclude(upid, &operation, ready.plan, at: ready.site)
            }
        } catch {
            // Whether it has arrived is for the next start to find out.
            if Task.isCancelled, error.mayHaveExecuted { return nil }
            operation.note(error, ready.site.facts.name, call, redaction)
            return error.mayHaveExecuted ? .unknown : .failed
        }
    }

    /// Follows an operation's task to its end and notes what came of it; `nil` when the agent stopped meanwhile.
    func conclude(_ upid: UPID, _ operation: inout Operation, _ plan: Plan, at site: Site) async -> OperationState? {
        guard let followed = await follow(upid, at: site), let end = await settle(followed, upid, plan, at: site) else {
            return nil
        }
        ports.reached(.taskEnded)
        let redaction = Redaction(plan.preview.calls)
        operation.message = redaction(String(end.message.prefix(4096)))
        operation.logTail = end.logTail.map { redaction($0) }
        if end.state == .succeededWithWarnings { operation.hasWarnings = true }
        if let last = operation.steps.indices.last, end.state == .succeeded || end.state == .succeededWithWarnings {
            operation.steps[last].isDone = true
        }
        return end.state
    }

    /// What PVE answered, unless it is too much to keep.
    private static func bounded(_ data: JSON) -> JSON {
        data.bytes.count <= 64 << 10 ? data : "more than is kept of an answer"
    }

    /// Stores what is known so far and tells who waits.
    private func store(_ operation: Operation) async throws(ServiceError) {
        try await write { records in
            var operation = operation
            operation.cancelRequestedBy = records.operation(operation.id)?.cancelRequestedBy
            records.put(operation)
        }
        hub.publish(operation.id)
    }

    /// The same, and keeps trying: what was sent must not be forgotten. False when the agent stopped before it worked.
    func keep(_ operation: Operation) async -> Bool {
        await persistently("an operation's task") { () async throws(ServiceError) in try await self.store(operation) }
    }

    /// Records and stores how an operation ended.
    func finish(_ ended: Operation, _ wanted: OperationState, _ context: Context) async {
        let now = ports.now()
        var operation = ended
        operation.cancelRequestedBy = runs.withLock { $0.stops[ended.id] } ?? ended.cancelRequestedBy
        let wasStopped = operation.cancelRequestedBy != nil && Self.isInterruption(operation.message)
        let state = wanted == .failed && wasStopped ? .cancelled : wanted
        guard operation.move(to: state, at: now) else { return }
        let final = operation
        let ticket = floor.open(behind: ports.audit.head)
        ports.reached(.outcomeRecording)
        let isRecorded = await persistently("an outcome") { () async throws(ServiceError) in
            try await self.record(
                self.event(
                    .apply, context, environment: final.environment, plan: final.planID, operation: final.id,
                    result: final.record))
        }
        guard isRecorded else { return }
        ports.reached(.outcomeRecorded)
        guard await store(endOf: final, at: now) else { return }
        floor.close(ticket)
        ports.reached(.outcomeStored)
    }

    /// Stores an operation that has ended, and what its end makes of its plan; keeps trying.
    func store(endOf final: Operation, at now: Date) async -> Bool {
        let isStored = await persistently("an outcome") { () async throws(ServiceError) in
            try await self.write { records in
                var final = final
                final.cancelRequestedBy = final.cancelRequestedBy ?? records.operation(final.id)?.cancelRequestedBy
                records.put(final)
                guard var plan = records.plan(final.planID), plan.operationID == final.id,
                    let next = final.state.planState
                else { return }
                // What was never begun leaves its plan as it was.
                if plan.state == .approved { plan.claim(by: nil) } else { _ = plan.move(to: next, at: now) }
                records.put(plan)
            }
        }
        if isStored { deadlines.forget(final.planID) }
        return isStored
    }

    /// PVE's words for a task that somebody stopped.
    private static func isInterruption(_ exit: String) -> Bool {
        exit.contains("interrupt") || exit == "unexpected status"
    }

    /// Tries until it works, and takes no new changes meanwhile; a cancelled task tries a last time and gives up. Answers
    /// whether it worked.
    private func persistently(_ what: String, _ body: () async throws(ServiceError) -> Void) async -> Bool {
        var isStuck = false
        defer { if isStuck { runs.withLock { $0.stuck -= 1 } } }
        while true {
            do throws(ServiceError) {
                try await body()
                return true
            } catch {
                if !isStuck { runs.withLock { $0.stuck += 1 } }
                isStuck = true
                ports.log.error("cannot write \(what); trying again", metadata: ["error": "\(error.detail)"])
            }
            do { try await Task.sleep(for: .seconds(1)) } catch { return false }
        }
    }

    /// Ends an operation that was turned away before its first call. Its plan goes where the refusal says, or, where that
    /// could not be recorded, is free to be applied again.
    func refuseQueued(_ queued: Operation, _ error: ServiceError, _ context: Context) async {
        let now = ports.now()
        let plan = (try? await read { $0.plan(queued.planID) }) ?? nil
        let ticket = floor.open(behind: ports.audit.head)
        var told = error
        told.operationID = queued.id
        let next = Self.planState(after: error.code)
        let refusal = await refuse(told, context, plan: plan, state: next)
        let facts = (try? site(queued.environment))?.facts
        let directory = inForce.directory
        let isStored = await persistently("a refusal") { () async throws(ServiceError) in
            try await self.write { records in
                if var plan = records.plan(queued.planID), plan.operationID == queued.id {
                    plan.claim(by: nil)
                    let before = plan
                    if refusal.isRecorded, next == .awaitingApproval {
                        plan.withdraw(at: now) { approval in
                            facts.map { ApprovalCheck.stillCounts(approval, for: before, in: $0, among: directory) }
                                ?? true
                        }
                    } else if refusal.isRecorded {
                        _ = plan.move(to: next, at: now)
                    }
                    records.put(plan)
                }
                guard var operation = records.operation(queued.id) else { return }
                operation.note(refusal)
                if operation.move(to: .failed, at: now) { records.put(operation) }
            }
        }
        if isStored { floor.close(ticket) }
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

extension Operation {
    mutating func note(
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

    mutating func note(_ error: ServiceError) {
        code = error.code.rawValue
        message = error.detail
        moved = error.moved
        upstream = error.upstream
    }

    /// What the audit log keeps of the end.
    var record: JSON {
        [
            "status": .string(state.rawValue), "message": .string(message), "code": code.map { .string($0) },
            "upid": upid.map { .string($0.description) }, "log_tail": logTail.isEmpty ? nil : JSON(logTail),
            "upstream": upstream?.json, "cancel_requested_by": cancelRequestedBy.map { .string($0) },
        ]
    }
}
