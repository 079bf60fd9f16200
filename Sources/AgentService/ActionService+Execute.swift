import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization

/// The calls of a change, its end, and how that is recorded and stored.
extension ActionService {
    /// Sends the calls, each at most once, and follows PVE's tasks to their ends.
    func execute(_ ready: Ready, _ started: Operation, _ context: Context) async {
        var operation = started
        var digest = ready.preview.digest
        for (index, call) in ready.plan.preview.calls.enumerated() {
            do throws(ServiceError) {
                if index > 0 {
                    digest = try await relook(ready, after: index)
                    operation.knownTasks += try await tasks(like: call, at: ready.managed, "before the next call")
                }
                try await overrule(by: operation)
                operation.steps.append(Step(sentAt: ports.now()))
                ports.reached(.sending)
                try await store(aboutToSend: operation)
            } catch {
                // Nothing of this call has left.
                operation.steps = Array(operation.steps.prefix(index))
                operation.note(error)
                return await finish(operation, .failed, of: ready.plan, context)
            }
            ports.reached(.sent)
            guard let state = await send(call.filled(digest: digest), &operation, ready) else { return }
            guard state == .succeeded || state == .succeededWithWarnings else {
                return await end(operation, state, of: ready.plan, at: ready.managed, context)
            }
        }
        await finish(
            operation, operation.hasWarnings ? .succeededWithWarnings : .succeeded, of: ready.plan, context)
    }

    /// After `count` steps of our own: what the plan was made on must be the same but for what those steps move. Answers
    /// the digest as it is now.
    private func relook(_ ready: Ready, after count: Int) async throws(ServiceError) -> String? {
        let preview = try await look(again: ready.plan, at: ready.managed)
        let own = Set(ready.plan.preview.calls.prefix(count).flatMap(\.expectedDrift))
        let moved = ready.preview.observed.moved(to: preview.observed).filter { !own.contains($0.field) }
        try Self.checkUnmoved(ready.plan, moved)
        try approvals.checkDecision(of: ready.plan, at: ready.managed, preview.reach, [])
        return preview.digest
    }

    /// Sends one call and follows what it starts; `nil` when the agent stopped meanwhile, and the next start goes on.
    private func send(_ call: Call, _ operation: inout Operation, _ ready: Ready) async -> OperationState? {
        let redaction = Redaction(ready.plan.preview.calls)
        let last = operation.steps.count - 1
        do throws(HypervisorError) {
            switch try await pass(call, of: operation, at: ready.managed) {
            case .done(let data):
                ports.reached(.answered)
                operation.data = Self.bounded(redaction(data))
                if ready.plan.request.definition.answer == .process {
                    guard await keep(operation) else { return nil }
                    ports.reached(.answerStored)
                    return await followCommand(&operation, ready.plan, at: ready.managed)
                }
                if let flaw = ready.managed.planning.flaw(in: redaction(data), of: ready.plan.request) {
                    operation.message = flaw.message
                    operation.hasWarnings = true
                    if flaw.isTotal {
                        operation.steps[last].state = .failed
                        return .failed
                    }
                }
                if case .asked(let asked) = ready.plan.request.definition.answer {
                    let done = TaskEnd(exit: .ok, message: "OK")
                    guard let end = await settle(done, asked, ready.plan, at: ready.managed) else { return nil }
                    operation.message = end.message
                    if end.state != .succeeded { return end.state }
                }
                operation.steps[last].state = .done
                guard await keep(operation) else { return nil }
                ports.reached(.answerStored)
                return .succeeded
            case .task(let upid):
                ports.reached(.answered)
                operation.steps[last].upid = upid
                guard await keep(operation) else { return nil }
                ports.reached(.answerStored)
                return await conclude(upid, &operation, ready.plan, at: ready.managed)
            }
        } catch {
            // Whether it has arrived is for the next start to find out.
            if Task.isCancelled, error.mayHaveExecuted { return nil }
            operation.note(error, ready.managed.settings.name, call, redaction)
            if error == .withheld {
                operation.steps.removeLast()
            } else {
                operation.steps[last].state = error.stepState
            }
            guard error.mayHaveExecuted else {
                await forgetOverruling(by: operation.id)
                return .failed
            }
            return await findLost(call, &operation, ready.plan, at: ready.managed)
        }
    }

    /// Sends the call unless changes are frozen by the time that the way to PVE is open.
    private func pass(
        _ call: Call, of operation: Operation, at managed: ManagedEnvironment
    ) async throws(HypervisorError) -> Accepted {
        let (id, environment) = (operation.id, operation.environment)
        defer { freezes.leave(id) }
        return try await managed.hypervisor.change(call) { [self] in
            freezes.pass(id, in: environment)
        }
    }

    /// What PVE answered, unless it is too much to keep.
    private static func bounded(_ data: JSON) -> JSON {
        data.bytes.count <= 64 << 10 ? data : "more than is kept of an answer"
    }

    /// Stores what is known so far and tells who waits.
    private func store(_ operation: Operation) async throws(ServiceError) {
        try await audited.write { $0.put(operation.keepingCancel(of: $0.operation(operation.id))) }
        hub.publish(operation.id)
    }

    /// The same, before its last step leaves; not where a freeze is stored by then.
    private func store(aboutToSend operation: Operation) async throws(ServiceError) {
        let freeze = try await audited.write { records -> Freeze? in
            if let found = self.freezes.freeze(covering: operation.environment, in: records) { return found }
            records.put(operation.keepingCancel(of: records.operation(operation.id)))
            return nil
        }
        if let freeze { throw FreezeService.frozen(freeze) }
        hub.publish(operation.id)
    }

    /// The same, and keeps trying: what was sent must not be forgotten. False when the agent stopped before it worked.
    func keep(_ operation: Operation) async -> Bool {
        await persistently("an operation's task") { () async throws(ServiceError) in try await self.store(operation) }
    }

    /// Records and stores how an operation ended.
    ///
    /// With its plan an operation that failed with a part of it carried out says what stays.
    func finish(_ ended: Operation, _ wanted: OperationState, of plan: Plan?, _ context: Context) async {
        let now = ports.now()
        var operation = ended
        operation.cancelRequestedBy = runs.withLock { $0.stops[ended.id] } ?? ended.cancelRequestedBy
        let wasStopped =
            operation.cancelRequestedBy != nil
            && (try? access.managedEnvironment(ended.environment))?.planning.isInterruption(operation.message) == true
        let state = wanted == .failed && wasStopped ? .cancelled : wanted
        if state == .cancelled, let other = runs.withLock({ $0.overruled[ended.id] }) {
            operation.message += "; ended by operation \(other), which overrules it"
        }
        if let plan, state == .failed || state == .cancelled { operation.notePartlyDone(plan) }
        guard operation.move(to: state, at: now) else { return }
        let final = operation
        let ticket = audited.open()
        ports.reached(.outcomeRecording)
        let isRecorded = await persistently("an outcome") { () async throws(ServiceError) in
            try await self.audited.record(
                AuditEvent(
                    .apply, context, environment: final.environment, plan: final.planID, operation: final.id,
                    result: final.record))
        }
        guard isRecorded else { return }
        ports.reached(.outcomeRecorded)
        guard await store(endOf: final, at: now) else { return }
        audited.close(ticket)
        ports.reached(.outcomeStored)
        lookLater(for: final)
    }

    /// Stores an operation that has ended, and what its end makes of its plan; keeps trying.
    func store(endOf final: Operation, at now: Date) async -> Bool {
        let isStored = await persistently("an outcome") { () async throws(ServiceError) in
            try await self.audited.write { records in
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
        if isStored { workflow.deadlines.forget(final.planID) }
        return isStored
    }

    /// Tries once a second until it works, and takes no new changes meanwhile; a cancelled task gives up once it has tried.
    /// Answers whether it worked.
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
        let plan = (try? await audited.read { $0.plan(queued.planID) }) ?? nil
        let ticket = audited.open()
        var told = error
        told.operationID = queued.id
        // How an operation ends is recorded, also where new requests are turned away without a record.
        told.isRecorded = false
        let next = Self.planState(after: error.code)
        let refusal = await audited.refuse(told, context, plan: plan, state: next)
        let settings = (try? access.managedEnvironment(queued.environment))?.settings
        let directory = access.currentRules.directory
        let isStored = await persistently("a refusal") { () async throws(ServiceError) in
            try await self.audited.write { records in
                if var plan = records.plan(queued.planID), plan.operationID == queued.id {
                    plan.claim(by: nil)
                    let before = plan
                    if refusal.isRecorded, next == .awaitingApproval {
                        plan.withdraw(at: now) { approval in
                            settings.map { ApprovalCheck.stillCounts(approval, for: before, in: $0, among: directory) }
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
