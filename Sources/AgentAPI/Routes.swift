package import AgentModel
import AgentService
package import HTTPMessage
package import HTTPTypes

/// One route: what it takes, who may use it, and what it does. The table of routes is the API.
package struct Route: Sendable {
    /// What a caller needs.
    package enum Access: String, Sendable {
        /// Nothing.
        case open
        /// A valid token; reads.
        case read
        /// A valid token; requests or makes a change.
        case change
    }

    package let method: HTTPRequest.Method
    package let path: String
    package let access: Access
    /// The right that the caller must have in some environment; the service checks in which. `nil` for any valid token.
    package let right: Right?
    /// Which of the server's places it uses.
    package let lane: Admission.Lane
    package let summary: String
    /// The query parameters of the route; all others are refused.
    package let query: [String]
    private let body: @Sendable (Handlers) -> (APIExchange) async throws(ServiceError) -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, _ access: Access, needs right: Right? = nil,
        lane: Admission.Lane = .ordinary, query: [String] = [],
        _ summary: String,
        _ handle: @escaping @Sendable (Handlers) -> (APIExchange) async throws(ServiceError) -> Response
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.right = right
        self.lane = lane
        self.query = query
        self.summary = summary
        body = handle
    }

    /// Throws if no role of the principal allows what the route does.
    func checkRight(of principal: Principal) throws(ServiceError) {
        guard let right, !principal.rights.contains(right) else { return }
        throw ServiceError(
            .forbidden, "\(principal.id) may not use this route: it takes \(AccessControl.roles(for: right))")
    }

    /// Handles a request whose principal passed ``checkRight(of:)``.
    func handle(_ handlers: Handlers, _ exchange: APIExchange) async throws(ServiceError) -> Response {
        try await body(handlers)(exchange)
    }

    /// All routes.
    package static let all: [Route] = [
        Route(.get, "/healthz", .open, lane: .health, "the process serves", Handlers.health),
        Route(.get, "/livez", .open, lane: .health, "the same", Handlers.health),
        Route(
            .get, "/readyz", .open, lane: .health,
            "whether it can do its work; environments are shown to callers with a token", Handlers.ready),
        Route(
            .get, "/v1/environments", .read, "all environments, and how they were when last looked at",
            Handlers.environments),
        Route(.get, "/v1/actions", .read, "the catalogue of actions", Handlers.actions),
        Route(
            .get, "/v1/inventory", .read, needs: .view, query: ["environment", "state"],
            "guests of one environment, or of all", Handlers.inventory),
        Route(
            .get, "/v1/nodes", .read, needs: .view, query: ["environment"], "nodes of an environment", Handlers.nodes),
        Route(
            .get, "/v1/tasks", .read, needs: .view, query: ["environment", "node", "limit"],
            "recent tasks of an environment", Handlers.tasks),
        Route(
            .get, "/v1/tasks/status", .read, needs: .view, query: ["environment", "upid"], "state of one task",
            Handlers.taskStatus),
        Route(
            .post, "/v1/actions/plan", .change, needs: .view, "plan an action: decision, preview, hash", Handlers.plan),
        Route(
            .post, "/v1/actions/apply", .change, needs: .view, "apply a plan, or a read or dry run in one step",
            Handlers.apply),
        Route(
            .get, "/v1/plans", .read, needs: .view, query: ["state", "environment", "limit", "before"],
            "plans, newest first", Handlers.plans),
        Route(.get, "/v1/plans/{id}", .read, needs: .view, "one plan", Handlers.onePlan),
        Route(.delete, "/v1/plans/{id}", .change, needs: .view, lane: .urgent, "cancel a plan", Handlers.cancelPlan),
        Route(
            .post, "/v1/plans/{id}/approvals", .change, needs: .approve, lane: .urgent,
            "approve or reject what the plan shows", Handlers.decidePlan),
        Route(
            .get, "/v1/operations", .read, needs: .view, query: ["state", "environment", "plan_id", "limit", "before"],
            "operations, newest first", Handlers.operations),
        Route(
            .get, "/v1/operations/{id}", .read, needs: .view, query: ["wait"],
            "one operation; wait=N waits up to N s for its end", Handlers.oneOperation),
        Route(
            .get, "/v1/operations/{id}/log", .read, needs: .view, query: ["start", "limit"], "PVE's log of its task",
            Handlers.operationLog),
        Route(
            .post, "/v1/operations/{id}/cancel", .change, needs: .view, lane: .urgent,
            "cancel it, or ask PVE to stop its task", Handlers.cancelOperation),
        Route(
            .post, "/v1/operations/{id}/resolve", .change, needs: .approve, "settle an unknown outcome by hand",
            Handlers.resolveOperation),
        Route(.get, "/v1/freeze", .read, needs: .view, "what is frozen", Handlers.freezes),
        Route(
            .post, "/v1/freeze", .change, needs: .freeze, lane: .urgent,
            "let nothing change, everywhere or in one environment", Handlers.freeze),
        Route(
            .delete, "/v1/freeze", .change, needs: .freeze, query: ["id", "environment", "by"], "lift a freeze",
            Handlers.unfreeze),
        Route(
            .get, "/v1/audit", .read, needs: .audit, query: ["after", "limit"], "audit records, oldest first",
            Handlers.audit),
        Route(
            .get, "/v1/audit/head", .read, needs: .audit, "number and hash of the newest synced audit record",
            Handlers.auditHead),
    ]
}
