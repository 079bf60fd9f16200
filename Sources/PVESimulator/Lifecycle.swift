import StrictJSON

/// Cloning, moving and removing guests.
extension World {
    mutating func clone(_ call: Call) throws(Failure) -> Reply {
        let newID = call.int("newid") ?? 0
        guard
            call.caller.may("VM.Allocate", on: "/vms/\(newID)")
                || call["pool"].map({ pool in
                    call.caller.may("VM.Allocate", on: "/pool/\(pool)")
                }) == true
        else { throw .denied("/vms/\(newID), VM.Allocate") }
        guard let source = guests[call.vmid], source.kind == call.kind, source.node == call.node else {
            throw .plain(
                "unable to find configuration file for \(call.kind.letters) \(call.vmid) on node '\(call.node)'")
        }
        let target = call["target"] ?? call.node
        guard node(target) != nil else { throw .plain("no such cluster node '\(target)'") }
        if target != call.node, source.disks.contains(where: { storage($0.disk.storage)?.isShared != true }) {
            throw .plain(
                "can't clone \(source.kind.letters) to node '\(target)' (\(source.kind.letters) uses local storage)")
        }
        if let exists = existsText(newID) {
            throw .plain(call.kind == .vm ? "unable to create VM \(newID): config file already exists" : exists)
        }
        if let text = source.lockedText { throw .plain(text) }
        let full = call["full"].map { $0 == "1" } ?? !source.isTemplate
        var config = source.config
        if let name = call["snapname"] {
            guard let snapshot = source.snapshots.first(where: { $0.name == name }) else {
                throw .plain("snapshot '\(name)' does not exist")
            }
            config = snapshot.config
        }
        if !full { try checkLinkedClone(source) }
        if let storage = call["storage"] { _ = try self.definition(storage) }
        return startClone(of: source, config, newID: newID, target: target, full: full, call)
    }

    private func checkLinkedClone(_ source: Guest) throws(Failure) {
        for (key, disk) in source.disks {
            let canLink = storage(disk.storage)?.takesLinkedClones(of: disk, kind: source.kind) ?? false
            guard !source.isTemplate || !canLink else { continue }
            throw .plain(
                source.kind == .vm
                    ? "Linked clone feature is not supported for '\(disk.volume)' (\(key))"
                    : "Linked clone feature for '\(disk.volume)' is not available")
        }
    }

    private mutating func startClone(
        of source: Guest, _ config: Config, newID: Int, target: String, full: Bool, _ call: Call
    ) -> Reply {
        let kind = source.kind
        var work = work("clone", call, exclusive: false) { (world, log) throws(TaskFailure) in
            var clone = Guest(
                vmid: newID, kind: kind, node: target, profile: Profile(seed: source.profile.seed, name: ""))
            clone.written = Config()
            clone.written?["lock"] = kind == .vm ? "clone" : "create"
            clone.pool = call["pool"]
            clone.answersShutdown = source.answersShutdown
            world.guests[newID] = clone
            log.lines.append("creating a clone of \(kind.letters) \(call.vmid) with ID \(newID)")
        } finish: { (world, log) throws(TaskFailure) in
            guard var clone = world.guests[newID] else { throw TaskFailure("unable to find clone \(newID)") }
            clone.config = world.identity(of: config, newID: newID, name: source.name, call)
            for (key, disk) in source.disks {
                let mode = full ? "full" : "linked"
                log.lines.append("create \(mode) clone of drive \(key) (\(disk.volume))")
                let storage = call["storage"] ?? disk.storage
                let volume = world.newVolume(
                    on: storage, for: newID, format: call["format"] ?? disk.format, besides: clone)
                var copy = disk
                copy.volume = full ? volume : "\(disk.volume)/\(volume.drop { $0 != ":" }.dropFirst())"
                clone.config[key] = copy.line
            }
            world.guests[newID] = clone
        }
        work.release = { world in world.guests[newID] = nil }
        return start(work, by: call.caller)
    }

    /// The configuration of a clone: a name, addresses and an identity of its own.
    private mutating func identity(of source: Config, newID: Int, name: String, _ call: Call) -> Config {
        var config = source
        for key in ["lock", "parent", "template", "snaptime", "vmstate", "description", "protection"] {
            config[key] = nil
        }
        for key in Array(config.keys) where key.hasPrefix("unused") { config[key] = nil }
        config["description"] = call["description"].map { call.kind == .vm ? $0 : $0 + "\n" }
        if call.kind == .vm {
            config["name"] = call["name"] ?? "Copy-of-VM-\(name)"
            config["smbios1"] = "uuid=\(random.uuid())"
            config["vmgenid"] = random.uuid()
        } else {
            config["hostname"] = call["hostname"] ?? "Copy-of-CT-\(name)"
        }
        for (key, value) in source.sorted where key.hasPrefix("net") && Int(key.dropFirst(3)) != nil {
            var list = PropertyList(value, leading: "model")
            for item in list.items where item.value.split(separator: ":").count == 6 {
                list[item.key] = random.macAddress()
            }
            config[key] = list.text
        }
        return config
    }

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
        if guest.haState != nil { return askHA("migrate", guest, call) }
        return start(migrateWork(call, to: target), by: call.caller)
    }

    func migrateWork(_ call: Call, to target: String) -> Work {
        var work = work("migrate", call, exclusive: false) { (world, log) throws(TaskFailure) in
            let guest = try world.unlocked(call)
            log.lines.append("starting migration of \(guest.kind.letters) \(guest.vmid) to node '\(target)'")
            for (_, disk) in guest.disks {
                guard let storage = world.storage(disk.storage), storage.isOn(target) else {
                    log.lines.append("ERROR: storage '\(disk.storage)' is not available on node '\(target)'")
                    throw TaskFailure("migration aborted")
                }
                if !storage.isShared, guest.kind == .vm, guest.power.isOn, !call.flag("with-local-disks") {
                    log.lines.append(
                        "ERROR: can't migrate local disk '\(disk.volume)': can't live migrate attached local disks "
                            + "without with-local-disks option")
                    throw TaskFailure("migration aborted")
                }
            }
            world.lock(call.vmid, "migrate")
        } finish: { (world, log) throws(TaskFailure) in
            world.change(call.vmid) { guest in
                guest.node = target
                guest.config["lock"] = nil
            }
            log.lines.append("migration finished successfully (duration 00:00:01)")
        }
        work.release = { world in world.lock(call.vmid, nil) }
        return work
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

    mutating func destroy(_ call: Call) throws(Failure) -> Reply {
        let guest = try guest(call)
        let letters = guest.kind.letters
        if guest.config["protection"] == "1" {
            throw .plain("can't remove \(letters) \(call.vmid) - protection mode enabled")
        }
        if guest.kind == .container, let text = guest.lockedText { throw .plain(text) }
        if guest.haState != nil, !call.flag("purge") {
            throw .plain("unable to remove \(letters) \(call.vmid) - used in HA resources and purge parameter not set.")
        }
        if guest.power.isOn, !(guest.kind == .container && call.flag("force")) {
            throw .plain(
                guest.kind == .vm
                    ? "VM \(call.vmid) is running - destroy failed"
                    : "unable to destroy CT \(call.vmid) - container is running")
        }
        let work = work("destroy", call) { (world, log) throws(TaskFailure) in
            let guest = try world.unlocked(call)
            for (_, disk) in guest.disks where world.isBase(disk.volume, of: guest.vmid) {
                throw TaskFailure("base volume '\(disk.volume)' is still in use by linked cloned")
            }
            if call.flag("purge") {
                log.lines.append("purging \(letters) \(call.vmid) from related configurations..")
            }
        } finish: { (world, _) throws(TaskFailure) in
            world.guests[call.vmid] = nil
            world.firewalls[.guest(call.vmid)] = nil
            if call.flag("purge") { world.haResources[guest.haID] = nil }
            world.volumes.removeAll { $0.vmid == call.vmid && $0.content != "backup" }
        }
        return start(work, by: call.caller)
    }

    /// Whether another guest's disk builds on `volume`.
    private func isBase(_ volume: String, of vmid: Int) -> Bool {
        guests.values.contains { other in
            other.vmid != vmid && other.written != nil
                && other.disks.contains { $0.disk.volume.hasPrefix(volume + "/") }
        }
    }

    mutating func makeTemplate(_ call: Call) throws(Failure) -> Reply {
        let guest = try guest(call)
        if let text = guest.lockedText { throw .plain(text) }
        if guest.isTemplate { throw .plain("you can't convert a template to a template") }
        let letters = guest.kind.letters
        guard guest.snapshots.isEmpty else {
            throw .plain("unable to create template, because \(letters) contains snapshots")
        }
        if guest.power.isOn {
            throw .plain("you can't convert a \(letters) to template if \(letters) is running")
        }
        let work = work("template", call) { (world, _) throws(TaskFailure) in
            world.change(call.vmid) { guest in
                for (key, disk) in guest.disks {
                    var base = disk
                    let old = "vm-\(guest.vmid)-"
                    if let range = base.volume.firstRange(of: old) {
                        base.volume.replaceSubrange(range, with: "base-\(guest.vmid)-")
                    }
                    guest.config[key] = base.line
                }
                guest.config["template"] = "1"
            }
        }
        let reply = start(work, by: call.caller)
        return guest.kind == .vm ? reply : .null
    }
}
