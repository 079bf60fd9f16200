import AgentAudit
package import AgentModel
import AgentPolicy
import FoundationEssentials
package import StrictJSON

/// Makes plans, and takes them through their states until an operation claims them.
package final class PlanWorkflow: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    let idempotency: IdempotencyService
    let limits: Limits
    let digest: PlanDigest
    let deadlines = Deadlines()
    /// One state change per plan at a time.
    let turns = TargetLocks()

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ idempotency: IdempotencyService, _ limits: Limits,
        _ digest: PlanDigest
    ) {
        self.audited = audited
        self.access = access
        self.idempotency = idempotency
        self.limits = limits
        self.digest = digest
    }

    var ports: Ports { audited.ports }

    /// Makes, records and stores the plan for a request. Changes nothing at PVE.
    ///
    /// - Throws: ``ServiceError`` if the request is wrong, PVE cannot be asked, or the plan cannot be recorded. Each
    ///   refusal is recorded.
    package func plan(
        _ body: JSONObject, _ context: Context, kept: PendingIdempotentRequest? = nil
    ) async throws(ServiceError) -> Plan {
        try await audited.recordingRefusals(of: context) { (subject: inout RefusedSubject) async throws(ServiceError) in
            let request = try parse(body)
            subject.request = request
            let plan = try await makePlan(request, context)
            // Count and store a principal's plans of changes one after the other, or they could exceed the cap.
            try await turns.holding(request.changes ? ["plans of \(context.caller.principal)"] : []) {
                () async throws(ServiceError) in
                try await checkRoom(for: plan)
                try await keep(plan, kept, context)
            }
            return plan
        }
    }

    func parse(_ body: JSONObject) throws(ServiceError) -> ActionRequest {
        do throws(RequestError) { return try ActionRequest(parsing: body) } catch { throw ServiceError(error) }
    }

    /// Makes the plan: preview, decision, hashes. Records and stores nothing.
    func makePlan(_ request: ActionRequest, _ context: Context) async throws(ServiceError) -> Plan {
        let managed = try access.managedEnvironment(request.environment, .view, context)
        if request.changes { try access.check(.change, in: request.environment, context) }
        try audited.checkSpace()
        try await managed.enter(context.caller)
        defer { managed.leave(context.caller) }
        let now = ports.now()
        let caller = context.caller
        let rules = access.currentRules
        var preview = try await preview(
            of: request, at: managed, resolving: rules.policy.looksAtSubjects(of: request.action))
        try await addBackups(to: &preview, of: request, at: managed)
        preview.checks += try await reservations(of: request, caller, now)
        let input = rules.input(
            request, by: caller, in: managed.settings, reach: preview.reach, checks: preview.checks)
        let decision = rules.policy.evaluate(input, at: now)
        preview.checks += try await limitChecks(rules.policy.limitClaims(of: input, at: now), now)
        ports.observed(.decided(request.action, decision))
        let requires = rules.policy.requirement(
            of: decision, for: caller, in: managed.settings, among: rules.directory)
        let expiresAt = try expiry(of: request, decision, now)
        let id = ports.newID(.plan)
        let requestHash = digest.requestHash(request)
        let planHash = digest.planHash(
            id: id, requestHash: requestHash, requester: caller, environmentIdentity: managed.settings.identity,
            preview: preview, policyVersion: rules.policy.version, requires: requires, expiresAt: expiresAt.rfc3339,
            applyAt: request.applyAt)
        return Plan(
            id: id, request: request, requestHash: requestHash, planHash: planHash, requester: caller,
            environmentIdentity: managed.settings.identity, policyVersion: rules.policy.version, decision: decision,
            preview: preview, requires: requires,
            createdAt: now, expiresAt: expiresAt)
    }

    /// What the request would do, from live state.
    private func preview(
        of request: ActionRequest, at managed: ManagedEnvironment, resolving: Bool
    ) async throws(ServiceError) -> Preview {
        do throws(HypervisorError) {
            return try await managed.planning.preview(
                of: request, watching: access.currentRules.policy.namedGuests, resolving: resolving)
        } catch {
            throw ServiceError(error, request.environment, during: "planning \(request.action.rawValue)")
        }
    }

    /// Looks up the newest backups of the guests that a change reaches, if policy asks for them.
    func addBackups(
        to preview: inout Preview, of request: ActionRequest, at managed: ManagedEnvironment
    ) async throws(ServiceError) {
        guard access.currentRules.policy.asksForBackups(of: request) else { return }
        for subject in preview.reach.subjects.prefix(Self.mostBackups) {
            guard let guest = Target(subject.name)?.guest else { continue }
            do throws(HypervisorError) {
                preview.reach.backups[subject.name] = try await managed.planning.newestBackup(of: guest.id)
            } catch {
                throw ServiceError(error, request.environment, during: "looking for backups of \(guest)")
            }
        }
    }

    /// The most subjects whose backups are looked up. Others count as having none.
    private static let mostBackups = 100

    private func expiry(
        of request: ActionRequest, _ decision: Decision, _ now: Date
    ) throws(ServiceError) -> Date {
        let seconds = decision.risk == .high ? limits.highRiskPlanSeconds : limits.planSeconds
        let start = try opening(of: request, decision) ?? now
        let latest = start.addingTimeInterval(Double(seconds))
        guard let wanted = request.expiresAt else { return latest }
        guard wanted > now, wanted <= latest else {
            let path = JSONPath([.key("expires_at")])
            let detail =
                "must be after now and no later than \(latest.rfc3339), which is \(seconds) s from "
                + (start == now ? "now" : "the opening of its change window")
            throw ServiceError(JSONIssues([JSONError(path: path, detail: detail)]))
        }
        return wanted
    }

    /// When the change windows open that a plan waits for, if it wants to wait.
    private func opening(of request: ActionRequest, _ decision: Decision) throws(ServiceError) -> Date? {
        guard request.applyAt == .window, let window = decision.window, decision.allowed else { return nil }
        guard let opening = window.opensAt else {
            throw ServiceError(
                .windowClosed,
                "\(window.phrase) is not open within 400 days, so the plan cannot wait for it; leave apply_at out")
        }
        return opening
    }

    /// A warning for each limit that has no room for the request now.
    private func limitChecks(_ claims: [LimitClaim], _ now: Date) async throws(ServiceError) -> [Check] {
        guard !claims.isEmpty else { return [] }
        return try await audited.read { records in
            claims.compactMap { claim in
                let verdict = claim.verdict(uses: records.limitUses(of: claim, at: now), at: now)
                return verdict.fits ? nil : Check("limit", .warn, claim.phrase(verdict))
            }
        }
    }

    /// Throws if the requester has too many live plans or reserved ids, before anything is recorded.
    private func checkRoom(for plan: Plan) async throws(ServiceError) {
        guard plan.request.changes, plan.state.isLive else { return }
        if let lack = try await audited.read({ [limits] in Self.lackOfRoom(for: plan, in: $0, limits) }) { throw lack }
    }

    private static func lackOfRoom(
        for plan: Plan, in records: any StoreReader, _ limits: Limits
    ) -> ServiceError? {
        let claims = plan.request.claimedIDs
        let own = PlanFilter(principal: plan.requester.principal, isLive: true, changes: true)
        var due = own
        due.dueAt = plan.createdAt
        // The ids only count for a plan that reserves some.
        let others =
            claims.isEmpty ? [] : records.summaries(own, bytes: .max).rows.filter { $0.plan.expiresAt > plan.createdAt }
        let reserved = others.reduce(into: Set(claims)) { $0.formUnion($1.plan.request.claimedIDs) }
        guard claims.isEmpty || reserved.count <= limits.reservedIDs else {
            return ServiceError(
                .rateLimited,
                "with this one the live plans of \(plan.requester.principal) would keep \(reserved.count) ids for new "
                    + "guests, and the limit is \(limits.reservedIDs); cancel some with DELETE /v1/plans/{id}, or let them "
                    + "expire")
        }
        let live = records.count(own) - records.count(due)
        guard live < limits.livePlans else {
            return ServiceError(
                .rateLimited,
                "\(plan.requester.principal) has \(live) live plans, which is the limit; cancel some with "
                    + "DELETE /v1/plans/{id}, or let them expire")
        }
        return nil
    }

    /// Records and stores the plan, with its idempotency key if it has one. Plans without changes authorise nothing:
    /// they are stored in outline and without a key, and the oldest are removed to make room.
    private func keep(_ plan: Plan, _ kept: PendingIdempotentRequest?, _ context: Context) async throws(ServiceError) {
        let limit = limits.livePlans
        let event = AuditEvent(
            .plan, context, environment: plan.request.environment, plan: plan.id, request: plan.request.auditForm,
            decision: plan.auditDecision, result: plan.auditResult)
        let stored = plan.request.changes ? plan : plan.outline
        let answer = plan.request.changes ? kept?.render(plan) : nil
        let mustFit = plan.request.changes && plan.state.isLive
        let isKept = try await audited.commit(event) { [limits, isShared = ports.leases != nil] records -> Bool? in
            if let kept, kept.isTaken(in: records, at: plan.createdAt) { return nil }
            // Another agent may have stored some of the same requester since they were counted.
            guard !isShared || !mustFit || Self.lackOfRoom(for: plan, in: records, limits) == nil else { return nil }
            records.put(stored)
            if let kept, let answer {
                records.put(kept.request(for: plan.id, in: plan.request.environment, at: plan.createdAt, answer))
            }
            guard !plan.request.changes else { return true }
            let own = PlanFilter(principal: plan.requester.principal, isLive: true, changes: false)
            records.remove(own, keeping: limit)
            return true
        }
        guard isKept != nil else {
            if let kept, try await audited.read({ kept.isTaken(in: $0, at: plan.createdAt) }) {
                throw PendingIdempotentRequest.taken
            }
            try await checkRoom(for: plan)
            throw ServiceError(
                .rateLimited, "\(plan.requester.principal) had too many live plans a moment ago; ask again")
        }
        if let kept, let answer { idempotency.count(answer, of: kept.key.principal) }
        ports.wrote(
            context.caller.principal,
            2048 + stored.size + (answer?.body.count ?? 0))
        guard plan.state.isLive else { return }
        let life = plan.expiresAt.timeIntervalSince(plan.createdAt)
        deadlines.set(plan.id, ports.uptime() + .milliseconds(Int(life * 1000)))
    }

    /// Removes what ended long ago or is over the limits of storage.
    package func prune() async throws(ServiceError) {
        guard audited.isFit else { return }
        let now = ports.now()
        let oldest = now.addingTimeInterval(-Double(limits.retentionSeconds))
        let kept = limits.endedKept
        try await audited.write { records in
            records.prune(
                endedBefore: oldest, keeping: kept, requestsBefore: now.addingTimeInterval(-Limits.idempotencySeconds))
            records.pruneLimitUses(before: now.addingTimeInterval(-Double(UsageLimit.periods.upperBound)))
        }
    }
}
