package import AgentModel
package import AgentService
package import StrictJSON
internal import Synchronization

/// A Proxmox VE of one node that does what a test tells it to.
package final class FakeHypervisor: Hypervisor {
    package typealias Change = @Sendable (Call) async throws(HypervisorError) -> Accepted

    private struct State {
        var guests: [String: (config: JSON, status: JSON)] = [:]
        var objects: [[String]: JSON] = [:]
        var changes: [Call] = []
        var reads: [Call] = []
        var stopped: [UPID] = []
        var failure: HypervisorError?
        var change: Change
        var status = TaskStatus.stopped(.ok)
        var log: [String] = []
        var tasks: [String] = []
        var statusFailure: HypervisorError?
        var stopFailure: HypervisorError?
        var inventories = 0
        var inventory = RenderedRows(bytes: [], count: 0)
        var abandoned = 0
        var gate = Gate(isOpen: true)
        var way: @Sendable () async -> Void = {}
    }

    private let state: Mutex<State>
    private let node = "pve1"

    /// - Parameter change: what a mutation comes to; by default it is done at once.
    package init(change: @escaping Change = { _ in .done(.null) }) { state = Mutex(State(change: change)) }

    /// Adds a guest, or replaces it.
    package func put(
        _ guest: String, status: String = "stopped", digest: String = "d1", lock: String? = nil, name: String? = nil
    ) {
        state.withLock { state in
            state.guests[guest] = (
                config: ["name": .string(name ?? guest), "digest": .string(digest), "lock": lock.map { .string($0) }],
                status: ["status": .string(status), "qmpstatus": .string(status)]
            )
        }
    }

    /// Adds what a read of `path` answers, or replaces it.
    package func put(_ object: JSON, at path: String...) { state.withLock { $0.objects[path] = object } }

    package func remove(_ guest: String) { state.withLock { $0.guests[guest] = nil } }

    /// The mutations that came, in order.
    package var changes: [Call] { state.withLock { $0.changes } }
    /// The reads that came, in order.
    package var reads: [Call] { state.withLock { $0.reads } }
    /// The tasks that were to be stopped.
    package var stopped: [UPID] { state.withLock { $0.stopped } }

    /// What every read answers; `nil` heals.
    package var failure: HypervisorError? {
        get { state.withLock { $0.failure } }
        set { state.withLock { $0.failure = newValue } }
    }

    /// How many inventories were asked for.
    package var inventories: Int { state.withLock { $0.inventories } }

    /// Of these, how many nobody waited for any more when they came to their end.
    package var abandoned: Int { state.withLock { $0.abandoned } }

    /// What every inventory is made of: rows with their environment.
    package func put(inventory rows: [JSON]) {
        let bytes = Array(rows.map(\.bytes).joined(separator: [UInt8(ascii: ",")]))
        state.withLock { $0.inventory = RenderedRows(bytes: bytes, count: rows.count) }
    }

    /// Makes every inventory wait for `gate`.
    package func holdInventory(until gate: Gate) { state.withLock { $0.gate = gate } }

    /// What happens before a mutation is about to be sent: the way to PVE takes its time.
    package func onTheWay(_ body: @escaping @Sendable () async -> Void) { state.withLock { $0.way = body } }

    package func finishWriting() async {}

    /// How each task is doing.
    package var taskStatus: TaskStatus {
        get { state.withLock { $0.status } }
        set { state.withLock { $0.status = newValue } }
    }

    /// The UPIDs in the node's list of tasks.
    package var taskList: [String] {
        get { state.withLock { $0.tasks } }
        set { state.withLock { $0.tasks = newValue } }
    }

    /// What asking for a task's status fails with; `nil` heals.
    package var statusFailure: HypervisorError? {
        get { state.withLock { $0.statusFailure } }
        set { state.withLock { $0.statusFailure = newValue } }
    }

    /// What asking for a task's end comes to, though PVE has heard of it; `nil` heals.
    package var stopFailure: HypervisorError? {
        get { state.withLock { $0.stopFailure } }
        set { state.withLock { $0.stopFailure = newValue } }
    }

    /// What each task's log says.
    package var taskLog: [String] {
        get { state.withLock { $0.log } }
        set { state.withLock { $0.log = newValue } }
    }

    package func version() async throws(HypervisorError) -> (version: String, isSimulator: Bool) {
        if let failure { throw failure }
        return ("9.1.3", false)
    }

    package func inventory(runningOnly: Bool) async throws(HypervisorError) -> RenderedRows {
        let gate = state.withLock { state in
            state.inventories += 1
            return state.gate
        }
        await gate.wait()
        if Task.isCancelled {
            state.withLock { $0.abandoned += 1 }
            throw .invalid("the call was given up", mayHaveExecuted: false)
        }
        if let failure { throw failure }
        return state.withLock { $0.inventory }
    }

    package func locate(_ guest: GuestRef) async throws(HypervisorError) -> GuestPlace? {
        if let failure { throw failure }
        guard state.withLock({ $0.guests[guest.description] != nil }), let node = NodeName(node) else { return nil }
        return GuestPlace(node: node, pool: nil)
    }

    package func read(_ call: Call) async throws(HypervisorError) -> JSON {
        let answer = state.withLock { state -> Result<JSON, HypervisorError> in
            state.reads.append(call)
            if let failure = state.failure { return .failure(failure) }
            let path = call.path
            if let object = state.objects[path] { return .success(object) }
            if path == ["nodes", node, "tasks"] {
                return .success(.array(state.tasks.map { ["upid": .string($0)] }))
            }
            guard path.count >= 5, path[0] == "nodes" else {
                return .success(self.answer(to: call, state.guests.keys.sorted()))
            }
            let name = (path[2] == "qemu" ? "vm/" : "lxc/") + path[3]
            guard let guest = state.guests[name], path[1] == node else {
                return .failure(.refused(PVERejection(status: 500, reason: "Configuration file does not exist")))
            }
            switch path[4] {
            case "config": return .success(guest.config)
            case "status": return .success(guest.status)
            case "feature": return .success(["hasFeature": 1])
            default: return .success([])
            }
        }
        return try answer.get()
    }

    /// What PVE answers about the cluster; the token may do everything.
    private func answer(to call: Call, _ guests: [String]) -> JSON {
        switch call.path {
        case ["nodes"]: [["node": .string(node), "status": "online"], ["node": "pve2", "status": "online"]]
        case ["access", "permissions"]:
            call["path"].map { path in
                let all = Set(ActionCatalog.all.flatMap(\.privileges).flatMap(\.anyOf) + ["VM.Snapshot"])
                return .object([path: .object(all.sorted().reduce(into: [:]) { $0[$1] = 1 })])
            } ?? [:]
        case ["cluster", "resources"] where call["type"] == "vm":
            .array(
                guests.map { guest in
                    [
                        "type": guest.hasPrefix("vm/") ? "qemu" : "lxc", "node": .string(node),
                        "vmid": JSON(Int(guest.split(separator: "/")[1]) ?? 0),
                    ]
                })
        default: [:]
        }
    }

    package func change(
        _ call: Call, passing gate: @escaping @Sendable () -> Bool
    ) async throws(HypervisorError) -> Accepted {
        await state.withLock { $0.way }()
        guard gate() else { throw .withheld }
        let change = state.withLock { state in
            state.changes.append(call)
            return state.change
        }
        return try await change(call)
    }

    package func status(of task: UPID) async throws(HypervisorError) -> TaskStatus {
        if let statusFailure { throw statusFailure }
        return taskStatus
    }

    package func log(
        of task: UPID, from start: Int, limit: Int
    ) async throws(HypervisorError) -> (lines: [String], total: Int) {
        let lines = taskLog
        return (Array(lines.dropFirst(start).prefix(limit)), lines.count)
    }

    package func stop(_ task: UPID, passing gate: @escaping @Sendable () -> Bool) async throws(HypervisorError) {
        guard gate() else { throw .withheld }
        // As libcurl's port does with a caller who has left.
        if Task.isCancelled { throw .invalid("the call was given up", mayHaveExecuted: false) }
        state.withLock { $0.stopped.append(task) }
        if let stopFailure { throw stopFailure }
    }
}
