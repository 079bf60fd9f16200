import StrictJSON

/// Moving many guests at once.
let bulkMigrationEndpoints: [Endpoint] = [
    .post(
        "nodes/{node}/migrateall",
        "max-workers:int(1..64) maxworkers:int(1..64) target!:node vms:vmid-list with-local-disks:bool"
    ) { world, call in try world.migrateAll(call) },
    .post(
        "cluster/bulk-action/guest/migrate",
        """
        max-workers:int(1..64) maxworkers:int(1..64) online:bool target!:node vms:array with-local-disks:bool
        """
    ) { world, call in
        let (vmids, node) = try world.clusterGuests(call, privilege: "VM.Migrate")
        return world.start(world.migrationsOnCluster(vmids, call, node: node), by: call.caller)
    },
]

extension ClusterState {
    fileprivate mutating func migrateAll(_ call: EndpointCall) throws(Failure) -> Reply {
        guard call.text("target") != call.node else { throw .parameters(["target": "target is local node."]) }
        guard isQuorate else { throw .notReady }
        guard node(call.text("target")) != nil else { throw Failure("no such cluster node '\(call.text("target"))'") }
        guard call["max-workers"] ?? call["maxworkers"] ?? options["max_workers"] != nil else {
            throw Failure("either 'max-workers' parameter or max_workers in datacenter.cfg must be set!")
        }
        let named = Format.list(call.text("vms")).compactMap { Int($0) }
        let wanted = sortedGuests.filter { guest in
            guest.node == call.node && call.caller.may("VM.Migrate", on: "/vms/\(guest.vmid)")
                && (named.isEmpty || named.contains(guest.vmid))
        }.map(\.vmid)
        return start(migrationsOfNode(wanted, call), by: call.caller)
    }

    /// Ends well as long as one guest was tried, whatever became of it.
    private func migrationsOfNode(_ vmids: [Int], _ call: EndpointCall) -> Work {
        var work = Work(type: "migrateall", id: "", node: call.node) { _, log in
            guard !log.children.isEmpty else { throw Failure("no migrations worker started...") }
            log.lines.append("All jobs finished, used \(log.children.count) workers in total.")
        }
        for vmid in vmids {
            let stage: Work.Step = { world, log in world.migrateOnNode(vmid, call, &log) }
            work.stages.append(stage)
        }
        return work
    }

    private mutating func migrateOnNode(_ vmid: Int, _ call: EndpointCall, _ log: inout TaskLog) {
        guard let guest = guests[vmid] else { return }
        let name = "\(guest.kind.letters) \(vmid)"
        let single = call.migration(of: guest, online: true)
        if let why = precondition(of: guest, single) {
            log.lines += ["Check \(name): skip \(name) - precondition check failed:", "  \(why)"]
            return
        }
        log.lines += ["Check \(name): precondition check passed", "Migrating \(name)"]
        do throws(Failure) { try migrateChild(guest, single, &log) } catch { log.lines.append(error.reason) }
    }

    /// Why a node does not even try to move a guest.
    private func precondition(of guest: Guest, _ call: EndpointCall) -> String? {
        if let text = guest.lockedText { return text }
        let found = try? migrationPreconditions(call)
        let disks = (found?["local_disks"]?.array ?? []).compactMap { $0["volid"]?.string }
        if guest.power.isOn, !call.flag("with-local-disks"), !disks.isEmpty {
            return "Has local disks: \(disks.joined(separator: ", "))"
        }
        return found?["local_resources"]?.array?.isEmpty == false ? "Has local resources: " : nil
    }

    fileprivate func migrationsOnCluster(_ vmids: [Int], _ call: EndpointCall, node: String) -> Work {
        let target = call.text("target")
        var work = Work(type: "bulk-migrate", id: "", node: node) { _, log in
            log.lines.append("Migrating guests to \(target): \(vmids.map { String($0) }.joined(separator: ", "))")
        } finish: { world, log in
            try world.endOnCluster("Migrating", "migrate", &log)
        }
        for vmid in vmids {
            let stage: Work.Step = { world, log in world.migrateOnCluster(vmid, call, &log) }
            work.stages.append(stage)
        }
        return work
    }

    private mutating func migrateOnCluster(_ vmid: Int, _ call: EndpointCall, _ log: inout TaskLog) {
        guard let guest = guests[vmid] else { return }
        let name = "\(guest.kind.letters) \(vmid)"
        let target = call.text("target")
        guard guest.node != target else { return log.warn("\(name) already on \(target), skipping.") }
        log.lines.append("Migrating \(name)")
        do throws(Failure) {
            try migrateChild(guest, call.migration(of: guest, online: call.flag("online")), &log)
        } catch {
            log.warn("\(error.status) \(error.reason)")
            log.children.append((vmid, ""))
        }
    }

    /// Moves one guest of many, one after the other.
    private mutating func migrateChild(_ guest: Guest, _ call: EndpointCall, _ log: inout TaskLog) throws(Failure) {
        if isUnreachable(guest.node) { throw Failure(status: 595, message: "No route to host", body: .none) }
        let upid = try startInside { (world) throws(Failure) in try world.migrate(call) }
        if let upid { log.children.append((guest.vmid, upid)) }
    }
}

extension EndpointCall {
    /// The request that moves one guest of many: containers are restarted where machines move while they run.
    fileprivate func migration(of guest: Guest, online: Bool) -> EndpointCall {
        var single = self
        single.endpoint.path = "nodes/{node}/\(guest.kind.word)/{vmid}/migrate"
        single.lists = [:]
        single.values = [
            "node": guest.node, "vmid": String(guest.vmid), "target": text("target"),
            "with-local-disks": self["with-local-disks"] ?? "0",
        ]
        if online, guest.power.isOn { single.values[guest.kind == .vm ? "online" : "restart"] = "1" }
        return single
    }
}
