import HTTPMessage
import Synchronization

@testable package import PVESimulator

/// Changes that tests make without the API.
extension Simulator {
    /// The current state of a guest.
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

    /// Applies `fault` to the next matching requests; faults are tried in the order of injection.
    package func inject(_ fault: Fault) { faultBook.state.withLock { $0.faults.append(fault) } }

    /// Created on first use.
    var faultBook: FaultBook {
        state.withLock { state in
            if let book = state.interceptor as? FaultBook { return book }
            let book = FaultBook()
            state.interceptor = book
            return book
        }
    }

    /// Carries out the late requests, as if the node that hung had resumed.
    package func carryOutLate() async {
        let requests = faultBook.state.withLock { state in
            defer { state.late = [] }
            return state.late
        }
        for request in requests { _ = await respond(to: request) }
    }

    /// Drops all faults that have not struck.
    package func clearFaults() { faultBook.state.withLock { $0.faults = [] } }

    /// All requests that changed something, oldest first; the newest 10,000 are kept.
    package var executed: [Execution] { state.withLock { $0.executed } }

    /// The number of executed requests with `method` and a path that begins with `prefix`.
    package func executions(_ method: String, _ prefix: String = "/") -> Int {
        state.withLock { state in state.executed.count { $0.method == method && $0.path.hasPrefix(prefix) } }
    }

    /// Forgets all executed requests and resets the counts.
    package func forgetExecutions() {
        state.withLock { state in
            state.executed = []
            state.counts = [:]
        }
    }

    /// The current state of the guest `vmid`, `nil` if there is none; all due tasks have taken effect.
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

    /// Sets or removes one line of a guest's configuration, such as its lock.
    package func setConfig(_ vmid: Int, _ key: String, _ value: String?) {
        change { world in world.change(vmid) { $0.config[key] = value } }
    }

    /// Replaces the guest with a new one of the same number and name, as if it was removed and created again.
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

    /// Sets whether the guest's system reacts to a request to shut down or to release a device; if not, the request
    /// times out.
    package func setAnswersShutdown(_ vmid: Int, _ answers: Bool) {
        change { world in world.change(vmid) { $0.answersShutdown = answers } }
    }

    /// Sets the error for plugging a device into the running guest; with `nil` it works.
    package func setHotplugProblem(_ vmid: Int, _ problem: String?) {
        change { world in world.change(vmid) { $0.hotplugProblem = problem } }
    }

    /// Replaces the accepted tokens.
    package func setTokens(_ tokens: Tokens) { change { $0.access.tokens = tokens } }

    /// Sets whether an HA manager acts on requests; without one, requests for managed guests change nothing.
    package func setHAActs(_ acts: Bool) {
        change { world in
            world.haActs = acts
            for (sid, resource) in world.haResources.all where resource.crmState != "error" { world.enforce(sid) }
            if acts { world.haLeaving = [:] }
        }
    }

    /// Tasks started from now on do not end before ``releaseTasks()``.
    package func holdTasks() { change { $0.holdsTasks = true } }

    /// Lets the held tasks end now.
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
