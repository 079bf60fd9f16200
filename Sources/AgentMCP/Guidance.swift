import AgentAPI
import AgentModel
import AgentService
import StrictJSON

/// What to call next: the words of ours beside the data.
extension ToolCall {
    /// A refusal as a result: what is wrong, and what to call next.
    func result(of error: ServiceError) async -> ToolResult {
        var content = Problem.summary(of: error)
        content["operation"] = nil
        content["next"] = .string(Self.next(after: error.code))
        if [.approvalRequired, .selfApproval].contains(error.code), let id = error.planID,
            let plan = try? await service.workflow.plan(id, context)
        {
            content["plan_hash"] = .string(plan.planHash)
            content["next"] = .string(next(for: plan))
        }
        return ToolResult(content: Page.fitted(content), isError: true)
    }

    func next(for plan: Plan) -> String {
        let id = plan.id
        switch plan.state {
        case .approved: return "call plan_apply with plan_id \(id)"
        case .awaitingApproval where context.principal.isShared:
            return "a person decides, not you. All callers share one token here: the person applies it over REST with "
                + "approved_by, see docs/mcp.md"
        case .awaitingApproval:
            return
                "an approver decides, not you: POST /v1/plans/\(id)/approvals with plan_hash, or proxmox-agent approve "
                + "\(id) --hash \(plan.planHash.prefix(8)). Tell them both; when plan_get says approved, call plan_apply"
        case .denied:
            return "policy or a check denies it, see decision and checks: change what they name, or ask for less"
        case .rejected: return "an approver said no: see rejection, and ask a person before you plan it again"
        case .expired, .stale, .cancelled: return "call plan_create again, if it is still wanted"
        case .applying, .applied, .failed, .unknown:
            return plan.operationID.map { "call operation_get with operation_id \($0)" } ?? "nothing is left to do"
        }
    }

    private static func next(after code: ErrorCode) -> String {
        switch code {
        case .invalidRequest: "mend the arguments that detail names, and call again"
        case .invalidTarget: "call action_catalog with the action: targets has what it takes"
        case .unknownEnvironment: "call environment_list"
        case .unknownAction: "call action_catalog"
        case .unauthenticated, .authNotConfigured: "ask the operator for a token that is valid"
        case .forbidden, .foreignOrigin, .tlsRequired: "your token may not do that; ask the operator"
        case .selfApproval, .approvalRequired, .signatureRequired, .signatureInvalid:
            "an approver decides, not you; look with plan_get"
        case .policyDenied: "policy does not allow it: ask for less, or ask a person to change the rule"
        case .windowClosed: "wait for the change window that detail names, or plan with apply_at: window"
        case .limitReached: "wait until the limit that detail names has room again"
        case .policyInvalid: "the configuration has errors: ask the operator to fix them"
        case .eventsGone: "call plan_get or operation_get: events that old are gone"
        case .notFound, .planNotFound: "call plan_create, and use the plan_id that it gives"
        case .operationNotFound: "call plan_get: operation_id has the operation of a plan"
        case .methodNotAllowed, .unsupportedMediaType, .bodyTooLarge: "send a smaller, well-formed request"
        case .planRequired, .planExpired, .planStale, .planCancelled, .requestHashMismatch, .planHashMismatch:
            "call plan_create again, and look at what it shows"
        case .planRejected: "an approver said no: ask a person before you plan it again"
        case .planConsumed: "it has been applied, once: call operation_get with operation_id"
        case .alreadyApproved: "call plan_get, then plan_apply"
        case .idempotencyInProgress, .idempotencyKeyReused: "wait for the first answer"
        case .notCancellable: "call operation_get and see how it stands"
        case .rateLimited: "wait, and send fewer requests"
        case .internalError: "ask the operator to look at the agent's log"
        case .upstreamRefused: "PVE refused, see upstream: mend what it names, and call plan_create"
        case .upstreamUnreachable, .upstreamInvalid, .upstreamTimeout:
            "PVE does not answer as it should: call environment_list, and try again later"
        case .auditUnavailable, .storeUnavailable, .agentsDisagree, .shuttingDown, .overloaded:
            "try again later, or tell the operator"
        case .frozen: "changes are frozen: wait, or ask who froze them; reads work"
        }
    }
}

extension AgentModel.Operation {
    /// The state of the task that this operation is.
    var taskStatus: String {
        switch state {
        case .queued, .running: "working"
        case .cancelled: "cancelled"
        case .succeeded, .succeededWithWarnings, .failed, .unknown: "completed"
        }
    }

    /// What happens at this moment, in our words.
    var standing: String {
        switch state {
        case .queued: "waits for its turn" + (queuePosition > 0 ? " behind \(queuePosition)" : "")
        case .running: upid.map { "PVE's task \($0.type) runs on \($0.node)" } ?? "is being sent to PVE"
        case .succeeded, .succeededWithWarnings, .failed, .cancelled, .unknown: state.rawValue
        }
    }

    var next: String {
        switch state {
        case .queued, .running: "call operation_get with operation_id \(id) and wait 30"
        case .succeeded, .succeededWithWarnings: "done"
        case .failed where partial?.undo != nil:
            "a part was done, see left: plan undo with plan_create, or mend it by hand"
        case .failed: "see code, message and upstream; plan it again once the cause is gone"
        case .cancelled: "it was cancelled; what the task had done by then stays"
        case .unknown: "nobody knows whether PVE did it: do not repeat it; a person looks and settles it"
        }
    }
}
