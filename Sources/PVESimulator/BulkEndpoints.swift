import StrictJSON

private enum Bulk: String, Sendable {
    case start, shutdown, suspend
}

/// Work on many guests at once, of one node or of all.
let bulkEndpoints: [Endpoint] = [
    .post("nodes/{node}/startall", "force:bool max-workers:int(1..64) vms:vmid-list") { (world, call) throws(Failure) in
        world.onMany(.start, call, type: "startall") { $0.config["onboot"] == "1" || call.flag("force") }
    },
    .post(
        "nodes/{node}/stopall", "force-stop:bool max-workers:int(1..64) timeout:int(0..7200) vms:vmid-list"
    ) { (world, call) throws(Failure) in world.onMany(.shutdown, call, type: "stopall") { _ in true } },
    .post("nodes/{node}/suspendall", "max-workers:int(1..64) vms:vmid-list") { (world, call) throws(Failure) in
        world.onMany(.suspend, call, type: "suspendall") { $0.kind == .vm }
    },
    .get("cluster/bulk-action") { (_, _) throws(Failure) in .data(names(["guest"])) },
    .get("cluster/bulk-action/guest") { (_, _) throws(Failure) in
        .data(names(["start", "shutdown", "migrate", "suspend"]))
    },
    .post("cluster/bulk-action/guest/start", workers + " timeout:int vms:array") { (world, call) throws(Failure) in
        try world.onCluster(.start, call)
    },
    .post("cluster/bulk-action/guest/shutdown", workers + " force-stop:bool timeout:int vms:array") {
        (world, call) throws(Failure) in try world.onCluster(.shutdown, call)
    },
    .post(
        "cluster/bulk-action/guest/suspend", workers + " statestorage:storage-id^to-disk to-disk:bool vms:array"
    ) { (world, call) throws(Failure) in try world.onCluster(.suspend, call) },
]

private let workers = "max-workers:int(1..64) maxworkers:int(1..64)"

extension World {
    /// On the guests of one node; those without a place in `vms` count where `isMeant`.
    fileprivate mutating func onMany(
        _ action: Bulk, _ call: Call, type: String, where isMeant: (Guest) -> Bool
    ) -> Reply {
        let named = Format.list(call.text("vms")).compactMap { Int($0) }
        let wanted = sortedGuests.filter { guest in
            guest.node == call.node && call.caller.may("VM.PowerMgmt", on: "/vms/\(guest.vmid)")
                && (named.isEmpty ? isMeant(guest) : named.contains(guest.vmid))
        }.map(\.vmid)
        return start(bulkWork(action, wanted, call, type: type, node: call.node), by: call.caller)
    }

    fileprivate mutating func onCluster(_ action: Bulk, _ call: Call) throws(Failure) -> Reply {
        let (wanted, local) = try clusterGuests(call, privilege: "VM.PowerMgmt")
        return start(
            bulkWork(action, wanted, call, type: "bulk-\(action.rawValue)", node: local), by: call.caller)
    }

    /// The guests of the whole cluster that are meant, all that there are where none is named, and the node that works.
    func clusterGuests(_ call: Call, privilege: String) throws(Failure) -> (vmids: [Int], node: String) {
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

    private func bulkWork(_ action: Bulk, _ vmids: [Int], _ call: Call, type: String, node: String) -> Work {
        Work(type: type, id: "", node: node) { (world, log) throws(TaskFailure) in
            var failed: [Int] = []
            for vmid in vmids {
                guard let guest = world.guests[vmid], !guest.isTemplate else { continue }
                if let text = guest.lockedText {
                    log.warn("\(guest.kind.letters) \(vmid): \(text)")
                    failed.append(vmid)
                } else if !world.act(action, guest, call, &log) {
                    failed.append(vmid)
                }
            }
            guard !failed.isEmpty, type.hasPrefix("bulk-") else { return }
            let list = failed.map { String($0) }.joined(separator: ", ")
            throw TaskFailure("Some guests failed to \(action.rawValue): \(list)")
        }
    }

    /// What is to be done to one guest of many; false where it cannot be.
    private mutating func act(_ action: Bulk, _ guest: Guest, _ call: Call, _ log: inout TaskLog) -> Bool {
        let name = "\(guest.kind.letters) \(guest.vmid)"
        switch action {
        case .start where !guest.power.isOn:
            log.lines.append("Starting \(name)")
            switchOn(guest.vmid)
        case .shutdown where guest.power.isOn:
            log.lines.append("Stopping \(name) (timeout = \(call.int("timeout") ?? 180) seconds)")
            guard guest.answersShutdown || call["force-stop"] != "0" else {
                log.warn("Stopping \(name) failed: got timeout")
                return false
            }
            switchOff(guest.vmid)
        case .suspend where guest.power.isOn && guest.kind == .vm:
            log.lines.append("Suspending \(name)")
            // A node suspends to disk; the cluster only pauses unless it is told otherwise.
            suspend(guest.vmid, toDisk: call["to-disk"].map { $0 == "1" } ?? !call.node.isEmpty)
        case .start, .shutdown, .suspend: break
        }
        return true
    }
}
