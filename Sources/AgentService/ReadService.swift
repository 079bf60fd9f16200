import AgentAudit
package import AgentModel
import AgentPolicy
package import FoundationEssentials
package import StrictJSON

/// The result of a read.
package struct ReadResult: Sendable {
    package enum Content: Sendable {
        case json(JSON)
        /// Guests, one environment after the other.
        case rows([RenderedRows])
    }

    package enum Status: String, Sendable {
        case ok, partial, failed
    }

    /// How one environment of several answered.
    package struct Part: Sendable {
        package let environment: EnvironmentName
        package let fetchedAt: Date
        package let count: Int
        package let error: ServiceError?
    }

    package var status = Status.ok
    package let message: String
    package var content: Content
    /// Only for a read of several environments.
    package var parts: [Part] = []
}

/// Carries out reads.
package final class ReadService: Sendable {
    let audited: AuditedStore
    let access: AccessControl
    let workflow: PlanWorkflow
    let events: EventFeed
    private let texts: TaskTexts
    let shared: SharedReads

    init(
        _ audited: AuditedStore, _ access: AccessControl, _ workflow: PlanWorkflow, _ events: EventFeed,
        _ limits: Limits
    ) {
        self.audited = audited
        self.events = events
        self.access = access
        self.workflow = workflow
        texts = TaskTexts(audited: audited)
        shared = SharedReads(sharing: limits.shareReads)
    }

    var ports: Ports { audited.ports }

    /// Carries out a read that needs no stored plan: makes the plan, reads, records a summary.
    package func read(
        _ request: ActionRequest, _ context: Context
    ) async throws(ServiceError) -> (plan: Plan, result: ReadResult) {
        try await audited.recordingRefusals(of: context, about: request) {
            () async throws(ServiceError) in
            if let fault = ports.audit.fault {
                throw ServiceError(.auditUnavailable, "the audit log cannot be written: \(fault)")
            }
            let plan = try await workflow.makePlan(request, context)
            return (plan, try await read(plan, context))
        }
    }

    /// Carries out the read of a plan.
    func read(_ plan: Plan, _ context: Context, isStored: Bool = false) async throws(ServiceError) -> ReadResult {
        guard plan.decision.allowed else { throw ServiceError(.policyDenied, plan.decision.reason, planID: plan.id) }
        let request = plan.request
        let managed = try access.managedEnvironment(request.environment)
        try await managed.enter(context.caller)
        defer { managed.leave(context.caller) }
        var result: ReadResult
        do throws(HypervisorError) { result = try await fetch(request, plan.preview.calls, managed) } catch {
            throw ServiceError(error, request.environment, during: request.action.rawValue)
        }
        if case .json(let data) = result.content {
            result.content = .json(try await texts.redacted(data, request, at: managed))
        }
        try await audited.record(
            AuditEvent(
                .read, context, environment: request.environment, plan: isStored ? plan.id : nil,
                request: request.auditForm,
                decision: plan.decision.auditForm,
                result: result.auditForm), .soon)
        return result
    }

    private func fetch(
        _ request: ActionRequest, _ calls: [Call], _ managed: ManagedEnvironment
    ) async throws(HypervisorError) -> ReadResult {
        if request.definition.answer == .guests {
            let running = request.target == .inventoryRunning
            let rows = try await shared.inventory(of: managed, runningOnly: running)
            var message = "\(rows.count) \(running ? "running " : "")guests in \(request.environment)"
            if rows.count == 0, let why = try await managed.planning.blindness(of: request) { message += "; \(why)" }
            return ReadResult(message: message, content: .rows([rows]))
        }
        let found = try await managed.planning.data(of: request, calls)
        if found.count > 1 {
            var parts = JSONObject()
            for (name, answer) in found { parts[name] = answer }
            return ReadResult(message: request.target.description, content: .json(.object(parts)))
        }
        var data = found.first?.data ?? .null
        if case .array(let rows) = data {
            var limit = Int.max
            if case .newest(let name, let count) = request.definition.answer {
                limit = request.params[name]?.integer.map { Int($0) } ?? count
            }
            data = .array(Array(rows.prefix(limit)))
            if rows.isEmpty, let why = try await managed.planning.blindness(of: request) {
                return ReadResult(message: "nothing found; \(why)", content: .json(data))
            }
            return ReadResult(message: "\(min(limit, rows.count)) found", content: .json(data))
        }
        return ReadResult(message: request.target.description, content: .json(data))
    }

    /// All guests of all environments that the caller may see, read concurrently. An environment that does not answer
    /// is reported as such.
    package func inventoryOfAll(runningOnly: Bool, _ context: Context) async throws(ServiceError) -> ReadResult {
        try audited.checkSpace()
        let visible = access.managedEnvironments.filter { context.principal.may(.view, in: $0.settings.name) }
        let parts = await withTaskGroup(of: (Int, ReadResult.Part, RenderedRows?).self) { group in
            for (index, managed) in visible.enumerated() {
                group.addTask { await self.part(index, managed, runningOnly, context.caller) }
            }
            var found: [(Int, ReadResult.Part, RenderedRows?)] = []
            for await part in group { found.append(part) }
            return found.sorted { $0.0 < $1.0 }
        }
        let failed = parts.count { $0.1.error != nil }
        let count = parts.reduce(0) { $0 + $1.1.count }
        var result = ReadResult(
            message:
                "\(count) \(runningOnly ? "running " : "")guests in \(parts.count - failed) of \(parts.count) environments",
            content: .rows(parts.compactMap(\.2)))
        result.status = failed == 0 ? .ok : failed < parts.count ? .partial : .failed
        result.parts = parts.map(\.1)
        let target = runningOnly ? Target.inventoryRunning : .inventoryAll
        try await audited.record(
            AuditEvent(
                .read, context,
                request: [
                    "action": .string(Action.readInventory.rawValue), "target": .string(target.description),
                    "environments": JSON(visible.map(\.settings.name.description)),
                ], result: result.auditForm), .soon)
        return result
    }

    private func part(
        _ index: Int, _ managed: ManagedEnvironment, _ runningOnly: Bool, _ caller: Caller
    ) async -> (Int, ReadResult.Part, RenderedRows?) {
        let name = managed.settings.name
        let request = ActionRequest(
            reading: .readInventory, on: runningOnly ? .inventoryRunning : .inventoryAll, in: name)
        do throws(ServiceError) { try await managed.enter(caller) } catch {
            return (index, .init(environment: name, fetchedAt: ports.now(), count: 0, error: error), nil)
        }
        defer { managed.leave(caller) }
        let rules = access.currentRules
        let reach: Reach
        do throws(HypervisorError) {
            reach = try await managed.planning.reach(
                of: request, resolving: rules.policy.looksAtSubjects(of: request.action))
        } catch {
            let failure = ServiceError(error, name, during: "reading the list of guests")
            return (index, .init(environment: name, fetchedAt: ports.now(), count: 0, error: failure), nil)
        }
        let decision = rules.policy.evaluate(
            rules.input(request, by: caller, in: managed.settings, reach: reach), at: ports.now())
        ports.observed(.decided(request.action, decision))
        guard decision.allowed else {
            let denial = ServiceError(.policyDenied, decision.reason)
            return (index, .init(environment: name, fetchedAt: ports.now(), count: 0, error: denial), nil)
        }
        do throws(HypervisorError) {
            let rows = try await shared.inventory(of: managed, runningOnly: runningOnly)
            return (index, .init(environment: name, fetchedAt: ports.now(), count: rows.count, error: nil), rows)
        } catch {
            let failure = ServiceError(error, name, during: "reading the list of guests")
            return (index, .init(environment: name, fetchedAt: ports.now(), count: 0, error: failure), nil)
        }
    }
}
