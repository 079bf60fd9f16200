import HTTPMessage
import Synchronization

@testable package import PVESimulator

/// What tests do behind the caller's back.
extension Simulator {
    /// What a guest is right now.
    package struct GuestState: Sendable, Hashable {
        package var vmid: Int
        /// `qemu` or `lxc`.
        package var kind: String
        package var node: String
        package var name: String
        /// `stopped`, `running` or `paused`.
        package var status: String
        package var config: [String: String]
        package var digest: String
        package var snapshots: [String]
    }

    /// From now on the next requests that match meet `fault`; faults are tried in the order they were injected.
    package func inject(_ fault: Fault) { faultBook.state.withLock { $0.faults.append(fault) } }

    /// Made when a test first asks for it.
    var faultBook: FaultBook {
        state.withLock { state in
            if let book = state.interceptor as? FaultBook { return book }
            let book = FaultBook()
            state.interceptor = book
            return book
        }
    }

    /// Carries out what came in late: the node that hung goes on.
    package func carryOutLate() async {
        let requests = faultBook.state.withLock { state in
            defer { state.late = [] }
            return state.late
        }
        for request in requests { _ = await respond(to: request) }
    }

    /// Forgets all faults that have not struck.
    package func clearFaults() { faultBook.state.withLock { $0.faults = [] } }

    /// All requests that changed something, oldest first; the newest 10,000 are kept.
    package var executed: [Execution] { state.withLock { $0.executed } }

    /// How many requests of `method` on a path that begins with `prefix` were executed.
    package func executions(_ method: String, _ prefix: String = "/") -> Int {
        state.withLock { state in state.executed.count { $0.method == method && $0.path.hasPrefix(prefix) } }
    }

    /// Starts counting anew.
    package func forgetExecutions() {
        state.withLock { state in
            state.executed = []
            state.counts = [:]
        }
    }

    /// The guest `vmid` right now, `nil` if there is none; tasks whose time has come have had their effect.
    package func guest(_ vmid: Int) -> GuestState? {
        change { world in
            world.guests[vmid].map { guest in
                GuestState(
                    vmid: vmid, kind: guest.kind.word, node: guest.node, name: guest.name, status: guest.qmpStatus,
                    config: Dictionary(uniqueKeysWithValues: guest.config.sorted.map { ($0.key, $0.value) }),
                    digest: guest.digest, snapshots: guest.snapshots.map(\.name))
            }
        }
    }

    /// Writes a guest's configuration file, as an administrator could; replaces a guest with the same number.
    package func addGuest(
        _ vmid: Int, isContainer: Bool = false, on node: String, config: [String: String], isRunning: Bool = false
    ) {
        change { world in
            var guest = Guest(
                vmid: vmid, kind: isContainer ? .container : .vm, node: node)
            guest.written = [:]
            for (key, value) in config { guest.config[key] = value }
            if isRunning { guest.power = .running(world.second) }
            world.guests[vmid] = guest
        }
    }

    /// Removes a guest without a task, as deleting its configuration file does.
    package func removeGuest(_ vmid: Int) { change { $0.guests[vmid] = nil } }

    /// Sets or removes one line of a guest's configuration: its lock, for one.
    package func setConfig(_ vmid: Int, _ key: String, _ value: String?) {
        change { world in world.change(vmid) { $0.config[key] = value } }
    }

    /// Makes it another guest under the same number and name: removed and created anew.
    package func swapIdentity(_ vmid: Int) {
        change { world in
            let (uuid, generation, mac) = (world.random.uuid(), world.random.uuid(), world.random.macAddress())
            let second = world.second
            world.change(vmid) { guest in
                switch guest.kind {
                case .vm:
                    guest.config["smbios1"] = "uuid=\(uuid)"
                    guest.config["vmgenid"] = generation
                    guest.config["meta"] = "creation-qemu=10.1.2,ctime=\(second)"
                case .container:
                    guard let net = guest.config["net0"] else { return }
                    var list = PropertyList(net, leading: "name")
                    list["hwaddr"] = mac
                    guest.config["net0"] = list.text
                }
            }
        }
    }

    /// Moves a guest to another node without a task.
    package func move(_ vmid: Int, to node: String) { change { world in world.change(vmid) { $0.node = node } } }

    /// Switches a guest on or off without a task.
    package func setRunning(_ vmid: Int, _ isRunning: Bool) {
        change { isRunning ? $0.switchOn(vmid) : $0.switchOff(vmid) }
    }

    /// Whether the system inside reacts to a request to shut down or to give up a device; without, the request times
    /// out.
    package func setAnswersShutdown(_ vmid: Int, _ answers: Bool) {
        change { world in world.change(vmid) { $0.answersShutdown = answers } }
    }

    /// What plugging a device into the running guest ends with from now on; with `nil` it works.
    package func setHotplugProblem(_ vmid: Int, _ problem: String?) {
        change { world in world.change(vmid) { $0.hotplugProblem = problem } }
    }

    /// Replaces the tokens that are accepted.
    package func setTokens(_ tokens: Tokens) { change { $0.access.tokens = tokens } }

    /// Whether an HA manager acts on what it is asked; without, requests for managed guests change nothing.
    package func setHAActs(_ acts: Bool) {
        change { world in
            world.haActs = acts
            for (sid, resource) in world.haResources.all where resource.crmState != "error" { world.enforce(sid) }
            if acts { world.haLeaving = [:] }
        }
    }

    /// Tasks started from now on do not end before ``releaseTasks()``.
    package func holdTasks() { change { $0.holdsTasks = true } }

    /// Lets held tasks end now.
    package func releaseTasks() {
        change { world in
            world.holdsTasks = false
            for index in world.tasks.active.indices where world.tasks.active[index].isHeld {
                world.tasks.active[index].isHeld = false
                world.tasks.active[index].work.duration = .zero
                let task = world.tasks.active[index]
                guard task.fault != .neverEnds, !world.waitsForChildren(task) else { continue }
                world.tasks.active[index].phase = .working(until: world.now)
            }
            world.advance()
        }
    }

    /// UPIDs of the tasks that have not ended.
    package var activeTasks: [String] {
        change { world in world.tasks.active.map(\.upid).filter { world.tasks.all[$0] != nil } }
    }

    @discardableResult
    func change<Result: Sendable>(_ body: (inout ClusterState) -> Result) -> Result {
        let now = options.now()
        return state.withLock { state in
            state.world.now = now
            state.world.bringBackNodes()
            state.world.advance()
            return body(&state.world)
        }
    }
}
