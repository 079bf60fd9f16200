package import AgentModel
package import AgentService
import FoundationEssentials
package import HTTPMessage
package import HTTPTypes
package import StrictJSON

/// The wire forms of the service's results. Their field names are independent of those in the audit log and the store.
package enum Views {
    /// A stored or new plan.
    package static let plan = View<Plan>(
        "Plan", "A plan: what an action would do, what was decided about it, and its state.",
        [
            .always("plan_id", .id(.plan)) { .string($0.id.description) },
            .always("state", .words(PlanState.self)) { .string($0.state.rawValue) },
        ] + planBasis + [
            .always("preview", preview.schema) { preview($0.preview) }
        ] + planState)

    private static let planBasis: [View<Plan>.Field] = [
        .always("request", request.schema) { request($0.request) },
        .always("request_hash", .hash, "hash of the request") { .string($0.requestHash) },
        .always("plan_hash", .hash, "hash of all that an approval is given for") { .string($0.planHash) },
        .always("requester", .text, "who asked for it") { .string($0.requester.actor) },
        .always("decision", decision.schema) { decision($0.decision) },
    ]

    private static let planState: [View<Plan>.Field] = [
        .always("requires", requirement.schema) { requirement($0.requires) },
        .always("approvals", .list(approval.schema)) { .array($0.approvals.map { approval($0) }) },
        .maybe("rejection", approval.schema, "who rejected it") { $0.standing.rejection.map { approval($0) } },
        .maybe(
            "withdrawn", .list(approval.schema),
            "approvals that are void for good, as the keys that signed them were taken out"
        ) { $0.standing.withdrawn.isEmpty ? nil : .array($0.standing.withdrawn.map { approval($0) }) },
        .always("policy_version", .text, "the version of the policy that decided") { .string($0.policyVersion) },
        .maybe("operation_id", .id(.operation), "the operation that carries it out") {
            $0.operationID.map { .string($0.description) }
        },
        .maybe("break_glass", breakGlass.schema) { $0.breakGlass.map { breakGlass($0) } },
        .always("created_at", .time) { .string($0.createdAt.rfc3339) },
        .always("expires_at", .time, "until when it can be applied") { .string($0.expiresAt.rfc3339) },
        .maybe("ended_at", .time) { $0.endedAt.map { .string($0.rfc3339) } },
    ]

    /// A plan as lists show it: with counts in place of its preview.
    package static let summary = View<PlanSummary>(
        "PlanSummary", "A plan as lists show it: with counts in place of its preview.",
        [
            .always("plan_id", .id(.plan)) { .string($0.plan.id.description) },
            .always("state", .words(PlanState.self)) { .string($0.plan.state.rawValue) },
        ]
            + (planBasis + planState).map { field in
                View<PlanSummary>.Field(name: field.name, schema: field.schema, isOptional: field.isOptional) {
                    field.value($0.plan)
                }
            } + [.always("summary", previewSummary.schema) { previewSummary($0) }])

    static let previewSummary = View<PlanSummary>(
        "PreviewSummary", "What a plan's preview holds, in a few words.",
        [
            .maybe("name", .any, "the target's name at PVE") { $0.plan.preview.observed.shown["name"] },
            .maybe("node", .any, "the node that it is on") { $0.plan.preview.observed.shown["node"] },
            .always("calls", .integer(), "how many calls it would send") { JSON($0.calls) },
            .always("changes", .integer(), "how many settings would change") { JSON($0.changes) },
            .always("noop", .boolean) { .bool($0.plan.preview.noop) },
            .always("irreversible", .boolean) { .bool($0.plan.preview.irreversible) },
            .always("blocked_by", .list(.text), "the checks that forbid it") { JSON($0.plan.preview.checks.map(\.id)) },
        ])

    /// The basis of a read or a dry run in one step: a plan that is not stored and has no id.
    package static let unstored = View<Plan>(
        "UnstoredPlan", "The basis of a read: a plan that is not stored.",
        planBasis.filter { ["request", "request_hash", "decision"].contains($0.name) })

    package static let operation = View<Operation>(
        "Operation", "An action that is, or was, carried out.",
        [
            .always("operation_id", .id(.operation)) { .string($0.id.description) },
            .always("plan_id", .id(.plan)) { .string($0.planID.description) },
            .always("environment", Schema(TextForm.environment)) { .string($0.environment.description) },
            .always("action", .text) { .string($0.action.rawValue) },
            .always("target", .text) { .string($0.target.description) },
            .always("state", .words(OperationState.self)) { .string($0.state.rawValue) },
            .always("requester", .text) { .string($0.requester.actor) },
            .maybe("upid", .text, "PVE's task") { $0.upid.map { .string($0.description) } },
            .always("steps", .list(step.schema), "every call of the plan, in order") { steps($0) },
            .maybe("code", .text, "why it failed, or that it was carried out in part") { $0.code.map { .string($0) } },
            .always("message", .text) { .string($0.message) },
            .maybe("cause", cause.schema) { $0.partial == nil ? nil : cause($0) },
            .maybe("left", .list(drift.schema), "what a failed call changed") { moved($0.partial?.left ?? []) },
            .maybe("undo", followUp.schema, "a request that takes back what was done") {
                $0.partial?.undo.map { followUp($0) }
            },
            .maybe("undo_leaves", .list(gap.schema), "what the undo does not restore") {
                leaves($0.partial?.undoLeaves)
            },
            .always("created_at", .time) { .string($0.createdAt.rfc3339) },
            .maybe("started_at", .time) { $0.startedAt.map { .string($0.rfc3339) } },
            .maybe("ended_at", .time) { $0.endedAt.map { .string($0.rfc3339) } },
            .maybe("queue_position", .integer(1...Int(Int32.max)), "its place among those that wait") {
                $0.queuePosition > 0 ? JSON($0.queuePosition) : nil
            },
            .maybe("progress", progress.schema, "how far PVE's task is") { $0.progress.map { progress($0) } },
            .always("approvals", .list(approval.schema)) { .array($0.approvals.map { approval($0) }) },
            .maybe("cancel_requested_by", .text) { $0.cancelRequestedBy.map { .string($0) } },
            .maybe("break_glass", breakGlass.schema) { $0.breakGlass.map { breakGlass($0) } },
            .maybe("data", .any, "what PVE answered, or what the agent found") { $0.data },
            .maybe("log_tail", .list(.text), "the end of the task's log") {
                $0.logTail.isEmpty ? nil : JSON($0.logTail)
            },
            .maybe("moved", .list(drift.schema), "fields that differed from the plan") { moved($0.moved) },
            .maybe("upstream", upstream.schema) { $0.upstream.map { upstream($0) } },
        ])

    private static func progress(_ progress: Progress) -> JSON {
        ["percent": progress.percent.map { JSON($0) }, "text": .string(progress.text)]
    }

    /// The result data of an operation that was partly carried out.
    package static let partial = View<Operation>(
        "PartialResult", "What became of an operation of which a part was carried out.",
        [
            .maybe("code", .text) { $0.code.map { .string($0) } },
            .always("detail", .text) { .string($0.message) },
            .maybe("cause", cause.schema) { $0.partial == nil ? nil : cause($0) },
            .always("steps", .list(step.schema)) { steps($0) },
            .maybe("left", .list(drift.schema)) { moved($0.partial?.left ?? []) },
            .always("undo", followUp.schema.orNull) { $0.partial?.undo.map { followUp($0) } ?? .null },
            .maybe("undo_leaves", .list(gap.schema)) { leaves($0.partial?.undoLeaves) },
        ])

    package static let breakGlass = View<BreakGlass>(
        "BreakGlass", "What an operation passes in an emergency, although it would have stopped it.",
        [
            .always("reason", .text, "why, in the requester's words") { .string($0.reason) },
            .always("at", .time) { .string($0.at.rfc3339) },
            .always("windows", .list(.text), "the rules whose change windows were closed") { JSON($0.windows) },
            .always("limits", .list(.text), "the rules whose limits had no room") { JSON($0.limitRules) },
            .always("freezes", .list(.id(.freeze)), "the freezes that held") { JSON($0.freezes.map(\.description)) },
        ])

    package static let review = View<Review>(
        "Review", "The review of what an operation passed in an emergency. It is open until it has a verdict.",
        [
            .always("operation_id", .id(.operation)) { .string($0.operationID.description) },
            .always("plan_id", .id(.plan)) { .string($0.planID.description) },
            .always("environment", Schema(TextForm.environment)) { .string($0.environment.description) },
            .always("action", .text) { .string($0.action.rawValue) },
            .always("target", .text) { .string($0.target.description) },
            .always("requester", .text, "who broke the glass") { .string($0.requester.actor) },
            .always("break_glass", breakGlass.schema) { breakGlass($0.glass) },
            .maybe("verdict", verdict.schema) { $0.verdict.map { verdict($0) } },
        ])

    static let verdict = View<Review.Verdict>(
        "ReviewVerdict", "What somebody else said to it.",
        [
            .always("verdict", .words(["justified", "unjustified"])) {
                .string($0.isJustified ? "justified" : "unjustified")
            },
            .always("comment", .text) { .string($0.comment) },
            .always("by", .text) { .string($0.by) },
            .always("at", .time) { .string($0.at.rfc3339) },
        ])

    package static let freeze = View<Freeze>(
        "Freeze", "A freeze: no change starts while it holds.",
        [
            .always("id", .id(.freeze).orNull, "null for the freeze by a file") {
                $0.id.map { .string($0.description) } ?? .null
            },
            .always("environment", Schema(TextForm.environment).orNull, "null for all environments") {
                $0.environment.map { .string($0.description) } ?? .null
            },
            .always("reason", .text) { .string($0.reason) },
            .always("by", .text, "who set it") { .string($0.by) },
            .always("set_at", .time) { .string($0.setAt.rfc3339) },
            .always("ends_at", Schema.time.orNull, "null if it holds until it is lifted") {
                $0.endsAt.map { .string($0.rfc3339) } ?? .null
            },
        ])

    /// The catalogue as `GET /v1/actions` returns it, with parameters as a JSON Schema.
    package static let action = View<ActionDefinition>(
        "Action", "An action of the catalogue.",
        [
            .always("name", .text) { .string($0.action.rawValue) },
            .always("summary", .text) { .string($0.summary) },
            .always("effect", .words(ActionDefinition.Effect.self)) { .string($0.effect.rawValue) },
            .always("targets", .list(.words(TargetForm.self)), "the forms of targets that it takes") {
                JSON($0.targets.map(\.rawValue))
            },
            .always("risk_level", .words(Risk.self)) { .string($0.risk.rawValue) },
            .always("requires_approval", .boolean) { .bool($0.needsApproval) },
            .always("reason", .text, "why it has this risk") { .string($0.reason) },
            .always("irreversible", .boolean) { .bool($0.irreversible) },
            .maybe("inverse", .text, "the action that takes it back") { $0.inverse.map { .string($0.rawValue) } },
            .always("calls", .list(.text), "what it sends to PVE") { JSON($0.shownCalls) },
            .always("params", .object, "its parameters, as a JSON Schema") { .object(parameters($0).json) },
        ])

    /// The parameters of an action as a schema.
    static func parameters(_ entry: ActionDefinition) -> Schema {
        let (families, single) = (
            entry.parameters.filter { $0.count != nil }, entry.parameters.filter { $0.count == nil }
        )
        let patterns = families.reduce(into: JSONObject()) {
            $0["^\($1.name.dropLast("[n]".count))(0|[1-9][0-9]*)$"] = schema($1)
        }
        return Schema([
            "type": "object", "additionalProperties": false,
            "required": JSON(entry.parameters.filter(\.required).map(\.name)),
            "properties": .object(single.reduce(into: JSONObject()) { $0[$1.name] = schema($1) }),
            // Families such as net0, net1, ….
            "patternProperties": patterns.isEmpty ? nil : .object(patterns),
        ])
    }

    private static func schema(_ parameter: ParameterDefinition) -> JSON {
        let when = parameter.when.text
        let text = when.isEmpty ? parameter.summary : "\(parameter.summary) (only \(when))"
        return .object(Schema(parameter.form).described(text).json)
    }

    package static let environment = View<ManagedEnvironment>(
        "Environment", "An environment, and how it was when last looked at.",
        [
            .always("name", Schema(TextForm.environment)) { .string($0.settings.name.description) },
            .always("base_url", .text) { .string($0.settings.baseURL) },
            .always("token_id", .text) { .string($0.settings.tokenID) },
            .always("read_only", .boolean) { .bool($0.settings.readOnly) },
            .maybe("labels", Schema(["type": "object", "additionalProperties": ["type": "string"]])) {
                let labels = $0.settings.labels.sorted { $0.key < $1.key }
                return labels.isEmpty ? nil : .object(labels.reduce(into: [:]) { $0[$1.key] = .string($1.value) })
            },
            .always("reachable", Schema.boolean.orNull, "null before the first look") {
                $0.probe.map { .bool($0.error == nil) } ?? .null
            },
            .always("pve_version", Schema.text.orNull) { $0.probe?.version.map { .string($0) } ?? .null },
            .always("simulator", Schema.boolean.orNull) { $0.probe.map { .bool($0.isSimulator) } ?? .null },
            .always("checked_at", Schema.time.orNull) { $0.probe.map { .string($0.at.rfc3339) } ?? .null },
            .maybe("error", .text, "why it is not reachable") { $0.probe?.error.map { .string($0) } },
        ])
}

extension Response {
    /// A JSON answer.
    package static func json(_ status: HTTPResponse.Status, _ value: JSON) -> Response {
        Response(status: status, fields: [.contentType: "application/json"], body: .init(value.bytes))
    }
}
