import AgentAudit
package import AgentModel
import StrictJSON
import Synchronization

/// What callers ask for. It takes the right to approve: those who are told look after it.
extension NoticeService {
    /// The notices that the caller may see, newest first.
    package func notices(
        _ filter: NoticeFilter, _ context: Context
    ) async throws(ServiceError) -> [QueuedNotice] {
        var filter = filter
        filter.environments = access.narrowed(filter.environments, to: .approve, context)
        let bounded = filter
        return try await audited.read { $0.notices(bounded) }
    }

    /// Tries a notice again at once that waits or was given up.
    package func retry(_ id: RecordID, _ context: Context) async throws(ServiceError) -> QueuedNotice {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            let allowed = access.environments(.approve, context)
            guard let found = try await audited.read({ $0.notice(id) }),
                allowed.map({ allowed in found.notice.environment.map(allowed.contains) ?? false }) ?? true
            else { throw ServiceError(.notFound, "there is no notification \(id)") }
            try check(target: found.target)
            guard found.state != .delivered else {
                throw ServiceError(.invalidRequest, "\(id) was delivered to \(found.target) already")
            }
            try await audited.record(found.auditEvent("retry", by: context))
            let now = ports.now()
            let queued = try await audited.write { records -> QueuedNotice? in
                guard var notice = records.notice(id), notice.state != .delivered else { return nil }
                notice.retry(at: now)
                records.put(notice)
                return notice
            }
            ring(found.target)
            guard let queued else { throw ServiceError(.notFound, "there is no notification \(id) any more") }
            return queued
        }
    }

    /// Sends a notice to a destination now, past those that wait, and tells what became of it. It is not tried again.
    /// Each destination is tested once at a time, so that tests leave room for what it waits for.
    package func test(_ target: String, _ context: Context) async throws(ServiceError) -> DeliveryResult {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            guard let sender = try check(target: target) else { return .stopped }
            try checkEnvironments(of: target, context)
            try audited.checkSpace()
            guard state.withLock({ $0.testing.insert(target).inserted }) else {
                throw ServiceError(.rateLimited, "\(target) is being tested; wait for what becomes of that")
            }
            defer { _ = state.withLock { $0.testing.remove(target) } }
            let queued = QueuedNotice(
                id: ports.newID(.notification), target: target, key: "test",
                notice: NoticeWriter.test(by: context.caller, at: ports.now()), queuedAt: ports.now())
            try await audited.record(queued.auditEvent("test", by: context))
            let result = await sender.send(queued.notice, queued.id, at: ports.now(), to: target)
            ports.observed(.notified(target, isDelivered: result == .delivered))
            return result
        }
    }

    /// A test is for those who may approve everywhere the destination is told of.
    private func checkEnvironments(of target: String, _ context: Context) throws(ServiceError) {
        guard let allowed = access.environments(.approve, context),
            let subscription = state.withLock({ $0.subscriptions.first { $0.target == target } })
        else { return }
        guard let told = subscription.environments, told.isSubset(of: allowed) else {
            throw ServiceError(
                .forbidden,
                "\(context.principal.id) may not test \(target): it takes \(AccessControl.roles(for: .approve)) in all "
                    + "environments that \(target) is told of")
        }
    }
}

extension QueuedNotice {
    /// The record of something that was done with it, beside the tries themselves.
    func auditEvent(_ what: String, by context: Context) -> AuditEvent {
        AuditEvent(
            .notify, context, environment: notice.environment, plan: notice.planID, operation: notice.operationID,
            result: [
                "status": .string(what), "notification_id": .string(id.description), "target": .string(target),
                "event": .string(notice.event.rawValue), "attempts": JSON(attempts),
                "error": error.map { .string($0) },
            ])
    }
}
