/// Creating guests.
extension ClusterState {
    static let createOnly: Set<String> = [
        "node", "vmid", "archive", "bwlimit", "force", "ha-managed", "pool", "start", "storage", "unique",
        "live-restore", "ostemplate", "password", "restore", "ssh-public-keys", "ignore-unpack-errors",
        "import-working-storage", "unprivileged",
    ]

    private func checkCreation(_ call: EndpointCall) throws(Failure) {
        guard call.mayMake(call.vmid) else { throw .denied() }
        try checkPool(call)
        if call.kind == .vm { try Self.checkKeys(call) }
        try checkPrivileges(call.values.filter { !Self.createOnly.contains($0.key) }, call)
        if let archive = call["archive"] ?? call["ostemplate"] { try checkAccess(to: archive, call) }
        for (key, value) in call.values.sorted(by: { $0.key < $1.key }) where Disk.isKey(key, of: call.kind) {
            guard let disk = Disk(value) else { continue }
            _ = try definition(disk.storage)
            guard Double(disk.path) != nil else { continue }
            if let obstacle = obstacle(to: disk.storage, on: call.node, for: call.kind) { throw Failure(obstacle) }
        }
    }

    /// Refuses a pool that does not exist.
    func checkPool(_ call: EndpointCall) throws(Failure) {
        guard let pool = call["pool"], pools[pool] == nil else { return }
        throw .denied("pool '\(pool)' does not exist")
    }

    /// Refuses cloud-init keys that are not SSH public keys.
    static func checkKeys(_ call: EndpointCall) throws(Failure) {
        let lines = FormDecoder.decode(call.text("sshkeys")).split(whereSeparator: \.isNewline)
        let kinds = ["ssh-", "ecdsa-", "sk-"]
        let isWrong = lines.contains { line in
            let words = line.split(separator: " ")
            let kind = words.firstIndex { word in kinds.contains { word.hasPrefix($0) } }
            return !line.hasPrefix("#") && (kind.map { $0 + 1 >= words.count } ?? true)
        }
        if isWrong { throw Failure("SSH public key validation error") }
    }

    mutating func createVM(_ call: EndpointCall) throws(Failure) -> Reply {
        try checkCreation(call)
        if let archive = call["archive"] { return try restore(archive, call) }
        if let exists = existsText(call.vmid) { throw Failure("unable to create VM \(call.vmid) - \(exists)") }
        let identity = ["smbios1": "uuid=\(random.uuid())", "vmgenid": random.uuid()]
        return start(createWork(call, base: identity, boot: true), by: call.caller)
    }

    mutating func createContainer(_ call: EndpointCall) throws(Failure) -> Reply {
        try checkCreation(call)
        if call.flag("restore") { return try restore(call.text("ostemplate"), call) }
        if let exists = existsText(call.vmid) { throw Failure(exists) }
        var base = ["arch": "amd64", "ostype": "debian", "swap": "512", "memory": "512"]
        if call["unprivileged"] != "0" { base["unprivileged"] = "1" }
        var work = createWork(call, base: base, boot: false)
        let create = work.begin
        work.begin = { world, log in
            let template = call.text("ostemplate")
            guard world.volumes.contains(where: { $0.id == template }) else {
                log.lines.append("volume '\(template)' does not exist")
                throw Failure("unable to create CT \(call.vmid) - volume '\(template)' does not exist")
            }
            try create(&world, &log)
        }
        return start(work, by: call.caller)
    }

    private func createWork(_ call: EndpointCall, base: [String: String], boot: Bool) -> Work {
        let kind = call.kind
        let options = call.values.filter { !Self.createOnly.contains($0.key) }
        var work = work("create", call) { world, _ in
            world.guests[call.vmid] = Guest(call.vmid, kind, on: call.node, lock: "create", pool: call["pool"])
        } finish: { world, log in
            world.change(call.vmid) { guest in
                for (key, value) in base { guest.config[key] = value }
                guest.config["lock"] = nil
            }
            let second = world.second
            if boot { world.change(call.vmid) { $0.config["meta"] = "creation-qemu=10.1.2,ctime=\(second)" } }
            var set = call.setting(options)
            if kind == .container { set.values["rootfs"] = options["rootfs"] ?? "\(call["storage"] ?? "local"):4" }
            try world.applyConfigChange(set, &log)
            if boot { world.change(call.vmid) { $0.writeBootOrder() } }
            world.finishCreation(call, &log)
        }
        work.release = { world in world.guests[call.vmid] = nil }
        return work
    }
}

extension EndpointCall {
    /// Whether the caller may create a guest with this number: through the guest's path, or through the named pool.
    func mayMake(_ vmid: Int) -> Bool {
        let paths = ["/vms/\(vmid)"] + (self["pool"].map { ["/pool/\($0)"] } ?? [])
        return paths.contains { caller.may("VM.Allocate", on: $0) }
    }
}

extension ClusterState {
    /// The last steps of creating a guest: put it under the HA manager, and start it by a separate task. The result of
    /// that task does not affect this one.
    mutating func finishCreation(_ call: EndpointCall, _ log: inout TaskLog) {
        let isNewMachine = call.kind == .vm && call["archive"] == nil
        let isStarted = call.flag("start")
        // A new VM comes under the manager before its start, every other guest after its start.
        if isNewMachine, call.flag("ha-managed") { manage(call.vmid, isStarted: isStarted) }
        if isStarted {
            if call.kind == .vm { log.lines.append("Execute autostart") }
            startNow(call.vmid, by: call.caller, &log)
        }
        if !isNewMachine, call.flag("ha-managed") { manage(call.vmid, isStarted: isStarted) }
    }

    /// Starts a guest from within a task, by a separate task; the outer task does not wait for it.
    mutating func startNow(_ vmid: Int, by caller: Caller, _ log: inout TaskLog) {
        guard let guest = guests[vmid] else { return }
        let single = call(for: guest, [:], by: caller)
        do throws(Failure) { _ = try startInside { (world) throws(Failure) in try world.powerOn(single) } } catch {
            log.lines.append(error.reason)
        }
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

/// Making guests from backups.
extension ClusterState {
    mutating func restore(_ archive: String, _ call: EndpointCall) throws(Failure) -> Reply {
        guard let volume = volumes.first(where: { $0.id == archive }) else {
            throw Failure("volume '\(archive)' does not exist")
        }
        let letters = call.kind.letters
        let refusal = call.kind == .vm ? "unable to restore VM \(call.vmid) - " : ""
        if let present = guests[call.vmid] {
            guard call.flag("force"), present.kind == call.kind, present.node == call.node else {
                throw Failure(refusal + (existsText(call.vmid) ?? ""))
            }
            if let text = present.lockedText { throw Failure(text) }
            if present.power.isOn {
                throw Failure(call.kind == .vm ? refusal + "vm is running" : "cant overwrite running container")
            }
            if present.config["protection"] == "1" {
                throw Failure(refusal + "can't remove \(letters) \(call.vmid) - protection mode enabled")
            }
        }
        let before = guests[call.vmid]
        // A real node loses the overwritten guest. Here a failed task restores it and leaves no partial guest.
        let half: Work.Step = { _, log in log.lines.append(ProgressLine.restored(volume.bytes, 50)) }
        return run("restore", call, stages: call.kind == .vm ? [half] : []) { world, log in
            guard volume.content == "backup", volume.backupKind == call.kind.word else {
                throw Failure("'\(archive)' is no backup of a \(letters)")
            }
            log.lines.append("restore \(volume.backupKind) archive: \(archive)")
            world.guests[call.vmid] = Guest(
                call.vmid, call.kind, on: call.node, lock: "create", pool: call["pool"] ?? before?.pool)
        } finish: { world, log in
            try world.fill(call, from: volume, &log)
        } release: { world in
            world.guests[call.vmid] = before
        }
    }

    private mutating func fill(_ call: EndpointCall, from volume: Volume, _ log: inout TaskLog) throws(Failure) {
        guard var guest = guests[call.vmid] else { throw Failure("unable to find guest \(call.vmid)") }
        guest.config = volume.archive?.config.withoutUnused ?? bareConfig(of: guest, named: "restored-\(call.vmid)")
        guest.config["template"] = nil
        for (key, disk) in guest.disks {
            let target = call["storage"] ?? disk.storage
            if let obstacle = obstacle(to: target, on: call.node, for: call.kind) { throw Failure(obstacle) }
            var copy = disk
            copy.volume = newVolume(on: target, for: call.vmid, format: disk.format, besides: guest)
            guest.config[key] = copy.line
            log.lines.append("new volume ID is '\(copy.volume)'")
        }
        if let unprivileged = call["unprivileged"] { guest.config["unprivileged"] = unprivileged == "1" ? "1" : nil }
        if guest.kind == .vm { guest.config["vmgenid"] = random.uuid() }
        if call.flag("unique") { makeUnique(&guest) }
        guests[call.vmid] = guest
        try applyConfigChange(call.setting(call.values.filter { !Self.createOnly.contains($0.key) }), &log)
        finishCreation(call, &log)
    }

    private mutating func makeUnique(_ guest: inout Guest) {
        if guest.kind == .vm { guest.config["smbios1"] = "uuid=\(random.uuid())" }
        drawAddresses(for: &guest.config)
    }

    /// For a backup that a test added without a guest configuration.
    private mutating func bareConfig(of guest: Guest, named name: String) -> Config {
        guest.kind == .container
            ? ["memory": "512", "hostname": name] : ["memory": "512", "name": name, "smbios1": "uuid=\(random.uuid())"]
    }
}
