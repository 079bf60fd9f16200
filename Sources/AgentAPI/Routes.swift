import AgentAudit
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
        /// What ``Authenticator/checkMayScrape(_:)`` asks for.
        case scrape
        /// Nothing, but who sends it matters; for sessions that begin.
        case visitor
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
    /// The name of the operation in OpenAPI, from which generated clients take the names of their functions.
    package let name: String
    /// The query parameters of the route; all others are refused.
    package let query: [QueryParameter]
    /// The body that it takes; `nil` for none.
    let body: Schema?
    /// Its answers that are no errors.
    let answers: [Answer]
    /// Its errors, besides those that every route has.
    let errors: [ErrorCode]
    /// Refuses a request before it is known who sends it; `nil` lets it pass.
    let screen: (@Sendable (Request) -> Response?)?
    /// Finds the trace that a body names; `nil` for the one in the header.
    let trace: (@Sendable (Request) -> TraceContext?)?
    private let handler: @Sendable (Handlers) -> (APIExchange) async throws(ServiceError) -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, _ name: String, _ access: Access, needs right: Right? = nil,
        lane: Admission.Lane = .ordinary, query: [QueryParameter] = [], body: Schema? = nil, gives answers: [Answer],
        fails errors: [ErrorCode] = [], _ summary: String,
        screen: (@Sendable (Request) -> Response?)? = nil, trace: (@Sendable (Request) -> TraceContext?)? = nil,
        _ handler: @escaping @Sendable (Handlers) -> (APIExchange) async throws(ServiceError) -> Response
    ) {
        self.method = method
        self.path = path
        self.name = name
        self.access = access
        self.right = right
        self.lane = lane
        self.query = query
        self.body = body
        self.answers = answers
        self.errors = errors
        self.summary = summary
        self.screen = screen
        self.trace = trace
        self.handler = handler
    }

    var isVersioned: Bool { path.hasPrefix("/v1/") }

    /// A session counts as much as a token, except where one begins.
    var takesCookie: Bool { isVersioned && !(access == .visitor && method == .post) }

    /// Its answers have an `ETag`.
    var isTagged: Bool { answers.contains { $0.status == .notModified } }

    /// Throws if no role of the principal allows what the route does.
    func checkRight(of principal: Principal) throws(ServiceError) {
        guard let right, !principal.rights.contains(right) else { return }
        throw ServiceError(
            .forbidden, "\(principal.id) may not use this route: it takes \(AccessControl.roles(for: right))")
    }

    /// Handles a request whose principal passed ``checkRight(of:)``.
    func handle(_ handlers: Handlers, _ exchange: APIExchange) async throws(ServiceError) -> Response {
        try await handler(handlers)(exchange)
    }

    /// All routes.
    package static let all = table + sessions

    private static let table: [Route] = [
        Route(
            .get, "/healthz", "get_health", .open, lane: .health, gives: [.json(Envelopes.health.schema, "it serves")],
            "the process serves", Handlers.health),
        Route(
            .get, "/livez", "get_liveness", .open, lane: .health, gives: [.json(Envelopes.health.schema, "it serves")],
            "the same", Handlers.health),
        Route(
            .get, "/readyz", "get_readiness", .open, lane: .health,
            gives: [
                .json(Envelopes.ready.schema, "it can do its work"),
                .json(Envelopes.ready.schema, "something is missing", status: .serviceUnavailable),
            ],
            "whether it can do its work; environments are shown to callers with a token", Handlers.ready),
        Route(
            .get, "/openapi.json", "get_openapi", .open,
            gives: [.json(.object, "this description"), .unchanged], "this API as OpenAPI 3.1", Handlers.openAPI),
        Route(
            .get, "/docs", "get_docs", .open, gives: [.text(["text/html"], "the page"), .unchanged],
            "the same as a page to read", Handlers.docs),
        Route(
            .get, "/docs/errors", "get_docs_of_errors", .open, gives: [.text(["text/html"], "the page"), .unchanged],
            "the same page; the `type` of a problem document names a place in it", Handlers.docs),
        Route(
            .get, "/metrics", "get_metrics", .scrape, lane: .health,
            gives: [.text(["text/plain", "application/openmetrics-text"], "the figures")],
            "figures for Prometheus, as its text or as OpenMetrics", Handlers.metrics),
        Route(
            .get, "/v1/environments", "list_environments", .read,
            gives: [.json(Envelopes.environments.schema, "the environments that the caller may see")],
            "all environments, and how they were when last looked at", Handlers.environments),
        Route(
            .get, "/v1/actions", "list_actions", .read,
            gives: [.json(Envelopes.actions.schema, "the catalogue"), .unchanged],
            "the catalogue of actions", Handlers.actions),
        Route(
            .get, "/v1/inventory", "list_guests", .read, needs: .view,
            query: [
                .environment, .init("state", .words(["all", "running"]), "all guests, or the running ones"),
                .init("node", Schema(TextForm.node), "those on this node"), .init("tag", .line, "those with this tag"),
                .init("name", .line, "those with this in their name, in upper or lower case"),
                .init("type", .words(GuestKind.self), "virtual machines or containers"),
                .init("pool", Schema(TextForm.pool), "those in this pool"),
                .init("fields", Schema(InventoryPage.fieldsForm), "only these members, and what names the guest"),
                .init("limit", .integer(1...10_000), "the most rows of the answer; all of them without it"),
                .init("after", InventoryPage.cursorForm, "`next` of the page before"),
            ],
            gives: [
                .json(Envelopes.inventory.schema, "the guests, as PVE lists them; `partial` if an environment failed")
            ],
            fails: .reading, "guests of one environment, or of all", Handlers.inventory),
        Route(
            .get, "/v1/nodes", "list_nodes", .read, needs: .view, query: [.environment.required],
            gives: [.json(Envelopes.read.schema, "the nodes, as PVE lists them")], fails: .reading,
            "nodes of an environment",
            Handlers.nodes),
        Route(
            .get, "/v1/tasks", "list_tasks", .read, needs: .view,
            query: [
                .environment.required, .init("node", Schema(TextForm.node), "one node"), .limit(1...1000, 50),
            ], gives: [.json(Envelopes.read.schema, "the tasks, as PVE lists them")], fails: .reading,
            "recent tasks of an environment", Handlers.tasks),
        Route(
            .get, "/v1/tasks/status", "get_task_status", .read, needs: .view,
            query: [.environment.required, QueryParameter("upid", Envelopes.upid, "the task").required],
            gives: [.json(Envelopes.read.schema, "the task, as PVE shows it")], fails: .reading, "state of one task",
            Handlers.taskStatus),
        Route(
            .post, "/v1/actions/plan", "plan_action", .change, needs: .view, body: Envelopes.planRequest,
            gives: [.json(Views.plan.schema, "the plan; `denied` if policy or a check forbids it")], fails: .planning,
            "plan an action: decision, preview, hash", Handlers.plan),
        Route(
            .post, "/v1/actions/apply", "apply_plan", .change, needs: .view, body: Envelopes.applyRequest,
            gives: [
                .json(Envelopes.applied.schema, "how it ended"),
                .json(Envelopes.applied.schema, "it goes on", status: .accepted),
            ],
            fails: .planning + .reading + [
                .planNotFound, .planRequired, .planConsumed, .planStale, .planRejected, .planCancelled, .planExpired,
                .requestHashMismatch, .approvalRequired, .selfApproval, .frozen,
            ], "apply a plan, or a read or dry run in one step", Handlers.apply),
        Route(
            .get, "/v1/plans", "list_plans", .read, needs: .view,
            query: [
                .state(PlanState.self),
                .init("awaiting", .words(["me"]), "only those that the caller could approve now"),
                .environment, .target, .limit(1...500, 100), .before(.plan),
            ],
            gives: [.json(Envelopes.plans.schema, "a page of plans")],
            fails: [.unknownEnvironment, .planNotFound, .storeUnavailable], "plans, newest first", Handlers.plans),
        Route(
            .get, "/v1/plans/{id}", "get_plan", .read, needs: .view,
            gives: [.json(Views.plan.schema, "the plan"), .unchanged],
            fails: [.planNotFound, .storeUnavailable], "one plan", Handlers.onePlan),
        Route(
            .delete, "/v1/plans/{id}", "cancel_plan", .change, needs: .view, lane: .urgent,
            gives: [.json(Views.plan.schema, "the cancelled plan")],
            fails: .storing + [.planNotFound, .notCancellable, .planConsumed, .planExpired, .planRejected],
            "cancel a plan", Handlers.cancelPlan),
        Route(
            .get, "/v1/plans/{id}/approval-text", "approval_text", .read, needs: .approve,
            query: [
                QueryParameter("decision", .words(["approve", "reject"]), "what the caller would decide").required,
                QueryParameter("reason", Schema(TextForm.text(4096)), "the reason that the decision would give"),
            ], gives: [.json(Envelopes.approvalText.schema, "the text to sign")],
            fails: [.planNotFound, .storeUnavailable], "the text that signs a decision on the plan",
            Handlers.approvalText),
        Route(
            .post, "/v1/plans/{id}/approvals", "decide_plan", .change, needs: .approve, lane: .urgent,
            body: Envelopes.decision.schema,
            gives: [.json(Views.plan.schema, "the plan, with the approval or rejection")],
            fails: .storing + [
                .planNotFound, .planHashMismatch, .selfApproval, .signatureRequired, .signatureInvalid,
                .alreadyApproved, .planExpired, .planRejected,
                .planCancelled, .planConsumed, .planStale, .policyDenied,
            ], "approve or reject what the plan shows", Handlers.decidePlan),
        Route(
            .get, "/v1/operations", "list_operations", .read, needs: .view,
            query: [
                .state(OperationState.self), .environment, .target,
                .init("plan_id", .id(.plan), "only those of this plan"),
                .limit(1...500, 100), .before(.operation),
            ], gives: [.json(Envelopes.operations.schema, "a page of operations")],
            fails: [.unknownEnvironment, .operationNotFound, .storeUnavailable], "operations, newest first",
            Handlers.operations),
        Route(
            .get, "/v1/operations/{id}", "get_operation", .read, needs: .view,
            query: [.init("wait", .integer(0...60), "seconds to wait for its end")],
            gives: [.json(Views.operation.schema, "the operation")], fails: [.operationNotFound, .storeUnavailable],
            "one operation; wait=N waits up to N s for its end", Handlers.oneOperation),
        Route(
            .get, "/v1/operations/{id}/log", "get_operation_log", .read, needs: .view,
            query: [
                .init("start", .integer(0...10_000_000), "the number of the first line"), .limit(1...5000, 500),
            ], gives: [.json(Envelopes.log.schema, "lines of the log")],
            fails: .reading + [.operationNotFound, .notFound, .storeUnavailable], "PVE's log of its task",
            Handlers.operationLog),
        Route(
            .post, "/v1/operations/{id}/cancel", "cancel_operation", .change, needs: .view, lane: .urgent,
            gives: [
                .json(Views.operation.schema, "it has ended"),
                .json(Views.operation.schema, "PVE was asked to stop", status: .accepted),
            ],
            fails: .pve + .storing + [.operationNotFound, .notCancellable], "cancel it, or ask PVE to stop its task",
            Handlers.cancelOperation),
        Route(
            .post, "/v1/operations/{id}/resolve", "resolve_operation", .change, needs: .approve,
            body: Envelopes.resolve.schema, gives: [.json(Views.operation.schema, "the settled operation")],
            fails: .storing + [.operationNotFound], "settle an unknown outcome by hand", Handlers.resolveOperation),
        Route(
            .get, "/v1/events", "stream_events", .read, needs: .view, lane: .stream,
            query: [
                .init("after", .recordNumber, "the `id` of the event behind which to begin"), .environment,
                .kinds,
                .init("plan", .id(.plan), "only those of this plan"),
            ], gives: [.text(["text/event-stream"], "events, until the client leaves or the agent stops")],
            fails: [.unknownEnvironment, .planNotFound, .eventsGone, .auditUnavailable, .storeUnavailable],
            "what happens from now on, or from an earlier event on: server-sent events", Handlers.events),
        Route(
            .get, "/v1/reviews", "list_reviews", .read, needs: .view,
            query: [
                .init("state", .words(["open", "closed"]), "only open reviews, or closed ones"), .limit(1...500, 100),
                .before(.operation),
            ], gives: [.json(Envelopes.reviews.schema, "a page of reviews")], fails: [.storeUnavailable],
            "what operations passed in emergencies, and what others said to it, newest first", Handlers.reviews),
        Route(
            .get, "/v1/reviews/{id}", "get_review", .read, needs: .view,
            gives: [.json(Views.review.schema, "the review")],
            fails: [.operationNotFound, .notFound, .storeUnavailable], "the review of one operation",
            Handlers.oneReview),
        Route(
            .post, "/v1/reviews/{id}", "close_review", .change, needs: .review, body: Envelopes.reviewClose.schema,
            gives: [.json(Views.review.schema, "the closed review")],
            fails: .storing + [.operationNotFound, .notFound],
            "review what somebody else's operation passed in an emergency", Handlers.closeReview),
        Route(
            .get, "/v1/agents", "list_agents", .read, needs: .view,
            gives: [.json(Envelopes.agents.schema, "the agents, and who carries out what")],
            fails: [.storeUnavailable],
            "the agents that share the state, and in which environments each carries out operations", Handlers.agents),
        Route(
            .post, "/v1/agents/{name}/drain", "drain_agent", .change, needs: .reload,
            gives: [.json(Envelopes.drained.schema, "it gives its environments back")],
            fails: .storing + [.notFound], "let an agent give its environments back and take none", Handlers.drainAgent),
        Route(
            .delete, "/v1/agents/{name}", "forget_agent", .change, needs: .reload,
            gives: [.json(Envelopes.forgotten.schema, "it is forgotten")],
            fails: .storing + [.notFound], "forget an agent that is gone for good", Handlers.forgetAgent),
        Route(
            .delete, "/v1/agents/{name}/drain", "end_drain", .change, needs: .reload,
            gives: [.json(Envelopes.drained.schema, "it takes environments again")],
            fails: .storing + [.notFound], "let an agent carry out operations again", Handlers.endDrain),
        Route(
            .get, "/v1/freeze", "list_freezes", .read, needs: .view,
            gives: [.json(Envelopes.freezes.schema, "the freezes that hold")], "what is frozen", Handlers.freezes),
        Route(
            .post, "/v1/freeze", "set_freeze", .change, needs: .freeze, lane: .urgent, body: Envelopes.freeze.schema,
            gives: [.json(Views.freeze.schema, "the freeze")], fails: .storing + [.unknownEnvironment],
            "let nothing change, everywhere or in one environment", Handlers.freeze),
        Route(
            .delete, "/v1/freeze", "lift_freeze", .change, needs: .freeze,
            query: [
                .init("id", .line, "this freeze"), .environment,
                .init("by", .line, "who set it"),
            ], gives: [.json(Envelopes.lifted.schema, "the lifted freeze, and those that still hold")],
            fails: .storing + [.unknownEnvironment, .notFound], "lift a freeze", Handlers.unfreeze),
        Route(
            .get, "/v1/policy", "get_policy", .read, needs: .view,
            gives: [.json(Envelopes.policy.schema, "the rules, beside what the catalogue says")],
            "the policy rules in force", Handlers.policy),
        Route(
            .get, "/v1/policy/windows", "get_policy_windows", .read, needs: .view,
            gives: [.json(Envelopes.windows.schema, "the change windows of rules")],
            "when change windows are open in the coming week", Handlers.changeWindows),
        Route(
            .get, "/v1/policy/limits", "get_policy_limits", .read, needs: .view,
            gives: [.json(Envelopes.limits.schema, "the limits of rules")], fails: [.storeUnavailable],
            "what is left of the limits of policy", Handlers.limitUses),
        Route(
            .post, "/v1/policy/explain", "explain_policy", .change, needs: .view, body: Envelopes.planRequest,
            gives: [.json(Views.explanation.schema, "the decision, and how each rule stands to the request")],
            fails: .pve + .storing + [.invalidTarget, .unknownAction],
            "what policy says to a request, and which rules match it; plans nothing", Handlers.explainPolicy),
        Route(
            .post, "/v1/policy/reload", "reload_policy", .change, needs: .reload,
            gives: [.json(Views.reloaded.schema, "what is in force now")],
            fails: [.policyInvalid, .auditUnavailable, .notFound],
            "read the configuration again, and put callers and rules in force", Handlers.reloadPolicy),
        Route(
            .get, "/v1/notifications", "list_notifications", .read, needs: .approve,
            query: [
                .init("target", .line, "only those to this destination"), .state(QueuedNotice.State.self), .environment,
                .limit(1...500, 100), .before(.notification),
            ], gives: [.json(Envelopes.notifications.schema, "a page of notifications")],
            fails: [.unknownEnvironment, .storeUnavailable], "notifications on their way and given up, newest first",
            Handlers.notifications),
        Route(
            .post, "/v1/notifications/test", "test_notification", .change, needs: .approve,
            body: Envelopes.notificationTest.schema,
            gives: [.json(Envelopes.notificationTested.schema, "what became of it")],
            fails: .storing + [.notFound], "send a test to one destination now", Handlers.testNotification),
        Route(
            .post, "/v1/notifications/{id}/retry", "retry_notification", .change, needs: .approve,
            gives: [.json(Views.notification.schema, "the notification, which waits again")],
            fails: .storing + [.notFound], "try a notification again that waits or was given up",
            Handlers.retryNotification),
        Route(
            .get, "/v1/audit", "list_audit_records", .read, needs: .audit,
            query: [
                .init("after", .recordNumber, "`next` of the page before"), .limit(1...1000, 100),
                .init("kind", .words(AuditKind.self), "only records of this kind"),
                .init("principal", Schema(TextForm.label), "only what this principal did"),
                .init("plan_id", .id(.plan), "only those of this plan"),
                .init("agent", Schema(TextForm.environment), "only those of this agent's log"), .environment,
            ], gives: [.json(Envelopes.audit.schema, "a page of records")],
            fails: [.auditUnavailable, .storeUnavailable],
            "audit records, oldest first", Handlers.audit),
        Route(
            .get, "/v1/audit/head", "get_audit_head", .read, needs: .audit,
            gives: [.json(Envelopes.auditHead.schema, "the head of the log")],
            "number and hash of the newest synced audit record", Handlers.auditHead),
        Route(
            .get, "/v1/audit/checkpoint", "get_audit_checkpoint", .read, needs: .audit,
            gives: [.text(["text/plain"], "the checkpoint, as a signed note")], fails: [.notFound],
            "the newest signed checkpoint of the audit log (c2sp.org/tlog-checkpoint)", Handlers.auditCheckpoint),
        Route(
            .get, "/v1/audit/proof/{seq}", "get_audit_proof", .read, needs: .audit,
            gives: [.text(["text/plain"], "the proof, with the checkpoint")], fails: [.notFound, .auditUnavailable],
            "proves that a record is in the log of the newest checkpoint (c2sp.org/tlog-proof)", Handlers.auditProof),
    ]
}
