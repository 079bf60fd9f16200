import AgentAudit
package import AgentModel
import FoundationEssentials
import StrictJSON

extension ActionService {
    /// Plans, newest first, as far as `filter` says.
    package func plans(_ filter: PlanFilter) async throws(ServiceError) -> [Plan] {
        try await expireDue()
        return try await read { $0.plans(filter) }
    }

    /// One plan by its id; one whose time has come expires as it is looked at.
    package func plan(_ id: RecordID, _ context: Context) async throws(ServiceError) -> Plan {
        let plan = try await load(id)
        return plan.isDue(at: ports.now()) ? try await expire(plan) : plan
    }

    /// One plan as it is stored.
    func load(_ id: RecordID) async throws(ServiceError) -> Plan {
        guard let plan = try await read({ $0.plan(id) }) else {
            throw ServiceError(.planNotFound, "there is no plan \(id)")
        }
        return plan
    }

    /// Cancels a live plan that no operation has claimed.
    package func cancelPlan(_ id: RecordID, _ context: Context) async throws(ServiceError) -> Plan {
        var seen: Plan?
        do throws(ServiceError) {
            let turn = planLocks.enter([id.description])
            _ = await planLocks.wait(for: turn)
            defer { planLocks.leave(turn) }
            let plan = try await load(id)
            seen = plan
            try checkState(of: plan)
            try await record(
                event(
                    .cancel, context, environment: plan.request.environment, plan: id,
                    result: ["status": "cancelled", "plan_hash": .string(plan.planHash)]))
            return try await move(plan, to: .cancelled)
        } catch {
            throw await refuse(error, context, plan: seen)
        }
    }

    /// Ends every plan whose time has come. Runs before lists and now and then by itself.
    package func expireDue() async throws(ServiceError) {
        let now = ports.now()
        let due = try await read { $0.plans(PlanFilter(dueAt: now)) }
        for plan in due { _ = try await expire(plan) }
    }

    private func expire(_ due: Plan) async throws(ServiceError) -> Plan {
        let turn = planLocks.enter([due.id.description])
        _ = await planLocks.wait(for: turn)
        defer { planLocks.leave(turn) }
        let plan = try await load(due.id)
        guard plan.isDue(at: ports.now()) else { return plan }
        let daemon = Context(caller: Caller(principal: "proxmox-agent", label: nil), requestID: "")
        try await record(
            event(
                .expire, daemon, environment: plan.request.environment, plan: plan.id,
                result: ["status": "expired", "expires_at": .string(plan.expiresAt.rfc3339)]), .soon)
        return try await move(plan, to: .expired)
    }

    /// Moves a plan on if the table allows it and no operation has claimed it meanwhile; returns it as it then is.
    private func move(_ plan: Plan, to state: PlanState) async throws(ServiceError) -> Plan {
        let now = ports.now()
        let moved = try await write { records -> Plan? in
            guard var plan = records.plan(plan.id) else { return nil }
            if plan.operationID == nil, plan.move(to: state, at: now) { records.put(plan) }
            return plan
        }
        guard let moved else { throw ServiceError(.planNotFound, "there is no plan \(plan.id)") }
        return moved
    }
}

extension Plan {
    /// Live, unclaimed, and past its time.
    func isDue(at now: Date) -> Bool { state.isLive && operationID == nil && expiresAt <= now }
}
