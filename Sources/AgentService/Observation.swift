package import AgentAudit
package import AgentModel

/// What the service tells whoever keeps figures about it. Nothing depends on it.
package enum Observation: Sendable {
    /// Policy judged a new request.
    case decided(Action, Decision)
    /// An operation has ended. If its outcome is unknown, its later settlement is not reported.
    case ended(Operation)
    /// A request was refused.
    case refused(ErrorCode)
    case recorded(AuditKind)
    /// The audit log did not take a record.
    case unrecorded
    /// A notification was sent to a destination, which took it or did not.
    case notified(String, isDelivered: Bool)
}
