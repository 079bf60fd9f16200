/// Changing the disks of guests.
extension ClusterState {
    mutating func resizeVM(_ call: EndpointCall) throws(Failure) -> Reply {
        _ = try guest(call)
        let key = call.text("disk")
        return run(type: "resize", id: String(call.vmid), call) { world, _ in
            let guest = try world.guest(call)
            if let digest = call["digest"], digest != guest.digest {
                throw Failure("checksum mismatch (file change by other user?)")
            }
            if let text = guest.lockedText { throw Failure(text) }
            guard let disk = guest.config[key].flatMap({ Disk($0) }) else {
                throw Failure("disk '\(key)' does not exist")
            }
            guard Self.newSize(of: disk, call) >= disk.bytes else { throw Failure("shrinking disks is not supported") }
        } finish: { world, log in
            world.resize(key, call)
            log.lines.append("Image resized.")
        }
    }

    mutating func resizeContainer(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try guest(call)
        if let text = guest.lockedText { throw Failure(text) }
        try call.checkDigest(guest.digest)
        let key = call.text("disk")
        guard let disk = guest.config[key].flatMap({ Disk($0) }) else { throw Self.noVolume }
        guard Self.newSize(of: disk, call) >= disk.bytes else { throw Failure("unable to shrink disk size") }
        return run(type: "resize", id: String(call.vmid), call) { world, log in
            world.resize(key, call)
            log.lines.append("Image resized.")
        }
    }

    /// What Proxmox VE makes of a mount point that is not there.
    private static var noVolume: Failure {
        let missing = "property is missing and it is not optional"
        return Failure(status: 500, message: "format error\n", errors: ["mp": missing, "volume": missing])
    }

    private static func newSize(of disk: Disk, _ call: EndpointCall) -> Int {
        let size = call.text("size")
        guard size.hasPrefix("+") else { return Disk.bytes(size) ?? 0 }
        return disk.bytes + (Disk.bytes(String(size.dropFirst())) ?? 0)
    }

    private mutating func resize(_ key: String, _ call: EndpointCall) {
        change(call.vmid) { guest in
            guard var disk = guest.config[key].flatMap({ Disk($0) }) else { return }
            disk.options["size"] = Disk.sizeText(Self.newSize(of: disk, call))
            guest.config[key] = disk.line
        }
    }

    mutating func moveDisk(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try guest(call)
        let key = call.text("disk")
        try call.checkDigest(guest.digest)
        if let text = guest.lockedText { throw Failure(text) }
        guard let disk = guest.config[key].flatMap({ Disk($0) }) else { throw Failure("disk '\(key)' does not exist") }
        if let target = call.int("target-vmid") { return try reassign(key, disk, to: target, call) }
        let storage = call["storage"] ?? disk.storage
        let format = call["format"] ?? disk.format
        _ = try definition(storage)
        if let obstacle = obstacle(to: storage, on: call.node, for: call.kind) { throw Failure(obstacle) }
        guard storage != disk.storage || format != disk.format else {
            throw Failure("you can't move to the same storage with same format")
        }
        return run(type: "qmmove", id: String(call.vmid), call) { world, log in
            guard let guest = world.guests[call.vmid] else { throw Failure("disk '\(key)' does not exist") }
            var moved = disk
            moved.volume = world.newVolume(on: storage, for: call.vmid, format: format, besides: guest)
            log.lines.append(
                "copying volume '\(disk.volume)' from current storage '\(disk.storage)' to target storage '\(storage)'")
            world.change(call.vmid) { guest in
                guest.config[key] = moved.line
                if key.hasPrefix("unused") { return }
                if !call.flag("delete") { guest.addUnused(disk.volume) }
            }
        }
    }

    mutating func moveVolume(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try guest(call)
        try call.checkDigest(guest.digest)
        if let text = guest.lockedText { throw Failure(text) }
        let key = call.text("volume")
        guard let disk = guest.config[key].flatMap({ Disk($0) }) else { throw Self.noVolume }
        if guest.power.isOn { throw Failure("cannot move volumes of a running container") }
        if let target = call.int("target-vmid") { return try reassign(key, disk, to: target, call) }
        let storage = try definition(call["storage"] ?? disk.storage)
        if let obstacle = obstacle(to: storage.id, on: call.node, for: call.kind) { throw Failure(obstacle) }
        return run(type: "move_volume", id: String(call.vmid), call) { world, _ in
            var moved = disk
            moved.volume = world.newVolume(on: storage.id, for: call.vmid, format: disk.format, besides: guest)
            world.change(call.vmid) { guest in
                guest.config[key] = moved.line
                if !call.flag("delete") { guest.addUnused(disk.volume) }
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
