/// Creating guests.
extension ClusterState {
    static let createOnly: Set<String> = [
        "node", "vmid", "archive", "bwlimit", "force", "ha-managed", "pool", "start", "storage", "unique",
        "live-restore", "ostemplate", "password", "restore", "ssh-public-keys", "ignore-unpack-errors",
        "import-working-storage", "unprivileged",
    ]

    private func checkCreation(_ call: EndpointCall) throws(Failure) {
        guard
            call.caller.may("VM.Allocate", on: "/vms/\(call.vmid)")
                || call["pool"].map({ pool in call.caller.may("VM.Allocate", on: "/pool/\(pool)") }) == true
        else { throw .denied() }
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

    /// Refuses a pool that is not there.
    func checkPool(_ call: EndpointCall) throws(Failure) {
        guard let pool = call["pool"], pools[pool] == nil else { return }
        throw .denied("pool '\(pool)' does not exist")
    }

    /// Refuses keys for cloud-init that are no public keys of SSH.
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

extension ClusterState {
    /// What comes last when a guest was made: its place with the HA manager, and a task of its own that starts it. How that
    /// one ends says nothing about this one.
    mutating func finishCreation(_ call: EndpointCall, _ log: inout TaskLog) {
        let isNewMachine = call.kind == .vm && call["archive"] == nil
        let isStarted = call.flag("start")
        // A new VM is in the manager's care before it starts, everything else comes there afterwards.
        if isNewMachine, call.flag("ha-managed") { manage(call.vmid, isStarted: isStarted) }
        if isStarted {
            if call.kind == .vm { log.lines.append("Execute autostart") }
            startNow(call.vmid, by: call.caller, &log)
        }
        if !isNewMachine, call.flag("ha-managed") { manage(call.vmid, isStarted: isStarted) }
    }

    /// Starts a guest from within a task, by a task of its own that nobody waits for.
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
