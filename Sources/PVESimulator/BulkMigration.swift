import StrictJSON

/// Moving many guests at once.
let bulkMigrationEndpoints: [Endpoint] = [
    .post(
        "nodes/{node}/migrateall",
        "max-workers:int(1..64) maxworkers:int(1..64) target!:node vms:vmid-list with-local-disks:bool"
    ) { (world, call) throws(Failure) in try world.migrateAll(call) },
    .post(
        "cluster/bulk-action/guest/migrate",
        """
        max-workers:int(1..64) maxworkers:int(1..64) online:bool target!:node vms:array with-local-disks:bool
        """
    ) { (world, call) throws(Failure) in
        let (vmids, node) = try world.clusterGuests(call, privilege: "VM.Migrate")
        return world.start(world.migrationsOnCluster(vmids, call, node: node), by: call.caller)
    },
]

extension World {
    fileprivate mutating func migrateAll(_ call: Call) throws(Failure) -> Reply {
        guard call.text("target") != call.node else { throw .parameters(["target": "target is local node."]) }
        guard isQuorate else { throw .notReady }
        guard node(call.text("target")) != nil else {
            throw .plain("no such cluster node '\(call.text("target"))'")
        }
        guard call["max-workers"] ?? call["maxworkers"] ?? options["max_workers"] != nil else {
            throw .plain("either 'max-workers' parameter or max_workers in datacenter.cfg must be set!")
        }
        let named = Format.list(call.text("vms")).compactMap { Int($0) }
        let wanted = sortedGuests.filter { guest in
            guest.node == call.node && call.caller.may("VM.Migrate", on: "/vms/\(guest.vmid)")
                && (named.isEmpty || named.contains(guest.vmid))
        }.map(\.vmid)
        return start(migrationsOfNode(wanted, call), by: call.caller)
    }

    /// Ends well as long as one guest was tried, whatever became of it.
    private func migrationsOfNode(_ vmids: [Int], _ call: Call) -> Work {
        Work(type: "migrateall", id: "", node: call.node) { (world, log) throws(TaskFailure) in
            var tried = 0
            for vmid in vmids {
                guard let guest = world.guests[vmid] else { continue }
                let name = "\(guest.kind.letters) \(vmid)"
                let single = call.migration(of: guest, online: true)
                if let why = world.precondition(of: guest, single) {
                    log.lines += ["Check \(name): skip \(name) - precondition check failed:", "  \(why)"]
                    continue
                }
                log.lines += ["Check \(name): precondition check passed", "Migrating \(name)"]
                tried += 1
                _ = world.migrateNow(guest, single)
            }
            guard tried > 0 else { throw TaskFailure("no migrations worker started...") }
            log.lines.append("All jobs finished, used \(tried) workers in total.")
        }
    }

    /// Why a node does not even try to move a guest.
    private func precondition(of guest: Guest, _ call: Call) -> String? {
        if let text = guest.lockedText { return text }
        let found = try? migrationPreconditions(call)
        let disks = (found?["local_disks"]?.array ?? []).compactMap { $0["volid"]?.string }
        if guest.power.isOn, !call.flag("with-local-disks"), !disks.isEmpty {
            return "Has local disks: \(disks.joined(separator: ", "))"
        }
        return found?["local_resources"]?.array?.isEmpty == false ? "Has local resources: " : nil
    }

    fileprivate func migrationsOnCluster(_ vmids: [Int], _ call: Call, node: String) -> Work {
        Work(type: "bulk-migrate", id: "", node: node) { (world, log) throws(TaskFailure) in
            let target = call.text("target")
            log.lines.append("Migrating guests to \(target): \(vmids.map { String($0) }.joined(separator: ", "))")
            var failed: [Int] = []
            for vmid in vmids {
                guard let guest = world.guests[vmid] else { continue }
                let name = "\(guest.kind.letters) \(vmid)"
                guard guest.node != target else {
                    log.warn("\(name) already on \(target), skipping.")
                    continue
                }
                log.lines.append("Migrating \(name)")
                guard let why = world.migrateNow(guest, call.migration(of: guest, online: call.flag("online"))) else {
                    continue
                }
                log.warn(why)
                failed.append(vmid)
            }
            guard !failed.isEmpty else { return }
            throw TaskFailure(
                "Some guests failed to migrate \(failed.map { String($0) }.joined(separator: ", "))")
        }
    }

    /// Moves one guest of many; answers why not, as the task's log says it.
    private mutating func migrateNow(_ guest: Guest, _ call: Call) -> String? {
        if isUnreachable(guest.node) { return "595 No route to host" }
        do throws(Failure) { _ = try checkMigrationRequest(call) } catch { return "\(error.status) \(error.reason)" }
        if isManaged(guest) {
            _ = askHA("migrate", guest, call)
            return nil
        }
        var log = TaskLog()
        do throws(TaskFailure) { try checkMigration(of: guest, to: call.text("target"), call, &log) } catch {
            return "Migrating \(guest.kind.letters) \(guest.vmid) failed: \(error.text)"
        }
        finishMigration(of: guest.vmid, to: call.text("target"), call)
        return nil
    }
}

extension Call {
    /// The request that moves one guest of many: containers are restarted where machines move while they run.
    fileprivate func migration(of guest: Guest, online: Bool) -> Call {
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
