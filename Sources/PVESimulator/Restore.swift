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
        // What was overwritten is lost on a real node; a task that fails here leaves no half of a guest.
        return run("restore", call) { world, log in
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
        guest.config = volume.archive?.config ?? bareConfig(of: guest, named: "restored-\(call.vmid)")
        guest.config["template"] = nil
        for key in Array(guest.config.keys) where key.hasPrefix("unused") { guest.config[key] = nil }
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

    /// For a backup that a test has put there without saying of what.
    private mutating func bareConfig(of guest: Guest, named name: String) -> Config {
        guest.kind == .container
            ? ["memory": "512", "hostname": name] : ["memory": "512", "name": name, "smbios1": "uuid=\(random.uuid())"]
    }
}
