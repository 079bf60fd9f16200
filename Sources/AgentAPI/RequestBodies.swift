import AgentModel
import AgentService
import Signatures
import StrictJSON

/// The bodies that routes take. AgentModel reads that of an action's request.
extension ApplyRequest {
    /// Of `POST /v1/actions/apply`: `{plan_id, approved_by?, break_glass?}`, or the whole request.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let planID = reader.parsed("plan_id", "a plan's id, pln_ and 20 characters") { RecordID($0, .plan) }
        let approvedBy = reader.approver("approved_by")
        let emergency = reader.reason("break_glass")
        let isWhole = ActionRequest.fields.filter { $0 != "approved_by" }.contains { body[$0] != nil }
        guard isWhole || body["plan_id"] == nil else {
            try reader.close()
            self.init(planID: planID, approvedBy: approvedBy, emergency: emergency)
            return
        }
        if emergency != nil { reader.report("break_glass", "goes with a plan_id alone; leave the request out") }
        if !reader.issues.isEmpty { throw ServiceError(JSONIssues(reader.issues)) }
        var rest = body
        rest["plan_id"] = nil
        self.init(planID: planID, request: rest, approvedBy: approvedBy)
    }
}

extension ApprovalRequest {
    /// Of `POST /v1/plans/{id}/approvals`: `{decision, plan_hash, reason?, ticket?, signature?}`.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let verdict = reader.parsed("decision", "approve or reject", Verdict.init)
        let hash = reader.parsed("plan_hash", "the plan's plan_hash, 64 hexadecimal digits") { text in
            text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
                ? text : nil
        }
        let reason = reader.parsed("reason", "text of at most 4096 characters") {
            TextForm.text(4096).matches($0) ? $0 : nil
        }
        let ticket = reader.parsed("ticket", "text of at most 256 characters") {
            TextForm.text(256).matches($0) ? $0 : nil
        }
        let signature = reader.signature()
        reader.require("decision", "approve or reject")
        reader.require("plan_hash", "the plan_hash of the plan that was looked at")
        try reader.close()
        guard let verdict, let hash else { throw ServiceError(.internalError, "reading the body went wrong") }
        self.init(verdict, planHash: hash, reason: reason, ticket: ticket, signature: signature)
    }
}

extension FreezeRequest {
    /// Of `POST /v1/freeze`: `{environment?, reason, ttl?}`.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let environment = reader.string("environment")
        let reason = reader.reason()
        let ttl = reader.integer("ttl", in: 1...2_592_000, unit: "s")
        reader.require("reason", "why nothing may change")
        try reader.close()
        self.init(environment: environment, reason: reason ?? "", ttl: ttl)
    }
}

/// A request to settle an unknown outcome by hand.
struct ResolveRequest {
    let succeeded: Bool
    let reason: String

    /// Of `POST /v1/operations/{id}/resolve`: `{outcome, reason}`.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let succeeded = reader.parsed("outcome", "succeeded or failed") { ["succeeded": true, "failed": false][$0] }
        let reason = reader.reason()
        reader.require("outcome", "succeeded or failed")
        reader.require("reason", "why you know")
        try reader.close()
        guard let succeeded, let reason else { throw ServiceError(.internalError, "reading the body went wrong") }
        self.succeeded = succeeded
        self.reason = reason
    }
}

/// What somebody says to an emergency of others.
struct ReviewClose {
    let isJustified: Bool
    let comment: String

    /// Of `POST /v1/reviews/{id}`: `{verdict, comment}`.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let isJustified = reader.parsed("verdict", "justified or unjustified") {
            ["justified": true, "unjustified": false][$0]
        }
        let comment = reader.reason("comment")
        reader.require("verdict", "justified or unjustified")
        reader.require("comment", "what you found")
        try reader.close()
        guard let isJustified, let comment else {
            throw ServiceError(.internalError, "reading the body went wrong")
        }
        self.isJustified = isJustified
        self.comment = comment
    }
}

/// A request to try a destination out.
struct NotificationTest {
    let target: String

    /// Of `POST /v1/notifications/test`: `{target}`.
    init(body: JSONObject) throws(ServiceError) {
        var reader = ObjectReader(body)
        let target = reader.string("target")
        reader.require("target", "a destination's id in the configuration")
        try reader.close()
        self.target = target ?? ""
    }
}

extension ObjectReader {
    fileprivate mutating func signature() -> ApprovalSignature? {
        guard let value = value("signature") else { return nil }
        do throws(SignatureProblem) { return try ApprovalSignature(form: value) } catch {
            report("signature", "\(error)")
            return nil
        }
    }

    fileprivate mutating func reason(_ key: String = "reason") -> String? {
        parsed(key, "text of 1 to 4096 characters, not blank") {
            !$0.allSatisfy(\.isWhitespace) && TextForm.text(4096).matches($0) ? $0 : nil
        }
    }

    /// Throws if anything in the body is wrong.
    fileprivate mutating func close() throws(ServiceError) {
        do throws(JSONIssues) { try finish() } catch { throw ServiceError(error) }
    }
}
