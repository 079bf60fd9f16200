import AgentAudit
package import AgentModel
import FoundationEssentials
package import StrictJSON

/// What `POST /v1/freeze` takes: `{environment?, reason, ttl?}`.
package struct FreezeWish: Sendable {
    package let environment: String?
    package let reason: String
    /// Seconds; `nil` until it is lifted.
    package let ttl: Int?

    package init(parsing object: JSONObject) throws(JSONIssues) {
        var reader = ObjectReader(object)
        environment = reader.string("environment")
        let reason = reader.parsed("reason", "text of 1 to 4096 characters") {
            !$0.isEmpty && TextForm.text(4096).matches($0) ? $0 : nil
        }
        ttl = reader.integer("ttl", in: 1...2_592_000, unit: "s")
        reader.require("reason", "why nothing may change")
        try reader.finish()
        self.reason = reason ?? ""
    }
}

extension ActionService {
    /// The freezes in force that concern the caller: those of environments they see, and the global ones.
    package func freezes(_ context: Context) -> [Freeze] {
        allFreezes.filter { freeze in
            freeze.environment.map { context.principal.may(.view, in: $0) } ?? context.principal.rights.contains(.view)
        }
    }

    /// Those of the store, and the one that stands for the file.
    private var allFreezes: [Freeze] {
        let now = ports.now()
        return freezes.inForce(at: now, ports.uptime()) + (ports.frozenByFile(now).map { [$0] } ?? [])
    }

    /// Whether a mutation may start in the environment now.
    func checkNotFrozen(_ environment: EnvironmentName) throws(ServiceError) {
        guard let freeze = allFreezes.first(where: { $0.covers(environment) }) else { return }
        let place = freeze.environment.map { "\($0) is" } ?? "everything is"
        let end = freeze.endsAt.map { " until \($0.rfc3339)" } ?? ""
        throw ServiceError(.frozen, "\(place) frozen\(end) by \(freeze.by): \(freeze.reason)")
    }

    /// Sets a freeze, or replaces the one of the same scope. Holds from the moment this returns.
    package func freeze(_ wish: FreezeWish, _ context: Context) async throws(ServiceError) -> Freeze {
        do throws(ServiceError) {
            let environment = try scope(wish.environment, .freeze, context)
            let now = ports.now()
            let freeze = Freeze(
                environment: environment, reason: wish.reason, by: context.caller.actor, setAt: now,
                endsAt: wish.ttl.map { now.addingTimeInterval(Double($0)) })
            let event = event(
                .freeze, context, environment: environment,
                result: [
                    "status": "frozen", "reason": .string(freeze.reason),
                    "ends_at": freeze.endsAt.map { .string($0.rfc3339) },
                ])
            try await change(event) { $0.put(freeze) }
            return freeze
        } catch {
            throw await refuse(error, context)
        }
    }

    /// Lifts the freeze of an environment, or the global one; `nil` where there was none.
    package func unfreeze(_ environment: String?, _ context: Context) async throws(ServiceError) -> Freeze? {
        do throws(ServiceError) {
            let environment = try scope(environment, .unfreeze, context)
            try checkSpace()
            let inForce = freezes.inForce(at: ports.now(), ports.uptime())
            guard let held = inForce.first(where: { $0.environment == environment }) else { return nil }
            let event = event(.unfreeze, context, environment: environment, result: ["status": "lifted"])
            try await change(event) { $0.removeFreeze(of: environment) }
            return held
        } catch {
            throw await refuse(error, context)
        }
    }

    /// Reads the freezes from the store; done at start.
    package func loadFreezes() async throws(ServiceError) {
        freezes.replace(try await read { $0.freezes() }, at: ports.now(), ports.uptime())
    }

    private func change(
        _ event: AuditEvent, _ body: @escaping @Sendable (any StoreTransaction) -> Void
    ) async throws(ServiceError) {
        let turn = planLocks.enter(["freezes"])
        _ = await planLocks.wait(for: turn)
        defer { planLocks.leave(turn) }
        let all = try await commit(event) { records -> [Freeze]? in
            body(records)
            return records.freezes()
        }
        freezes.replace(all ?? [], at: ports.now(), ports.uptime())
    }

    private func scope(
        _ text: String?, _ right: Right, _ context: Context
    ) throws(ServiceError) -> EnvironmentName? {
        if let text { return try site(named: text, right, context).facts.name }
        guard context.principal.mayEverywhere(right) else {
            throw ServiceError(
                .forbidden,
                "\(context.principal.id) may not do this everywhere: it takes \(Self.roles(for: right)) and no limit "
                    + "to environments; name one")
        }
        return nil
    }
}
