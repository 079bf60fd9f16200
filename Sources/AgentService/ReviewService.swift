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

    /// Open reviews, or closed ones; all for `nil`. Newest first, those of environments that the caller may view.
    package func list(isOpen: Bool?, _ context: Context) async throws(ServiceError) -> [Review] {
        try await audited.read { $0.reviews(isOpen: isOpen) }.filter {
            context.principal.may(.view, in: $0.environment) || context.principal.may(.review, in: $0.environment)
        }
    }

    /// Closes the review of an operation that somebody else asked for. The record is written before it is stored.
    package func close(
        _ operation: RecordID, isJustified: Bool, comment: String, _ context: Context
    ) async throws(ServiceError) -> Review {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            let visible = Set(access.visibleEnvironments(context).map(\.settings.name))
            guard let review = try await audited.read({ $0.review(of: operation) }),
                visible.contains(review.environment)
            else {
                throw ServiceError(
                    .notFound, "there is no review of \(operation); GET /v1/reviews lists those that there are")
            }
            try access.check(.review, in: review.environment, context)
            guard !review.requester.isSameParty(as: context.caller) else {
                throw ServiceError(
                    .forbidden, "\(review.requester.actor) asked for \(operation): somebody else has to review it")
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
    /// What stands in the way now: the window, the limits among `claims` that have no room, and the freezes found
    /// before. `nil` if nothing does.
    func passing(
        _ window: ClosedWindow?, fullOf claims: [LimitClaim], _ audited: AuditedStore, at now: Date
    ) async throws(ServiceError) -> BreakGlass? {
        let full = try await audited.read { records in
            claims.filter { !$0.verdict(uses: records.limitUses(of: $0, at: now), at: now).fits }.map(\.rule)
        }
        let passed = BreakGlass(
            reason: reason, at: at, windows: window?.rules ?? [], limits: Set(full).sorted(), freezes: freezes)
        return passed.isEmpty ? nil : passed
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
    init?(_ entry: Replay.Entry, isShared: Bool) {
        let event = entry.event
        guard event.kind == .breakGlass, let operation = entry.operationID, let plan = entry.planID,
            let environment = event.environment.flatMap(EnvironmentName.init),
            let action = event.request?["action"]?.string.flatMap(Action.init(rawValue:)),
            let target = event.request?["target"]?.string.flatMap(Target.init)
        else { return nil }
        self.init(
            operationID: operation, planID: plan, environment: environment, action: action, target: target,
            requester: Caller(principal: event.principal, label: event.label, isShared: isShared),
            glass: BreakGlass(audited: event.result ?? [:], at: entry.time))
    }
}
