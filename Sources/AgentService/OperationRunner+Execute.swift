import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization

/// Sends the calls of a change, and records and stores its end.
extension OperationRunner {
    /// Sends the calls, each at most once, and follows PVE's tasks to their end.
    func execute(_ ready: Ready, _ started: Operation, _ context: Context) async {
        var operation = started
        var digest = ready.preview.digest
        for (index, call) in ready.plan.preview.calls.enumerated() {
            do throws(ServiceError) {
                if index > 0 {
                    digest = try await lookAgainBetweenCalls(ready, after: index)
                    operation.knownTasks += try await lost.tasks(like: call, at: ready.managed, "before the next call")
                }
                try await overrule(by: operation)
                operation.steps.append(Step(sentAt: ports.now()))
                ports.reached(.sending)
                try await outcomes.store(aboutToSend: operation)
            } catch {
                // Nothing of this call was sent.
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

    /// Checks, after `count` steps of our own, that only what those steps change has moved since the plan was made.
    /// Returns the current digest.
    private func lookAgainBetweenCalls(_ ready: Ready, after count: Int) async throws(ServiceError) -> String? {
        let preview = try await freshPreview(of: ready.plan, at: ready.managed)
        let own = Set(ready.plan.preview.calls.prefix(count).flatMap(\.expectedDrift))
        let moved = ready.preview.observed.moved(to: preview.observed).filter { !own.contains($0.field) }
        try Self.checkUnmoved(ready.plan, moved)
        try approvals.checkDecision(
            of: ready.plan, at: ready.managed, preview.reach, ready.plan.preview.checks, isBegun: true)
        return preview.digest
    }

    /// Sends one call and follows what it starts; `nil` if the agent stopped meanwhile, and the next start resumes it.
    private func send(_ call: Call, _ operation: inout Operation, _ ready: Ready) async -> OperationState? {
        let redaction = Redaction(ready.plan.preview.calls)
        let last = operation.steps.count - 1
        do throws(HypervisorError) {
            switch try await sendThroughGate(call, of: operation, at: ready.managed) {
            case .done(let data):
                ports.reached(.answered)
                operation.data = Self.bounded(redaction(data))
                if ready.plan.request.definition.answer == .process {
                    guard await outcomes.keep(operation) else { return nil }
                    ports.reached(.answerStored)
                    return await follower.followCommand(&operation, ready.plan, at: ready.managed)
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
                    guard let end = await follower.settle(done, asked, ready.plan, at: ready.managed) else {
                        return nil
                    }
                    operation.message = end.message
                    if end.state != .succeeded { return end.state }
                }
                operation.steps[last].state = .done
                guard await outcomes.keep(operation) else { return nil }
                ports.reached(.answerStored)
                return .succeeded
            case .task(let upid):
                ports.reached(.answered)
                operation.steps[last].upid = upid
                guard await outcomes.keep(operation) else { return nil }
                ports.reached(.answerStored)
                return await follower.conclude(upid, &operation, ready.plan, at: ready.managed)
            }
        } catch {
            // The next start finds out whether it has arrived.
            if Task.isCancelled, error.mayHaveExecuted { return nil }
            operation.note(error, ready.managed.settings.name, call, redaction)
            if error == .withheld {
                operation.steps.removeLast()
                // Then it was no freeze.
                if (try? freezes.checkNotFrozen(operation.environment, passing: operation.breakGlass)) != nil {
                    operation.note(
                        ServiceError(
                            .storeUnavailable,
                            "\(operation.environment): the database did not confirm in time that this agent leads "
                                + "there; nothing of \(call.method.rawValue) \(call.shownPath) was sent"))
                }
            } else {
                operation.steps[last].state = error.stepState
            }
            guard error.mayHaveExecuted else {
                await forgetOverruling(by: operation.id)
                return .failed
            }
            return await lost.findLost(call, &operation, ready.plan, at: ready.managed)
        }
    }

    /// Sends the call, unless changes are frozen, or the lease cannot be proven, once the connection to PVE is open.
    private func sendThroughGate(
        _ call: Call, of operation: Operation, at managed: ManagedEnvironment
    ) async throws(HypervisorError) -> Accepted {
        defer { freezes.leave(operation.id) }
        let lease = registry.lease(of: operation.id)
        return try await managed.hypervisor.change(call) { [self] in
            guard freezes.passGate(operation, proving: { lease.map(leases.proves) ?? false }) else { return false }
            ports.reached(.gatePassed)
            return true
        }
    }

    /// PVE's answer, or a note in its place if it is too large to keep.
    private static func bounded(_ data: JSON) -> JSON {
        data.bytes.count <= 64 << 10 ? data : "more than is kept of an answer"
    }

    // MARK: The end

    /// Ends an operation whose last call did not succeed, with what PVE shows of that call.
    func end(
        _ stopped: Operation, _ state: OperationState, of plan: Plan, at managed: ManagedEnvironment, _ context: Context
    ) async {
        var operation = stopped
        let isSettled = operation.partial != nil || operation.code == Operation.commandFailed
        let isOverruled = registry.overruler(of: stopped.id) != nil
        if state == .failed, operation.steps.last?.state == .failed, !isSettled, !isOverruled {
            switch await managed.planning.aftermath(
                of: operation, plan, watching: access.currentRules.policy.namedGuests)
            {
            case .unchanged:
                operation.message += Operation.lookedAgain + "nothing was changed by this call"
            case .left(let left, _, let undo): operation.notePartlyDone(plan, left: left, undo: undo)
            case .unseen(let why):
                operation.message += Operation.lookedAgain + "whether part of it remains could not be read: \(why)"
            }
        }
        await finish(operation, state, of: plan, context)
    }

    /// Records and stores how an operation ended. If its outcome is unknown, keeps looking for it for a while.
    func finish(_ ended: Operation, _ state: OperationState, of plan: Plan?, _ context: Context) async {
        guard let final = await outcomes.finish(ended, state, of: plan, context) else { return }
        lost.lookLater(for: final)
    }
}
