import AgentService
import HTTPMessage
package import HTTPTypes

/// One route: what it takes, who may use it, and what it does. The table is the API.
package struct Route: Sendable {
    /// What a caller needs.
    package enum Access: String, Sendable {
        /// Nothing.
        case open
        /// A valid token; reads.
        case read
        /// A valid token; asks for or makes a change.
        case change
    }

    package let method: HTTPRequest.Method
    package let path: String
    package let access: Access
    package let summary: String
    /// Query parameters that the route knows; any other is refused.
    package let query: [String]
    let handle: @Sendable (Handlers, Exchange) async throws(ServiceError) -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, _ access: Access, query: [String] = [], _ summary: String,
        _ handle: @escaping @Sendable (Handlers, Exchange) async throws(ServiceError) -> Response
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.query = query
        self.summary = summary
        self.handle = handle
    }

    /// Every route there is.
    package static let all: [Route] = [
        Route(.get, "/healthz", .open, "the process serves") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.health(exchange)
        },
        Route(.get, "/livez", .open, "the same") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.health(exchange)
        },
        Route(.get, "/readyz", .open, "whether it can do its work; environments are shown to callers with a token") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.ready(exchange)
        },
        Route(.get, "/v1/environments", .read, "all environments, and how they were when last looked at") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.environments(exchange)
        },
        Route(.get, "/v1/actions", .read, "the catalogue of actions") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.actions(exchange)
        },
        Route(.get, "/v1/inventory", .read, query: ["environment", "state"], "guests of one environment, or of all") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.inventory(exchange)
        },
        Route(.get, "/v1/nodes", .read, query: ["environment"], "nodes of an environment") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.nodes(exchange)
        },
        Route(.get, "/v1/tasks", .read, query: ["environment", "node", "limit"], "recent tasks of an environment") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.tasks(exchange)
        },
        Route(.get, "/v1/tasks/status", .read, query: ["environment", "upid"], "state of one task") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.taskStatus(exchange)
        },
        Route(.post, "/v1/actions/plan", .change, "plan an action: decision, preview, hash") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.plan(exchange)
        },
        Route(.post, "/v1/actions/apply", .change, "apply a plan, or a read or dry run in one step") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.apply(exchange)
        },
        Route(.get, "/v1/plans", .read, query: ["state", "environment", "limit", "before"], "plans, newest first") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.plans(exchange)
        },
        Route(.get, "/v1/plans/{id}", .read, "one plan") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.onePlan(exchange)
        },
        Route(.delete, "/v1/plans/{id}", .change, "cancel a plan") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.cancelPlan(exchange)
        },
        Route(
            .get, "/v1/operations", .read, query: ["state", "environment", "plan_id", "limit", "before"],
            "operations, newest first"
        ) { (handlers, exchange) async throws(ServiceError) in try await handlers.operations(exchange) },
        Route(.get, "/v1/operations/{id}", .read, query: ["wait"], "one operation; wait=N waits up to N s for its end")
        {
            (handlers, exchange) async throws(ServiceError) in try await handlers.oneOperation(exchange)
        },
        Route(.get, "/v1/operations/{id}/log", .read, query: ["start", "limit"], "PVE's log of its task") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.operationLog(exchange)
        },
        Route(.post, "/v1/operations/{id}/cancel", .change, "cancel it, or ask PVE to stop its task") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.cancelOperation(exchange)
        },
        Route(.post, "/v1/operations/{id}/resolve", .change, "settle an unknown outcome by hand") {
            (handlers, exchange) async throws(ServiceError) in try await handlers.resolveOperation(exchange)
        },
    ]
}
