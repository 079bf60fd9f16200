import AgentAudit
package import AgentModel
import FoundationEssentials
import Logging
import StrictJSON

/// A request to set a freeze.
package struct FreezeRequest: Sendable {
    /// `nil` for all environments.
    package let environment: String?
    package let reason: String
    /// In seconds; `nil` until the freeze is lifted.
    package let ttl: Int?

    package init(environment: String? = nil, reason: String, ttl: Int? = nil) {
        self.environment = environment
        self.reason = reason
        self.ttl = ttl
    }
}

/// Which freeze to lift: by its id, or by its scope, and by who set it if several hold there.
package struct FreezeChoice: Sendable {
    package let id: String?
    package let environment: String?
    package let by: String?

    package init(id: String? = nil, environment: String? = nil, by: String? = nil) {
        self.id = id
        self.environment = environment
        self.by = by
    }
}

/// Sets and lifts freezes, and keeps the gate that every change passes.
package final class FreezeService: Sendable {
    private let audited: AuditedStore
    private let access: AccessControl
    private let leases: LeaseKeeper
    private let freezes = Freezes()
    private let leaving = ChangesLeaving()
    /// One change of the freezes at a time.
    private let turns = TargetLocks()

    init(_ audited: AuditedStore, _ access: AccessControl, _ leases: LeaseKeeper) {
        (self.audited, self.access, self.leases) = (audited, access, leases)
    }

    private var ports: Ports { audited.ports }

    /// Lets a call of the operation pass, unless its environment is frozen, or this process does not prove that it leads
    /// there. It counts as under way until ``leave(_:)``.
    func passGate(_ operation: Operation, proving leads: () -> Bool = { true }) -> Bool {
        leaving.pass(operation.id, in: operation.environment) {
            // Freezes last: a freeze that closes the lease's gate is in force before that gate opens again.
            !leads() || (try? checkNotFrozen(operation.environment, passing: operation.breakGlass)) == nil
        }
    }

    /// The call was answered, or will not be.
    func leave(_ operation: RecordID) { leaving.leave(operation) }

    /// The freezes in force that the caller may see: those of visible environments, and the global ones.
    package func inForce(_ context: Context) -> [Freeze] { allFreezes.filter { isVisible($0, to: context) } }

    private func isVisible(_ freeze: Freeze, to context: Context) -> Bool {
        freeze.environment.map { context.principal.may(.view, in: $0) } ?? context.principal.rights.contains(.view)
    }

    /// The stored freezes, and the one from the freeze file.
    package var allFreezes: [Freeze] {
        let now = ports.now()
        return freezes.inForce(at: now, ports.uptime()) + (ports.frozenByFile(now).map { [$0] } ?? [])
    }

    /// Throws if the environment is frozen now, by more than what `glass` passes.
    func checkNotFrozen(
        _ environment: EnvironmentName, passing glass: BreakGlass? = nil
    ) throws(ServiceError) {
        if let freeze = allFreezes.first(where: { $0.stops(environment, glass) }) { throw Self.frozen(freeze) }
    }

    /// The freeze that stops the operation, inside a transaction: a stored one, or one that is about to be stored.
    func freeze(stopping operation: Operation, in records: any StoreReader) -> Freeze? {
        let now = ports.now()
        let stored = records.freezes().filter { freeze in freeze.endsAt.map { $0 > now } ?? true }
        return (stored + allFreezes).first { $0.stops(operation.environment, operation.breakGlass) }
    }

    static func frozen(_ freeze: Freeze) -> ServiceError {
        let place = freeze.environment.map { "\($0) is" } ?? "everything is"
        let end = freeze.endsAt.map { " until \($0.rfc3339)" } ?? ""
        return ServiceError(.frozen, "\(place) frozen\(end) by \(freeze.by): \(freeze.reason)")
    }

    /// Sets a freeze, or replaces the caller's own of the same scope. Once this returns, no change in that scope is
    /// sent any more. Calls that had passed the gate are written, and answered unless PVE takes longer than
    /// ``settleTime``.
    package func freeze(_ request: FreezeRequest, _ context: Context) async throws(ServiceError) -> Freeze {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            let environment = try scope(request.environment, .freeze, context)
            let now = ports.now()
            let freeze = Freeze(
                id: ports.newID(.freeze), environment: environment, reason: request.reason, by: context.caller.actor,
                party: context.caller.party, setAt: now,
                endsAt: request.ttl.map { now.addingTimeInterval(Double($0)) })
            let counts = try await inTurn { () async throws(ServiceError) in try await store(freeze, context) }
            await settle { freeze.covers($0) }
            await waitUntilHonoured(freeze, counts)
            return freeze
        }
    }

    /// Waits until the calls in these environments that have passed the gate are answered, or given up.
    private func settle(in isMeant: @Sendable (EnvironmentName) -> Bool) async {
        await leaving.wait(atMost: Self.settleTime, for: isMeant)
        for managed in access.managedEnvironments where isMeant(managed.settings.name) {
            await managed.hypervisor.finishWriting()
        }
    }

    // MARK: Several agents

    /// Puts the freezes that other agents have stored in force in the environment of the lease, waits for the calls that
    /// have passed the gate, and says so.
    func honour(_ lease: Lease) async throws(StoreError) {
        guard let store = ports.leases, leases.isAlone(lease), let count = leases.freezes(of: lease) else { return }
        do throws(ServiceError) { try await load() } catch { throw StoreError(error.detail) }
        leases.loaded(lease, freezes: count)
        await settle { $0 == lease.environment }
        try await store.honour(lease, freezes: count)
    }

    /// Waits until no agent sends anything any more that the freeze stops: each that leads in an environment says so, or
    /// has given it back, or has not been able to prove its lease for as long as this waits at most.
    private func waitUntilHonoured(_ freeze: Freeze, _ counts: [EnvironmentName: Int64]) async {
        guard let store = ports.leases else { return }
        let deadline = ports.uptime() + LeaseKeeper.validity + LeaseKeeper.margin
        var own: [Lease] = []
        for (environment, count) in counts where freeze.covers(environment) {
            leases.told(environment, freezes: count)
        }
        while ports.uptime() < deadline, !Task.isCancelled {
            do throws(StoreError) {
                for lease in leases.leases where freeze.covers(lease.environment) && !own.contains(lease) {
                    try await honour(lease)
                    own.append(lease)
                }
                let isDone = try await store.leases().allSatisfy { row in
                    guard freeze.covers(row.environment), row.holder != nil, let count = counts[row.environment] else {
                        return true
                    }
                    return row.honoured >= count
                }
                if isDone { return }
            } catch {
                ports.log.warning("who honours a freeze cannot be read: \(error.detail)")
            }
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { return }
        }
    }

    /// How long a freeze waits for PVE's answer to a call under way. A hanging call must not delay the freeze.
    private static let settleTime = Duration.milliseconds(100)

    /// Closes the gate, then records and stores. If that fails, opens the gate again and throws. Returns how many freezes
    /// each environment has had then.
    private func store(
        _ freeze: Freeze, _ context: Context
    ) async throws(ServiceError) -> [EnvironmentName: Int64] {
        freezes.announce(freeze)
        let event = AuditEvent(
            .freeze, context, environment: freeze.environment,
            result: freeze.auditForm)
        let held = freezes.inForce(at: freeze.setAt, ports.uptime())
        do throws(ServiceError) {
            return try await change(event) { records in
                // Only those that are over by both clocks: another agent may have stored one that is not known here yet.
                for old in records.freezes() where old.endsAt.map({ $0 <= freeze.setAt }) == true && !held.contains(old)
                {
                    records.remove(old)
                }
                records.put(freeze)
            }
        } catch {
            freezes.withdraw()
            try? await reload()
            throw error.with(detail: "this freeze does not hold: \(error.detail)")
        }
    }

    /// Lifts one freeze; `nil` if none holds in the scope. Without the right to unfreeze, only the caller's own.
    package func unfreeze(_ choice: FreezeChoice, _ context: Context) async throws(ServiceError) -> Freeze? {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            try await inTurn { () async throws(ServiceError) in
                try audited.checkSpace()
                guard let freeze = try chosen(choice, context) else { return nil }
                let event = AuditEvent(
                    .unfreeze, context, environment: freeze.environment, result: freeze.auditLift)
                _ = try await change(event) { records in
                    if records.freezes().contains(where: { $0.id == freeze.id }) { records.remove(freeze) }
                }
                return freeze
            }
        }
    }

    /// The one freeze that the choice means; `nil` if there is none in its scope.
    private func chosen(_ choice: FreezeChoice, _ context: Context) throws(ServiceError) -> Freeze? {
        let held = freezes.inForce(at: ports.now(), ports.uptime())
        if let id = choice.id {
            guard choice.environment == nil, choice.by == nil else {
                throw ServiceError(.invalidRequest, "an id names one freeze: leave environment and by out")
            }
            guard let freeze = held.first(where: { $0.id?.description == id }), isVisible(freeze, to: context) else {
                throw ServiceError(.notFound, "there is no freeze of that id in force; GET /v1/freeze lists all")
            }
            _ = try scope(freeze.environment?.description, .freeze, context)
            guard mayLift(freeze, context) else { throw notTheirs([freeze], context) }
            return freeze
        }
        let environment = try scope(choice.environment, .freeze, context)
        let found = held.filter { freeze in
            freeze.environment == environment && (choice.by.map { $0 == freeze.by } ?? true)
        }
        let own = found.filter { mayLift($0, context) }
        guard own.count <= 1 else {
            throw ServiceError(
                .invalidRequest,
                "\(own.count) freezes hold there, say which by id (or by): \(own.map(Self.line).joined(separator: "; "))"
            )
        }
        guard own.isEmpty, !found.isEmpty else { return own.first }
        throw notTheirs(found, context)
    }

    private func mayLift(_ freeze: Freeze, _ context: Context) -> Bool {
        freeze.party == context.caller.party
            || (freeze.environment.map { context.principal.may(.unfreeze, in: $0) }
                ?? context.principal.mayEverywhere(.unfreeze))
    }

    private func notTheirs(_ found: [Freeze], _ context: Context) -> ServiceError {
        ServiceError(
            .forbidden,
            "\(context.principal.id) may lift only their own freezes; others need "
                + "\(AccessControl.roles(for: .unfreeze)): \(found.map(Self.line).joined(separator: "; "))")
    }

    private static func line(_ freeze: Freeze) -> String {
        "\(freeze.id?.description ?? "-") by \(freeze.by) (\(String(freeze.reason.prefix(80))))"
    }

    /// Reads the freezes from the store: at start, and when another agent has changed them.
    func load() async throws(ServiceError) {
        try await inTurn(reload)
    }

    private func reload() async throws(ServiceError) {
        freezes.replace(try await audited.read { $0.freezes() }, at: ports.now(), ports.uptime())
    }

    /// Runs one change after the other.
    private func inTurn<Value: Sendable>(
        _ body: () async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        try await turns.holding(["freezes"], body)
    }

    private func change(
        _ event: AuditEvent, _ body: @escaping @Sendable (any StoreTransaction) -> Void
    ) async throws(ServiceError) -> [EnvironmentName: Int64] {
        let all = try await audited.commit(event) { records -> (freezes: [Freeze], counts: [EnvironmentName: Int64])? in
            body(records)
            return (records.freezes(), records.freezeCounts)
        }
        freezes.replace(all?.freezes ?? [], at: ports.now(), ports.uptime())
        return all?.counts ?? [:]
    }

    private func scope(
        _ text: String?, _ right: Right, _ context: Context
    ) throws(ServiceError) -> EnvironmentName? {
        if let text { return try access.managedEnvironment(named: text, right, context).settings.name }
        guard context.principal.mayEverywhere(right) else {
            throw ServiceError(
                .forbidden,
                "\(context.principal.id) may not do this everywhere: it takes \(AccessControl.roles(for: right)) and no limit "
                    + "to environments; name one")
        }
        return nil
    }
}

extension Freeze {
    /// Whether it applies to the environment and is not among what is passed in an emergency.
    fileprivate func stops(_ environment: EnvironmentName, _ glass: BreakGlass?) -> Bool {
        covers(environment) && !(id.map { glass?.freezes.contains($0) == true } ?? false)
    }
}
