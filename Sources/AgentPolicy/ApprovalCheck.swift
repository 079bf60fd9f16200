package import AgentModel

/// Why an approval does not count.
package enum ApprovalRefusal: Error, Sendable, Hashable {
    /// Nobody approved, or not enough did.
    case missing(have: Int, need: Int)
    /// The environment takes no names in a body for an approval.
    case declaredNotAccepted
    /// The approver asked for the plan or applies it.
    case selfApproval(String)
}

/// Holds a declared approval (`approved_by`) against a plan.
package enum ApprovalCheck {
    /// Whether `approvedBy` settles what `plan` requires when `applier` applies it in `environment`.
    ///
    /// Names compare without regard to case, so that `Alice` does not approve for `alice`.
    package static func declared(
        _ approvedBy: String?, for plan: Plan, appliedBy applier: Caller, in environment: EnvironmentFacts
    ) throws(ApprovalRefusal) {
        guard plan.requires.approvals > plan.approvals.count else { return }
        guard let approvedBy else {
            throw .missing(have: plan.approvals.count, need: plan.requires.approvals)
        }
        let parties = [plan.requester, applier].flatMap { [$0.principal, $0.label] }.compactMap { $0?.lowercased() }
        guard !parties.contains(approvedBy.lowercased()) else { throw .selfApproval(approvedBy) }
        guard environment.acceptsDeclaredApprovals else { throw .declaredNotAccepted }
    }
}
