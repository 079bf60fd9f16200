package import AgentModel
package import Signatures

/// Checks the signatures of approvals and rejections.
extension ApprovalGate {
    /// Checks the signature of a decision against the key of the principal who makes it; nothing if it has none.
    ///
    /// The text is made anew from what is known here, so a signature for another plan, principal, decision, reason or
    /// installation is one of another text.
    func checkSignature(
        of approval: ApprovalRequest, on plan: Plan, _ context: Context
    ) async throws(ServiceError) -> (SignedApproval?, SignatureCount?) {
        guard let signature = approval.signature else { return (nil, nil) }
        let principal = context.principal
        guard !principal.approvalKeys.isEmpty else {
            throw ServiceError(
                .signatureInvalid, "\(principal.id) has no approval_keys to check the signature with; \(Self.addKey)",
                planID: plan.id)
        }
        let text = text(of: approval.verdict, plan, reason: approval.reason, by: principal)
        let (signed, number): (SignedApproval, UInt32?)
        do throws(SignatureProblem) {
            guard let key = try signature.key(among: principal.approvalKeys) else { throw .otherKey }
            let place = ports.installation.publicURL.flatMap(SigningPlace.init)
            if case .passkey = signature, place == nil {
                throw .malformed("a passkey signs for a page, but this agent has no public_url; set it")
            }
            signed = SignedApproval(text, by: key, signature)
            number = try signed.check(at: place)
        } catch {
            throw invalid(error, plan, principal)
        }
        guard !plan.isWithdrawn(signed) else {
            throw ServiceError(
                .signatureInvalid,
                "this approval of plan \(plan.id) was withdrawn, as its key was taken out of approval_keys; its signature "
                    + "counts no more, though the key is back. Sign with another reason", planID: plan.id)
        }
        guard let number else { return (signed, nil) }
        let count = SignatureCount(key: signed.key.fingerprint, number: number)
        try await passkeys.check(count, planID: plan.id)
        return (signed, count)
    }

    /// The text that an approver signs.
    private func text(
        of verdict: ApprovalRequest.Verdict, _ plan: Plan, reason: String?, by principal: Principal
    ) -> ApprovalText {
        ApprovalText(
            agent: ports.installation.approvalOrigin, plan: plan.id.description, planHash: plan.planHash,
            decision: verdict.rawValue, principal: principal.id, reason: reason ?? "")
    }

    /// The text that the caller would sign to decide on the plan.
    package func text(
        of verdict: ApprovalRequest.Verdict, on id: RecordID, reason: String?, _ context: Context
    ) async throws(ServiceError) -> ApprovalText {
        let plan = try await workflow.plan(id, context)
        try access.check(.approve, in: plan.request.environment, context)
        return text(of: verdict, plan, reason: reason, by: context.principal)
    }

    func invalid(_ problem: SignatureProblem, _ plan: Plan, _ principal: Principal) -> ServiceError {
        let detail =
            switch problem {
            case .otherKey:
                "the signature was made with a key that is not among the approval_keys of \(principal.id)"
            case .wrong, .challenge:
                "the signature is not one of the approval's text (agent \(ports.installation.approvalOrigin), plan "
                    + "\(plan.id), its plan_hash, decision, principal \(principal.id) and reason) by that key"
            default: "the signature does not count: \(problem)"
            }
        return ServiceError(.signatureInvalid, detail, planID: plan.id)
    }

    /// What to do about an approval that is not signed as the plan needs it.
    func cure(of needs: Assurance, _ plan: Plan, _ approver: Principal?) -> String {
        let name = approver?.id ?? "the approver"
        let keys = (approver?.approvalKeys ?? []).filter { needs != .hardware || $0.isHardware }
        guard keys.isEmpty else {
            return "sign it: proxmox-agent approve \(plan.id) --sign, or with a passkey in the console"
        }
        return needs == .hardware
            ? "\(name) has no key of a security key (sk-ssh-ed25519@openssh.com) in approval_keys; \(Self.addKey)"
            : "\(name) has no approval_keys; \(Self.addKey)"
    }

    private static let addKey = "add the public key to principals[].approval_keys (docs/approvals.md)"
}
