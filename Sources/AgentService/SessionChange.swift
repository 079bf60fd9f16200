import AgentAudit
package import AgentModel
import StrictJSON

/// What happens to the sessions of the console, as far as it is recorded.
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
    /// Records a change of the caller's sessions, and then makes it by `body`. Nothing is changed if it cannot be
    /// recorded. `nil` if `body` returns that; then the record is void.
    package func record<Value: Sendable>(
        _ change: SessionChange, _ context: Context, in store: SignInStore,
        _ body: @escaping @Sendable (any SignInTransaction) -> Value?
    ) async throws(ServiceError) -> Value? {
        try await store.commit(AuditEvent(.session, context, result: change.auditForm), in: audited, body)
    }
}
