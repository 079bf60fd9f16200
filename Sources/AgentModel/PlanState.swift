/// The state of a plan.
package enum PlanState: String, Sendable, Hashable, CaseIterable {
    case denied
    case awaitingApproval = "awaiting_approval"
    case approved, rejected, expired, cancelled, stale, applying, applied, failed, unknown

    /// Every state that may follow this one. No other transition is possible.
    package var successors: Set<PlanState> {
        switch self {
        case .awaitingApproval: [.approved, .rejected, .expired, .cancelled]
        case .approved: [.applying, .expired, .stale, .denied, .cancelled, .awaitingApproval]
        case .applying: [.applied, .failed, .unknown]
        case .unknown: [.applied, .failed]
        case .denied, .rejected, .expired, .cancelled, .stale, .applied, .failed: []
        }
    }

    /// No state follows, except that `unknown` can be settled by hand.
    package var isEnded: Bool { successors.isEmpty || self == .unknown }

    /// Whether the plan could still be applied.
    package var isLive: Bool { self == .awaitingApproval || self == .approved }
}

/// The state of an operation.
package enum OperationState: String, Sendable, Hashable, CaseIterable {
    case queued, running, succeeded
    case succeededWithWarnings = "succeeded_with_warnings"
    case failed, cancelled, unknown

    /// Every state that may follow this one.
    package var successors: Set<OperationState> {
        switch self {
        case .queued: [.running, .failed, .cancelled]
        case .running: [.succeeded, .succeededWithWarnings, .failed, .cancelled, .unknown]
        case .unknown: [.succeeded, .failed]
        case .succeeded, .succeededWithWarnings, .failed, .cancelled: []
        }
    }

    package var isEnded: Bool { self != .queued && self != .running }

    /// The state of the plan when its operation ends, once the plan has been consumed.
    package var planState: PlanState? {
        switch self {
        case .queued, .running: nil
        case .succeeded, .succeededWithWarnings: .applied
        case .failed, .cancelled: .failed
        case .unknown: .unknown
        }
    }
}
