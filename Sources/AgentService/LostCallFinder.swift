import AgentModel
import AgentPolicy
import FoundationEssentials
import Logging
import StrictJSON

/// Finds what a call started whose answer was lost. Never sends a call again.
final class LostCallFinder: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    let workflow: PlanWorkflow
    let registry: OperationRegistry
    let follower: TaskFollower
    let limits: Limits
    let leases: LeaseKeeper
    private let outcomes: OutcomeRecorder

    init(
        _ workflow: PlanWorkflow, _ outcomes: OutcomeRecorder, _ follower: TaskFollower, _ registry: OperationRegistry,
        _ leases: LeaseKeeper
    ) {
        (audited, access, self.workflow, self.leases) = (workflow.audited, workflow.access, workflow, leases)
        (self.registry, self.outcomes, self.follower, limits) = (registry, outcomes, follower, workflow.limits)
    }

    var ports: Ports { audited.ports }

    /// Looks at once for what a lost call started, and follows it as if PVE had answered; unknown if nothing is found.
    /// For a call without a task, the message then describes PVE's state. `nil` if the agent stopped meanwhile.
    func findLost(
        _ call: Call, _ operation: inout Operation, _ plan: Plan, at managed: ManagedEnvironment
    ) async -> OperationState? {
        guard call.startsTask else {
            operation.message += await traces(of: operation, plan, at: managed)
            return Task.isCancelled ? nil : .unknown
        }
        guard let found = await find(operation, plan, at: managed, within: .seconds(30)) else { return nil }
        guard let upid = found.upid else { return .unknown }
        operation.steps[operation.steps.count - 1].upid = upid
        operation.code = nil
        operation.message = ""
        operation.upstream = nil
        guard await outcomes.keep(operation) else { return nil }
        return await follower.conclude(upid, &operation, plan, at: managed)
    }

    /// Looks for the task of the last call until PVE has answered a few times, since the task may only be about to
    /// begin. `nil` if the agent stopped meanwhile.
    ///
    /// Retries while PVE cannot be asked, at most for `limit`. With a limit, each retry updates the waiters.
    func find(
        _ operation: Operation, _ plan: Plan, at managed: ManagedEnvironment, within limit: Duration? = nil
    ) async -> (upid: UPID?, Void)? {
        let deadline = limit.map { ContinuousClock.now + $0 }
        var looks = 0
        var backoff = Backoff(from: .milliseconds(250), to: .seconds(10))
        while true {
            do throws(ServiceError) {
                if let upid = try await trace(of: operation, plan, at: managed) { return (upid, ()) }
                looks += 1
                if looks >= limits.traceLooks { return (nil, ()) }
            } catch {
                ports.log.warning(
                    "PVE cannot be asked for a task; trying again", metadata: ["error": "\(error.detail)"])
                if let deadline, deadline < .now { return (nil, ()) }
                if limit != nil { guard await outcomes.keep(operation) else { return nil } }
            }
            guard await backoff.wait() else { return nil }
        }
    }

    /// Describes what PVE shows of a call that may have been carried out. This settles nothing: another client may have
    /// made the change, and the call may be carried out later.
    func traces(of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment) async -> String {
        let found: String
        switch await managed.planning.aftermath(of: operation, plan, watching: access.currentRules.policy.namedGuests) {
        case .unchanged: found = "PVE shows no trace of it, though it may still be carried out"
        case .left(let left, let isAll, _):
            let fields = left.map { "\($0.field) is \($0.found.shown)" }.joined(separator: ", ")
            found =
                (isAll ? "everything that was planned is there: " : "part of what was planned is there: ") + fields
                + "; PVE does not say who did that"
        case .unseen(let why): found = "what remains of it could not be read: \(why)"
        }
        return Operation.lookedAgain + found
    }

    /// The tasks that may be the call's own; none for a call that starts no task. Throws if PVE cannot be asked.
    func tasks(like call: Call?, at managed: ManagedEnvironment, _ purpose: String) async throws(ServiceError) -> [UPID]
    {
        guard let call else { return [] }
        do throws(HypervisorError) { return try await managed.planning.candidateTasks(for: call) } catch {
            throw ServiceError(error, managed.settings.name, during: "reading the list of tasks \(purpose)")
        }
    }

    /// The one task that the operation's last call can have started, if there is exactly one. It was not there before,
    /// is none of `others`, and began when the call was sent, give or take ``clockDifference``.
    func trace(
        of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment, besides others: [UPID] = []
    ) async throws(ServiceError) -> UPID? {
        guard let step = operation.steps.last, operation.steps.count <= plan.preview.calls.count else { return nil }
        let call = plan.preview.calls[operation.steps.count - 1]
        let known = Set(operation.knownTasks + operation.steps.compactMap(\.upid) + others)
        let began = step.sentAt.timeIntervalSince1970
        let found = try await tasks(like: call, at: managed, "for the one that the call has started").filter { upid in
            !known.contains(upid)
                && (began - Self.clockDifference...began + Self.clockDifference).contains(Double(upid.startTime))
        }
        return found.count == 1 ? found[0] : nil
    }

    /// The seconds by which PVE's clock and ours may differ, including the time until a call becomes a task.
    private static let clockDifference = 300.0
}
