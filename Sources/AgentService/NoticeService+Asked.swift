import AgentAudit
package import AgentModel
import StrictJSON

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
    package func test(_ target: String, _ context: Context) async throws(ServiceError) -> DeliveryResult {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            guard let sender = try check(target: target) else { return .stopped }
            try audited.checkSpace()
            let queued = QueuedNotice(
                id: ports.newID(.notification), target: target, key: "test",
                notice: NoticeWriter.test(by: context.caller, at: ports.now()), queuedAt: ports.now())
            try await audited.record(queued.auditEvent("test", by: context))
            let result = await sender.send(queued.notice, queued.id, at: ports.now(), to: target)
            ports.observed(.notified(target, isDelivered: result == .delivered))
            return result
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
