import Signatures
import StrictJSON

/// Why a record's signature is not one of what the record says.
struct AuditSignatureFlaw: Error {
    let words: String
}

extension AuditRecord {
    /// Checks the signature of an approval or a rejection again, with nothing but the record: that it is a good one of
    /// its text by its key, and that the text says what the record says. Returns whether there is one.
    ///
    /// Whether the key was the principal's, the configuration of that time knows; the record of it lists the keys.
    func checkSignature() throws(AuditSignatureFlaw) -> Bool {
        guard event.kind == .approve || event.kind == .reject, let result = event.result else { return false }
        let assurance = result["assurance"]?.string
        let isSaid = assurance == "signed" || assurance == "hardware"
        guard let form = result["signed"] else {
            if isSaid { throw AuditSignatureFlaw(words: "says \(assurance ?? ""), but has no signature") }
            return false
        }
        do throws(SignatureProblem) {
            let signed = try SignedApproval(form: form)
            let said = ApprovalText(
                agent: signed.text.agent, plan: event.planID ?? "", planHash: result["plan_hash"]?.string ?? "",
                decision: event.kind.rawValue, principal: event.principal, reason: result["reason"]?.string ?? "")
            guard said.bytes == signed.text.bytes else {
                throw .malformed("its text says something else than the record")
            }
            guard assurance == (signed.key.isHardware ? "hardware" : "signed") else {
                throw .malformed("its key is not what makes an approval \(assurance ?? "nothing")")
            }
            try signed.check()
        } catch {
            throw AuditSignatureFlaw(words: "has a signature that is not good: \(error)")
        }
        return true
    }
}
