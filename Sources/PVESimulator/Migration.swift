import StrictJSON

/// Moving guests to other nodes.
extension World {
    mutating func migrate(_ call: Call) throws(Failure) -> Reply {
        let target = call.text("target")
        guard node(target) != nil else { throw .plain("no such cluster node '\(target)'") }
        guard target != call.node else { throw .parameters(["target": "target is local node."]) }
        let guest = try guest(call)
        if let text = guest.lockedText { throw .plain(text) }
        if guest.power.isOn {
            if guest.kind == .vm, !call.flag("online") { throw .plain("can't migrate running VM without --online") }
            if guest.kind == .container, !call.flag("online"), !call.flag("restart") {
                throw .plain("can't migrate running container without --online or --restart")
            }
        }
        // A container's volumes are looked at by the task.
        let disks = guest.kind == .vm ? guest.disks : []
        for id in Set(disks.map { call.storage(for: $0.disk.storage) }) {
            guard let storage = storage(id) else { throw .plain("storage '\(id)' does not exist") }
            guard storage.isOn(target) else { throw .plain("storage '\(id)' is not available on node '\(target)'") }
        }
        if guest.haState != nil { return askHA("migrate", guest, call) }
        return start(migrateWork(call, to: target), by: call.caller)
    }

    func migrateWork(_ call: Call, to target: String) -> Work {
        var work = work("migrate", call, exclusive: false) { (world, log) throws(TaskFailure) in
            let guest = try world.unlocked(call)
            log.lines.append("starting migration of \(guest.kind.letters) \(guest.vmid) to node '\(target)'")
            try world.checkMigration(of: guest, to: target, call, &log)
            world.lock(call.vmid, "migrate")
        } finish: { (world, log) throws(TaskFailure) in
            world.finishMigration(of: call.vmid, to: target, call)
            log.lines.append("migration finished successfully (duration 00:00:01)")
        }
        work.release = { world in world.lock(call.vmid, nil) }
        return work
    }

    func checkMigration(of guest: Guest, to target: String, _ call: Call, _ log: inout TaskLog) throws(TaskFailure) {
        guard let node = node(target), node.isOnline else {
            log.lines.append("ERROR: migration aborted: Can't connect to destination address using public key")
            throw TaskFailure("migration aborted")
        }
        for (_, disk) in guest.disks {
            let id = call.storage(for: disk.storage)
            guard let storage = storage(id), storage.isOn(target), storage.isActive else {
                log.lines.append("ERROR: storage '\(id)' is not available on node '\(target)'")
                throw TaskFailure("migration aborted")
            }
            let isLocal = self.storage(disk.storage)?.isShared != true
            if isLocal, guest.kind == .vm, guest.power.isOn, !call.flag("with-local-disks") {
                log.lines.append(
                    "ERROR: can't migrate local disk '\(disk.volume)': can't live migrate attached local disks "
                        + "without with-local-disks option")
                throw TaskFailure("migration aborted")
            }
        }
    }

    mutating func finishMigration(of vmid: Int, to target: String, _ call: Call) {
        guard var guest = guests[vmid] else { return }
        for (key, disk) in guest.disks where call.storage(for: disk.storage) != disk.storage {
            var moved = disk
            moved.volume = newVolume(
                on: call.storage(for: disk.storage), for: vmid, format: disk.format, besides: guest)
            guest.config[key] = moved.line
        }
        guest.node = target
        guest.config["lock"] = nil
        // A container is stopped here and started there.
        if guest.kind == .container, guest.power.isOn { guest.power = .running(second) }
        guests[vmid] = guest
    }

    func migrationPreconditions(_ guest: Guest) -> JSON {
        let others = nodes.filter { $0.name != guest.node && $0.isOnline }
        let missing = others.reduce(into: [String: [String]]()) { result, node in
            let storages = Set(guest.disks.map(\.disk.storage)).filter { storage($0)?.isOn(node.name) != true }
            if !storages.isEmpty { result[node.name] = storages.sorted() }
        }
        let allowed = JSON(others.map(\.name).filter { missing[$0] == nil })
        let refused = missing.sorted { $0.key < $1.key }.reduce(into: JSONObject()) {
            $0[$1.key] = ["unavailable_storages": JSON($1.value)]
        }
        let running: JSON = guest.power.isOn ? 1 : 0
        guard guest.kind == .vm else {
            return ["running": running, "allowed-nodes": allowed, "not-allowed-nodes": .object(refused)]
        }
        let disks: [JSON] = guest.disks.filter { storage($0.disk.storage)?.isShared != true }.map { key, disk in
            var row: JSONObject = [
                "cdrom": 0, "drivename": .string(key), "is_attached": 1, "is_cloudinit": 0, "is_tpmstate": 0,
                "is_unused": 0, "is_vmstate": 0, "replicate": 1, "shared": 0, "size": JSON(disk.bytes),
                "volid": .string(disk.volume),
            ]
            let holders = guest.snapshots.filter { $0.config[key] != nil }
            if !holders.isEmpty {
                row["referenced_in_snapshot"] = .object(holders.reduce(into: JSONObject()) { $0[$1.name] = 1 })
            }
            return .object(row)
        }
        return [
            "allowed_nodes": allowed, "has-dbus-vmstate": 1, "local_disks": .array(disks), "local_resources": [],
            "mapped-resource-info": [:], "mapped-resources": [], "not_allowed_nodes": .object(refused),
            "running": running,
        ]
    }
}

extension Call {
    /// The storage to which a migration brings what lies on `id`: `1` keeps it, `a:b` maps one, `b` all.
    fileprivate func storage(for id: String) -> String {
        let pairs = Format.list(self["targetstorage"] ?? self["target-storage"] ?? "1")
        let mapped = pairs.lazy.map { $0.split(separator: ":") }.first { $0.count == 2 && $0[0] == id }
        if let mapped { return String(mapped[1]) }
        return pairs.first { $0 != "1" && !$0.contains(":") } ?? id
    }
}
