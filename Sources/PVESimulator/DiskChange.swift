/// Changing the disks of guests.
extension ClusterState {
    /// An invalid request is refused for a container; for a VM the task fails instead.
    mutating func resize(_ call: EndpointCall) throws(Failure) -> Reply {
        let isVM = try guest(call).kind == .vm
        if !isVM { try checkResize(call) }
        return run(type: "resize", id: String(call.vmid), call) { world, _ in
            if isVM { try world.checkResize(call) }
        } finish: { world, log in
            world.change(call.vmid) { guest in
                guard var disk = guest.config[call.text("disk")].flatMap({ Disk($0) }) else { return }
                disk.options["size"] = Disk.sizeText(Self.newSize(of: disk, call))
                guest.config[call.text("disk")] = disk.line
            }
            log.lines.append("Image resized.")
        }
    }

    private func checkResize(_ call: EndpointCall) throws(Failure) {
        let guest = try guest(call)
        try call.checkDigest(guest.digest, guest.stale)
        if let text = guest.lockedText { throw Failure(text) }
        let disk = try disk(call.text("disk"), of: guest)
        guard Self.newSize(of: disk, call) >= disk.bytes else {
            throw Failure(guest.kind == .vm ? "shrinking disks is not supported" : "unable to shrink disk size")
        }
    }

    /// The disk of a guest. A missing mount point gets Proxmox VE's own error text.
    private func disk(_ key: String, of guest: Guest) throws(Failure) -> Disk {
        if let disk = guest.config[key].flatMap({ Disk($0) }) { return disk }
        guard guest.kind == .container else { throw Failure("disk '\(key)' does not exist") }
        let missing = "property is missing and it is not optional"
        throw Failure(status: 500, message: "format error\n", errors: ["mp": missing, "volume": missing])
    }

    private static func newSize(of disk: Disk, _ call: EndpointCall) -> Int {
        let size = call.text("size")
        guard size.hasPrefix("+") else { return Disk.bytes(size) ?? 0 }
        return disk.bytes + (Disk.bytes(String(size.dropFirst())) ?? 0)
    }

    mutating func moveDisk(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try guest(call)
        let isVM = guest.kind == .vm
        let key = call["disk"] ?? call.text("volume")
        try call.checkDigest(guest.digest)
        if let text = guest.lockedText { throw Failure(text) }
        let disk = try disk(key, of: guest)
        if !isVM, guest.power.isOn { throw Failure("cannot move volumes of a running container") }
        if let target = call.int("target-vmid") { return try reassign(key, disk, to: target, call) }
        let storage = try definition(call["storage"] ?? disk.storage).id
        let format = call["format"] ?? disk.format
        if let obstacle = obstacle(to: storage, on: call.node, for: call.kind) { throw Failure(obstacle) }
        guard !isVM || storage != disk.storage || format != disk.format else {
            throw Failure("you can't move to the same storage with same format")
        }
        let drive = guest.power.isOn ? key : nil
        let half: Work.Step = { _, log in log.lines.append(ProgressLine.copied(disk, 50, drive: drive)) }
        return run(
            type: isVM ? "qmmove" : "move_volume", id: String(call.vmid), call, stages: isVM ? [half] : []
        ) { world, log in
            guard let guest = world.guests[call.vmid] else { throw Failure("disk '\(key)' does not exist") }
            var moved = disk
            moved.volume = world.newVolume(on: storage, for: call.vmid, format: format, besides: guest)
            log.lines.append(
                "copying volume '\(disk.volume)' from current storage '\(disk.storage)' to target storage '\(storage)'")
            if isVM { log.lines.append(ProgressLine.copied(disk, 100, drive: drive)) }
            world.change(call.vmid) { guest in
                guest.config[key] = moved.line
                if !call.flag("delete"), !key.hasPrefix("unused") { guest.addUnused(disk.volume) }
            }
        }
    }

    private mutating func reassign(
        _ key: String, _ disk: Disk, to target: Int, _ call: EndpointCall
    ) throws(Failure) -> Reply {
        let targetKey = call["target-disk"] ?? call["target-volume"] ?? key
        guard let owner = guests[target] else { throw Failure("VM \(target) does not exist") }
        if let digest = call["target-digest"], digest != owner.digest { throw .staleConfig }
        // qemu-server, src/PVE/API2/Qemu.pm: move_vm_disk, load_and_check_reassign_configs.
        guard let giver = guests[call.vmid] else { throw Failure("could not find VM \(call.vmid)") }
        guard giver.node == owner.node else {
            throw Failure("Both VMs need to be on the same node (\(giver.node) != \(owner.node))")
        }
        if [giver, owner].contains(where: { $0.config["template"] == "1" }) {
            throw Failure("Can't move disks from or to template VMs")
        }
        if owner.config[targetKey] != nil {
            throw Failure("Target disk key '\(targetKey)' is already in use for VM '\(target)'")
        }
        if giver.power.isOn, !key.hasPrefix("unused") {
            throw Failure("Cannot move disk to another VM while the source VM is running - detach first")
        }
        let id = "\(call.vmid)-\(key)>\(target)-\(targetKey)"
        let type = call.kind == .vm ? "qmmove" : "move_volume"
        return run(type: type, id: id, call) { world, log in
            guard let receiver = world.guests[target] else { throw Failure("VM \(target) does not exist") }
            var moved = disk
            moved.volume = world.newVolume(on: disk.storage, for: target, format: disk.format, besides: receiver)
            log.lines.append("removing disk '\(key)' from VM '\(call.vmid)' config")
            world.change(call.vmid) { $0.config[key] = nil }
            world.change(target) { $0.config[targetKey] = moved.line }
        }
    }
}
