import AgentAudit
package import AgentModel
package import FoundationEssentials
import Synchronization

/// Where the records of sign-ins are: in the state that several agents share, or else in memory, for as long as the
/// process lives.
package final class SignInStore: Sendable {
    private let shared: AuditedStore?
    /// All records, or, if they are shared, the sessions that this agent has seen.
    private let own = Mutex(SignInMemory())

    /// In memory.
    package init() { shared = nil }

    init(_ audited: AuditedStore) { shared = audited.ports.leases == nil ? nil : audited }

    package var isShared: Bool { shared != nil }

    /// Whether this agent's clock and configuration are those of the others, as far as that is known: only then it begins
    /// anything, or ends what does not count by its own.
    package var isAgreed: Bool { shared?.isFit ?? true }

    /// Throws if they are not.
    package func checkAgreed() throws(ServiceError) { try shared?.checkFitness() }

    /// Throws ``ErrorCode/storeUnavailable`` if the state does not work.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SignInReader) -> Value
    ) async throws(ServiceError) -> Value {
        guard let shared else { return own.withLock { body($0) } }
        return try await shared.read { body($0) }
    }

    /// The same. Of several bodies, at whichever agents, one runs at a time.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SignInTransaction) -> Value
    ) async throws(ServiceError) -> Value {
        guard let shared else { return own.withLock { body($0) } }
        return try await shared.write { body($0) }
    }

    /// The session of that key, whether or not it is due.
    package func session(_ key: CredentialDigest) async throws(ServiceError) -> ConsoleSession? {
        guard isShared else { return seenSession(key) }
        let found = try await read { $0.signIn(.session, key) }
        own.withLock { own in
            if let found { own.put(found) } else { own.removeSignIn(.session, key) }
        }
        return found?.session
    }

    /// The session as this agent saw it last: nothing that entitles anybody, if others may have ended it since.
    package func seenSession(_ key: CredentialDigest) -> ConsoleSession? {
        own.withLock { $0.signIn(.session, key)?.session }
    }

    /// Forgets what this agent has seen, except sessions that end after that date.
    package func forgetSeen(endedBy date: Date) { own.withLock { $0.pruneSignIns(endedBy: date) } }

    /// Records the event, and then runs `body`. Nothing is changed if it cannot be recorded. `nil` if `body` returns
    /// that; then the record is void.
    func commit<Value: Sendable>(
        _ event: AuditEvent, in audited: AuditedStore, _ body: @escaping @Sendable (any SignInTransaction) -> Value?
    ) async throws(ServiceError) -> Value? {
        guard !isShared else { return try await audited.commit(event) { body($0) } }
        let head = try await audited.record(event)
        if let value = own.withLock({ body($0) }) { return value }
        _ = await audited.void(event, head)
        return nil
    }
}
