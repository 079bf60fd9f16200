import AgentAudit
import AgentModel
import FoundationEssentials
import Signatures
import StrictJSON

// The forms of requests, decisions, calls and results in audit records. Never rename a field here: `audit verify` and
// `Replay` read records from years ago. AgentAPI has the forms of answers, AgentStorage those of stored documents.

extension ActionRequest {
    /// With defaults filled in and secrets redacted.
    var auditForm: JSON {
        [
            "environment": .string(environment.description), "action": .string(action.rawValue),
            "target": .string(target.description), "params": .object(params), "dry_run": .bool(dryRun),
            "reason": reason.map { .string($0) }, "expires_at": expiresAt.map { .string($0.rfc3339) },
            "approval_ticket": approvalTicket.map { .string($0) },
            "apply_at": applyAt.map { .string($0.rawValue) }, "approved_by": approvedBy.map { .string($0) },
        ]
    }
}

extension Decision {
    var auditForm: JSON {
        [
            "allowed": .bool(allowed), "risk_level": .string(risk.rawValue),
            "requires_approval": .bool(requiresApproval), "reason": .string(reason), "rules": JSON(rules),
            "assurance": assurance.map { .string($0.rawValue) },
            "window": window.map {
                ["rules": JSON($0.rules), "opens_at": $0.opensAt.map { .string($0.rfc3339) } ?? .null]
            },
            "clauses": clauses.isEmpty ? nil : JSON(clauses.map { "\($0.rule): \($0.phrase)" }),
            "subjects": .array(subjects.map(\.auditForm)), "approvals": approvals > 1 ? JSON(approvals) : nil,
        ]
    }
}

extension JudgedSubject {
    /// With all that rules looked at, so that a later policy can be tried on the record.
    fileprivate var auditForm: JSON {
        [
            "role": .string(role.rawValue), "name": .string(name), "rules": rules.isEmpty ? nil : JSON(rules),
            "also": subject.aliases.isEmpty ? nil : JSON(subject.aliases),
            "tags": subject.tags.isEmpty ? nil : JSON(subject.tags.sorted()),
            "guest_names": subject.guestNames.isEmpty ? nil : JSON(subject.guestNames),
            "node": subject.node.map { .string($0.description) },
        ]
    }
}

extension Call {
    /// Secrets are shown as `<redacted>`.
    fileprivate var auditForm: JSON {
        ["method": .string(method.rawValue), "path": .string(shownPath), "params": .object(shownParameters)]
    }
}

// MARK: - Results

extension Plan {
    /// The decision in the record of a new plan: also the checks that warn or block, and the tags, pools and names that
    /// guests lose. A record without `checks` is of an earlier version.
    var auditDecision: JSON {
        guard var form = decision.auditForm.object else { return decision.auditForm }
        form.append(
            "checks",
            .array(
                preview.checks.filter { $0.level != .ok }.map {
                    ["id": .string($0.id), "level": .string($0.level.rawValue)]
                }))
        if !preview.reach.losses.isEmpty { form.append("losses", JSON(preview.reach.losses)) }
        if !preview.reach.gains.isEmpty { form.append("gains", JSON(preview.reach.gains)) }
        return .object(form)
    }

    /// The result of a new plan.
    var auditResult: JSON {
        [
            "status": .string(state.rawValue), "request_hash": .string(requestHash), "plan_hash": .string(planHash),
            "calls": .array(preview.calls.map(\.auditForm)), "expires_at": .string(expiresAt.rfc3339),
        ]
    }

    /// The result of an intent: what is about to be sent, who approved it, and what it takes of limits.
    func auditIntent(taking uses: [LimitUse]) -> JSON {
        [
            "plan_hash": .string(planHash), "calls": .array(preview.calls.map(\.auditForm)),
            "approvals": .array(approvals.map(\.auditGiven)),
            "limits": uses.isEmpty ? nil : .array(uses.map(\.auditForm)),
        ]
    }

    /// The result of a cancelled plan.
    var auditCancel: JSON { ["status": "cancelled", "plan_hash": .string(planHash)] }

    /// The result of approvals that were withdrawn: whose they were, and the state of the plan after it.
    func auditWithdrawal(of approvals: [Approval]) -> JSON {
        [
            "status": "withdrawn", "state": .string(state.rawValue), "plan_hash": .string(planHash),
            "approvals": .array(approvals.map(\.auditGiven)),
        ]
    }

    /// The result of an expired plan.
    var auditExpiry: JSON { ["status": "expired", "expires_at": .string(expiresAt.rfc3339)] }
}

extension Freeze {
    /// The result of a freeze.
    var auditForm: JSON {
        [
            "status": "frozen", "freeze_id": id.map { .string($0.description) }, "reason": .string(reason),
            "party": .string(party), "ends_at": endsAt.map { .string($0.rfc3339) },
        ]
    }

    /// The result of its end.
    var auditLift: JSON {
        ["status": "lifted", "freeze_id": id.map { .string($0.description) }, "by": .string(by)]
    }
}

extension LimitCounter {
    fileprivate var auditForm: JSONObject {
        [
            "rule": .string(rule), "limit": JSON(index), "count": .string(counted.rawValue),
            "by": .string(scope.rawValue), "key": .string(key),
        ]
    }

    fileprivate init?(audited form: JSON) {
        guard let rule = form["rule"]?.string, let index = form["limit"]?.integer.flatMap(Int.init(exactly:)),
            index >= 0, let counted = form["count"]?.string.flatMap(Counted.init),
            let scope = form["by"]?.string.flatMap(Scope.init), let key = form["key"]?.string
        else { return nil }
        self.init(rule: rule, index: index, counted: counted, scope: scope, key: key)
    }
}

extension LimitUse {
    fileprivate var auditForm: JSON {
        var form = counter.auditForm
        form["amount"] = .integer(amount)
        return .object(form)
    }

    /// What the operation took, as the record of its intent says; `nil` if that is not one of this program's.
    init?(audited form: JSON, by operation: RecordID, at: Date) {
        guard let counter = LimitCounter(audited: form), let amount = form["amount"]?.integer else { return nil }
        self.init(counter, by: operation, amount: amount, at: at)
    }
}

extension BreakGlass {
    /// The result of a change that passes something in an emergency.
    var auditForm: JSON {
        [
            "status": "passed", "reason": .string(reason), "windows": windows.isEmpty ? nil : JSON(windows),
            "limits": limits.isEmpty ? nil : .array(limits.map { .object($0.auditForm) }),
            "freezes": freezes.isEmpty ? nil : JSON(freezes.map(\.description)),
        ]
    }

    init(audited form: JSON, at: Date) {
        func texts(_ key: String) -> [String] { (form[key]?.array ?? []).compactMap(\.string) }
        self.init(
            reason: form["reason"]?.string ?? "", at: at, windows: texts("windows"),
            limits: (form["limits"]?.array ?? []).compactMap(LimitCounter.init(audited:)),
            freezes: texts("freezes").compactMap { RecordID($0, .freeze) })
    }
}

extension Review.Verdict {
    /// The result of a review.
    var auditForm: JSON {
        ["status": isJustified ? "justified" : "unjustified", "comment": .string(comment)]
    }

    init(audited form: JSON, by: String, at: Date) {
        self.init(
            by: by, at: at, isJustified: form["status"] == "justified", comment: form["comment"]?.string ?? "")
    }
}

extension ReadResult {
    /// The status of a read and how much it returned, never the data.
    var auditForm: JSON {
        var shown: JSONObject = ["status": .string(status.rawValue)]
        switch content {
        case .rows(let rows): shown["count"] = JSON(rows.reduce(0) { $0 + $1.count })
        case .json(let value): shown["count"] = value.array.map { JSON($0.count) }
        }
        let failed = parts.filter { $0.error != nil }.map(\.environment.description)
        if !failed.isEmpty { shown["failed_environments"] = JSON(failed) }
        return .object(shown)
    }
}

extension ServiceError {
    /// The result of a refusal. `state` is the plan's state after it, if the refusal changes that; `emergency` the reason
    /// for which the change should have passed what stood in its way.
    func auditForm(leaving state: PlanState?, emergency: String? = nil) -> JSON {
        [
            "status": "refused", "code": .string(code.rawValue), "state": state.map { .string($0.rawValue) },
            "break_glass": emergency.map { .string($0) },
            "pointers": issues.isEmpty ? nil : JSON(issues.map(\.path.pointer)),
            "moved": moved.isEmpty ? nil : JSON(moved.map(\.field)),
        ]
    }
}

extension Approval {
    /// Who gave it, and with which key.
    fileprivate var auditGiven: JSON {
        [
            "approver": .string(approver), "assurance": .string(assurance.rawValue),
            "key": signed.map { .string($0.key.fingerprint) },
        ]
    }

    /// The result of an approver's verdict. `needed` is how many approvals the plan needs; `nil` for a rejection.
    func auditVerdict(on plan: Plan, needing needed: Int?) -> JSON {
        [
            "plan_hash": .string(plan.planHash), "assurance": .string(assurance.rawValue),
            "reason": reason.map { .string($0) }, "ticket": ticket.map { .string($0) },
            "approvals": needed.map { .string("\(plan.approvals.count + 1)/\($0)") }, "signed": signed?.form,
        ]
    }

    /// The result of an approval that the applier declares.
    func auditDeclaration(for plan: Plan, needing needed: Int) -> JSON {
        [
            "plan_hash": .string(plan.planHash), "approver": .string(approver),
            "assurance": .string(assurance.rawValue), "approvals": .string("\(plan.approvals.count + 1)/\(needed)"),
        ]
    }
}

extension AuditEvent {
    /// The result of an operation's place in the queue.
    static func queued(ahead: Int?) -> JSON { ["status": "queued", "ahead": ahead.map { JSON($0) }] }

    /// The result of a cancel that ended an operation while it was queued.
    static let cancelled: JSON = ["status": "cancelled"]

    /// The result of a request to PVE to stop a task.
    static func asked(toStop upid: UPID) -> JSON { ["status": "asked", "upid": .string(upid.description)] }

    /// The result of a stop that overrules a shutdown.
    static func asked(by stop: RecordID) -> JSON { ["status": "asked", "overruled_by": .string(stop.description)] }

    /// The result of an unknown outcome that was settled.
    static func settled(as outcome: OperationState, _ reason: String) -> JSON {
        ["status": .string(outcome.rawValue), "reason": .string(reason)]
    }

    /// The result of a record that voids the one of the number `seq`. An intent that is voided by a later process was
    /// not executed.
    static func voiding(_ kind: AuditKind, _ seq: UInt64, atOnce: Bool) -> JSON {
        [
            "status": kind == .applyIntent && !atOnce ? "not_executed" : "not_done",
            "kind": .string(kind.rawValue), "voids": JSON(Int(clamping: seq)),
        ]
    }
}

// MARK: - Outcomes, written and read

extension Operation {
    /// The result of an operation's end.
    var auditOutcome: JSON {
        let cause = partial.map { partial -> JSON in
            [
                "code": partial.code.map { .string($0) }, "detail": .string(partial.detail),
                "moved": moved.isEmpty ? nil : .array(moved.map(\.auditForm)), "upstream": upstream?.auditForm,
            ]
        }
        return [
            "status": .string(state.rawValue), "message": .string(message), "code": code.map { .string($0) },
            "cause": cause, "left": partial.flatMap { $0.left.isEmpty ? nil : .array($0.left.map(\.auditForm)) },
            "undo": partial?.undo?.auditForm,
            "undo_leaves": partial.flatMap { $0.undoLeaves.isEmpty ? nil : .array($0.undoLeaves.map(\.auditForm)) },
            "guests": data?["guests"], "steps": .array(calls.indices.map(auditStep)),
            "upid": upid.map { .string($0.description) }, "log_tail": logTail.isEmpty ? nil : JSON(logTail),
            "upstream": upstream?.auditForm, "cancel_requested_by": cancelRequestedBy.map { .string($0) },
        ]
    }

    private func auditStep(_ index: Int) -> JSON {
        [
            "call": calls[index].auditForm, "state": .string(state(ofCall: index).rawValue),
            "upid": index < steps.count ? steps[index].upid.map { .string($0.description) } : nil,
        ]
    }

    /// Takes the end from a record of it, written at `time`. Takes its calls too, if they are not known.
    mutating func take(outcome result: JSON, at time: Date) {
        message = result["message"]?.string ?? ""
        code = result["code"]?.string
        logTail = result["log_tail"]?.array?.compactMap(\.string) ?? []
        takeSteps(of: result, at: time)
        // Records of earlier versions name the task alone.
        if let upid = result["upid"]?.string.flatMap(UPID.init), self.upid == nil {
            steps = steps.dropLast() + [Step(sentAt: steps.last?.sentAt ?? time, upid: upid, state: .done)]
        }
        upstream = result["upstream"].flatMap(PVERejection.init(audited:)) ?? upstream
    }

    private mutating func takeSteps(of result: JSON, at time: Date) {
        let shown = result["steps"]?.array ?? []
        if calls.isEmpty { calls = shown.compactMap { $0["call"].flatMap(CallName.init(audited:)) } }
        for (index, step) in shown.enumerated() {
            guard let state = step["state"]?.string.flatMap(StepState.init), state != .notSent else { break }
            if index >= steps.count { steps.append(Step(sentAt: time)) }
            steps[index].state = state
            steps[index].upid = step["upid"]?.string.flatMap { UPID($0) } ?? steps[index].upid
        }
        guard let cause = result["cause"] else { return }
        partial = PartialOutcome(
            code: cause["code"]?.string, detail: cause["detail"]?.string ?? "",
            left: (result["left"]?.array ?? []).compactMap(StateDrift.init(audited:)),
            undo: result["undo"].flatMap(FollowUp.init(audited:)),
            undoLeaves: (result["undo_leaves"]?.array ?? []).compactMap(UndoGap.init(audited:)))
        moved = (cause["moved"]?.array ?? []).compactMap(StateDrift.init(audited:))
    }
}

extension CallName {
    fileprivate var auditForm: JSON { ["method": .string(method.rawValue), "path": .string(path)] }

    fileprivate init?(audited form: JSON) {
        guard let method = form["method"]?.string.flatMap(CallMethod.init), let path = form["path"]?.string else {
            return nil
        }
        self.init(method: method, path: path)
    }
}

extension FollowUp {
    fileprivate var auditForm: JSON {
        [
            "environment": .string(environment.description), "action": .string(action), "target": .string(target),
            "params": .object(params),
        ]
    }

    fileprivate init?(audited form: JSON) {
        guard let environment = form["environment"]?.string.flatMap(EnvironmentName.init),
            let action = form["action"]?.string, let target = form["target"]?.string,
            let params = form["params"]?.object
        else { return nil }
        self.init(environment: environment, action: action, target: target, params: params)
    }
}

extension StateDrift {
    fileprivate var auditForm: JSON { ["field": .string(field), "planned": planned, "found": found] }

    fileprivate init?(audited form: JSON) {
        guard let field = form["field"]?.string else { return nil }
        self.init(field: field, planned: form["planned"] ?? .null, found: form["found"] ?? .null)
    }
}

extension UndoGap {
    fileprivate var auditForm: JSON { ["key": .string(key), "detail": .string(detail)] }

    fileprivate init?(audited form: JSON) {
        guard let key = form["key"]?.string, let detail = form["detail"]?.string else { return nil }
        self.init(key, detail)
    }
}

extension PVERejection {
    fileprivate var auditForm: JSON {
        var form: JSONObject = ["status": JSON(status), "reason": .string(reason)]
        if !errors.isEmpty {
            form["errors"] = .object(
                errors.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) })
        }
        return .object(form)
    }

    fileprivate init?(audited form: JSON) {
        guard let status = form["status"]?.integer else { return nil }
        self.init(
            status: Int(clamping: status), reason: form["reason"]?.string ?? "",
            errors: (form["errors"]?.object?.members ?? []).reduce(into: [:]) { $0[$1.key] = $1.value.string })
    }
}

extension SessionChange {
    var auditForm: JSON {
        switch self {
        case .signedIn(let id, let method, let others):
            [
                "status": "signed_in", "session_id": .string(id.description), "method": .string(method.rawValue),
                "ended": others.isEmpty ? nil : JSON(others.map(\.description)),
            ]
        case .signedOut(let id): ["status": "signed_out", "session_id": .string(id.description)]
        case .ended(let id): ["status": "ended", "session_id": .string(id.description)]
        case .codeMade: ["status": "code_made"]
        }
    }
}
