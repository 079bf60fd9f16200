/// Creating guests.
extension World {
    static let createOnly: Set<String> = [
        "node", "vmid", "archive", "bwlimit", "force", "ha-managed", "pool", "start", "storage", "unique",
        "live-restore", "ostemplate", "password", "restore", "ssh-public-keys", "ignore-unpack-errors",
        "import-working-storage",
    ]

    private func checkCreation(_ call: Call) throws(Failure) {
        guard
            call.caller.may("VM.Allocate", on: "/vms/\(call.vmid)")
                || call["pool"].map({ pool in
                    call.caller.may("VM.Allocate", on: "/pool/\(pool)")
                }) == true
        else { throw .denied() }
        if let pool = call["pool"], pools[pool] == nil { throw .plain("pool '\(pool)' does not exist") }
        try checkPrivileges(call.values.filter { !Self.createOnly.contains($0.key) }, call)
        if let archive = call["archive"] ?? call["ostemplate"] { try checkAccess(to: archive, call) }
        for (key, value) in call.values.sorted(by: { $0.key < $1.key }) where Disk.isKey(key, of: call.kind) {
            guard let disk = Disk(value) else { continue }
            _ = try definition(disk.storage)
            guard Double(disk.path) != nil else { continue }
            if let obstacle = obstacle(to: disk.storage, on: call.node, for: call.kind) { throw .plain(obstacle) }
        }
    }

    mutating func createVM(_ call: Call) throws(Failure) -> Reply {
        try checkCreation(call)
        if let archive = call["archive"] { return try restore(archive, call) }
        if let exists = existsText(call.vmid) { throw .plain("unable to create VM \(call.vmid) - \(exists)") }
        let identity = ["smbios1": "uuid=\(random.uuid())", "vmgenid": random.uuid()]
        return start(createWork(call, base: identity, boot: true), by: call.caller)
    }

    mutating func createContainer(_ call: Call) throws(Failure) -> Reply {
        try checkCreation(call)
        if call.flag("restore") { return try restore(call.text("ostemplate"), call) }
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
            if call.flag("ha-managed") { world.manage(call.vmid, isStarted: call.flag("start")) }
            guard call.flag("start") else { return }
            log.lines.append("Execute autostart")
            world.switchOn(call.vmid)
        }
        work.release = { world in world.guests[call.vmid] = nil }
        return work
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
