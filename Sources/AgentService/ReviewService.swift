import AgentAudit
package import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// The reviews of what was passed in emergencies.
package final class ReviewService: Sendable {
    private let audited: AuditedStore
    private let access: AccessControl

    init(_ audited: AuditedStore, _ access: AccessControl) {
        self.audited = audited
        self.access = access
    }

    /// Those that match, newest first, of environments that the caller may view.
    package func list(_ filter: ReviewFilter, _ context: Context) async throws(ServiceError) -> [Review] {
        var filter = filter
        filter.environments = access.environments(.view, context)
        return try await audited.read { [filter] in $0.reviews(filter) }
    }

    /// The review of the operation.
    package func review(_ operation: RecordID, _ context: Context) async throws(ServiceError) -> Review {
        guard let review = try await audited.read({ $0.review(of: operation) }),
            context.principal.may(.view, in: review.environment)
        else {
            throw ServiceError(
                .notFound, "there is no review of \(operation); GET /v1/reviews lists those that there are")
        }
        return review
    }

    /// Closes the review of an operation that somebody else asked for. The record is written before it is stored.
    package func close(
        _ operation: RecordID, isJustified: Bool, comment: String, _ context: Context
    ) async throws(ServiceError) -> Review {
        try await audited.recordingRefusals(of: context) {
            (subject: inout RefusedSubject) async throws(ServiceError) -> Review in
            subject.operationID = operation
            let review = try await review(operation, context)
            subject.environment = review.environment
            try access.check(.review, in: review.environment, context)
            guard !review.requester.isSameParty(as: context.caller), !context.caller.isShared else {
                throw ServiceError(
                    .forbidden,
                    "\(review.requester.actor) asked for \(operation): somebody else has to review it, "
                        + "with a token of their own")
            }
            let now = audited.ports.now()
            let verdict = Review.Verdict(
                by: context.caller.actor, at: now, isJustified: isJustified, comment: comment)
            try Self.checkOpen(review)
            let event = AuditEvent(
                .review, context, environment: review.environment, plan: review.planID, operation: operation,
                result: verdict.auditForm)
            let closed = try await audited.commit(event) { records -> Review? in
                guard var review = records.review(of: operation), review.verdict == nil else { return nil }
                review.verdict = verdict
                records.put(review)
                return review
            }
            if let closed { return closed }
            try Self.checkOpen(try await audited.read { $0.review(of: operation) } ?? review)
            throw ServiceError(.internalError, "the review of \(operation) could not be closed; nothing was done")
        }
    }

    private static func checkOpen(_ review: Review) throws(ServiceError) {
        guard let verdict = review.verdict else { return }
        throw ServiceError(
            .notFound,
            "the review of \(review.operationID) is not open: \(verdict.by) closed it at \(verdict.at.rfc3339)")
    }
}

extension BreakGlass {
    /// What stands in the way of a change there: the window, the limits among `claims` that have no room, and the stored
    /// freezes. `nil` if nothing does.
    init?(
        reason: String, past window: ClosedWindow?, _ claims: [LimitClaim], in environment: EnvironmentName,
        _ records: any StoreReader, at now: Date
    ) {
        let full = claims.filter { !$0.verdict(uses: records.limitUses(of: $0, at: now), at: now).fits }
        let frozen = records.freezes().filter { freeze in
            freeze.covers(environment) && freeze.endsAt.map { $0 > now } ?? true
        }
        self.init(
            reason: reason, at: now, windows: window?.rules ?? [], limits: full.map(\.counter),
            freezes: frozen.compactMap(\.id))
        if isEmpty { return nil }
    }
}

extension Review {
    /// The open review of an operation that passes something.
    init(of operation: Operation, _ glass: BreakGlass) {
        self.init(
            operationID: operation.id, planID: operation.planID, environment: operation.environment,
            action: operation.action, target: operation.target, requester: operation.requester, glass: glass)
    }

    /// The review that a record of an emergency opens; `nil` if the record is not one of this program's.
    init?(_ entry: Replay.Entry) {
        let event = entry.event
        guard event.kind == .breakGlass, let operation = entry.operationID, let plan = entry.planID,
            let environment = event.environment.flatMap(EnvironmentName.init),
            let action = event.request?["action"]?.string.flatMap(Action.init(rawValue:)),
            let target = event.request?["target"]?.string.flatMap(Target.init)
        else { return nil }
        self.init(
            operationID: operation, planID: plan, environment: environment, action: action, target: target,
            requester: Caller(principal: event.principal, label: event.label),
            glass: BreakGlass(audited: event.result ?? [:], at: entry.time))
    }
}
