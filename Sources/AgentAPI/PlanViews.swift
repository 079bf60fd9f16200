package import AgentModel
package import StrictJSON

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
