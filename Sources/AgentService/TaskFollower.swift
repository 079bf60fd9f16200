import AgentModel
import AgentPolicy
import Logging
import StrictJSON

/// How a followed task ended.
struct TaskEnd: Sendable {
    var exit: TaskExit?
    var logTail: [String] = []
    var message: String

    /// The operation's state after that end; unknown without an exit.
    var state: OperationState {
        switch exit {
        case .ok: .succeeded
        case .warnings: .succeededWithWarnings
        case .failed: .failed
        case nil: .unknown
        }
    }

    /// The state of the call that started the task.
    var stepState: StepState {
        switch exit {
        case .ok, .warnings: .done
        case .failed: .failed
        case nil: .unknown
        }
    }
}

/// Follows PVE's tasks to their end.
final class TaskFollower: Sendable {
    private let access: AccessControl
    private let registry: OperationRegistry
    private let texts: TaskTexts
    private let ports: Ports
    private let events: EventFeed
    let limits: Limits

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ registry: OperationRegistry, _ events: EventFeed,
        _ limits: Limits
    ) {
        (self.access, self.registry, self.events, self.limits) = (access, registry, events, limits)
        (texts, ports) = (TaskTexts(audited: audited), audited.ports)
    }

    /// Follows an operation's task to its end, including what the task leaves to others, and notes the result; `nil` if
    /// the agent stopped meanwhile.
    func conclude(
        _ upid: UPID, _ operation: inout Operation, _ plan: Plan, at managed: ManagedEnvironment
    ) async -> OperationState? {
        guard let followed = await follow(upid, at: managed, for: operation),
            var end = await settle(followed, upid.type, plan, at: managed)
        else { return nil }
        ports.reached(.taskEnded)
        let last = operation.steps.count - 1
        guard operation.steps.indices.contains(last) else { return end.state }
        operation.steps[last].state = end.stepState
        if end.state == .succeededWithWarnings { operation.hasWarnings = true }
        let isLast = operation.steps.count == plan.preview.calls.count
        if isLast, plan.request.endsRunning, end.stepState == .done {
            guard let started = await awaitRunning(after: upid, plan, at: managed) else { return nil }
            if started.state == .succeededWithWarnings { operation.hasWarnings = true }
            if started.state != .succeeded { end = started }
            // If the request was only for the start, the start decides the call's state.
            if plan.request.definition.runs == .always { operation.steps[last].state = started.stepState }
        }
        let redaction = Redaction(plan.preview.calls)
        operation.message = String(redaction(end.message).prefix(4096))
        operation.logTail = end.logTail.map { redaction($0) }
        if plan.preview.calls.contains(where: \.carriesSecret) {
            operation.keptLog = await texts.keptLog(of: upid, at: managed, redaction)
        }
        if isLast, plan.request.isForMany {
            return await compareGuests(after: end, of: upid, &operation, plan, at: managed)
        }
        let isStopped = registry.stopper(of: operation.id) != nil || operation.cancelRequestedBy != nil
        if end.exit == .failed(TaskExit.killed), !isStopped {
            return await judgeKilled(&operation, plan, at: managed)
        }
        return end.state
    }

    /// Judges a task whose worker was killed without a message by what PVE shows of its work.
    private func judgeKilled(
        _ operation: inout Operation, _ plan: Plan, at managed: ManagedEnvironment
    ) async -> OperationState {
        let last = operation.steps.count - 1
        let words = operation.message
        switch await managed.planning.aftermath(of: operation, plan, watching: access.currentRules.policy.namedGuests) {
        case .left(_, isAll: true, _):
            operation.steps[last].state = .done
            operation.hasWarnings = true
            operation.message = "\(words): PVE's worker was killed; \(plan.request.target) is as it was to be"
            return .succeededWithWarnings
        case .left(let left, _, let undo):
            operation.message = "\(words): PVE's worker was killed"
            operation.notePartlyDone(plan, left: left, undo: undo)
            return .failed
        case .unchanged, .unseen:
            operation.steps[last].state = .unknown
            operation.message =
                "\(words): PVE's worker was killed, and nothing of what it did is to be seen; it is not sent again"
            return .unknown
        }
    }

    /// Polls the task's state, at first often, then every five seconds, until it has ended.
    ///
    /// While PVE reports the task as running, the wait has no limit. Silence has a deadline, and a PVE that refuses to
    /// answer is not asked for ever. `nil` if the agent stops meanwhile: PVE continues the task, and the next start
    /// follows it.
    ///
    /// With `operation`, tells how far the task is.
    func follow(
        _ upid: UPID, at managed: ManagedEnvironment, for operation: Operation? = nil
    ) async -> TaskEnd? {
        var heard = ContinuousClock.now
        var line = 0
        defer { if let operation { _ = registry.note(nil, of: operation.id, isNews: ports.leases != nil) } }
        var refusals = 0
        var backoff = Backoff(from: .milliseconds(200))
        while true {
            do throws(HypervisorError) {
                if case .stopped(let exit) = try await managed.hypervisor.status(of: upid) {
                    return await end(of: upid, exit, at: managed)
                }
                heard = .now
                refusals = 0
                if let operation { await noteProgress(of: upid, from: &line, operation, at: managed) }
            } catch {
                if case .refused(let upstream) = error, !upstream.isFromGateway { refusals += 1 }
                ports.log.warning(
                    "a task cannot be looked at; trying again",
                    metadata: ["upid": "\(upid)", "environment": "\(managed.settings.name)"])
            }
            guard ContinuousClock.now < heard + .seconds(limits.followSeconds), refusals < 10 else {
                return TaskEnd(message: "PVE does not report the state of its task")
            }
            guard await backoff.wait() else { return nil }
        }
    }

    /// Reads what is new in the log of a running task, from line number `line` on. A log that cannot be read now is read
    /// with the next look.
    private func noteProgress(
        of upid: UPID, from line: inout Int, _ operation: Operation, at managed: ManagedEnvironment
    ) async {
        guard managed.planning.reportsProgress(upid.type),
            let log = try? await managed.hypervisor.log(of: upid, from: line, limit: 500)
        else { return }
        // Of a log that grows faster than that only the end counts.
        line = max(min(line + log.lines.count, log.total), log.total - 500)
        guard let progress = managed.planning.progress(in: log.lines),
            registry.note(progress, of: operation.id, isNews: ports.leases != nil)
        else { return }
        events.tell(AgentEvent(operation, progress, at: ports.now()))
    }

    /// Waits until the state that `type`, a task or call, requested is reached; `nil` if the agent stopped meanwhile.
    func settle(_ end: TaskEnd, _ type: String, _ plan: Plan, at managed: ManagedEnvironment) async -> TaskEnd? {
        guard end.exit == .ok else { return end }
        let deadline = ContinuousClock.now + .seconds(limits.highAvailabilitySeconds)
        var backoff = Backoff(from: .milliseconds(500))
        while await managed.planning.isConfirmed(type, plan.request) == false {
            guard ContinuousClock.now < deadline else {
                return TaskEnd(message: "HA took the request, but \(plan.request.target) did not get there in time")
            }
            guard await backoff.wait() else { return nil }
        }
        return end
    }

    private func end(of upid: UPID, _ exit: TaskExit, at managed: ManagedEnvironment) async -> TaskEnd {
        switch exit {
        case .ok: return TaskEnd(exit: exit, message: "OK")
        case .warnings(let count):
            return TaskEnd(exit: exit, logTail: await tail(of: upid, at: managed), message: "WARNINGS: \(count)")
        case .failed(let text):
            return TaskEnd(exit: exit, logTail: await tail(of: upid, at: managed), message: text)
        }
    }

    /// The last lines of a task's log; none if PVE does not return them.
    private func tail(of upid: UPID, at managed: ManagedEnvironment) async -> [String] {
        let lines = 20
        do throws(HypervisorError) {
            let first = try await managed.hypervisor.log(of: upid, from: 0, limit: lines)
            guard first.total > lines else { return first.lines }
            return try await managed.hypervisor.log(of: upid, from: first.total - lines, limit: lines).lines
        } catch {
            return []
        }
    }
}
