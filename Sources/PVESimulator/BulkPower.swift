import StrictJSON

private enum BulkPower: String, Sendable {
    case start, shutdown, suspend

    /// What a line of the log begins with.
    var doing: String {
        switch self {
        case .start: "Starting"
        case .shutdown: "Shutting down"
        case .suspend: "Suspending"
        }
    }
}

private let workers = " max-workers:int(1..64)"
private let clusterWorkers = "vms:array maxworkers:int(1..64)" + workers

/// Starting, stopping and suspending many guests at once, of one node or of all. Each guest gets a task of its own, and
/// the bulk task ends when all of these have: a node's always well, the cluster's not if one of them failed.
///
/// As pve-manager does it (PVE/API2/Nodes.pm and PVE/API2/Cluster/BulkAction/Guest.pm).
let bulkPowerEndpoints: [Endpoint] = [
    .post("nodes/{node}/startall", "force:bool vms:vmid-list" + workers) { world, call in
        try world.onNode(.start, call, type: "startall")
    },
    .post("nodes/{node}/stopall", "force-stop:bool timeout:int(0..7200) vms:vmid-list" + workers) { world, call in
        try world.onNode(.shutdown, call, type: "stopall")
    },
    .post("nodes/{node}/suspendall", "vms:vmid-list" + workers) { world, call in
        try world.onNode(.suspend, call, type: "suspendall")
    },
    .post("cluster/bulk-action/guest/start", clusterWorkers + " timeout:int") { world, call in
        try world.onCluster(.start, call)
    },
    .post("cluster/bulk-action/guest/shutdown", clusterWorkers + " force-stop:bool timeout:int") { world, call in
        try world.onCluster(.shutdown, call)
    },
    .post("cluster/bulk-action/guest/suspend", clusterWorkers + " statestorage:storage-id^to-disk to-disk:bool") {
        world, call in try world.onCluster(.suspend, call)
    },
]

extension ClusterState {
    private func checkPower(_ vmids: [String], _ call: EndpointCall) throws(Failure) {
        guard !call.caller.may("VM.PowerMgmt", on: "/") else { return }
        guard !vmids.isEmpty else { throw .denied("/, VM.PowerMgmt") }
        for vmid in vmids where !call.caller.may("VM.PowerMgmt", on: "/vms/\(vmid)") {
            throw .denied("/vms/\(vmid), VM.PowerMgmt")
        }
    }

    /// The guests that are meant, in the order of their `startup`; templates never are, and guests that the HA manager
    /// looks after only where they are named.
    private func meant(_ named: [String], on node: String?, onBootOnly: Bool) -> [Guest] {
        func order(_ guest: Guest) -> Int {
            guest.config["startup"].flatMap { PropertyList($0, leading: "order")["order"] }.flatMap { Int($0) } ?? .max
        }
        let wanted = sortedGuests.filter { guest in
            !guest.isTemplate && node.map { $0 == guest.node } ?? true
                && (named.isEmpty ? !isManaged(guest) : named.contains(String(guest.vmid)))
                && (!onBootOnly || guest.config["onboot"] == "1")
        }
        return wanted.sorted { (order($0), $0.vmid) < (order($1), $1.vmid) }
    }

    fileprivate mutating func onNode(_ action: BulkPower, _ call: EndpointCall, type: String) throws(Failure) -> Reply {
        let named = Format.list(call.text("vms"))
        try checkPower(named, call)
        return run(type: type, id: "", call) { world, log in
            if action == .start { world.removeBackupLocks(on: call.node, &log) }
            let wanted = world.meant(named, on: call.node, onBootOnly: action == .start && !call.flag("force"))
            for guest in action == .start ? wanted : wanted.reversed() {
                do throws(Failure) { try world.actOnNode(action, guest, call, &log) } catch {
                    log.lines.append(error.reason)
                }
            }
        } finish: { world, log in
            guard action == .start else { return }
            for (name, exit) in world.failures(in: log) { log.lines.append("Starting \(name) failed: \(exit)") }
        }
    }

    /// A node that starts takes every lock of a backup for one that a crash left behind.
    private mutating func removeBackupLocks(on node: String, _ log: inout TaskLog) {
        for guest in sortedGuests where guest.node == node && guest.lock == "backup" {
            lock(guest.vmid, nil)
            log.lines.append("removed left over backup lock from '\(guest.vmid)'!")
        }
    }

    private mutating func actOnNode(
        _ action: BulkPower, _ guest: Guest, _ call: EndpointCall, _ log: inout TaskLog
    ) throws(Failure) {
        let name = "\(guest.kind.letters) \(guest.vmid)"
        var values: [String: String] = [:]
        switch action {
        case .start:
            guard !guest.power.isOn else { return }
            log.lines.append("Starting \(name)")
        case .shutdown:
            guard guest.power.isOn else { return }
            values = [
                "timeout": guest.shutdownTimeout ?? call["timeout"] ?? "180", "forceStop": call["force-stop"] ?? "1",
            ]
            log.lines.append("Stopping \(name) (timeout = \(values["timeout"] ?? "") seconds)")
        case .suspend:
            guard guest.kind == .vm else { return log.warn("skipping \(guest.vmid), only VMs can be suspended") }
            guard guest.power.isOn else { return log.lines.append("VM \(guest.vmid) not running, skipping suspension") }
            values = ["todisk": "1"]
            log.lines.append("Suspending \(name)")
        }
        try startChild(action.rawValue, guest, values, call, &log)
    }

    /// Asks for the same that a request for this one guest would.
    private mutating func startChild(
        _ verb: String, _ guest: Guest, _ values: [String: String], _ call: EndpointCall, _ log: inout TaskLog
    ) throws(Failure) {
        if isUnreachable(guest.node) { throw Failure(status: 595, message: "No route to host", body: .none) }
        let single = self.call(for: guest, values, by: call.caller)
        let upid = try startInside { (world) throws(Failure) in
            switch verb {
            case "start": try world.powerOn(single)
            case "resume": try world.resume(single)
            case "suspend": try world.pause(single)
            default: try world.shutdown(single)
            }
        }
        if let upid { log.children.append((guest.vmid, upid)) }
    }

    /// A request for one guest, as if it had come by itself.
    func call(for guest: Guest, _ values: [String: String], by caller: Caller) -> EndpointCall {
        let endpoint = Endpoint.get("nodes/{node}/\(guest.kind.word)/{vmid}") { _, _ in .null }
        let values = values.merging(["node": guest.node, "vmid": String(guest.vmid)]) { $1 }
        return EndpointCall(endpoint: endpoint, caller: caller, values: values)
    }

    /// The tasks of single guests that failed: whose, and how they ended.
    private func failures(in log: TaskLog) -> [(name: String, exit: String)] {
        log.children.compactMap { vmid, upid in
            guard let exit = tasks.all[upid]?.end?.exit, exit != "OK", !exit.hasPrefix("WARNINGS: ") else { return nil }
            return ("\(guests[vmid]?.kind.letters ?? "VM") \(vmid)", exit)
        }
    }

    /// Says which guests failed, and fails the task of the whole cluster for them.
    func endOnCluster(_ doing: String, _ verb: String, _ log: inout TaskLog) throws(Failure) {
        let failures = failures(in: log)
        for (name, exit) in failures { log.warn("\(doing) \(name) failed: \(exit)") }
        let failed = log.children.filter { child in
            child.upid.isEmpty || failures.contains { $0.name.hasSuffix(" \(child.vmid)") }
        }
        guard !failed.isEmpty else { return }
        let list = failed.map { String($0.vmid) }.joined(separator: ", ")
        throw Failure("Some guests failed to \(verb) \(list)")
    }

    /// The guests of the whole cluster that are meant, all that there are where none is named, and the node that works.
    func clusterGuests(_ call: EndpointCall, privilege: String) throws(Failure) -> (vmids: [Int], node: String) {
        let named = call.lists["vms"] ?? []
        if let place = named.indices.first(where: { Int(named[$0]) == nil }) {
            throw .parameters(["vms[\(place)]": "type check ('integer') failed - got '\(named[place])'"])
        }
        if named.isEmpty, !call.caller.may(privilege, on: "/") { throw .denied("/, \(privilege)") }
        for vmid in named where !call.caller.may(privilege, on: "/vms/\(vmid)") {
            throw .denied("/vms/\(vmid), \(privilege)")
        }
        return (named.isEmpty ? sortedGuests.map(\.vmid) : named.compactMap { Int($0) }, nodes.first?.name ?? "")
    }

    fileprivate mutating func onCluster(_ action: BulkPower, _ call: EndpointCall) throws(Failure) -> Reply {
        let named = call.lists["vms"] ?? []
        let (_, node) = try clusterGuests(call, privilege: "VM.PowerMgmt")
        let work = Work(type: "bulk-\(action.rawValue)", id: "", node: node) { world, log in
            let whom = named.isEmpty ? "all guests" : "guests: " + named.joined(separator: ", ")
            log.lines.append("\(action.doing) \(whom)")
            let wanted = world.meant(named, on: nil, onBootOnly: false)
            for guest in action == .start ? wanted : wanted.reversed() {
                do throws(Failure) { try world.actOnCluster(action, guest, call, &log) } catch {
                    log.warn("\(error.status) \(error.reason)")
                    log.children.append((guest.vmid, ""))
                }
            }
        } finish: { world, log in
            let isStart = action == .start
            try world.endOnCluster(isStart ? "Starting" : "Stopping", action.rawValue + (isStart ? ":" : ""), &log)
        }
        return start(work, by: call.caller)
    }

    private mutating func actOnCluster(
        _ action: BulkPower, _ guest: Guest, _ call: EndpointCall, _ log: inout TaskLog
    ) throws(Failure) {
        let name = "\(guest.kind.letters) \(guest.vmid)"
        var (verb, values) = (action.rawValue, [String: String]())
        // Of a guest whose node does not answer nothing is known: it is tried.
        let isKnown = !isUnreachable(guest.node)
        switch action {
        case .start:
            if isKnown, guest.power.isOn {
                // Of a container nothing tells that it needs no resuming, which fails.
                guard guest.kind == .container || guest.qmpStatus == "paused" else {
                    return log.warn("Skipping \(name), already running.")
                }
                verb = "resume"
            }
            log.lines.append("Starting \(name)")
        case .shutdown:
            guard !isKnown || guest.power.isOn else { return log.warn("Skipping \(name), not running.") }
            if isKnown, guest.qmpStatus == "paused", call["force-stop"] == "0" {
                return log.warn("Skipping \(name), resume paused VM before shutdown.")
            }
            values = [
                "timeout": guest.shutdownTimeout ?? call["timeout"] ?? "180", "forceStop": call["force-stop"] ?? "1",
            ]
            log.lines.append("Shutting down \(name) (Timeout = \(values["timeout"] ?? "") seconds)")
        case .suspend:
            guard guest.kind == .vm else { return log.warn("skipping \(guest.vmid), only VMs can be suspended") }
            guard !isKnown || guest.power.isOn else { return log.warn("Skipping \(name), not running.") }
            values = ["todisk": call["to-disk"] ?? "0"]
            log.lines.append("Suspending \(name)")
        }
        try startChild(verb, guest, values, call, &log)
    }
}

extension Guest {
    /// What `startup` says of how long a shutdown may take.
    fileprivate var shutdownTimeout: String? {
        config["startup"].flatMap { PropertyList($0, leading: "order")["down"] }
    }
}
