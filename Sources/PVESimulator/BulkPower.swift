import StrictJSON

private enum BulkPower: String, Sendable {
    case start, shutdown, suspend

    /// The prefix of a log line.
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

/// Starts, stops or suspends many guests at once, on one node or on all. Each guest gets its own task, and the bulk
/// task ends after all of these. A node's bulk task always succeeds; the cluster's fails if one of them failed.
///
/// As pve-manager does it (PVE/API2/Nodes.pm and PVE/API2/Cluster/BulkAction/Guest.pm).
let bulkPowerEndpoints: [Endpoint] = [
    .post("nodes/{node}/startall", "force:bool vms:vmid-list" + workers) { world, call in
        try world.bulk(.start, call)
    },
    .post("nodes/{node}/stopall", "force-stop:bool timeout:int(0..7200) vms:vmid-list" + workers) { world, call in
        try world.bulk(.shutdown, call)
    },
    .post("nodes/{node}/suspendall", "vms:vmid-list" + workers) { world, call in try world.bulk(.suspend, call) },
    .post("cluster/bulk-action/guest/start", clusterWorkers + " timeout:int") { world, call in
        try world.bulk(.start, call)
    },
    .post("cluster/bulk-action/guest/shutdown", clusterWorkers + " force-stop:bool timeout:int") { world, call in
        try world.bulk(.shutdown, call)
    },
    .post("cluster/bulk-action/guest/suspend", clusterWorkers + " statestorage:storage-id^to-disk to-disk:bool") {
        world, call in try world.bulk(.suspend, call)
    },
]

extension ClusterState {
    /// The selected guests, in the order of their `startup`. Templates are never among them, and guests under the HA
    /// manager only if the call names them.
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

    /// Starts the task for many guests: on one node if the call names one, else on all.
    fileprivate mutating func bulk(_ action: BulkPower, _ call: EndpointCall) throws(Failure) -> Reply {
        let node = call["node"]
        let named = node == nil ? call.lists["vms"] ?? [] : Format.list(call.text("vms"))
        try checkGuests(named, call, privilege: "VM.PowerMgmt")
        let type = node == nil ? "bulk-\(action.rawValue)" : (action == .shutdown ? "stop" : action.rawValue) + "all"
        let work = Work(type: type, id: "", node: node ?? nodes.first?.name ?? "") { world, log in
            if node == nil {
                let whom = named.isEmpty ? "all guests" : "guests: " + named.joined(separator: ", ")
                log.lines.append("\(action.doing) \(whom)")
            } else if action == .start {
                world.removeBackupLocks(on: call.node, &log)
            }
            let onBootOnly = node != nil && action == .start && !call.flag("force")
            let wanted = world.meant(named, on: node, onBootOnly: onBootOnly)
            for guest in action == .start ? wanted : wanted.reversed() {
                do throws(Failure) { try world.act(action, guest, call, &log) } catch {
                    log.note(error, of: guest.vmid, onCluster: node == nil)
                }
            }
        } finish: { world, log in
            guard node != nil else {
                let isStart = action == .start
                return try world.endOnCluster(
                    isStart ? "Starting" : "Stopping", action.rawValue + (isStart ? ":" : ""), &log)
            }
            for (name, exit) in world.failures(in: log) where action == .start {
                log.lines.append("Starting \(name) failed: \(exit)")
            }
        }
        return start(work, by: call.caller)
    }

    /// A node that starts treats every backup lock as one left behind by a crash.
    private mutating func removeBackupLocks(on node: String, _ log: inout TaskLog) {
        for guest in sortedGuests where guest.node == node && guest.lock == "backup" {
            lock(guest.vmid, nil)
            log.lines.append("removed left over backup lock from '\(guest.vmid)'!")
        }
    }

    private mutating func act(
        _ action: BulkPower, _ guest: Guest, _ call: EndpointCall, _ log: inout TaskLog
    ) throws(Failure) {
        let name = "\(guest.kind.letters) \(guest.vmid)"
        let isOnCluster = call["node"] == nil
        // The state of a guest on an unreachable node is unknown, so the task tries it.
        let isKnown = !isUnreachable(guest.node)
        let (isOn, isOff) = (isKnown && guest.power.isOn, isKnown && !guest.power.isOn)
        var (verb, values) = (action.rawValue, [String: String]())
        func skip(_ why: String) { if isOnCluster { log.warn("Skipping \(name), \(why).") } }
        switch action {
        case .start:
            if isOn {
                // The cluster-wide start also resumes running containers, which fails: PVE cannot tell they need none.
                let isResumed = isOnCluster && (guest.kind == .container || guest.qmpStatus == "paused")
                guard isResumed else { return skip("already running") }
                verb = "resume"
            }
            log.lines.append("Starting \(name)")
        case .shutdown:
            if isOff { return skip("not running") }
            if isOnCluster, isKnown, guest.qmpStatus == "paused", call["force-stop"] == "0" {
                return skip("resume paused VM before shutdown")
            }
            let timeout = guest.shutdownTimeout ?? call["timeout"] ?? "180"
            values = ["timeout": timeout, "forceStop": call["force-stop"] ?? "1"]
            log.lines.append(
                isOnCluster
                    ? "Shutting down \(name) (Timeout = \(timeout) seconds)"
                    : "Stopping \(name) (timeout = \(timeout) seconds)")
        case .suspend:
            guard guest.kind == .vm else { return log.warn("skipping \(guest.vmid), only VMs can be suspended") }
            if isOff, !isOnCluster { log.lines.append("VM \(guest.vmid) not running, skipping suspension") }
            if isOff { return skip("not running") }
            values = ["todisk": isOnCluster ? call["to-disk"] ?? "0" : "1"]
            log.lines.append("Suspending \(name)")
        }
        try startChild(verb, guest, values, call, &log)
    }

    /// Makes the same call as a request for this one guest.
    mutating func startChild(
        _ verb: String, _ guest: Guest, _ values: [String: String], _ call: EndpointCall, _ log: inout TaskLog
    ) throws(Failure) {
        if isUnreachable(guest.node) { throw Failure(status: 595, message: "No route to host", body: .none) }
        let single = self.call(for: guest, values, by: call.caller)
        let upid = try startInside { (world) throws(Failure) in
            switch verb {
            case "start": try world.powerOn(single)
            case "resume": try world.resume(single)
            case "migrate": try world.migrate(single)
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

    /// The failed tasks of single guests: the guest of each, and its exit status.
    private func failures(in log: TaskLog) -> [(name: String, exit: String)] {
        log.children.compactMap { vmid, upid in
            guard let exit = tasks.all[upid]?.end?.exit, exit != "OK", !exit.hasPrefix("WARNINGS: ") else { return nil }
            return ("\(guests[vmid]?.kind.letters ?? "VM") \(vmid)", exit)
        }
    }

    /// Lists the guests that failed, and fails the cluster's task because of them.
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

    /// Refuses a caller who may not do this to all named guests, or to any guest if the call names none.
    func checkGuests(_ named: [String], _ call: EndpointCall, privilege: String) throws(Failure) {
        if let place = named.indices.first(where: { Int(named[$0]) == nil }) {
            throw .parameters(["vms[\(place)]": "type check ('integer') failed - got '\(named[place])'"])
        }
        if named.isEmpty { try call.caller.need(privilege, on: "/") }
        for vmid in named { try call.caller.need(privilege, on: "/vms/\(vmid)") }
    }
}

extension TaskLog {
    /// Records a guest that could not be tried; the cluster's task fails because of it.
    mutating func note(_ failure: Failure, of vmid: Int, onCluster: Bool) {
        guard onCluster else { return lines.append(failure.reason) }
        warn("\(failure.status) \(failure.reason)")
        children.append((vmid, ""))
    }
}

extension Guest {
    /// The shutdown timeout that `startup` gives.
    fileprivate var shutdownTimeout: String? {
        config["startup"].flatMap { PropertyList($0, leading: "order")["down"] }
    }
}
