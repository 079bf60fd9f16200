import AgentAudit
package import AgentModel
import StrictJSON

/// What happens to the sessions of the console, as far as it is recorded. The sessions themselves are kept by the API.
package enum SessionChange: Sendable {
    /// How a principal signs in.
    package enum Method: String, Sendable, CaseIterable {
        case token, code, passkey
    }

    /// A session began; `ending` are those that it replaces.
    case signedIn(RecordID, Method, ending: [RecordID])
    /// Its own principal ended it.
    case signedOut(RecordID)
    /// Another session of the same principal ended it.
    case ended(RecordID)
    /// A one-time code was made.
    case codeMade
}

extension ControlPlane {
    /// Records a change of the caller's sessions. It must not take effect if this throws.
    package func record(_ change: SessionChange, _ context: Context) async throws(ServiceError) {
        try await audited.record(AuditEvent(.session, context, result: change.auditForm))
    }
}
