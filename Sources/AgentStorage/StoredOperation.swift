import AgentModel
import FoundationEssentials
import StrictJSON

extension Operation: Stored {
    var stored: JSON {
        [
            "id": JSON(describing: id), "plan": JSON(describing: planID), "environment": JSON(describing: environment),
            "action": .string(action.rawValue), "target": JSON(describing: target), "requester": requester.stored,
            "created_at": JSON(createdAt), "state": JSON(state), "started_at": startedAt.map { JSON($0) },
            "ended_at": endedAt.map { JSON($0) }, "calls": JSON(calls), "steps": JSON(steps),
            "warnings": .bool(hasWarnings),
            "known_tasks": JSON(knownTasks.map(\.description)), "code": code.map { .string($0) },
            "partial": partial?.stored, "message": .string(message), "data": data, "log_tail": JSON(logTail),
            "kept_log": JSON(keptLog), "moved": JSON(moved),
            "upstream": upstream?.stored, "approvals": JSON(approvals),
            "cancel_requested_by": cancelRequestedBy.map { .string($0) }, "queue_position": JSON(queuePosition),
            "break_glass": breakGlass?.stored, "executor": executor.map { .string($0) },
            "stop_asked": isStopAsked ? true : nil, "trace": trace?.stored,
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            id: try fields.parsed("id") { RecordID($0, .operation) },
            planID: try fields.parsed("plan") { RecordID($0, .plan) },
            environment: try fields.parsed("environment", EnvironmentName.init),
            action: try fields.parsed("action", Action.init(rawValue:)),
            target: try fields.parsed("target", Target.init), requester: try fields.get("requester"),
            // Operations stored by earlier versions have no calls.
            calls: try fields.findList("calls") ?? [], approvals: try fields.list("approvals"),
            createdAt: try fields.date("created_at"),
            state: try fields.parsed("state", OperationState.init),
            startedAt: try fields.findParsed("started_at", Date.init(rfc3339:)),
            endedAt: try fields.findParsed("ended_at", Date.init(rfc3339:)))
        steps = try fields.list("steps")
        hasWarnings = try fields.flag("warnings")
        knownTasks = try fields.get("known_tasks") { value -> [UPID]? in
            guard let texts = StoredFields.texts(value) else { return nil }
            let tasks = texts.compactMap { UPID($0) }
            return tasks.count == texts.count ? tasks : nil
        }
        code = try fields.find("code", \.string)
        partial = try fields.find("partial")
        message = try fields.text("message")
        data = try fields.find("data") { $0 }
        logTail = try fields.texts("log_tail")
        keptLog = try fields.find("kept_log", StoredFields.texts) ?? []
        moved = try fields.list("moved")
        upstream = try fields.find("upstream")
        cancelRequestedBy = try fields.find("cancel_requested_by", \.string)
        queuePosition = try fields.number("queue_position")
        breakGlass = try fields.find("break_glass")
        executor = try fields.find("executor", \.string)
        isStopAsked = try fields.find("stop_asked", \.bool) ?? false
        trace = try fields.find("trace")
    }
}

extension TraceContext: Stored {
    var stored: JSON { ["id": .string(traceID), "parent": parentID.map { .string($0) }] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        let parent = try fields.find("parent", \.string)
        self = try fields.parsed("id") { TraceContext(traceID: $0, parentID: parent) }
    }
}

extension Step: Stored {
    var stored: JSON {
        [
            "sent_at": JSON(sentAt), "upid": upid.map { JSON(describing: $0) }, "done": .bool(isDone),
            "state": JSON(state),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        // Steps stored by earlier versions have `done` instead of `state`.
        let isDone = try fields.flag("done")
        self.init(
            sentAt: try fields.date("sent_at"), upid: try fields.findParsed("upid") { UPID($0) },
            state: try fields.findParsed("state", StepState.init) ?? (isDone ? .done : .unknown))
    }
}

extension CallName: Stored {
    var stored: JSON { ["method": JSON(method), "path": .string(path)] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(method: try fields.parsed("method", CallMethod.init), path: try fields.text("path"))
    }
}

extension PartialOutcome: Stored {
    var stored: JSON {
        [
            "code": code.map { .string($0) }, "detail": .string(detail), "left": left.isEmpty ? nil : JSON(left),
            "undo": undo?.stored, "undo_leaves": undoLeaves.isEmpty ? nil : JSON(undoLeaves),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            code: try fields.find("code", \.string), detail: try fields.text("detail"),
            left: try fields.findList("left") ?? [], undo: try fields.find("undo"),
            undoLeaves: try fields.findList("undo_leaves") ?? [])
    }
}

extension StateDrift: Stored {
    var stored: JSON { ["field": .string(field), "planned": planned, "found": found] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            field: try fields.text("field"), planned: try fields.get("planned") { $0 },
            found: try fields.get("found") { $0 })
    }
}

extension PVERejection: Stored {
    var stored: JSON {
        let errors = errors.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) }
        return [
            "status": JSON(status), "reason": .string(reason), "errors": errors.isEmpty ? nil : .object(errors),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        let errors = try fields.find("errors") { value -> [String: String]? in
            guard let members = value.object?.members else { return nil }
            let texts = members.compactMap { member in member.value.string.map { (member.key, $0) } }
            return texts.count == members.count ? Dictionary(texts) { $1 } : nil
        }
        self.init(
            status: try fields.number("status"), reason: try fields.text("reason"), errors: errors ?? [:])
    }
}
