import AgentAudit
import AgentModel
import Logging
import Synchronization

/// The operations under way in this process: their tasks, their places in the queue, who waits for them, and who asked
/// to stop them.
final class OperationRegistry: Sendable {
    /// One mutation per guest or object at a time.
    let locks = TargetLocks()
    let hub = OperationHub()
    private let ports: Ports
    let limits: Limits
    private let state = Mutex(State())

    private struct State {
        var tasks: [RecordID: Task<Void, Never>] = [:]
        var tickets: [RecordID: TargetLocks.Ticket] = [:]
        /// What operations are carried out under, from the moment that they have a ticket.
        var leases: [RecordID: Lease] = [:]
        /// Who asked PVE to stop the task of an operation that runs.
        var stops: [RecordID: String] = [:]
        /// The stop that overrules each shutdown under way.
        var overruled: [RecordID: RecordID] = [:]
        /// Searches for what calls with an unknown outcome may have started.
        var searches: [RecordID: (lease: Lease, task: Task<Void, Never>)] = [:]
        /// How far the tasks of operations are.
        var progress: [RecordID: Progress] = [:]
        /// Operations whose progress other agents have not been told.
        var news: Set<RecordID> = []
        var isDraining = false
        /// How many outcomes cannot be written at the moment.
        var stuck = 0

        /// Forgets all about an operation that is not under way any more.
        mutating func forget(_ operation: RecordID) {
            tickets[operation] = nil
            leases[operation] = nil
            stops[operation] = nil
            overruled[operation] = nil
            progress[operation] = nil
        }
    }

    init(_ ports: Ports, _ limits: Limits) { (self.ports, self.limits) = (ports, limits) }

    // MARK: Tasks

    /// Starts an operation that has entered; it runs to its end whether anyone waits or not. False if the agent is
    /// stopping.
    func start(_ operation: Operation, _ body: @escaping @Sendable () async -> Void) -> Bool {
        let id = operation.id
        return state.withLock { state in
            guard !state.isDraining else { return false }
            state.tasks[id] = Task {
                await TraceContext.$current.withValue(operation.trace) { await body() }
                self.state.withLock { state in
                    state.tasks[id] = nil
                    state.forget(id)
                }
            }
            return true
        }
    }

    /// Starts a search for the operation's lost call, unless the agent is stopping.
    func search(for operation: Operation, under lease: Lease, _ body: @escaping @Sendable () async -> Void) {
        let id = operation.id
        state.withLock { state in
            guard !state.isDraining, state.searches[id] == nil else { return }
            let task = Task {
                await TraceContext.$current.withValue(operation.trace) { await body() }
                self.state.withLock { $0.searches[id] = nil }
            }
            state.searches[id] = (lease, task)
        }
    }

    /// What the operation is carried out under, here.
    func lease(of operation: RecordID) -> Lease? {
        state.withLock { $0.leases[operation] ?? $0.searches[operation]?.lease }
    }

    /// Cancels the tasks of operations that are carried out under the lease, which is lost. They stay as they are
    /// stored, for the next holder.
    func cancel(under lease: Lease) {
        let tasks = state.withLock { state in
            state.tasks.filter { state.leases[$0.key] == lease }.map(\.value)
                + state.searches.values.filter { $0.lease == lease }.map(\.task)
        }
        for task in tasks { task.cancel() }
    }

    /// Cancels the searches under the lease, and these operations, for the next holder.
    func leave(under lease: Lease, _ operations: [RecordID]) {
        let tasks = state.withLock { state in
            operations.compactMap { state.leases[$0] == lease ? state.tasks[$0] : nil }
                + state.searches.values.filter { $0.lease == lease }.map(\.task)
        }
        for task in tasks { task.cancel() }
    }

    /// Whether an operation of the environment is under way here.
    func hasOperations(in environment: EnvironmentName) -> Bool {
        state.withLock { $0.leases.values.contains { $0.environment == environment } }
    }

    /// Whether nothing of the environment is under way here.
    func isIdle(in environment: EnvironmentName) -> Bool {
        state.withLock { state in
            !state.leases.values.contains { $0.environment == environment }
                && !state.searches.values.contains { $0.lease.environment == environment }
        }
    }

    /// Waits until the operation's task has ended and its locks are free.
    func end(of operation: RecordID) async { await state.withLock { $0.tasks[operation] }?.value }

    /// Throws if the limit of operations is reached.
    func checkRoom() throws(ServiceError) {
        guard state.withLock({ $0.tasks.count }) < limits.operations else {
            throw Self.full(limits.operations)
        }
    }

    static func full(_ limit: Int) -> ServiceError {
        ServiceError(.overloaded, "\(limit) operations are under way; wait for one to end")
    }

    /// Takes no more operations and waits for those under way. After `limit` the rest are cancelled and stay as they
    /// are stored, for the next start to resume.
    func drain(within limit: Duration) async {
        let tasks = state.withLock { state in
            state.isDraining = true
            for search in state.searches.values { search.task.cancel() }
            return Array(state.tasks.values)
        }
        let timer = Task {
            try await Task.sleep(for: limit)
            for task in tasks { task.cancel() }
        }
        for task in tasks { await task.value }
        timer.cancel()
    }

    var isDraining: Bool { state.withLock { $0.isDraining } }

    /// Throws unless mutations can start: log and outcomes can be written, and the agent is not stopping.
    func checkOpen() throws(ServiceError) {
        if isDraining { throw ServiceError(.shuttingDown, "the agent is stopping; try again when it is back") }
        if let fault = ports.audit.fault {
            throw ServiceError(.auditUnavailable, "the audit log cannot be written: \(fault)")
        }
        if state.withLock({ $0.stuck }) > 0 {
            throw ServiceError(.storeUnavailable, "the outcome of an operation cannot be written; nothing new starts")
        }
    }

    /// Runs `body` once a second until it succeeds; meanwhile no new change starts. Returns true then, or false if another
    /// agent has the operation by now, or the task is cancelled after a failed try.
    func persistently(_ what: String, _ body: () async throws(ServiceError) -> Void) async -> Bool {
        var isStuck = false
        defer { if isStuck { state.withLock { $0.stuck -= 1 } } }
        while true {
            do throws(ServiceError) {
                try await body()
                return true
            } catch {
                if error.isLost { return false }
                if !isStuck { state.withLock { $0.stuck += 1 } }
                isStuck = true
                ports.log.error("cannot write \(what); trying again", metadata: ["error": "\(error.detail)"])
            }
            do { try await Task.sleep(for: .seconds(1)) } catch { return false }
        }
    }

    // MARK: Places in the queue

    /// A place in the queue for everything that the plan's calls work on, for an operation that is to be carried out
    /// under `lease`; `nil` if it has one already. A stop enters ahead of the shutdown that it overrules.
    ///
    /// Without a plan it works on nothing.
    func enter(
        _ operation: RecordID, for plan: Plan?, under lease: Lease, overruling shutdown: RecordID? = nil
    ) -> TargetLocks.Ticket? {
        state.withLock { state in
            guard state.leases[operation] == nil else { return nil }
            let passed = shutdown.flatMap { state.tickets[$0] }
            let ticket = locks.enter(plan?.lockNames ?? [], slot: plan.map(slot), passing: passed)
            if let shutdown, passed != nil, ticket.ahead == 0 { state.overruled[shutdown] = operation }
            state.tickets[operation] = ticket
            state.leases[operation] = lease
            return ticket
        }
    }

    /// Takes back that an operation entered, whether its locks are held yet or not, for one that does not start.
    func leave(_ operation: RecordID, _ ticket: TargetLocks.Ticket) {
        if ticket.ahead == 0 || !locks.withdraw(ticket) { locks.leave(ticket) }
        state.withLock { $0.forget(operation) }
    }

    func ticket(of operation: RecordID) -> TargetLocks.Ticket? { state.withLock { $0.tickets[operation] } }

    /// Notes how far the operation's task is; false if that is known already. What `isNews` is for other agents.
    func note(_ progress: Progress?, of operation: RecordID, isNews: Bool) -> Bool {
        state.withLock { state in
            guard state.progress[operation] != progress else { return false }
            state.progress[operation] = progress
            if isNews { state.news.insert(operation) }
            return true
        }
    }

    /// These were not told: they are news again.
    func keepNews(of operations: some Sequence<RecordID>) { state.withLock { $0.news.formUnion(operations) } }

    /// Forgets what other agents told: that a task has ended may have been missed.
    func forgetProgressElsewhere() {
        state.withLock { state in state.progress = state.progress.filter { state.leases[$0.key] != nil } }
    }

    /// How far tasks are, of which that has changed here since the last call.
    func takeNews() -> [RecordID: Progress?] {
        state.withLock { state in
            defer { state.news = [] }
            return Dictionary(uniqueKeysWithValues: state.news.map { ($0, state.progress[$0]) })
        }
    }

    /// The operation with its current place in the queue, or with how far it is.
    func placed(_ operation: Operation) -> Operation {
        if operation.state == .running, let progress = state.withLock({ $0.progress[operation.id] }) {
            var operation = operation
            operation.progress = progress
            return operation
        }
        guard operation.state == .queued, let ticket = ticket(of: operation.id) else { return operation }
        var operation = operation
        operation.queuePosition = locks.position(of: ticket)
        return operation
    }

    /// The slot that limits the operations of the plan's environment that run at the same time.
    private func slot(of plan: Plan) -> TargetLocks.Slot {
        TargetLocks.Slot(name: plan.request.environment.description, limit: limits.environmentOperations)
    }

    // MARK: Stops

    /// Notes who asked PVE to stop the operation's task, if it runs in this process.
    func noteStop(of operation: RecordID, by actor: String) {
        state.withLock { if $0.tasks[operation] != nil { $0.stops[operation] = actor } }
    }

    func forgetStop(of operation: RecordID) { state.withLock { $0.stops[operation] = nil } }

    /// Who asked PVE to stop the operation's task.
    func stopper(of operation: RecordID) -> String? { state.withLock { $0.stops[operation] } }

    /// The stop that overrules the shutdown.
    func overruler(of shutdown: RecordID) -> RecordID? { state.withLock { $0.overruled[shutdown] } }

    /// The shutdown that the stop overrules.
    func shutdown(overruledBy stop: RecordID) -> RecordID? {
        state.withLock { $0.overruled.first { $0.value == stop }?.key }
    }

    func forgetOverruling(of shutdown: RecordID) { state.withLock { $0.overruled[shutdown] = nil } }
}

extension Plan {
    /// Everything that the plan's calls work on, one name each.
    var lockNames: Set<String> {
        let prefix = request.environment.description + " "
        // Machines and containers share one range of ids.
        var names: Set<String> = [
            prefix + (request.target.guest.map { "guest/\($0.id)" } ?? request.target.description)
        ]
        for id in preview.calls.flatMap(\.guestIDs) { names.insert(prefix + "guest/\(id)") }
        return names
    }
}

/// Notifies waiters that an operation has changed.
final class OperationHub: Sendable {
    private struct State {
        var waiters: [RecordID: [UInt64: CheckedContinuation<Void, Never>]] = [:]
        var published: UInt64 = 0
        var lastTicket: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The number of changes so far. Read it before looking at an operation, then wait with it.
    var version: UInt64 { state.withLock { $0.published } }

    /// Notes a change of `id` and wakes all who wait for it.
    func publish(_ id: RecordID) {
        let waiters = state.withLock { state in
            state.published += 1
            return state.waiters.removeValue(forKey: id) ?? [:]
        }
        for continuation in waiters.values { continuation.resume() }
    }

    /// Wakes all who wait: anything may have changed.
    func publishAll() {
        let waiters = state.withLock { state in
            state.published += 1
            defer { state.waiters = [:] }
            return state.waiters.values.flatMap(\.values)
        }
        for continuation in waiters { continuation.resume() }
    }

    /// Returns when `id` is published, after `limit`, or on cancellation; at once if anything was published after
    /// `version` was read. Look again, then wait again.
    func wait(for id: RecordID, after version: UInt64, atMost limit: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait(for: id, after: version) }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    private func wait(for id: RecordID, after version: UInt64) async {
        let ticket = state.withLock { state in
            state.lastTicket += 1
            return state.lastTicket
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let moved = state.withLock { state in
                    guard !Task.isCancelled, state.published == version else { return true }
                    state.waiters[id, default: [:]][ticket] = continuation
                    return false
                }
                if moved { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters[id]?.removeValue(forKey: ticket) }?.resume()
        }
    }
}
