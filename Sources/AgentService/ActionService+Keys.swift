package import AgentModel
import FoundationEssentials
import Logging
package import StrictJSON
import Synchronization

/// A request with an `Idempotency-Key`, to be stored with what it makes.
package struct KeptWish: Sendable {
    package let key: IdempotencyKey
    package let payloadHash: String
    /// Words the answer to a plan that was made; an apply's answer comes later, by ``ActionService/keep(_:for:)``.
    package let render: @Sendable (Plan) -> KeptAnswer

    package init(key: IdempotencyKey, payloadHash: String, render: @escaping @Sendable (Plan) -> KeptAnswer) {
        self.key = key
        self.payloadHash = payloadHash
        self.render = render
    }

    func request(for record: RecordID, at now: Date, _ answer: KeptAnswer? = nil) -> KeptRequest {
        KeptRequest(key: key, payloadHash: payloadHash, record: record, createdAt: now, answer: answer)
    }
}

/// What a key stands for when a request comes with it.
package enum KeyState: Sendable {
    /// Nothing yet: carry the request out, then ``ActionService/end(_:)``.
    case fresh
    /// The answer that was given.
    case answered(KeptAnswer)
    /// An operation whose answer was lost with the process that owed it.
    case unanswered(Operation)
}

extension ActionService {
    /// A hash of what came in, under this installation's key: it may hold secrets.
    package func payloadHash(_ body: JSONObject) -> String { digest.payloadHash(.object(body)) }

    /// Looks a key up and, where it is new, holds it until ``end(_:)``.
    ///
    /// - Throws: `idempotency_in_progress` while the first answer is being made, `idempotency_key_reused` for another
    ///   payload, and what says that the caller may not see what the key made.
    package func begin(
        _ key: IdempotencyKey, payloadHash: String, _ context: Context
    ) async throws(ServiceError) -> KeyState {
        // An answer that is there is for all who ask at the same time.
        if let answer = try await kept(key, payloadHash, context)?.answer { return .answered(answer) }
        guard keysInProgress.withLock({ $0.insert(key).inserted }) else {
            throw ServiceError(
                .idempotencyInProgress,
                "a request with this Idempotency-Key is being carried out; ask again for its answer")
        }
        var isHeld = false
        defer { if !isHeld { end(key) } }
        // Whoever held it may have come to an end in between.
        guard let kept = try await kept(key, payloadHash, context) else {
            isHeld = true
            return .fresh
        }
        if let answer = kept.answer { return .answered(answer) }
        guard kept.record.kind == .operation, let operation = try await read({ $0.operation(kept.record) }) else {
            throw ServiceError(.operationNotFound, "what this Idempotency-Key made, \(kept.record), is kept no more")
        }
        return .unanswered(operation)
    }

    /// What is kept under the key for this payload, for somebody who may see it; `nil` where the key is new.
    private func kept(
        _ key: IdempotencyKey, _ payloadHash: String, _ context: Context
    ) async throws(ServiceError) -> KeptRequest? {
        // Kept for a day, and the housekeeping comes round in its own time.
        guard let kept = try await read({ $0.request(key) }),
            kept.createdAt > ports.now().addingTimeInterval(-Limits.idempotencySeconds)
        else { return nil }
        try await authorise(kept, context)
        guard kept.payloadHash == payloadHash else {
            throw ServiceError(
                .idempotencyKeyReused,
                "this Idempotency-Key came with another body before; take a new key for a new request")
        }
        return kept
    }

    /// Lets go of a key that ``begin(_:payloadHash:_:)`` called fresh.
    package func end(_ key: IdempotencyKey) { keysInProgress.withLock { _ = $0.remove(key) } }

    /// Keeps the answer to an apply, where an operation was made under the key.
    package func keep(_ answer: KeptAnswer, for key: IdempotencyKey) async {
        do throws(ServiceError) {
            try await write { records in
                guard var kept = records.request(key), kept.answer == nil, kept.record.kind == .operation else {
                    return
                }
                kept.answer = answer
                records.put(kept)
            }
        } catch {
            ports.log.warning("the answer to an Idempotency-Key is not kept", metadata: ["error": "\(error.detail)"])
        }
    }

    /// How an apply is answered whose own answer was lost: by its operation as it stands.
    package func outcome(of operation: Operation) async throws(ServiceError) -> ApplyOutcome {
        let plan = try await load(operation.planID)
        return try await outcome(of: operation, plan, wait: .zero)
    }

    private func authorise(_ kept: KeptRequest, _ context: Context) async throws(ServiceError) {
        let environment = try await read { records in
            switch kept.record.kind {
            case .plan: records.plan(kept.record)?.request.environment
            case .operation: records.operation(kept.record)?.environment
            }
        }
        if let environment {
            _ = try site(environment, .view, context)
        } else if !context.principal.mayEverywhere(.view) {
            // Where it was nobody knows any more.
            throw kept.record.kind == .plan ? Self.noPlan(kept.record) : Self.noOperation(kept.record)
        }
    }
}
