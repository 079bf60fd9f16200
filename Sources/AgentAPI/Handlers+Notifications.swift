import AgentModel
package import AgentService
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Notifications.
extension Handlers {
    func notifications(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let limit = try exchange.query("limit", in: 1...500) ?? 100
        var filter = NoticeFilter(target: exchange.query["target"], limit: limit + 1)
        filter.state = try exchange.query("state", states(QueuedNotice.State.self), QueuedNotice.State.init)
        filter.before = try exchange.query("before", "a notification's id") { RecordID($0, .notification) }
        if let name = exchange.query["environment"] {
            filter.environments = [try await service.environment(named: name, .approve, exchange.context)]
        }
        let found = try await service.notices.notices(filter, exchange.context)
        return page("notifications", found.map { ($0.id, Views.notification($0)) }, limit, isCut: false)
    }

    func retryNotification(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let id = try await asked(exchange) { () throws(ServiceError) in try exchange.id(.notification) }
        return .json(.ok, Views.notification(try await service.notices.retry(id, exchange.context)))
    }

    func testNotification(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let target = try await asked(exchange) { () throws(ServiceError) in
            try NotificationTest(body: try exchange.object()).target
        }
        switch try await service.notices.test(target, exchange.context) {
        case .delivered: return .json(.ok, ["target": .string(target), "delivered": true])
        case .failed(let why, _), .refused(let why):
            return .json(
                .ok,
                ["target": .string(target), "delivered": false, "error": .string(why.visibleLine(upTo: 400))])
        case .stopped: throw ServiceError(.shuttingDown, "the agent is stopping; nothing was sent")
        }
    }
}

extension Views {
    /// A notification on its way to one destination.
    package static let notification = View<QueuedNotice>(
        "Notification", "A notification on its way to one destination.",
        [
            .always("notification_id", .id(.notification), "the same at every try") {
                .string($0.id.description)
            },
            .always("target", .text, "the destination's id in the configuration") { .string($0.target) },
            .always("state", .words(QueuedNotice.State.self)) { .string($0.state.rawValue) },
            .always("event", .words(Notice.Event.self)) { .string($0.notice.event.rawValue) },
            .always("title", .text) { .string($0.notice.title) },
            .always("environment", Schema(TextForm.environment).orNull, "null if it concerns all") {
                $0.notice.environment.map { .string($0.description) } ?? .null
            },
            .maybe("plan_id", .id(.plan)) { $0.notice.planID.map { .string($0.description) } },
            .maybe("operation_id", .id(.operation)) { $0.notice.operationID.map { .string($0.description) } },
            .always("queued_at", .time) { .string($0.queuedAt.rfc3339) },
            .always("attempts", .integer(), "how often it was tried") { JSON($0.attempts) },
            .maybe("next_at", .time, "when it is tried again at the latest, if those before it are delivered") {
                $0.state == .waiting ? .string($0.nextAt.rfc3339) : nil
            },
            .maybe("ended_at", .time) { $0.endedAt.map { .string($0.rfc3339) } },
            .maybe("error", .text, "why the last try failed") { $0.error.map { .string($0) } },
        ])
}
