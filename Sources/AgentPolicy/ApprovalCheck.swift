package import AgentModel

/// Why an approval does not count.
package enum ApprovalRefusal: Error, Sendable, Hashable {
    /// Nobody approved, or not enough did.
    case missing(have: Int, need: Int)
    /// Names in a body are no approvals here.
    case declaredNotAccepted
    /// The approver asked for the plan or applies it.
    case selfApproval(String)
    /// They may not approve in that environment.
    case notAnApprover(String)
    /// They have approved already.
    case again(String)
}

/// Holds approvals against a plan.
package enum ApprovalCheck {
    /// Whether `approvedBy`, a name in the body of an apply request, counts for a `plan` that awaits approval, which takes
    /// `needed` by now, when `applier` applies it in `environment`.
    ///
    /// Names compare without regard to case, so that `Alice` does not approve for `alice`.
    package static func declared(
        _ approvedBy: String?, for plan: Plan, needing needed: Int, appliedBy applier: Caller,
        in environment: EnvironmentSettings
    ) throws(ApprovalRefusal) {
        guard plan.state == .awaitingApproval else { return }
        guard let approvedBy else { throw .missing(have: plan.approvals.count, need: needed) }
        guard !Principal.isReserved(approvedBy) else { throw .notAnApprover(approvedBy) }
        guard !isName(approvedBy, of: plan.requester, applier) else { throw .selfApproval(approvedBy) }
        guard plan.requires.assurance == .declared, environment.acceptsDeclaredApprovals else {
            throw .declaredNotAccepted
        }
        guard !plan.approvals.contains(where: { $0.isBy(approvedBy) }) else {
            throw .again(approvedBy)
        }
    }

    /// Whether `approver`, under a token of their own, may approve `plan`.
    package static func verified(by approver: Principal, for plan: Plan) throws(ApprovalRefusal) {
        guard !approver.isShared, approver.may(.approve, in: plan.request.environment) else {
            throw .notAnApprover(approver.id)
        }
        guard approver.id.lowercased() != plan.requester.principal.lowercased() else {
            throw .selfApproval(approver.id)
        }
        guard !plan.approvals.contains(where: { $0.isBy(approver.id) }) else { throw .again(approver.id) }
    }

    /// Names compare without regard to case, as ids of principals are unique without regard to it.
    private static func isName(_ name: String, of callers: Caller...) -> Bool {
        callers.flatMap { [$0.principal, $0.label] }.contains { $0?.lowercased() == name.lowercased() }
    }

    /// Whether an approval that was given still counts, whoever gave it did not ask for the plan: a verified one as long
    /// as its approver has the role; a declared one as long as names are taken there.
    package static func stillCounts(
        _ approval: Approval, for plan: Plan, in environment: EnvironmentSettings, among directory: Directory
    ) -> Bool {
        switch approval.assurance {
        case .declared:
            plan.requires.assurance == .declared && directory.isShared && environment.acceptsDeclaredApprovals
                && !isName(approval.approver, of: plan.requester) && !Principal.isReserved(approval.approver)
        case .verified:
            directory.isApprover(approval.approver, in: environment.name)
                && !approval.isBy(plan.requester.principal)
        }
    }
}
