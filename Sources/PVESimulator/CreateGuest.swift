/// Creating guests, and changing their disks.
extension World {
    private static let createOnly: Set<String> = [
        "node", "vmid", "archive", "bwlimit", "force", "ha-managed", "pool", "start", "storage", "unique",
        "live-restore", "ostemplate", "password", "restore", "ssh-public-keys", "ignore-unpack-errors",
    ]

    private func checkCreation(_ call: Call) throws(Failure) {
        guard
            call.caller.may("VM.Allocate", on: "/vms/\(call.vmid)")
                || call["pool"].map({ pool in
                    call.caller.may("VM.Allocate", on: "/pool/\(pool)")
                }) == true
        else { throw .denied() }
        if let pool = call["pool"], pools[pool] == nil { throw .plain("pool '\(pool)' does not exist") }
        for (key, value) in call.values.sorted(by: { $0.key < $1.key }) where Disk.isKey(key, of: call.kind) {
            if let disk = Disk(value) { _ = try definition(disk.storage) }
        }
    }

    mutating func createVM(_ call: Call) throws(Failure) -> Reply {
        try checkCreation(call)
        if let archive = call["archive"], !volumes.contains(where: { $0.id == archive }) {
            throw .plain("volume '\(archive)' does not exist")
        }
        if let exists = existsText(call.vmid) { throw .plain("unable to create VM \(call.vmid) - \(exists)") }
        let identity = ["smbios1": "uuid=\(random.uuid())", "vmgenid": random.uuid()]
        return start(createWork(call, base: identity, boot: true), by: call.caller)
    }

    mutating func createContainer(_ call: Call) throws(Failure) -> Reply {
        try checkCreation(call)
        if let exists = existsText(call.vmid) { throw .plain(exists) }
        let base = ["arch": "amd64", "ostype": "debian", "swap": "512", "memory": "512"]
        var work = createWork(call, base: base, boot: false)
        let create = work.begin
        work.begin = { (world, log) throws(TaskFailure) in
            let template = call.text("ostemplate")
            guard world.volumes.contains(where: { $0.id == template }) else {
                log.lines.append("volume '\(template)' does not exist")
                throw TaskFailure("unable to create CT \(call.vmid) - volume '\(template)' does not exist")
            }
            try create(&world, &log)
        }
        return start(work, by: call.caller)
    }

    private func createWork(_ call: Call, base: [String: String], boot: Bool) -> Work {
        let kind = call.kind
        let options = call.values.filter { !Self.createOnly.contains($0.key) }
        var work = work("create", call) { (world, _) throws(TaskFailure) in
            var guest = Guest(vmid: call.vmid, kind: kind, node: call.node, profile: Profile(seed: 0, name: ""))
            guest.written = Config()
            guest.written?["lock"] = "create"
            guest.pool = call["pool"]
            world.guests[call.vmid] = guest
        } finish: { (world, log) throws(TaskFailure) in
            world.change(call.vmid) { guest in
                for (key, value) in base { guest.config[key] = value }
                guest.config["lock"] = nil
            }
            let second = world.second
            if boot { world.change(call.vmid) { $0.config["meta"] = "creation-qemu=10.1.2,ctime=\(second)" } }
            var set = call
            set.values = options
            set.values["vmid"] = String(call.vmid)
            set.values["node"] = call.node
            if kind == .container { set.values["rootfs"] = options["rootfs"] ?? "\(call["storage"] ?? "local"):4" }
            do throws(Failure) { try world.applyConfigChange(set, &log) } catch { throw TaskFailure(error.reason) }
            if boot { world.change(call.vmid) { $0.writeBootOrder() } }
            guard call.flag("start") else { return }
            log.lines.append("Execute autostart")
            world.switchOn(call.vmid)
        }
        work.release = { world in world.guests[call.vmid] = nil }
        return work
    }

    mutating func resizeVM(_ call: Call) throws(Failure) -> Reply {
        _ = try guest(call)
        let key = call.text("disk")
        let work = Work(type: "resize", id: String(call.vmid), node: call.node) { (world, _) throws(TaskFailure) in
            let guest = try world.workGuest(call)
            if let digest = call["digest"], digest != guest.digest {
                throw TaskFailure("checksum mismatch (file change by other user?)")
            }
            if let text = guest.lockedText { throw TaskFailure(text) }
            guard let disk = guest.config[key].flatMap({ Disk($0) }) else {
                throw TaskFailure("disk '\(key)' does not exist")
            }
            guard Self.newSize(of: disk, call) >= disk.bytes else {
                throw TaskFailure("shrinking disks is not supported")
            }
        } finish: { (world, log) throws(TaskFailure) in
            world.resize(key, call)
            log.lines.append("Image resized.")
        }
        return start(work, by: call.caller)
    }

    mutating func resizeContainer(_ call: Call) throws(Failure) -> Reply {
        let guest = try guest(call)
        if let text = guest.lockedText { throw .plain(text) }
        if let digest = call["digest"], digest != guest.digest { throw .staleConfig }
        let key = call.text("disk")
        guard let disk = guest.config[key].flatMap({ Disk($0) }) else { throw Self.noVolume }
        guard Self.newSize(of: disk, call) >= disk.bytes else { throw .plain("unable to shrink disk size") }
        let work = Work(type: "resize", id: String(call.vmid), node: call.node) { (world, log) throws(TaskFailure) in
            world.resize(key, call)
            log.lines.append("Image resized.")
        }
        return start(work, by: call.caller)
    }

    /// What Proxmox VE makes of a mount point that is not there.
    private static var noVolume: Failure {
        let missing = "property is missing and it is not optional"
        return Failure(status: 500, message: "format error\n", errors: ["mp": missing, "volume": missing])
    }

    private static func newSize(of disk: Disk, _ call: Call) -> Int {
        let size = call.text("size")
        guard size.hasPrefix("+") else { return Disk.bytes(size) ?? 0 }
        return disk.bytes + (Disk.bytes(String(size.dropFirst())) ?? 0)
    }

    private mutating func resize(_ key: String, _ call: Call) {
        change(call.vmid) { guest in
            guard var disk = guest.config[key].flatMap({ Disk($0) }) else { return }
            disk.options["size"] = Disk.sizeText(Self.newSize(of: disk, call))
            guest.config[key] = disk.line
        }
    }

    mutating func moveDisk(_ call: Call) throws(Failure) -> Reply {
        let guest = try guest(call)
        let key = call.text("disk")
        if let digest = call["digest"], digest != guest.digest { throw .staleConfig }
        if let text = guest.lockedText { throw .plain(text) }
        guard let disk = guest.config[key].flatMap({ Disk($0) }) else { throw .plain("disk '\(key)' does not exist") }
        if let target = call.int("target-vmid") { return try reassign(key, disk, to: target, call) }
        let storage = call["storage"] ?? disk.storage
        let format = call["format"] ?? disk.format
        _ = try definition(storage)
        guard storage != disk.storage || format != disk.format else {
            throw .plain("you can't move to the same storage with same format")
        }
        let work = Work(type: "qmmove", id: String(call.vmid), node: call.node) { (world, log) throws(TaskFailure) in
            guard let guest = world.guests[call.vmid] else { throw TaskFailure("disk '\(key)' does not exist") }
            var moved = disk
            moved.volume = world.newVolume(on: storage, for: call.vmid, format: format, besides: guest)
            log.lines.append(
                "copying volume '\(disk.volume)' from current storage '\(disk.storage)' to target storage '\(storage)'")
            world.change(call.vmid) { guest in
                guest.config[key] = moved.line
                guard !call.flag("delete") else { return }
                let free = (0...).first { guest.config["unused\($0)"] == nil } ?? 0
                guest.config["unused\(free)"] = disk.volume
            }
        }
        return start(work, by: call.caller)
    }

    mutating func moveVolume(_ call: Call) throws(Failure) -> Reply {
        let guest = try guest(call)
        if let digest = call["digest"], digest != guest.digest { throw .staleConfig }
        if let text = guest.lockedText { throw .plain(text) }
        let key = call.text("volume")
        guard let disk = guest.config[key].flatMap({ Disk($0) }) else { throw Self.noVolume }
        if guest.power.isOn { throw .plain("cannot move volumes of a running container") }
        let storage = try definition(call["storage"] ?? disk.storage)
        let work = Work(type: "move_volume", id: String(call.vmid), node: call.node) { (world, _) throws(TaskFailure) in
            var moved = disk
            moved.volume = world.newVolume(on: storage.id, for: call.vmid, format: disk.format, besides: guest)
            world.change(call.vmid) { $0.config[key] = moved.line }
        }
        return start(work, by: call.caller)
    }

    private mutating func reassign(_ key: String, _ disk: Disk, to target: Int, _ call: Call) throws(Failure) -> Reply {
        let targetKey = call["target-disk"] ?? key
        guard guests[target] != nil else { throw .plain("VM \(target) does not exist") }
        let id = "\(call.vmid)-\(key)>\(target)-\(targetKey)"
        let work = Work(type: "qmmove", id: id, node: call.node) { (world, log) throws(TaskFailure) in
            guard let receiver = world.guests[target] else { throw TaskFailure("VM \(target) does not exist") }
            var moved = disk
            moved.volume = world.newVolume(on: disk.storage, for: target, format: disk.format, besides: receiver)
            log.lines.append("removing disk '\(key)' from VM '\(call.vmid)' config")
            world.change(call.vmid) { $0.config[key] = nil }
            world.change(target) { $0.config[targetKey] = moved.line }
        }
        return start(work, by: call.caller)
    }
}

extension Guest {
    /// Boots from the first disk, then from the network.
    fileprivate mutating func writeBootOrder() {
        guard config["boot"] == nil else { return }
        let devices = [disks.first?.key, config["net0"] == nil ? nil : "net0"].compactMap { $0 }
        if !devices.isEmpty { config["boot"] = "order=" + devices.joined(separator: ";") }
    }
}
