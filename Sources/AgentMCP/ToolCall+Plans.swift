import AgentAPI
import AgentModel
import AgentService
import StrictJSON

/// The tools that plan and carry out.
extension ToolCall {
    func planCreate() async throws(ServiceError) -> ToolResult {
        let (request, detail) = try await read { reader throws(ServiceError) in
            let detail = reader.detail()
            // The service reads the rest, but an approval never comes this way.
            let keys = ["environment", "action", "target", "params", "dry_run", "reason"]
            var request = JSONObject()
            for key in keys { request[key] = reader.value(key) }
            return (request, detail)
        }
        let plan = try await service.workflow.plan(request, context)
        return shown(plan, detail, isError: plan.state == .denied)
    }

    func planGet() async throws(ServiceError) -> ToolResult {
        let (id, detail) = try await read { reader throws(ServiceError) in
            let id = planID(&reader)
            let detail = reader.detail()
            return (try needed(id, &reader), detail)
        }
        return shown(try await service.workflow.plan(id, context), detail)
    }

    func planCancel() async throws(ServiceError) -> ToolResult {
        let id = try await read { reader throws(ServiceError) in try needed(planID(&reader), &reader) }
        let plan = try? await service.workflow.plan(id, context)
        if let operation = plan?.operationID {
            let asked = try await service.operations.cancel(operation, context)
            return ToolResult(content: [
                "plan_id": .string("\(id)"), "state": .string("operation \(asked.state.rawValue)"),
                "operation": .object(await view(of: asked, .concise)),
            ])
        }
        let cancelled = try await service.workflow.cancelPlan(id, context)
        return ToolResult(content: ["plan_id": .string("\(id)"), "state": .string(cancelled.state.rawValue)])
    }

    func planApply() async throws(ServiceError) -> ToolResult {
        let (id, wait) = try await read { reader throws(ServiceError) in
            let id = planID(&reader)
            let wait = reader.integer("wait", in: 0...30, unit: "s")
            return (try needed(id, &reader), wait)
        }
        let outcome: ApplyOutcome
        do throws(ServiceError) {
            let wait = declaresTasks ? .zero : wait.map { Duration.seconds($0) }
            outcome = try await service.applies.apply(ApplyRequest(planID: id), context, wait: wait)
        } catch {
            guard let operation = error.operation else { throw error }
            return await result(of: operation)
        }
        let own: JSONObject = ["plan_id": .string("\(id)")]
        switch outcome.kind {
        case .operation(let operation): return await result(of: operation)
        case .dryRun:
            let plan = service.workflow.shown(outcome.plan, to: context.caller)
            return ToolResult(
                content: Page.fitted(own.merging(["status": "planned", "preview": Views.preview(plan.preview)])))
        case .read(let found):
            let data: JSON
            switch found.content {
            case .json(let json): data = json
            case .rows(let lists): data = ["guests": JSON(lists.reduce(0) { $0 + $1.count })]
            }
            let isRows = if case .rows = found.content { true } else { false }
            return ToolResult(
                content: Page.fitted(
                    own.merging([
                        "status": .string(found.status.rawValue), "message": .string(found.message), "data": data,
                        "next": isRows ? "call inventory: it has filters and pages" : nil,
                    ])), isError: found.status == .failed)
        }
    }

    func operationGet() async throws(ServiceError) -> ToolResult {
        let (id, wait, detail) = try await read { reader throws(ServiceError) in
            reader.require("operation_id", "an operation's id, as plan_apply gives it")
            let id = reader.parsed("operation_id", "an operation's id, op_ and 20 characters") {
                RecordID($0, .operation)
            }
            let wait = reader.integer("wait", in: 0...30, unit: "s")
            let detail = reader.detail()
            return (try needed(id, &reader), wait, detail)
        }
        let operation = try await service.operations.operation(id, context, wait: wait.map { .seconds($0) })
        return ToolResult(content: [
            "operation": .object(await view(of: operation, detail)), "next": .string(operation.next),
        ])
    }

    // MARK: Tasks

    /// An operation that the caller asked for; any other is reported as unknown.
    func ownOperation(_ id: RecordID) async throws(ServiceError) -> AgentModel.Operation {
        let operation = try await service.operations.operation(id, context)
        guard operation.requester.isSameParty(as: context.caller) else {
            throw ServiceError(.operationNotFound, "there is no operation \(id)")
        }
        return operation
    }

    /// Asks for the end of an operation. One that has ended stays as it is.
    func cancel(_ operation: AgentModel.Operation) async throws(ServiceError) {
        var operation = operation
        for _ in 0..<5 where !operation.state.isEnded {
            do throws(ServiceError) {
                _ = try await service.operations.cancel(operation.id, context)
                return
            } catch {
                guard error.code == .notCancellable else { throw error }
            }
            // It is about to start, or PVE has not accepted it yet.
            operation = try await service.operations.operation(operation.id, context, wait: .seconds(1))
        }
        guard operation.state.isEnded else {
            throw ServiceError(.notCancellable, "the operation cannot be cancelled at this moment; try again")
        }
    }

    // MARK: Views

    /// What an apply has come to so far.
    func result(of operation: AgentModel.Operation) async -> ToolResult {
        let isError =
            switch operation.state {
            case .queued, .running, .succeeded, .succeededWithWarnings: false
            case .failed, .cancelled, .unknown: true
            }
        return ToolResult(
            content: [
                "plan_id": .string("\(operation.planID)"), "status": .string(operation.state.rawValue),
                "operation": .object(await view(of: operation, .concise)), "next": .string(operation.next),
            ], isError: isError, operation: operation)
    }

    private func view(of found: AgentModel.Operation, _ detail: Detail) async -> JSONObject {
        let operation = await service.workflow.shown(found, to: context.caller)
        let view = Views.operation(operation).object ?? [:]
        let concise = [
            "operation_id", "plan_id", "environment", "action", "target", "state", "progress", "code", "message",
            "upid",
            "queue_position", "created_at", "started_at", "ended_at", "cancel_requested_by", "break_glass", "cause",
            "left", "undo",
            "undo_leaves", "moved", "upstream", "data", "log_tail",
        ]
        return Page.fitted(detail == .full ? view : view.only(concise))
    }

    private func shown(_ found: Plan, _ detail: Detail, isError: Bool = false) -> ToolResult {
        let plan = service.workflow.shown(found, to: context.caller)
        var view = Views.plan(plan).object ?? [:]
        if detail == .concise {
            let preview = view["preview"]?.object ?? [:]
            let decision = view["decision"]?.object ?? [:]
            view = view.only([
                "plan_id", "state", "plan_hash", "request", "requires", "approvals", "rejection", "operation_id",
                "break_glass",
                "expires_at",
            ])
            view["decision"] = .object(
                decision.only(["allowed", "risk_level", "requires_approval", "reason", "rules"]))
            view["calls"] = .array(
                plan.preview.calls.map { .string("\($0.method.rawValue) \($0.shownPath)") })
            view = view.merging(preview.only(["changes", "noop", "irreversible", "undo"]))
            view["checks"] = .array((preview["checks"]?.array ?? []).filter { $0["level"] != "ok" })
        }
        view["next"] = .string(next(for: plan))
        return ToolResult(content: Page.fitted(view), isError: isError)
    }
}
