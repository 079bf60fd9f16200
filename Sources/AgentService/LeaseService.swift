import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization

/// Takes, renews and gives back the leases of this agent, and begins what is its own to begin. Does nothing for a lone
/// agent.
///
/// No earlier holder can send anything any more when operations begin here: it cannot prove its lease for longer than
/// ``LeaseKeeper/validity`` after its last renewal, whose number every agent watches, by its own monotonic clock.
package final class LeaseService: Sendable {
    struct State {
        var overview = Overview()
        /// The number of renewals of each environment, and when it was first seen.
        var seen: [EnvironmentName: (renewals: Int64, at: ContinuousClock.Instant)] = [:]
        /// What is being given back: some of its work has ended here, for the next holder.
        var leaving: Set<Lease> = []
        /// When a lease was last given back for the sake of balance.
        var givenAt: ContinuousClock.Instant?
        /// Since when each free environment could have been taken.
        var free: [EnvironmentName: ContinuousClock.Instant] = [:]
        /// When this agent started, by the database's clock: which agent has run the longest must not depend on theirs.
        /// `nil` before the first look.
        var startedAt: Date?
        var isStopping = false
        /// Why this agent cannot write what it would have to.
        var fault: String?
        /// Since when it has not been able to, or has not known.
        var faultSince: ContinuousClock.Instant?
    }

    /// How often leases are renewed, and others looked at.
    static let interval = Duration.seconds(2)
    /// After how long without a sign an agent counts as gone, in seconds.
    static let silence = 10.0
    /// How far the clocks of agents and database may differ, in seconds: plans expire by them.
    static let clockTolerance = 30.0
    /// How long an environment is left to the agent that should have it.
    static let courtesy = Duration.seconds(6)

    let audited: AuditedStore
    let access: AccessControl
    let keeper: LeaseKeeper
    let registry: OperationRegistry
    private let runner: OperationRunner
    private let operations: OperationService
    let freezes: FreezeService
    private let recovery: Recovery
    private let heads: HeadRecorder
    let events: EventFeed
    private let process = UUID().uuidString
    private let startedAt: ContinuousClock.Instant
    let bell = Bell()
    let state = Mutex(State())

    init(
        _ runner: OperationRunner, _ operations: OperationService, _ recovery: Recovery, _ events: EventFeed
    ) {
        (audited, access, keeper) = (runner.audited, runner.access, runner.leases)
        (self.runner, registry, freezes) = (runner, runner.registry, runner.freezes)
        (self.operations, self.recovery, self.events) = (operations, recovery, events)
        heads = HeadRecorder(runner.audited)
        startedAt = runner.ports.uptime()
        guard runner.ports.leases != nil else { return }
        // One agent at a time: the one that leads in the first environment.
        audited.deliver { [weak self] in
            guard let self else { return false }
            let first = state.withLock { $0.overview.leases.map(\.environment).min() }
            return first.map { self.keeper.leads($0) != nil } ?? false
        }
    }

    var ports: Ports { audited.ports }

    /// The name of this agent; `nil` for a lone one.
    package var name: String? { ports.agent }

    /// Asks an agent to carry out nothing, so that it can be stopped without a wait, or lets it work again.
    package func drain(_ agent: String, _ isDraining: Bool, _ context: Context) async throws(ServiceError) {
        try await change(agent, isDraining ? "drain" : "drain_ended", context) { store throws(StoreError) in
            try await store.drain(agent, isDraining)
        }
    }

    private func change(
        _ agent: String, _ event: String, _ context: Context,
        _ work: (any LeaseStore) async throws(StoreError) -> Bool
    ) async throws(ServiceError) {
        try await audited.recordingRefusals(of: context) { () async throws(ServiceError) in
            guard context.principal.mayEverywhere(.reload) else {
                throw ServiceError(
                    .forbidden,
                    "\(context.principal.id) may not decide about agents: it takes "
                        + "\(AccessControl.roles(for: .reload)) everywhere")
            }
            let none = ServiceError(
                .notFound,
                "there is no agent \(JSON.string(agent).shown), or it runs and cannot be forgotten; GET /v1/agents lists all"
            )
            guard let store = ports.leases else { throw none }
            try await audited.record(
                AuditEvent(.log, context, result: ["event": .string(event), "agent": .string(agent)]))
            let isDone: Bool
            do throws(StoreError) { isDone = try await work(store) } catch {
                throw ServiceError(.storeUnavailable, error.detail)
            }
            guard isDone else { throw none }
            bell.ring()
        }
    }

    /// Forgets an agent that is gone for good: its mark, and with a restored state what it would have had to bring up.
    package func forget(_ agent: String, _ context: Context) async throws(ServiceError) {
        try await change(agent, "forget", context) { store throws(StoreError) in try await store.forget(agent) }
    }

    /// Records where the other agents' logs end, if that has changed. ``run()`` does it once a minute.
    package func recordHeads() async { await heads.record() }

    // MARK: The loop

    /// Looks at clock and disks, and then at the other agents, before any request is served: until then this one decides
    /// nothing.
    package func prepare() async {
        guard let store = ports.leases else { return }
        do throws(StoreError) {
            try await store.prepare(access.managedEnvironments.map(\.settings.name))
            try await look(store)
            await probe()
            try await look(store)
        } catch {
            log(error)
        }
    }

    /// Looks at the others anew once callers and rules are others: until then this agent decides nothing, and ends nothing
    /// for all of them.
    package func lookAgain() async {
        guard let store = ports.leases else { return }
        audited.unfitness.withLock { $0 = AuditedStore.unknown }
        do throws(StoreError) { try await look(store) } catch { log(error) }
    }

    /// Works until the task is cancelled.
    package func run() async {
        guard let store = ports.leases else { return }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.follow(store.signals()) }
            // Renewals wait for nothing else.
            group.addTask { await self.renew(store) }
            group.addTask {
                while (try? await Task.sleep(for: .seconds(5))) != nil { await self.probe() }
            }
            // Apart from the turns: the audit log's disk may be slow.
            group.addTask { await self.heads.run() }
            group.addTask { await self.events.history?.run() }
            group.addTask { await self.tellNews(store) }
            while !Task.isCancelled, !state.withLock({ $0.isStopping }) {
                let (taken, open) = await turn(store)
                for acquired in taken { group.addTask { await self.begin(acquired.new, at: acquired.until) } }
                for operation in open where isWork(operation) { group.addTask { await self.workOn(operation) } }
                await bell.wait(atMost: Self.interval)
            }
            group.cancelAll()
        }
    }

    /// Gives back all leases, once nothing is under way any more.
    package func stop() async {
        guard let store = ports.leases else { return }
        state.withLock { $0.isStopping = true }
        bell.ring()
        // From now on nobody leaves anything to this agent.
        do throws(StoreError) { _ = try await store.report(row(startedAt: nil).unable) } catch { log(error) }
        for lease in keeper.leases {
            keeper.drop(lease)
            do throws(StoreError) { try await store.release(lease) } catch { log(error) }
        }
    }

    /// An agent that has not been able to write for longer than a lease is valid lets its leases run out: what it would have
    /// to give back by itself may hang as well.
    private func renew(_ store: any LeaseStore) async {
        repeat {
            for lease in keeper.leases where !isStuck {
                let asked = ports.uptime()
                do throws(StoreError) {
                    guard let count = try await store.renew(lease) else {
                        ports.log.warning(
                            "another agent leads now", metadata: ["environment": "\(lease.environment)"])
                        runner.outcomes.lose(lease)
                        continue
                    }
                    if keeper.renewed(lease, freezes: count, askedAt: asked) { bell.ring() }
                } catch {
                    log(error)
                }
            }
        } while (try? await Task.sleep(for: Self.interval)) != nil
    }

    var isStuck: Bool {
        let now = ports.uptime()
        return state.withLock { $0.faultSince.map { $0 + LeaseKeeper.validity <= now } ?? false }
    }

    /// Looks whether what has to be written can be: an agent that cannot write must lead nowhere.
    private func probe() async {
        let begin = ports.uptime()
        state.withLock { $0.faultSince = $0.faultSince ?? begin }
        var fault: String?
        do throws(ServiceError) {
            try await audited.noteHead()
            if let reason = ports.audit.fault {
                fault = "the audit log cannot be written: \(reason)"
            } else if let shortage = ports.shortage() {
                fault = shortage.detail
            }
        } catch {
            fault = error.detail
        }
        let found = fault
        state.withLock { state in
            state.fault = found
            if found == nil { state.faultSince = nil }
        }
    }

    /// What the others are to know of this agent, with when it started by the database's clock.
    private func row(startedAt: Date?) -> AgentRow {
        AgentRow(
            name: ports.agent ?? "", process: process, version: ports.version, startedAt: startedAt ?? ports.now(),
            configuration: access.agreement)
    }

    /// Looks at all others, gives back what they should have, and takes what this agent should. Returns what it took, with
    /// when the wait for an earlier holder is over, and all operations that have not ended.
    private func turn(
        _ store: any LeaseStore
    ) async -> (taken: [(new: AcquiredLease, until: ContinuousClock.Instant)], open: [Operation]) {
        var taken: [(new: AcquiredLease, until: ContinuousClock.Instant)] = []
        var open: [Operation] = []
        do throws(StoreError) {
            let operations = try await ports.store.read {
                $0.operations(OperationFilter(isEnded: false))
            }
            open = operations
            // Those too in which something is under way that nobody has configured any more.
            let names = Set(access.managedEnvironments.map(\.settings.name) + open.map(\.environment)).sorted()
            try await store.prepare(names)
            try await look(store)
            try await giveBack(store, open)
            for name in wanted(among: Set(names)) {
                let asked = ports.uptime()
                guard let agent = ports.agent, registry.isIdle(in: name),
                    let new = try await store.acquire(name, holder: process, agent: agent)
                else { continue }
                keeper.acquired(new, askedAt: asked)
                taken.append((new, end(ofWaitFor: new, at: ports.uptime())))
            }
            // What others have frozen or let change again, should nobody have told.
            do throws(ServiceError) { try await freezes.load() } catch { throw StoreError(error.detail) }
            for lease in keeper.leases where isBehind(lease) { try await freezes.honour(lease) }
        } catch {
            log(error)
        }
        return (taken, open)
    }

    /// Whether the row of the lease does not say yet that all freezes are honoured.
    private func isBehind(_ lease: Lease) -> Bool {
        let row = state.withLock { $0.overview.leases.first { $0.environment == lease.environment } }
        guard let row, row.holder == process, let freezes = keeper.freezes(of: lease) else { return false }
        return row.honoured < freezes || !keeper.isLoaded(lease)
    }

    private func look(_ store: any LeaseStore) async throws(StoreError) {
        let marks = try await ports.store.read { $0.otherMarks }
        let (known, isUnable) = state.withLock {
            ($0.startedAt, $0.overview.isUnable || $0.fault != nil || $0.isStopping)
        }
        let own = row(startedAt: known)
        // Nobody counts on an agent that has not looked at its clock yet.
        let time = try await store.report(isUnable || known == nil ? own.unable : own)
        let age = startedAt.duration(to: ports.uptime()) / .seconds(1)
        let ahead = ports.now().timeIntervalSince(time)
        let rows = try await store.leases()
        // After the look: who renewed a lease had asked for that before.
        let instant = ports.uptime()
        let agents = try await store.agents()
        let behind = marks.filter(\.value.isOfCopy).keys.sorted().first
        let becameFit = state.withLock { state -> Bool in
            for row in rows {
                if state.seen[row.environment]?.renewals != row.renewals {
                    state.seen[row.environment] = (row.renewals, instant)
                }
                state.free[row.environment] = row.isToBeHad ? state.free[row.environment] ?? instant : nil
            }
            var overview = Overview(agents, rows, own, clockAhead: ahead, at: instant)
            overview.fault =
                behind.map {
                    "the state is a copy that agent \($0) has not brought up to its audit log: start that one, or forget it "
                        + "(proxmox-agent agents forget)"
                } ?? state.fault
            overview.isUnable = overview.isUnable || overview.fault != nil
            state.startedAt = known ?? time.addingTimeInterval(-age)
            // Without a look before, this agent has not told the others what it would have to agree on.
            let isKnown = known != nil && own.configuration == access.agreement
            let unfitness =
                isKnown ? overview.unfitness.map { ServiceError(.agentsDisagree, $0) } : AuditedStore.unknown
            let wasFit = audited.unfitness.withLock { known in
                defer { known = unfitness }
                return known == nil
            }
            if overview.idleness != state.overview.idleness {
                if let reason = overview.idleness {
                    ports.log.warning("\(reason)")
                } else {
                    ports.log.notice("this agent may carry out operations")
                }
            }
            state.overview = overview
            return unfitness == nil && !wasFit
        }
        // What was not done while it was not known whether this agent may.
        if becameFit {
            do throws(ServiceError) { try await runner.approvals.withdrawSignatures() } catch {
                throw StoreError(error.detail)
            }
        }
    }

    // MARK: Leading

    /// When the last holder cannot send anything any more.
    private func end(
        ofWaitFor new: AcquiredLease, at answer: ContinuousClock.Instant
    ) -> ContinuousClock.Instant {
        guard !new.wasFree else { return answer }
        let seen = state.withLock { $0.seen[new.lease.environment] }
        let since = seen.flatMap { $0.renewals == new.renewals ? $0.at : nil } ?? answer
        return since + LeaseKeeper.validity + LeaseKeeper.margin
    }

    /// Waits until no earlier holder can send anything, takes the locks of what it left, and begins.
    private func begin(_ new: AcquiredLease, at instant: ContinuousClock.Instant) async {
        let lease = new.lease
        guard (try? await Task.sleep(until: instant, clock: .continuous)) != nil else { return }
        keeper.waitedOut(lease)
        guard
            await persistently(
                lease,
                { () async throws(ServiceError) in
                    try await self.recovery.takeOver(under: lease)
                    do throws(StoreError) { try await self.freezes.honour(lease) } catch {
                        throw ServiceError(.storeUnavailable, error.detail)
                    }
                })
        else { return }
        keeper.lead(lease)
        ports.log.notice(
            "leads an environment", metadata: ["environment": "\(lease.environment)", "epoch": "\(lease.epoch)"])
        _ = await persistently(lease) { () async throws(ServiceError) in
            try await self.runner.lost.resumeSearches(in: lease.environment)
            try await self.runner.takeQueued(under: lease)
        }
    }

    /// Tries once a second until it works; false if the lease is lost.
    private func persistently(_ lease: Lease, _ body: () async throws(ServiceError) -> Void) async -> Bool {
        while !Task.isCancelled, keeper.has(lease) {
            do throws(ServiceError) {
                try await body()
                return true
            } catch {
                ports.log.error("environment \(lease.environment) cannot be taken over yet: \(error.detail)")
            }
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return false }
        }
        return false
    }

    func isWork(_ operation: Operation) -> Bool {
        operation.isStopAsked || !operation.state.isEnded && registry.ticket(of: operation.id) == nil
    }

    /// Begins the operation if it is queued, goes on with it if nobody does, and sends the stop that was asked for
    /// elsewhere.
    func workOn(_ operation: Operation) async {
        do throws(ServiceError) {
            if !operation.state.isEnded, registry.ticket(of: operation.id) == nil,
                let lease = keeper.leads(operation.environment)
            {
                if operation.state == .queued {
                    try await runner.takeQueued(under: lease)
                } else {
                    try await recovery.takeOver(under: lease)
                }
            }
            if operation.isStopAsked, let lease = registry.lease(of: operation.id) {
                try await operations.sendStop(of: operation.id, under: lease)
            }
        } catch {
            ports.log.error("what another agent has stored cannot be read: \(error.detail)")
        }
    }

    func log(_ error: StoreError) {
        ports.log.warning("the leases cannot be read or renewed: \(error.detail)")
    }
}
