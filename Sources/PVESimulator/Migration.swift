import StrictJSON

/// Moving guests to other nodes.
extension ClusterState {
    mutating func migrate(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try checkMigrationRequest(call)
        if isManaged(guest) { return askHA("migrate", guest, call) }
        return start(migrateWork(call, to: call.text("target")), by: call.caller)
    }

    /// Refuses what Proxmox VE refuses before the task begins; otherwise returns the guest.
    func checkMigrationRequest(_ call: EndpointCall) throws(Failure) -> Guest {
        let target = call.text("target")
        guard isQuorate else { throw .notReady }
        guard node(target) != nil else { throw Failure("no such cluster node '\(target)'") }
        guard target != call.node else { throw .parameters(["target": "target is local node."]) }
        let guest = try guest(call)
        if let text = guest.lockedText { throw Failure(text) }
        if guest.power.isOn {
            if guest.kind == .vm, !call.flag("online") { throw Failure("can't migrate running VM without --online") }
            if guest.kind == .container, !call.flag("online"), !call.flag("restart") {
                throw Failure("can't migrate running container without --online or --restart")
            }
        }
        // The task checks a container's volumes.
        let volumes = guest.kind == .vm ? guest.volumes : []
        for id in call.storageMap.targets + volumes.map({ call.storage(for: $0.disk.storage) }) {
            guard let storage = storage(id) else { throw Failure("storage '\(id)' does not exist") }
            guard storage.isOn(target) else { throw Failure("storage '\(id)' is not available on node '\(target)'") }
        }
        return guest
    }

    func migrateWork(_ call: EndpointCall, to target: String) -> Work {
        let type = call.kind == .vm ? "qmigrate" : "vzmigrate"
        let wasRunning = guests[call.vmid]?.power.isOn == true
        var work = Work(type: type, id: String(call.vmid), node: call.node, exclusive: call.vmid) { world, log in
            let guest = try world.unlocked(call)
            try world.checkMigration(of: guest, to: target, call, &log)
        } finish: { world, log in
            world.endMigration(call, wasRunning: wasRunning)
            log.lines.append("migration finished successfully (duration 00:00:01)")
        }
        let beginMoving: Work.Step = { world, log in
            if call.kind == .container, wasRunning {
                log.lines.append("shutdown CT \(call.vmid)")
                world.switchOff(call.vmid)
            }
            log.lines.append("starting migration of \(call.kind.letters) \(call.vmid) to node '\(target)'")
            world.lock(call.vmid, "migrate")
            guard call.kind == .vm, wasRunning else { return }
            world.note("qmstart", call.vmid, on: target)
            let memory = world.guests[call.vmid]?.config["memory"].flatMap { Int($0) } ?? 512
            log.lines.append(ProgressLine.migrated(memory))
        }
        let moveOver: Work.Step = { world, _ in world.moveOver(call, to: target) }
        work.stages = [beginMoving, moveOver]
        work.release = { world in world.endMigration(call, wasRunning: wasRunning) }
        return work
    }

    /// Removes the lock. A container that was shut down for the migration starts on its current node.
    private mutating func endMigration(_ call: EndpointCall, wasRunning: Bool) {
        lock(call.vmid, nil)
        guard call.kind == .container, wasRunning, let guest = guests[call.vmid], !guest.power.isOn else { return }
        if guest.node != call.node { note("vzstart", call.vmid, on: guest.node) }
        switchOn(call.vmid)
    }

    /// The checks that only the task makes.
    func checkMigration(of guest: Guest, to target: String, _ call: EndpointCall, _ log: inout TaskLog) throws(Failure)
    {
        func abort(_ why: String) -> Failure {
            log.lines.append("ERROR: migration aborted (duration 00:00:00): \(why)")
            return Failure("migration aborted")
        }
        guard node(target)?.isOnline == true else {
            throw abort("Can't connect to destination address using public key")
        }
        if guest.kind == .container, guest.power.isOn, !call.flag("restart") {
            throw abort("lxc live migration is currently not implemented")
        }
        let devices = guest.localDevices
        guard devices.isEmpty else {
            throw abort("can't migrate VM which uses local devices: \(devices.joined(separator: ", "))")
        }
        for (_, disk) in guest.volumes {
            let id = call.storage(for: disk.storage)
            guard let storage = storage(id), storage.isOn(target) else {
                throw abort("storage '\(id)' is not available on node '\(target)'")
            }
            guard storage.isActive else { throw abort("storage '\(id)' is not online") }
            guard guest.kind == .vm, self.storage(disk.storage)?.isShared != true else { continue }
            let isUnasked = guest.power.isOn && !call.flag("with-local-disks")
            guard isUnasked || disk.isImage else { continue }
            let why =
                isUnasked
                ? "can't live migrate attached local disks without with-local-disks option" : "local cdrom image"
            log.lines.append("can't migrate local disk '\(disk.volume)': \(why)")
            throw abort("Problem found while scanning volumes - can't migrate VM - check log")
        }
    }

    /// Assigns the guest to the other node; it stays locked.
    private mutating func moveOver(_ call: EndpointCall, to target: String) {
        let vmid = call.vmid
        guard var guest = guests[vmid] else { return }
        for (key, disk) in guest.disks where call.storage(for: disk.storage) != disk.storage {
            var moved = disk
            moved.volume = newVolume(
                on: call.storage(for: disk.storage), for: vmid, format: disk.format, besides: guest)
            guest.config[key] = moved.line
        }
        guest.node = target
        // On the other node it is a new process.
        if case .running = guest.power { guest.power = .running(second) }
        guests[vmid] = guest
    }
}

/// Reports in advance whether a guest can be moved.
extension ClusterState {
    func migrationPreconditions(_ call: EndpointCall) throws(Failure) -> JSON {
        if call.kind == .vm, !isQuorate { throw .notReady }
        let guest = try guest(call)
        if guest.kind == .vm, let text = guest.lockedText { throw Failure(text) }
        // Offline nodes are included.
        let others = nodes.map(\.name).filter { $0 != guest.node }
        let reasons = others.reduce(into: [String: JSONObject]()) { $0[$1] = obstacles(to: guest, on: $1) }
        let allowed = JSON(others.filter { reasons[$0]?.isEmpty == true })
        let refused = others.reduce(into: JSONObject()) { object, name in
            let own = reasons[name] ?? [:]
            // For VMs this lists every other node, most of them without an obstacle.
            if guest.kind == .vm || !own.isEmpty { object[name] = .object(own) }
        }
        let running: JSON = guest.power.isOn ? 1 : 0
        let companions: JSON? = isManaged(guest) ? JSON(dependents(of: guest.haID)) : nil
        guard guest.kind == .vm else {
            return [
                "running": running, "allowed-nodes": allowed, "not-allowed-nodes": .object(refused),
                "dependent-ha-resources": companions,
            ]
        }
        return [
            "allowed_nodes": allowed, "has-dbus-vmstate": 1, "local_disks": .array(localDisks(of: guest)),
            "local_resources": JSON(guest.localDevices), "mapped-resource-info": [:], "mapped-resources": [],
            "not_allowed_nodes": .object(refused), "running": running, "dependent-ha-resources": companions,
        ]
    }

    private func obstacles(to guest: Guest, on node: String) -> JSONObject {
        var found = JSONObject()
        let missing = Set(guest.volumes.map(\.disk.storage)).filter { storage($0)?.isOn(node) != true }
        if guest.kind == .vm, !missing.isEmpty { found["unavailable_storages"] = JSON(missing.sorted()) }
        let blocking = blockers(of: guest.haID, on: node)
        if !blocking.isEmpty {
            found["blocking-ha-resources"] = .array(
                blocking.map { ["cause": "resource-affinity", "sid": .string($0)] })
        }
        return found
    }

    private func localDisks(of guest: Guest) -> [JSON] {
        guest.volumes.filter { storage($0.disk.storage)?.isShared != true }.map { key, disk in
            let size = disk.isImage ? volumes.first { $0.id == disk.volume }?.bytes ?? 0 : disk.bytes
            var row: JSONObject = [
                "cdrom": disk.isImage ? 1 : 0, "drivename": .string(key), "is_attached": 1,
                "is_cloudinit": disk.isCloudInit ? 1 : 0, "is_tpmstate": key.hasPrefix("tpmstate") ? 1 : 0,
                "is_unused": 0, "is_vmstate": 0, "replicate": 1, "shared": 0, "size": JSON(size),
                "volid": .string(disk.volume),
            ]
            let holders = guest.snapshots.filter { $0.config[key] != nil }
            if !holders.isEmpty {
                row["referenced_in_snapshot"] = .object(holders.reduce(into: JSONObject()) { $0[$1.name] = 1 })
            }
            return .object(row)
        }
    }
}

extension Guest {
    /// Keys of devices that exist only on its node.
    fileprivate var localDevices: [String] {
        guard kind == .vm else { return [] }
        return config.sorted.compactMap { key, value in
            let stem = key.prefix { !$0.isNumber }
            guard stem.count < key.count, !value.contains("mapping=") else { return nil }
            return switch stem {
            case "hostpci", "parallel": key
            case "usb": value.hasPrefix("spice") ? nil : key
            case "serial": value == "socket" ? nil : key
            default: nil
            }
        }
    }
}

extension Disk {
    /// A cloud-init drive, which the node generates; it moves with the guest.
    fileprivate var isCloudInit: Bool { isCDROM && path.contains("cloudinit") }
    /// An image in a drive; it does not move with the guest.
    fileprivate var isImage: Bool { isCDROM && !isCloudInit }
}

extension EndpointCall {
    /// Pairs of source and target storages, and the target for all storages without a pair.
    fileprivate var storageMap: (pairs: [String: String], rest: String?, targets: [String]) {
        var (pairs, rest): ([String: String], String?) = ([:], nil)
        for entry in Format.list(self["targetstorage"] ?? self["target-storage"] ?? "1") where entry != "1" {
            let parts = entry.split(separator: ":").map(String.init)
            if parts.count == 2 { pairs[parts[0]] = parts[1] } else { rest = entry }
        }
        return (pairs, rest, pairs.values.sorted() + (rest.map { [$0] } ?? []))
    }

    /// The target storage of a migration for volumes on `id`.
    fileprivate func storage(for id: String) -> String { storageMap.pairs[id] ?? storageMap.rest ?? id }
}
