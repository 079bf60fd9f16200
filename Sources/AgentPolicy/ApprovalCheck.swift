package import AgentModel
import Signatures

/// Why an approval does not count.
package enum ApprovalRefusal: Error, Sendable, Hashable {
    /// There is no approval, or there are too few.
    case missing(have: Int, need: Requirement)
    /// Too few are by those whom a rule asks for.
    case missingOf(ApprovalClause, have: Int)
    /// No rule asks for an approval by that principal.
    case notAsked(String, ApprovalClause)
    /// An approval by a name in the body is not accepted here.
    case declaredNotAccepted
    /// The approver requested the plan or applies it.
    case selfApproval(String)
    /// The principal may not approve in that environment.
    case notAnApprover(String)
    /// The principal has approved already.
    case again(String)
    /// It is not signed as the plan needs it.
    case tooWeak(needs: Assurance)
}

/// Checks approvals against a plan.
package enum ApprovalCheck {
    /// Checks that `approvedBy`, a name in the body of an apply request, is a valid approval of `plan`, when `applier`
    /// applies it in `environment`. `needed` is what a plan that awaits approvals needs by now.
    ///
    /// Only the holder of the shared token declares approvals, and not those of a principal of the `directory`, who
    /// gives them with a token of their own. Names are compared without case, so that `Alice` cannot approve for
    /// `alice`.
    package static func declared(
        _ approvedBy: String?, for plan: Plan, needing needed: Requirement, appliedBy applier: Caller,
        in environment: EnvironmentSettings, among directory: Directory
    ) throws(ApprovalRefusal) {
        guard plan.state == .awaitingApproval else { return }
        guard let approvedBy else { throw .missing(have: plan.approvals.count, need: needed) }
        guard !Principal.isReserved(approvedBy) else { throw .notAnApprover(approvedBy) }
        guard !isName(approvedBy, of: plan.requester, applier) else { throw .selfApproval(approvedBy) }
        guard applier.isShared, needed.assurance == .declared, environment.acceptsDeclaredApprovals,
            !directory.isPrincipal(approvedBy)
        else { throw .declaredNotAccepted }
        guard !plan.approvals.contains(where: { $0.isBy(approvedBy) }) else {
            throw .again(approvedBy)
        }
    }

    /// Checks that `approver`, with a token of their own, may approve `plan`.
    package static func verified(by approver: Principal, for plan: Plan) throws(ApprovalRefusal) {
        guard !approver.isShared, approver.may(.approve, in: plan.request.environment) else {
            throw .notAnApprover(approver.id)
        }
        guard approver.id.lowercased() != plan.requester.principal.lowercased() else {
            throw .selfApproval(approver.id)
        }
        guard !plan.approvals.contains(where: { $0.isBy(approver.id) }) else { throw .again(approver.id) }
    }

    /// Whether `plan` awaits an approval that `approver` could give.
    package static func awaits(_ approver: Principal, _ plan: Plan) -> Bool {
        plan.state == .awaitingApproval && (try? verified(by: approver, for: plan)) != nil
    }

    /// Checks that an approval is as strong as the plan needs it.
    package static func strength(_ assurance: Assurance, for needed: Requirement) throws(ApprovalRefusal) {
        guard assurance >= needed.assurance else { throw .tooWeak(needs: needed.assurance) }
    }

    /// Names are compared without case, since principals' ids are unique without it.
    private static func isName(_ name: String, of callers: Caller...) -> Bool {
        callers.flatMap { [$0.principal, $0.label] }.contains { $0?.lowercased() == name.lowercased() }
    }

    /// Whether a given approval still counts; the requester's own never does, nor does one that is weaker than what is
    /// `needed` by now. A verified one counts while its approver has the role, a signed one while the approver also has
    /// its key, a declared one while the environment accepts declared names.
    package static func stillCounts(
        _ approval: Approval, for plan: Plan, needing needed: Requirement, in environment: EnvironmentSettings,
        among directory: Directory
    ) -> Bool {
        guard approval.assurance >= needed.assurance else { return false }
        let isApprover =
            directory.isApprover(approval.approver, in: environment.name) && !approval.isBy(plan.requester.principal)
        switch approval.assurance {
        case .declared:
            return directory.isShared && environment.acceptsDeclaredApprovals
                && !isName(approval.approver, of: plan.requester) && !Principal.isReserved(approval.approver)
        case .verified: return isApprover
        case .signed, .hardware:
            return isApprover && approval.signed.map { directory.isKey($0.key, of: approval.approver) } ?? false
        }
    }
}
