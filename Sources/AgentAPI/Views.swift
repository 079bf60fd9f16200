package import AgentModel
package import AgentService
import FoundationEssentials
package import HTTPMessage
package import HTTPTypes
package import StrictJSON

/// The wire forms of the service's results.
package enum Views {
    /// A stored or new plan.
    package static func plan(_ plan: Plan) -> JSON {
        [
            "plan_id": .string(plan.id.description), "state": .string(plan.state.rawValue),
            "request": request(plan.request), "request_hash": .string(plan.requestHash),
            "plan_hash": .string(plan.planHash), "requester": .string(plan.requester.actor),
            "decision": decision(plan.decision), "preview": preview(plan.preview),
            "requires": requirement(plan.requires),
            "approvals": .array(plan.approvals.map(approval)), "rejection": plan.standing.rejection.map(approval),
            "policy_version": .string(plan.policyVersion),
            "operation_id": plan.operationID.map { .string($0.description) },
            "created_at": .string(plan.createdAt.rfc3339), "expires_at": .string(plan.expiresAt.rfc3339),
            "ended_at": plan.endedAt.map { .string($0.rfc3339) },
        ]
    }

    /// A plan as lists show it: with counts in place of its preview.
    package static func summary(_ summary: PlanSummary) -> JSON {
        let shown = summary.plan.preview
        var row = plan(summary.plan).object ?? [:]
        row["preview"] = nil
        row["summary"] = [
            "name": shown.observed.shown["name"], "node": shown.observed.shown["node"], "calls": JSON(summary.calls),
            "changes": JSON(summary.changes), "noop": .bool(shown.noop), "irreversible": .bool(shown.irreversible),
            "blocked_by": JSON(shown.checks.map(\.id)),
        ]
        return .object(row)
    }

    /// The basis of a read or a dry run in one step: a plan that is not stored and has no id.
    package static func unstored(_ plan: Plan) -> JSON {
        [
            "request": request(plan.request), "request_hash": .string(plan.requestHash),
            "decision": decision(plan.decision),
        ]
    }

    package static func operation(_ operation: Operation) -> JSON {
        [
            "operation_id": .string(operation.id.description), "plan_id": .string(operation.planID.description),
            "environment": .string(operation.environment.description), "action": .string(operation.action.rawValue),
            "target": .string(operation.target.description), "state": .string(operation.state.rawValue),
            "requester": .string(operation.requester.actor), "upid": operation.upid.map { .string($0.description) },
            "steps": steps(operation), "code": operation.code.map { .string($0) },
            "message": .string(operation.message), "cause": cause(operation),
            "left": moved(operation.partial?.left ?? []),
            "undo": operation.partial?.undo.map(request), "undo_leaves": leaves(operation.partial?.undoLeaves),
            "created_at": .string(operation.createdAt.rfc3339),
            "started_at": operation.startedAt.map { .string($0.rfc3339) },
            "ended_at": operation.endedAt.map { .string($0.rfc3339) },
            "queue_position": operation.queuePosition > 0 ? JSON(operation.queuePosition) : nil,
            "approvals": .array(operation.approvals.map(approval)),
            "cancel_requested_by": operation.cancelRequestedBy.map { .string($0) }, "data": operation.data,
            "log_tail": operation.logTail.isEmpty ? nil : JSON(operation.logTail),
            "moved": moved(operation.moved), "upstream": operation.upstream.map(upstream),
        ]
    }

    /// The result data of an operation that was partly carried out.
    package static func partial(_ operation: Operation) -> JSON {
        [
            "code": operation.code.map { .string($0) }, "detail": .string(operation.message),
            "cause": cause(operation), "steps": steps(operation), "left": moved(operation.partial?.left ?? []),
            "undo": operation.partial?.undo.map(request) ?? .null, "undo_leaves": leaves(operation.partial?.undoLeaves),
        ]
    }

    private static func approval(_ approval: Approval) -> JSON {
        [
            "approver": .string(approval.approver), "assurance": .string(approval.assurance.rawValue),
            "at": .string(approval.at.rfc3339), "reason": approval.reason.map { .string($0) },
            "ticket": approval.ticket.map { .string($0) },
        ]
    }

    package static func freeze(_ freeze: Freeze) -> JSON {
        [
            "id": freeze.id.map { .string($0.description) } ?? .null,
            "environment": freeze.environment.map { .string($0.description) } ?? .null,
            "reason": .string(freeze.reason), "by": .string(freeze.by), "set_at": .string(freeze.setAt.rfc3339),
            "ends_at": freeze.endsAt.map { .string($0.rfc3339) } ?? .null,
        ]
    }

    /// The catalogue as `GET /v1/actions` returns it, with parameters as a JSON Schema.
    package static func action(_ entry: ActionDefinition) -> JSON {
        [
            "name": .string(entry.action.rawValue), "summary": .string(entry.summary),
            "effect": .string(entry.effect.rawValue), "targets": JSON(entry.targets.map(\.rawValue)),
            "risk_level": .string(entry.risk.rawValue), "requires_approval": .bool(entry.needsApproval),
            "reason": .string(entry.reason), "irreversible": .bool(entry.irreversible),
            "inverse": entry.inverse.map { .string($0.rawValue) }, "calls": JSON(entry.shownCalls),
            "params": [
                "type": "object", "additionalProperties": false,
                "required": JSON(entry.parameters.filter(\.required).map(\.name)),
                "properties": .object(
                    entry.parameters.filter { $0.count == nil }.reduce(into: JSONObject()) { $0[$1.name] = schema($1) }),
                "patternProperties": patterns(entry),
            ],
        ]
    }

    /// The schemas of parameter families such as `net0`, `net1`, …; `nil` if there are none.
    private static func patterns(_ entry: ActionDefinition) -> JSON? {
        let families = entry.parameters.filter { $0.count != nil }
        guard !families.isEmpty else { return nil }
        return .object(
            families.reduce(into: JSONObject()) { $0["^\($1.name.dropLast("[n]".count))(0|[1-9][0-9]*)$"] = schema($1) }
        )
    }

    private static func schema(_ parameter: ParameterDefinition) -> JSON {
        var schema = schema(parameter.form)
        let when = parameter.when.text
        schema["description"] = .string(when.isEmpty ? parameter.summary : "\(parameter.summary) (only \(when))")
        return .object(schema)
    }

    private static func schema(_ form: ParameterDefinition.Form) -> JSONObject {
        switch form {
        case .boolean: ["type": "boolean"]
        case .integer(let bounds):
            ["type": "integer", "minimum": JSON(bounds.lowerBound), "maximum": JSON(bounds.upperBound)]
        case .number(let bounds):
            ["type": "number", "minimum": JSON(bounds.lowerBound), "maximum": JSON(bounds.upperBound)]
        case .text(let form): ["type": "string", "pattern": .string(form.pattern)]
        case .choice(let words): ["type": "string", "enum": JSON(words)]
        case .list(let element, let limit):
            [
                "type": "array", "items": .object(schema(element)), "minItems": 1, "maxItems": JSON(limit),
                "uniqueItems": true,
            ]
        case .object: ["type": "object"]
        }
    }

    package static func environment(_ managed: ManagedEnvironment) -> JSON {
        let settings = managed.settings
        return [
            "name": .string(settings.name.description), "base_url": .string(settings.baseURL),
            "token_id": .string(settings.tokenID), "read_only": .bool(settings.readOnly),
            "labels": settings.labels.isEmpty
                ? nil
                : .object(
                    settings.labels.sorted { $0.key < $1.key }.reduce(into: [:]) { $0[$1.key] = .string($1.value) }),
            "reachable": managed.probe.map { .bool($0.error == nil) } ?? .null,
            "pve_version": managed.probe?.version.map { .string($0) } ?? .null,
            "simulator": managed.probe.map { .bool($0.isSimulator) } ?? .null,
            "checked_at": managed.probe.map { .string($0.at.rfc3339) } ?? .null,
            "error": managed.probe?.error.map { .string($0) },
        ]
    }
}

extension Response {
    /// A JSON answer.
    package static func json(_ status: HTTPResponse.Status, _ value: JSON) -> Response {
        Response(status: status, fields: [.contentType: "application/json"], body: .init(value.bytes))
    }
}

/// The parts of plans and operations in the API's answers. Its field names are independent of those in the audit log
/// and the store.
extension Views {
    /// With defaults filled in and secrets redacted.
    static func request(_ request: ActionRequest) -> JSON {
        [
            "environment": .string(request.environment.description), "action": .string(request.action.rawValue),
            "target": .string(request.target.description), "params": .object(request.params),
            "dry_run": .bool(request.dryRun), "reason": request.reason.map { .string($0) },
            "expires_at": request.expiresAt.map { .string($0.rfc3339) },
            "approval_ticket": request.approvalTicket.map { .string($0) },
            "approved_by": request.approvedBy.map { .string($0) },
        ]
    }

    /// A request that is ready for planning.
    static func request(_ followUp: FollowUp) -> JSON {
        [
            "environment": .string(followUp.environment.description), "action": .string(followUp.action),
            "target": .string(followUp.target), "params": .object(followUp.params),
        ]
    }

    static func decision(_ decision: Decision) -> JSON {
        [
            "allowed": .bool(decision.allowed), "risk_level": .string(decision.risk.rawValue),
            "requires_approval": .bool(decision.requiresApproval), "reason": .string(decision.reason),
            "rules": JSON(decision.rules), "subjects": .array(decision.subjects.map(subject)),
        ]
    }

    package static func preview(_ preview: Preview) -> JSON {
        [
            "subjects": .array(preview.reach.subjects.map(subject)), "calls": .array(preview.calls.map(call)),
            "observed": .object(preview.observed.shown),
            "changes": .array(preview.changes.map { ["key": .string($0.key), "from": $0.from, "to": $0.to] }),
            "noop": .bool(preview.noop), "irreversible": .bool(preview.irreversible),
            "undo": preview.undo.map(request) ?? .null, "undo_leaves": .array(preview.undoLeaves.map(gap)),
            "checks": .array(
                preview.checks.map {
                    ["id": .string($0.id), "level": .string($0.level.rawValue), "detail": .string($0.detail)]
                }),
        ]
    }

    static func requirement(_ requirement: Requirement) -> JSON {
        ["approvals": JSON(requirement.approvals), "assurance": .string(requirement.assurance.rawValue)]
    }

    private static func subject(_ subject: Subject) -> JSON {
        [
            "role": .string(subject.role.rawValue), "name": .string(subject.name),
            "also": subject.aliases.isEmpty ? nil : JSON(subject.aliases),
            "tags": subject.tags.isEmpty ? nil : JSON(subject.tags.sorted()),
        ]
    }

    private static func subject(_ subject: JudgedSubject) -> JSON {
        [
            "role": .string(subject.role.rawValue), "name": .string(subject.name),
            "rules": subject.rules.isEmpty ? nil : JSON(subject.rules),
        ]
    }

    /// Secrets are shown as `<redacted>`.
    private static func call(_ call: Call) -> JSON {
        [
            "method": .string(call.method.rawValue), "path": .string(call.shownPath),
            "params": .object(call.shownParameters),
        ]
    }

    // MARK: How it went

    /// Every call of the plan, in order, with its result.
    static func steps(_ operation: Operation) -> JSON {
        .array(
            operation.calls.enumerated().map { index, call in
                let upid = index < operation.steps.count ? operation.steps[index].upid : nil
                return [
                    "call": ["method": .string(call.method.rawValue), "path": .string(call.path)],
                    "state": .string(operation.state(ofCall: index).rawValue),
                    "upid": upid.map { .string($0.description) },
                ]
            })
    }

    /// Why an operation stopped, if part of it was carried out.
    static func cause(_ operation: Operation) -> JSON? {
        operation.partial.map { partial in
            [
                "code": partial.code.map { .string($0) }, "detail": .string(partial.detail),
                "moved": moved(operation.moved), "upstream": operation.upstream.map(upstream),
            ]
        }
    }

    /// Fields that differ from the plan; `nil` if there are none.
    static func moved(_ moved: [StateDrift]) -> JSON? {
        guard !moved.isEmpty else { return nil }
        return .array(moved.map { ["field": .string($0.field), "planned": $0.planned, "found": $0.found] })
    }

    /// What an undo does not restore; `nil` if it restores everything.
    static func leaves(_ gaps: [UndoGap]?) -> JSON? {
        guard let gaps, !gaps.isEmpty else { return nil }
        return .array(gaps.map(gap))
    }

    private static func gap(_ gap: UndoGap) -> JSON { ["key": .string(gap.key), "detail": .string(gap.detail)] }

    static func upstream(_ rejection: PVERejection) -> JSON {
        let errors = rejection.errors.sorted { $0.key < $1.key }
        return [
            "status": JSON(rejection.status), "reason": .string(rejection.reason),
            "errors": errors.isEmpty
                ? nil : .object(errors.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) }),
        ]
    }
}
