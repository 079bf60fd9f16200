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
        let named = call.lists["vms"] ?? []
        try world.checkGuests(named, call, privilege: "VM.Migrate")
        let vmids = named.isEmpty ? world.sortedGuests.map(\.vmid) : named.compactMap { Int($0) }
        return world.start(world.migrationsOnCluster(vmids, call), by: call.caller)
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

    /// Succeeds if it tried at least one guest, even if that guest failed.
    private func migrationsOfNode(_ vmids: [Int], _ call: EndpointCall) -> Work {
        var work = Work(type: "migrateall", id: "", node: call.node) { _, log in
            guard !log.children.isEmpty else { throw Failure("no migrations worker started...") }
            log.lines.append("All jobs finished, used \(log.children.count) workers in total.")
        }
        work.stages = vmids.map { vmid in { world, log in world.migrateOnNode(vmid, call, &log) } }
        return work
    }

    private mutating func migrateOnNode(_ vmid: Int, _ call: EndpointCall, _ log: inout TaskLog) {
        guard let guest = guests[vmid] else { return }
        let name = "\(guest.kind.letters) \(vmid)"
        let options = call.migration(of: guest, online: true)
        if let why = precondition(of: guest, self.call(for: guest, options, by: call.caller)) {
            log.lines += ["Check \(name): skip \(name) - precondition check failed:", "  \(why)"]
            return
        }
        log.lines += ["Check \(name): precondition check passed", "Migrating \(name)"]
        do throws(Failure) { try startChild("migrate", guest, options, call, &log) } catch {
            log.lines.append(error.reason)
        }
    }

    /// The reason why a node does not even try to move a guest.
    private func precondition(of guest: Guest, _ call: EndpointCall) -> String? {
        if let text = guest.lockedText { return text }
        let found = try? migrationPreconditions(call)
        let disks = (found?["local_disks"]?.array ?? []).compactMap { $0["volid"]?.string }
        if guest.power.isOn, !call.flag("with-local-disks"), !disks.isEmpty {
            return "Has local disks: \(disks.joined(separator: ", "))"
        }
        return found?["local_resources"]?.array?.isEmpty == false ? "Has local resources: " : nil
    }

    fileprivate func migrationsOnCluster(_ vmids: [Int], _ call: EndpointCall) -> Work {
        let target = call.text("target")
        var work = Work(type: "bulk-migrate", id: "", node: nodes.first?.name ?? "") { _, log in
            log.lines.append("Migrating guests to \(target): \(vmids.map { String($0) }.joined(separator: ", "))")
        } finish: { world, log in
            try world.endOnCluster("Migrating", "migrate", &log)
        }
        work.stages = vmids.map { vmid in { world, log in world.migrateOnCluster(vmid, call, &log) } }
        return work
    }

    private mutating func migrateOnCluster(_ vmid: Int, _ call: EndpointCall, _ log: inout TaskLog) {
        guard let guest = guests[vmid] else { return }
        let name = "\(guest.kind.letters) \(vmid)"
        let target = call.text("target")
        guard guest.node != target else { return log.warn("\(name) already on \(target), skipping.") }
        log.lines.append("Migrating \(name)")
        do throws(Failure) {
            try startChild("migrate", guest, call.migration(of: guest, online: call.flag("online")), call, &log)
        } catch { log.note(error, of: vmid, onCluster: true) }
    }
}

extension EndpointCall {
    /// The options for one guest of a bulk migration: running VMs move live, and running containers restart.
    fileprivate func migration(of guest: Guest, online: Bool) -> [String: String] {
        var options = ["target": text("target"), "with-local-disks": self["with-local-disks"] ?? "0"]
        if online, guest.power.isOn { options[guest.kind == .vm ? "online" : "restart"] = "1" }
        return options
    }
}
