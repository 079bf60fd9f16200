import StrictJSON

/// Cloning, removing and freezing guests.
extension ClusterState {
    mutating func clone(_ call: EndpointCall) throws(Failure) -> Reply {
        let newID = call.int("newid") ?? 0
        guard call.mayMake(newID) else { throw .denied("/vms/\(newID), VM.Allocate") }
        guard let source = guests[call.vmid], source.kind == call.kind, source.node == call.node else {
            throw Failure(
                "unable to find configuration file for \(call.kind.letters) \(call.vmid) on node '\(call.node)'")
        }
        let target = call["target"] ?? call.node
        guard node(target) != nil else { throw Failure("no such cluster node '\(target)'") }
        if target != call.node, source.disks.contains(where: { storage($0.disk.storage)?.isShared != true }) {
            throw Failure(
                "can't clone \(source.kind.letters) to node '\(target)' (\(source.kind.letters) uses local storage)")
        }
        if let other = guests[newID], other.node != call.node {
            // Only the cluster's file system detects this conflict.
            return start(
                work("clone", call, exclusive: false) { _, _ in
                    let file = "/etc/pve/nodes/\(call.node)/\(call.kind.folder)/\(newID).conf"
                    throw Failure("close (rename) atomic file '\(file)' failed: File exists")
                }, by: call.caller)
        }
        if let exists = existsText(newID) {
            throw Failure(call.kind == .vm ? "unable to create VM \(newID): config file already exists" : exists)
        }
        if let text = source.lockedText { throw Failure(text) }
        for (key, value) in source.config.sorted { try checkBridge(key, value, call) }
        try checkPool(call)
        let full = call["full"].map { $0 == "1" } ?? !source.isTemplate
        let config = try call["snapname"].map { (name) throws(Failure) in try source.snapshot(name).fullConfig }
        if !full {
            for key in ["storage", "format"] where call[key] != nil {
                throw Failure("parameter '\(key)' not allowed for linked clones")
            }
            try checkLinkedClone(source)
        } else if source.kind == .container, source.power.isOn, call["snapname"] == nil {
            throw Failure("Cannot do full clones on a running container without snapshots")
        }
        if let storage = call["storage"] { _ = try self.definition(storage) }
        return startClone(of: source, config ?? source.config, newID: newID, target: target, full: full, call)
    }

    private func checkLinkedClone(_ source: Guest) throws(Failure) {
        for (key, disk) in source.disks {
            let canLink = storage(disk.storage)?.takesLinkedClones(of: disk, kind: source.kind) ?? false
            guard !source.isTemplate || !canLink else { continue }
            throw Failure(
                source.kind == .vm
                    ? "Linked clone feature is not supported for '\(disk.volume)' (\(key))"
                    : "Linked clone feature for '\(disk.volume)' is not available")
        }
    }

    private mutating func startClone(
        of source: Guest, _ config: Config, newID: Int, target: String, full: Bool, _ call: EndpointCall
    ) -> Reply {
        let kind = source.kind
        let drive = kind == .vm && source.power.isOn
        let tells = kind == .vm && full
        let half: Work.Step = { _, log in
            guard let (key, disk) = source.disks.first else { return }
            log.lines.append(ProgressLine.copied(disk, 50, drive: drive ? key : nil))
        }
        return run("clone", call, exclusive: false, stages: tells ? [half] : []) { world, log in
            var clone = Guest(newID, kind, on: target, lock: kind == .vm ? "clone" : "create", pool: call["pool"])
            clone.profile.seed = source.profile.seed
            clone.answersShutdown = source.answersShutdown
            world.guests[newID] = clone
            log.lines.append("creating a clone of \(kind.letters) \(call.vmid) with ID \(newID)")
        } finish: { world, log in
            guard var clone = world.guests[newID] else { throw Failure("unable to find clone \(newID)") }
            clone.config = world.identity(of: config, newID: newID, name: source.name, call)
            for (key, disk) in source.disks {
                let mode = full ? "full" : "linked"
                log.lines.append("create \(mode) clone of drive \(key) (\(disk.volume))")
                let storage = call["storage"] ?? disk.storage
                if let obstacle = world.obstacle(to: storage, on: target, for: kind) { throw Failure(obstacle) }
                let volume = world.newVolume(
                    on: storage, for: newID, format: call["format"] ?? disk.format, besides: clone)
                var copy = disk
                copy.volume = full ? volume : "\(disk.volume)/\(volume.drop { $0 != ":" }.dropFirst())"
                clone.config[key] = copy.line
                if tells { log.lines.append(ProgressLine.copied(disk, 100, drive: drive ? key : nil)) }
            }
            world.guests[newID] = clone
        } release: { world in
            world.guests[newID] = nil
        }
    }

    /// The configuration of a clone: a name, addresses and an identity of its own.
    private mutating func identity(of source: Config, newID: Int, name: String, _ call: EndpointCall) -> Config {
        var config = source.withoutUnused
        for key in ["lock", "parent", "template", "snaptime", "vmstate", "protection"] { config[key] = nil }
        if let text = call["description"] { config["description"] = call.kind == .vm ? text : text + "\n" }
        if call.kind == .vm {
            config["name"] = call["name"] ?? "Copy-of-VM-\(name)"
            config["smbios1"] = "uuid=\(random.uuid())"
            config["vmgenid"] = random.uuid()
        } else {
            config["hostname"] = call["hostname"] ?? "Copy-of-CT-\(name)"
        }
        drawAddresses(for: &config)
        return config
    }

    /// Gives network cards new addresses.
    mutating func drawAddresses(for config: inout Config) {
        for (number, card) in config.cards {
            var list = card
            for item in card.items where item.value.split(separator: ":").count == 6 {
                list[item.key] = random.macAddress()
            }
            config["net\(number)"] = list.text
        }
    }

    mutating func destroy(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try guest(call)
        let letters = guest.kind.letters
        if guest.config["protection"] == "1" {
            throw Failure("can't remove \(letters) \(call.vmid) - protection mode enabled")
        }
        if guest.kind == .container, let text = guest.lockedText { throw Failure(text) }
        if guest.haState != nil, !call.flag("purge") {
            throw Failure(
                "unable to remove \(letters) \(call.vmid) - used in HA resources and purge parameter not set.")
        }
        if guest.power.isOn, !(guest.kind == .container && call.flag("force")) {
            throw Failure(
                guest.kind == .vm
                    ? "VM \(call.vmid) is running - destroy failed"
                    : "unable to destroy CT \(call.vmid) - container is running")
        }
        return run("destroy", call) { world, log in
            let guest = try world.unlocked(call)
            for (_, disk) in guest.disks where world.isBase(disk.volume, of: guest.vmid) {
                throw Failure("base volume '\(disk.volume)' is still in use by linked cloned")
            }
            if call.flag("purge") { log.lines.append("purging \(letters) \(call.vmid) from related configurations..") }
        } finish: { world, _ in
            world.guests[call.vmid] = nil
            world.firewalls[.guest(call.vmid)] = nil
            if call.flag("purge") { world.purge(guest) }
            world.volumes.removeAll { $0.vmid == call.vmid && $0.content != "backup" }
        }
    }

    /// Removes every reference to `guest`.
    private mutating func purge(_ guest: Guest) {
        haResources[guest.haID] = nil
        purgeRules(of: guest.haID)
        for (id, job) in replications.all where job.guest == guest.vmid { replications[id] = nil }
        for (id, job) in backupJobs.all {
            guard let vmids = job["vmid"] else { continue }
            let rest = Format.list(vmids).filter { $0 != String(guest.vmid) }
            backupJobs[known: id]["vmid"] = rest.joined(separator: ",")
            if rest.isEmpty { backupJobs[id] = nil }
        }
    }

    /// Whether another guest's disk builds on `volume`.
    private func isBase(_ volume: String, of vmid: Int) -> Bool {
        guests.values.contains { other in
            other.vmid != vmid && other.written != nil
                && other.disks.contains { $0.disk.volume.hasPrefix(volume + "/") }
        }
    }

    mutating func makeTemplate(_ call: EndpointCall) throws(Failure) -> Reply {
        let guest = try guest(call)
        if let text = guest.lockedText { throw Failure(text) }
        if guest.isTemplate { throw Failure("you can't convert a template to a template") }
        let letters = guest.kind.letters
        guard guest.snapshots.isEmpty else {
            throw Failure("unable to create template, because \(letters) contains snapshots")
        }
        if guest.power.isOn {
            let whose = guest.kind == .vm ? "VM" : "the CT"
            throw Failure("you can't convert a \(letters) to template if \(whose) is running")
        }
        let reply = run("template", call) { world, _ in
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
        return guest.kind == .vm ? reply : .null
    }
}
