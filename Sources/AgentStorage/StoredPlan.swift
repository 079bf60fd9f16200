import AgentModel
import FoundationEssentials
import Signatures
import StrictJSON

extension Plan: Stored {
    /// Everything except the secrets, which ``PlanSecrets`` keeps.
    var stored: JSON {
        [
            "id": JSON(describing: id), "request": request.stored, "request_hash": .string(requestHash),
            "plan_hash": .string(planHash), "requester": requester.stored,
            "environment_identity": .string(environmentIdentity), "policy_version": .string(policyVersion),
            "decision": decision.stored, "preview": preview.stored, "requires": requires.stored,
            "created_at": JSON(createdAt), "expires_at": JSON(expiresAt), "standing": standing.stored,
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            id: try fields.parsed("id") { RecordID($0, .plan) }, request: try fields.get("request"),
            requestHash: try fields.text("request_hash"), planHash: try fields.text("plan_hash"),
            requester: try fields.get("requester"), environmentIdentity: try fields.text("environment_identity"),
            policyVersion: try fields.text("policy_version"), decision: try fields.get("decision"),
            preview: try fields.get("preview"), requires: try fields.get("requires"),
            createdAt: try fields.date("created_at"), expiresAt: try fields.date("expires_at"),
            standing: try fields.get("standing"))
    }
}

extension PlanSummary: Stored {
    var stored: JSON { ["plan": plan.stored, "calls": JSON(calls), "changes": JSON(changes)] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            try fields.get("plan"), calls: try fields.number("calls"), changes: try fields.number("changes"))
    }
}

extension Plan.Standing: Stored {
    var stored: JSON {
        [
            "state": JSON(state), "approvals": JSON(approvals), "rejection": rejection?.stored,
            "withdrawn": withdrawn.isEmpty ? nil : JSON(withdrawn),
            "operation": operationID.map { JSON(describing: $0) }, "break_glass": breakGlass?.stored,
            "ended_at": endedAt.map { JSON($0) },
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            state: try fields.parsed("state", PlanState.init), approvals: try fields.list("approvals"),
            rejection: try fields.find("rejection"), withdrawn: try fields.findList("withdrawn") ?? [],
            operationID: try fields.findParsed("operation") { RecordID($0, .operation) },
            breakGlass: try fields.find("break_glass"), endedAt: try fields.findParsed("ended_at", Date.init(rfc3339:)))
    }
}

extension ActionRequest: Stored {
    var stored: JSON {
        [
            "environment": JSON(describing: environment), "action": .string(action.rawValue),
            "target": JSON(describing: target),
            "params": .object(params), "dry_run": .bool(dryRun), "reason": reason.map { .string($0) },
            "expires_at": expiresAt.map { JSON($0) }, "approval_ticket": approvalTicket.map { .string($0) },
            "apply_at": applyAt.map { JSON($0) },
            "approved_by": approvedBy.map { .string($0) },
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            environment: try fields.parsed("environment", EnvironmentName.init),
            action: try fields.parsed("action", Action.init(rawValue:)),
            target: try fields.parsed("target", Target.init), params: try fields.get("params", \.object), secrets: [:],
            dryRun: try fields.flag("dry_run"),
            notes: Notes(
                reason: try fields.find("reason", \.string),
                expiresAt: try fields.findParsed("expires_at", Date.init(rfc3339:)),
                approvalTicket: try fields.find("approval_ticket", \.string),
                applyAt: try fields.findParsed("apply_at", ApplyTime.init),
                approvedBy: try fields.find("approved_by", \.string)))
    }
}

extension Preview: Stored {
    var stored: JSON {
        [
            "calls": JSON(calls), "observed": .object(observed.shown), "compared": JSON(observed.compared),
            "changes": JSON(changes), "noop": .bool(noop), "irreversible": .bool(irreversible), "undo": undo?.stored,
            "undo_leaves": JSON(undoLeaves),
            "checks": JSON(checks), "digest": digest.map { .string($0) }, "reach": reach.stored,
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            calls: try fields.list("calls"),
            observed: Observed(
                shown: try fields.get("observed", \.object), compared: try fields.texts("compared")),
            changes: try fields.list("changes"), noop: try fields.flag("noop"),
            irreversible: try fields.flag("irreversible"), undo: try fields.find("undo"),
            checks: try fields.list("checks"))
        // Plans of earlier versions have none.
        for gap in try fields.find("undo_leaves", \.array) ?? [] {
            undoLeaves.append(try StoredFields.read(UndoGap.self, gap))
        }
        digest = try fields.find("digest", \.string)
        // Plans of earlier versions have none; they are judged by what the next preview finds.
        if let reach = try fields.find("reach", Reach.self) { self.reach = reach }
    }
}

extension Reach: Stored {
    var stored: JSON {
        [
            "subjects": JSON(subjects), "touches": JSON(liveEscalations), "losses": JSON(losses),
            "gains": gains.isEmpty ? nil : JSON(gains),
            "destroyed_bytes": destroyedBytes == 0 ? nil : .integer(destroyedBytes),
            "backups": backups.isEmpty
                ? nil
                : .object(
                    backups.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0.append($1.key, JSON($1.value)) })
                ,
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            subjects: try fields.list("subjects"), liveEscalations: try fields.texts("touches"),
            losses: try fields.texts("losses"), gains: try fields.find("gains", StoredFields.texts) ?? [],
            destroyedBytes: try fields.find("destroyed_bytes") { $0.whole } ?? 0,
            backups: try fields.find("backups", Self.dates) ?? [:])
    }

    private static func dates(_ value: JSON) -> [String: Date]? {
        guard let object = value.object else { return nil }
        var dates: [String: Date] = [:]
        for member in object.members {
            guard let date = member.value.string.flatMap(Date.init(rfc3339:)) else { return nil }
            dates[member.key] = date
        }
        return dates
    }
}

extension Subject: Stored {
    var stored: JSON {
        [
            "role": JSON(role), "name": .string(name), "aliases": JSON(aliases), "tags": JSON(tags.sorted()),
            "guest_names": guestNames.isEmpty ? nil : JSON(guestNames), "node": node.map { JSON(describing: $0) },
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            try fields.parsed("role", Role.init), try fields.text("name"), aliases: try fields.texts("aliases"),
            tags: Set(try fields.texts("tags")), guestNames: try fields.find("guest_names", StoredFields.texts) ?? [],
            node: try fields.findParsed("node", NodeName.init))
    }
}

extension JudgedSubject: Stored {
    var stored: JSON {
        [
            "role": JSON(role), "name": .string(name), "rules": JSON(rules),
            "aliases": subject.aliases.isEmpty ? nil : JSON(subject.aliases),
            "tags": subject.tags.isEmpty ? nil : JSON(subject.tags.sorted()),
            "guest_names": subject.guestNames.isEmpty ? nil : JSON(subject.guestNames),
            "node": subject.node.map { JSON(describing: $0) },
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        // Decisions of earlier versions have role and name alone.
        let subject = Subject(
            try fields.parsed("role", Subject.Role.init), try fields.text("name"),
            aliases: try fields.find("aliases", StoredFields.texts) ?? [],
            tags: Set(try fields.find("tags", StoredFields.texts) ?? []),
            guestNames: try fields.find("guest_names", StoredFields.texts) ?? [],
            node: try fields.findParsed("node", NodeName.init))
        self.init(subject, rules: try fields.texts("rules"))
    }
}

extension Call: Stored {
    var stored: JSON {
        [
            "method": JSON(method), "path": JSON(path),
            "parameters": JSON(parameters.map { StoredParameter(name: $0.name, value: $0.value) }),
            "tasks": JSON(taskTypes), "task_id": taskID.map { .string($0) }, "moves": JSON(expectedDrift),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            try fields.parsed("method", CallMethod.init), try fields.texts("path"),
            try fields.list("parameters", StoredParameter.self).map { (name: $0.name, value: $0.value) },
            tasks: try fields.texts("tasks"), taskID: try fields.find("task_id", \.string),
            expectedDrift: try fields.texts("moves"))
    }
}

/// A parameter of a call: a text, a list of texts, or a marker for a special value.
private struct StoredParameter: Stored {
    let name: String
    let value: Call.Value

    init(name: String, value: Call.Value) {
        self.name = name
        self.value = value
    }

    var stored: JSON {
        switch value {
        case .text(let text): ["name": .string(name), "text": .string(text)]
        case .list(let texts): ["name": .string(name), "list": JSON(texts)]
        case .secret: ["name": .string(name), "special": "secret"]
        case .observedDigest: ["name": .string(name), "special": "observed_digest"]
        }
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        name = try fields.text("name")
        if let text = try fields.find("text", \.string) {
            value = .text(text)
        } else if let texts = try fields.find("list", StoredFields.texts) {
            value = .list(texts)
        } else {
            value = try fields.parsed("special") { word -> Call.Value? in
                switch word {
                case "secret": .secret(Secret(""))
                case "observed_digest": .observedDigest
                default: nil
                }
            }
        }
    }
}

extension Caller: Stored {
    var stored: JSON {
        ["principal": .string(principal), "label": label.map { .string($0) }, "shared": .bool(isShared)]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            principal: try fields.text("principal"), label: try fields.find("label", \.string),
            isShared: try fields.flag("shared"))
    }
}

extension Decision: Stored {
    var stored: JSON {
        [
            "allowed": .bool(allowed), "risk": JSON(risk), "requires_approval": .bool(requiresApproval),
            "reason": .string(reason), "rules": JSON(rules), "approvals": JSON(approvals),
            "assurance": assurance.map { JSON($0) },
            "clauses": clauses.isEmpty ? nil : JSON(clauses), "window": window.map(\.stored),
            "subjects": JSON(subjects),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            allowed: try fields.flag("allowed"), risk: try fields.parsed("risk", Risk.init),
            requiresApproval: try fields.flag("requires_approval"), reason: try fields.text("reason"),
            rules: try fields.texts("rules"), approvals: try fields.number("approvals"),
            assurance: try fields.findParsed("assurance", Assurance.init),
            clauses: try fields.findList("clauses") ?? [], window: try fields.find("window"))
        // Decisions of earlier versions have none.
        if let list = try fields.find("subjects", \.array) {
            for element in list { subjects.append(try StoredFields.read(JudgedSubject.self, element)) }
        }
    }
}

extension Change: Stored {
    var stored: JSON { ["key": .string(key), "from": from, "to": to] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(try fields.text("key"), from: try fields.get("from") { $0 }, to: try fields.get("to") { $0 })
    }
}

extension UndoGap: Stored {
    var stored: JSON { ["key": .string(key), "detail": .string(detail)] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(try fields.text("key"), try fields.text("detail"))
    }
}

extension FollowUp: Stored {
    var stored: JSON {
        [
            "environment": JSON(describing: environment), "action": .string(action), "target": .string(target),
            "params": .object(params),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            environment: try fields.parsed("environment", EnvironmentName.init), action: try fields.text("action"),
            target: try fields.text("target"), params: try fields.get("params", \.object))
    }
}

extension Check: Stored {
    var stored: JSON { ["id": .string(id), "level": JSON(level), "detail": .string(detail)] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(try fields.text("id"), try fields.parsed("level", Level.init), try fields.text("detail"))
    }
}

extension Requirement: Stored {
    var stored: JSON {
        [
            "approvals": JSON(approvals), "assurance": JSON(assurance),
            "clauses": clauses.isEmpty ? nil : JSON(clauses),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            approvals: try fields.number("approvals"), assurance: try fields.parsed("assurance", Assurance.init),
            clauses: try fields.findList("clauses") ?? [])
    }
}

extension ClosedWindow: Stored {
    var stored: JSON { ["rules": JSON(rules), "opens_at": opensAt.map { JSON($0) }] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            rules: try fields.texts("rules"), opensAt: try fields.findParsed("opens_at", Date.init(rfc3339:)))
    }
}

extension ApprovalClause: Stored {
    var stored: JSON {
        [
            "rule": .string(rule), "approvals": JSON(approvals), "principals": JSON(principals.sorted()),
            "roles": JSON(roles.map(\.rawValue).sorted()), "groups": JSON(groups.sorted()),
            "other_group": .bool(isFromOtherGroup),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            rule: try fields.text("rule"), approvals: try fields.number("approvals"),
            principals: Set(try fields.texts("principals")),
            roles: Set(try fields.texts("roles").compactMap(Role.init(rawValue:))),
            groups: Set(try fields.texts("groups")), isFromOtherGroup: try fields.flag("other_group"))
    }
}

extension Approval: Stored {
    var stored: JSON {
        [
            "approver": .string(approver), "assurance": JSON(assurance), "at": JSON(at),
            "reason": reason.map { .string($0) }, "ticket": ticket.map { .string($0) }, "signed": signed?.form,
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            approver: try fields.text("approver"), assurance: try fields.parsed("assurance", Assurance.init),
            at: try fields.date("at"), reason: try fields.find("reason", \.string),
            ticket: try fields.find("ticket", \.string),
            signed: try fields.find("signed") { try? SignedApproval(form: $0) })
    }
}
