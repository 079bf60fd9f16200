package import AgentModel
package import StrictJSON

/// The stable codes of all errors that a caller can get.
package enum ErrorCode: String, Sendable, Hashable, CaseIterable {
    case invalidRequest = "invalid_request"
    case invalidTarget = "invalid_target"
    case unknownEnvironment = "unknown_environment"
    case unknownAction = "unknown_action"
    case unauthenticated, forbidden
    case foreignOrigin = "foreign_origin"
    case tlsRequired = "tls_required"
    case selfApproval = "self_approval"
    case approvalRequired = "approval_required"
    case signatureRequired = "signature_required"
    case signatureInvalid = "signature_invalid"
    case policyDenied = "policy_denied"
    case windowClosed = "window_closed"
    case limitReached = "limit_reached"
    case policyInvalid = "policy_invalid"
    case notFound = "not_found"
    case planNotFound = "plan_not_found"
    case operationNotFound = "operation_not_found"
    case methodNotAllowed = "method_not_allowed"
    case planExpired = "plan_expired"
    case bodyTooLarge = "body_too_large"
    case unsupportedMediaType = "unsupported_media_type"
    case planRequired = "plan_required"
    case planConsumed = "plan_consumed"
    case planStale = "plan_stale"
    case planRejected = "plan_rejected"
    case planCancelled = "plan_cancelled"
    case planHashMismatch = "plan_hash_mismatch"
    case requestHashMismatch = "request_hash_mismatch"
    case alreadyApproved = "already_approved"
    case idempotencyInProgress = "idempotency_in_progress"
    case notCancellable = "not_cancellable"
    case eventsGone = "events_gone"
    case idempotencyKeyReused = "idempotency_key_reused"
    case rateLimited = "rate_limited"
    case internalError = "internal"
    case upstreamRefused = "upstream_refused"
    case upstreamUnreachable = "upstream_unreachable"
    case upstreamInvalid = "upstream_invalid"
    case upstreamTimeout = "upstream_timeout"
    case authNotConfigured = "auth_not_configured"
    case auditUnavailable = "audit_unavailable"
    case storeUnavailable = "store_unavailable"
    case agentsDisagree = "agents_disagree"
    case frozen
    case shuttingDown = "shutting_down"
    case overloaded
}

/// Why a request was not carried out, as text and code for the caller. Holds no secret.
package struct ServiceError: Error, Sendable {
    package let code: ErrorCode
    package private(set) var detail: String
    package var issues: [JSONError] = []
    package var upstream: PVERejection?
    package var planID: RecordID?
    package var operationID: RecordID?
    /// The operation that was refused or failed, in its current state.
    package var operation: Operation?
    package var moved: [StateDrift] = []
    /// The oldest event that there still is.
    package var oldestID: UInt64?
    /// Seconds after which a retry makes sense, if known.
    package var retryAfter: Int?
    /// Another agent carries the operation out, or has ended it: nothing more is to be stored about it here.
    var isLost = false

    package init(_ code: ErrorCode, _ detail: String, planID: RecordID? = nil) {
        self.code = code
        self.detail = detail
        self.planID = planID
    }

    /// The error without what was found at PVE. Only texts with these codes tell of settings.
    func hidingSettings(by rules: [String]) -> ServiceError {
        guard [.planStale, .policyDenied, .upstreamRefused].contains(code) else { return self }
        var hidden = ServiceError(
            code, "the details of \(code.rawValue) are hidden by \(rules.joined(separator: ", "))", planID: planID)
        hidden.operationID = operationID
        hidden.operation = operation?.hidingSettings(by: rules)
        hidden.moved = moved.map { StateDrift(field: $0.field, planned: .null, found: .null) }
        return hidden
    }

    /// The same error with another text.
    func with(detail: String) -> ServiceError {
        var error = self
        error.detail = detail
        return error
    }

    package init(_ issues: JSONIssues) {
        self.init(
            .invalidRequest,
            issues.issues.map { $0.path.steps.isEmpty ? $0.detail : "\($0.path.pointer): \($0.detail)" }
                .joined(separator: "; "))
        self.issues = issues.issues
    }

    package init(_ error: RequestError) {
        switch error {
        case .unknownAction(let name):
            self.init(
                .unknownAction,
                "there is no action \(JSON.string(name).shown); GET /v1/actions lists all: "
                    + Action.allCases.map(\.rawValue).joined(separator: ", "))
        case .invalidTarget(let detail): self.init(.invalidTarget, detail)
        case .invalid(let issues): self.init(issues)
        }
    }

    package init(_ error: HypervisorError, _ environment: EnvironmentName, during what: String) {
        switch error {
        case .refused(let refusal) where refusal.isUnreachable:
            let upstream = Redaction([])(refusal)
            self.init(
                .upstreamUnreachable,
                "\(environment): PVE was not reached for \(what): \(upstream.status) \(upstream.reason)"
                    + " (a node, or pvedaemon on it, does not answer)")
            self.upstream = upstream
        case .refused(let refusal):
            let upstream = Redaction([])(refusal)
            self.init(.upstreamRefused, "\(environment): PVE refused \(what): \(upstream.reason)")
            self.upstream = upstream
        case .unreachable(let why):
            self.init(.upstreamUnreachable, "\(environment): PVE was not reached for \(what): \(why)")
        case .withheld:
            self.init(.frozen, "\(environment): changes were frozen before \(what) was sent; nothing of it was sent")
        case .timeout: self.init(.upstreamTimeout, "\(environment): PVE gave no answer in time to \(what)")
        case .invalid(let why, _):
            self.init(.upstreamInvalid, "\(environment): PVE's answer to \(what) is not valid: \(why)")
        }
    }
}
