import AgentAudit
package import AgentModel
import AgentPolicy
import FoundationEssentials
package import StrictJSON
import Synchronization

/// What `apply` was asked to do: a plan by its id, or a whole request.
package struct ApplyRequest: Sendable {
    package let planID: RecordID?
    /// The whole request as it was sent; `nil` if only a plan was named.
    package let request: JSONObject?
    package let approvedBy: String?
    /// Why the change shall pass a change window, a limit or a freeze; `nil` if it shall not.
    package let emergency: String?

    package init(
        planID: RecordID? = nil, request: JSONObject? = nil, approvedBy: String? = nil, emergency: String? = nil
    ) {
        self.planID = planID
        self.request = request
        self.approvedBy = approvedBy
        self.emergency = emergency
    }
}

/// The result of `apply`.
package struct ApplyOutcome: Sendable {
    package enum Kind: Sendable {
        case read(ReadResult)
        /// A dry run: the plan's preview is the result.
        case dryRun
        /// A mutation, ended or under way.
        case operation(Operation)
    }

    package let plan: Plan
    /// Whether the plan can be looked up under its id.
    package let isStored: Bool
    package let kind: Kind
}

/// Applies plans: finds the plan, starts an operation for it, and returns the outcome.
package final class ApplyService: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    let workflow: PlanWorkflow
    let approvals: ApprovalGate
    let freezes: FreezeService
    let registry: OperationRegistry
    let runner: OperationRunner
    private let reads: ReadService
    private let operations: OperationService
    private let digest: PlanDigest
    /// When a plan that waits for its change window was last tried.
    let tried = Mutex<[RecordID: Date]>([:])

    init(
        _ workflow: PlanWorkflow, _ approvals: ApprovalGate, _ freezes: FreezeService, _ reads: ReadService,
        _ runner: OperationRunner, _ operations: OperationService, _ digest: PlanDigest
    ) {
        (audited, access, self.workflow) = (workflow.audited, workflow.access, workflow)
        (self.approvals, self.freezes, self.reads) = (approvals, freezes, reads)
        (self.runner, registry, self.operations, self.digest) = (runner, runner.registry, operations, digest)
    }

    var ports: Ports { audited.ports }

    /// Applies a plan, or a read or dry run in one step.
    ///
    /// `wait` is how long to wait for the end; `nil` returns as soon as PVE has accepted. `kept` is stored with the
    /// operation, so that a repeated request finds it. Throws if nothing was done, or if PVE refused. Each refusal is
    /// recorded.
    package func apply(
        _ wanted: ApplyRequest, _ context: Context, wait: Duration?, kept: PendingIdempotentRequest? = nil
    ) async throws(ServiceError) -> ApplyOutcome {
        var request: ActionRequest?
        if let whole = wanted.request {
            request = try await audited.recordingRefusals(of: context) {
                () async throws(ServiceError) in try workflow.parse(whole)
            }
        }
        if wanted.planID == nil, let request, !request.changes {
            return try await applyUnstored(request, context)
        }
        var plan: Plan?
        do throws(ServiceError) {
            let begun = try await audited.recordingRefusals(of: context, about: request) {
                (subject: inout RefusedSubject) async throws(ServiceError) -> Beginning in
                let found = try await findPlan(wanted, request, context)
                (plan, subject.plan, subject.emergency) = (found, found, wanted.emergency)
                guard found.request.changes else {
                    try Self.checkNoEmergency(wanted)
                    return .ended(try await applyHarmless(found, context))
                }
                try access.check(.change, in: found.request.environment, context)
                return try await judgeAndClaim(found, wanted, kept, context)
            }
            switch begun {
            case .ended(let outcome): return outcome
            case .refused(let error): throw error
            case .queued(let operation, let plan): return try await outcome(of: operation, plan, wait: wait)
            }
        } catch {
            throw workflow.shown(error, about: plan, to: context.caller)
        }
    }

    /// What changes nothing is in nobody's way.
    private static func checkNoEmergency(_ wanted: ApplyRequest) throws(ServiceError) {
        guard wanted.emergency != nil else { return }
        throw ServiceError(
            .invalidRequest, "break_glass is for changes; this reads, or is a dry run: leave it out")
    }

    /// The state of an apply after its request has been checked.
    enum Beginning: Sendable {
        case ended(ApplyOutcome)
        case queued(Operation, Plan)
        /// Refused. The log already has the refusal and the plan's new state.
        case refused(ServiceError)
    }

    /// A read or a dry run without a stored plan: planned and applied in one step.
    private func applyUnstored(_ request: ActionRequest, _ context: Context) async throws(ServiceError) -> ApplyOutcome
    {
        if request.definition.effect == .read {
            let (plan, result) = try await reads.read(request, context)
            return ApplyOutcome(plan: plan, isStored: false, kind: .read(result))
        }
        var plan: Plan?
        do throws(ServiceError) {
            return try await audited.recordingRefusals(of: context, about: request) {
                () async throws(ServiceError) in
                let made = try await workflow.makePlan(request, context)
                plan = made
                return try await applyHarmless(made, context, isStored: false)
            }
        } catch {
            throw workflow.shown(error, about: plan, to: context.caller)
        }
    }

    /// A read or a dry run: takes no lock, consumes no plan and changes nothing.
    private func applyHarmless(
        _ plan: Plan, _ context: Context, isStored: Bool = true
    ) async throws(ServiceError) -> ApplyOutcome {
        try workflow.checkState(of: plan)
        // A stored plan is only an outline: make its preview again.
        let plan = isStored ? try await renewed(plan, context) : plan
        if plan.request.definition.effect == .read {
            let result = try await reads.read(plan, context, isStored: isStored)
            return ApplyOutcome(plan: plan, isStored: isStored, kind: .read(result))
        }
        try await audited.record(
            AuditEvent(
                .read, context, environment: plan.request.environment, plan: isStored ? plan.id : nil,
                request: plan.request.auditForm, decision: plan.decision.auditForm, result: ["status": "planned"]),
            .soon)
        return ApplyOutcome(plan: plan, isStored: isStored, kind: .dryRun)
    }

    /// A stored plan of a read or dry run, made again.
    private func renewed(_ plan: Plan, _ context: Context) async throws(ServiceError) -> Plan {
        let new = try await workflow.makePlan(plan.request, context)
        guard new.decision.allowed else { throw ServiceError(.policyDenied, new.decision.reason, planID: plan.id) }
        return Plan(
            id: plan.id, request: plan.request, requestHash: plan.requestHash, planHash: plan.planHash,
            requester: plan.requester, environmentIdentity: plan.environmentIdentity, policyVersion: plan.policyVersion,
            decision: new.decision, preview: new.preview, requires: plan.requires, createdAt: plan.createdAt,
            expiresAt: plan.expiresAt, standing: plan.standing)
    }

    /// The plan that the body means: the named one, or the caller's own for the same request.
    private func findPlan(
        _ wanted: ApplyRequest, _ request: ActionRequest?, _ context: Context
    ) async throws(ServiceError) -> Plan {
        let hash = request.map(digest.requestHash)
        if let id = wanted.planID {
            let plan = try await workflow.plan(id, context)
            guard hash == nil || hash == plan.requestHash else {
                throw ServiceError(
                    .requestHashMismatch,
                    "the request is not the one that plan \(id) was made for; send the plan's "
                        + "own request, or the plan_id alone", planID: id)
            }
            guard plan.requester.isSameParty(as: context.caller) else {
                throw ServiceError(
                    .forbidden, "plan \(id) was asked for by \(plan.requester.actor), and only they can apply it",
                    planID: id)
            }
            return plan
        }
        guard let hash, let request else { throw ServiceError(.planRequired, "name a plan_id, or send the request") }
        let environment = try access.managedEnvironment(request.environment, .change, context).settings.name
        try await workflow.expireDue()
        let own = PlanFilter(environments: [environment], party: context.caller.party, requestHash: hash)
        let plans = try await audited.read { $0.plans(own) }
        let live = plans.filter(\.state.isLive)
        guard
            let plan = live.first(where: { $0.state == .approved && $0.operationID == nil }) ?? live.first
                ?? plans.first(where: { $0.state == .denied })
        else {
            throw ServiceError(
                .planRequired,
                "\(request.action.rawValue) on \(request.target) changes something: plan it first with "
                    + "POST /v1/actions/plan, then apply the plan")
        }
        return plan
    }

    /// Waits until the operation has ended or `wait` is over, and returns the outcome. If the store fails, the
    /// operation goes on, and this returns its last known state.
    func outcome(of started: Operation, _ plan: Plan, wait: Duration?) async throws(ServiceError) -> ApplyOutcome {
        let deadline = wait.map { ContinuousClock.now + $0 }
        // Another agent may have to let it wait, and does not say for what.
        let patience: Duration = registry.lease(of: started.id) == nil ? .seconds(5) : .seconds(3600)
        let begin = ContinuousClock.now
        var operation = started
        while true {
            let version = registry.hub.version
            do throws(ServiceError) { operation = try await operations.operation(started.id) } catch { break }
            if operation.state.isEnded { break }
            // A code before the end means that the answer was lost.
            let isAccepted = operation.upid != nil || operation.queuePosition > 0 || operation.code != nil
            let left = deadline.map { $0 - .now } ?? (isAccepted ? .zero : begin + patience - .now)
            if left <= .zero || Task.isCancelled { break }
            await registry.hub.wait(for: started.id, after: version, atMost: left)
        }
        // An unknown outcome is not an error: nothing was refused.
        if operation.state == .failed, let code = operation.code.flatMap(ErrorCode.init) {
            var error = ServiceError(code, operation.message, planID: plan.id)
            error.operationID = operation.id
            error.operation = operation
            error.moved = operation.moved
            error.upstream = operation.upstream
            throw error
        }
        let current = (try? await audited.read { $0.plan(plan.id) }) ?? nil
        return ApplyOutcome(plan: current ?? plan, isStored: true, kind: .operation(operation))
    }

    /// The outcome of an apply whose own answer was lost: the current state of its operation.
    package func outcome(of operation: Operation, _ context: Context) async throws(ServiceError) -> ApplyOutcome {
        let plan = try await audited.recordingRefusals(of: context) {
            () async throws(ServiceError) in try await workflow.load(operation.planID)
        }
        return try await outcome(of: operation, plan, wait: .zero)
    }
}
