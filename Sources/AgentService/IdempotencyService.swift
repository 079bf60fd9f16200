package import AgentModel
import FoundationEssentials
import Logging
package import StrictJSON
import Synchronization

/// A request with an `Idempotency-Key`, stored with its result.
package struct PendingIdempotentRequest: Sendable {
    package let key: IdempotencyKey
    package let payloadHash: String
    /// Renders the answer for a made plan. An apply's answer comes later, by ``IdempotencyService/keep(_:for:)``.
    package let render: @Sendable (Plan) -> StoredResponse

    package init(key: IdempotencyKey, payloadHash: String, render: @escaping @Sendable (Plan) -> StoredResponse) {
        self.key = key
        self.payloadHash = payloadHash
        self.render = render
    }

    /// Whether another agent has carried out a request with the key since it was looked up.
    func isTaken(in records: any StoreReader, at now: Date) -> Bool {
        records.request(key).map { $0.createdAt > now.addingTimeInterval(-Limits.idempotencySeconds) } ?? false
    }

    /// The refusal then. The next try gets the answer.
    static var taken: ServiceError {
        ServiceError(
            .idempotencyInProgress,
            "another agent has just carried out a request with this Idempotency-Key; try again for its response")
    }

    func request(
        for record: RecordID, in environment: EnvironmentName, at now: Date, _ answer: StoredResponse? = nil
    ) -> IdempotentRequest {
        IdempotentRequest(
            key: key, payloadHash: payloadHash, record: record, environment: environment, createdAt: now,
            answer: answer)
    }
}

/// What is known of an idempotency key when a request uses it.
package enum KeyState: Sendable {
    /// Nothing: carry the request out, then call ``IdempotencyService/end(_:)``.
    case fresh
    /// The answer that was given.
    case answered(StoredResponse)
    /// An operation whose answer was lost because the process ended.
    case unanswered(Operation)
}

/// Gives a repeated request with the same `Idempotency-Key` the answer of the first.
package final class IdempotencyService: Sendable {
    private let audited: AuditedStore
    private let access: AccessControl
    private let limits: Limits
    private let digest: PlanDigest
    /// Requests that have no answer yet.
    private let inProgress = Mutex<Set<IdempotencyKey>>([])
    private let usage = IdempotencyUsage()

    init(_ audited: AuditedStore, _ access: AccessControl, _ limits: Limits, _ digest: PlanDigest) {
        self.audited = audited
        self.access = access
        self.limits = limits
        self.digest = digest
    }

    private var ports: Ports { audited.ports }

    /// Counts the bytes of an answer that was stored together with its plan.
    func count(_ answer: StoredResponse, of principal: String) { usage.add(0, bytes: answer.body.count, to: principal) }

    /// A keyed hash of the body under this installation's key, because the body may hold secrets.
    package func payloadHash(_ body: JSONObject) -> String { digest.payloadHash(.object(body)) }

    /// Looks a key up; if it is new, holds it until ``end(_:)``.
    ///
    /// - Throws: `idempotency_in_progress` while the first answer is being made, `idempotency_key_reused` for another
    ///   payload, or the code for a caller who may not see what the key created.
    package func begin(
        _ key: IdempotencyKey, payloadHash: String, _ context: Context
    ) async throws(ServiceError) -> KeyState {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            try await hold(key, payloadHash, context)
        }
    }

    private func hold(
        _ key: IdempotencyKey, _ payloadHash: String, _ context: Context
    ) async throws(ServiceError) -> KeyState {
        // Concurrent requests all get an answer that exists. If none exists, another request may be making it now.
        if let known = try await known(key, payloadHash, context), case .answered = known { return known }
        guard inProgress.withLock({ $0.insert(key).inserted }) else {
            throw ServiceError(
                .idempotencyInProgress,
                "a request with this Idempotency-Key is still being carried out; try again for its response")
        }
        // Another request may have been carried out between the look and the hold.
        do throws(ServiceError) {
            guard let known = try await known(key, payloadHash, context) else {
                try await checkRoom(for: key)
                return .fresh
            }
            end(key)
            return known
        } catch {
            end(key)
            throw error
        }
    }

    /// Refuses a key over the limit. Forgetting an older key instead would let its request run again.
    private func checkRoom(for key: IdempotencyKey) async throws(ServiceError) {
        let now = ports.uptime()
        var known = usage.use(of: key.principal, at: now)
        if known == nil {
            let counted = try await audited.read { $0.keyUse(of: key.principal) }
            known = usage.note(counted, of: key.principal, at: now)
        }
        guard let use = known else { return }
        guard use.count < limits.keys, use.bytes < limits.keyBytes else {
            throw ServiceError(
                .rateLimited,
                "\(key.principal) has \(use.count) requests with an Idempotency-Key in the last day, whose answers take "
                    + "\(use.bytes) bytes, which is the limit; send none where none is needed")
        }
        usage.add(1, bytes: 0, to: key.principal)
    }

    /// What the key stands for, if the caller may see it; `nil` for nothing.
    private func known(
        _ key: IdempotencyKey, _ payloadHash: String, _ context: Context
    ) async throws(ServiceError) -> KeyState? {
        // Kept for a day; the prune that removes it runs only now and then.
        guard let kept = try await audited.read({ $0.request(key) }),
            kept.createdAt > ports.now().addingTimeInterval(-Limits.idempotencySeconds)
        else { return nil }
        _ = try access.managedEnvironment(kept.environment, .view, context)
        guard kept.payloadHash == payloadHash else {
            throw ServiceError(
                .idempotencyKeyReused,
                "this Idempotency-Key was used with another body; use a new key for a new request")
        }
        if let answer = kept.answer { return .answered(answer) }
        guard kept.record.kind == .operation, let operation = try await audited.read({ $0.operation(kept.record) })
        else {
            throw ServiceError(
                .operationNotFound, "the \(kept.record) that this Idempotency-Key created is no longer kept")
        }
        return .unanswered(operation)
    }

    /// Releases a key that ``begin(_:payloadHash:_:)`` reported as fresh.
    package func end(_ key: IdempotencyKey) { inProgress.withLock { _ = $0.remove(key) } }

    /// Stores the answer to an apply, if an operation was made under the key.
    package func keep(_ answer: StoredResponse, for key: IdempotencyKey) async {
        do throws(ServiceError) {
            try await audited.write { records in
                guard var kept = records.request(key), kept.answer == nil, kept.record.kind == .operation else {
                    return
                }
                kept.answer = answer
                records.put(kept)
            }
            usage.add(0, bytes: answer.body.count, to: key.principal)
            ports.wrote(key.principal, answer.body.count)
        } catch {
            ports.log.warning("the answer to an Idempotency-Key is not kept", metadata: ["error": "\(error.detail)"])
        }
    }
}
