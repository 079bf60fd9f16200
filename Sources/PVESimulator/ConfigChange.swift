/// What a change of a guest's configuration checks and does.
extension World {
    private static let control: Set<String> = [
        "node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "import-working-storage",
    ]
    /// Options of a running VM that take effect at once; others wait for its next start.
    private static let hot: Set<String> = [
        "name", "description", "tags", "onboot", "protection", "startup", "hookscript", "lock", "shares", "ciuser",
        "cipassword", "nameserver", "searchdomain", "sshkeys", "cicustom", "citype", "ciupgrade",
    ]
    /// Options of a running container that wait for its next start; others take effect at once.
    private static let cold: Set<String> = [
        "arch", "cmode", "console", "entrypoint", "env", "features", "hostname", "nameserver", "ostype", "rootfs",
        "searchdomain", "timezone", "tty", "unprivileged",
    ]
    func checkConfigChange(_ call: Call) throws(Failure) {
        if call.flag("skiplock") { throw .parameters(["skiplock": "Only root may use this option."]) }
        let deleted = Format.list(call.text("delete"))
        for key in ["lock", "args"] where call[key] != nil || deleted.contains(key) {
            throw .plain("only root can set '\(key)' config")
        }
        let set = call.values.filter { !Self.control.contains($0.key) }
        guard !set.isEmpty || call["delete"] != nil || call["revert"] != nil else {
            throw .plain("no options specified")
        }
        for key in deleted {
            if call.endpoint.parameters.type(of: key) == nil || Self.control.contains(key) {
                throw .parameters(["delete": "unknown option '\(key)'"])
            }
            if set[key] != nil {
                throw .parameters(["delete": "you can't use '-\(key)' and -delete \(key)' at the same time"])
            }
        }
        let guest = try guest(call)
        try checkPrivileges(set, deleted: deleted, call, for: guest)
        if let digest = call["digest"], digest != guest.digest {
            throw guest.kind == .vm ? .plain("checksum mismatch (file change by other user?)") : .staleConfig
        }
        if let text = guest.lockedText { throw .plain(text) }
        if guest.kind == .container, deleted.contains("rootfs") {
            throw .plain("unable to delete required option 'rootfs'")
        }
        for (key, value) in set.sorted(by: { $0.key < $1.key }) { try checkOption(key, value, of: guest) }
    }

    private func checkOption(_ key: String, _ value: String, of guest: Guest) throws(Failure) {
        if value.hasPrefix("+"), Int(value) != nil {
            throw .plain("unable to parse value of '\(key)' - type check ('integer') failed - got '\(value)'")
        }
        guard Disk.isKey(key, of: guest.kind), let disk = Disk(value) else { return }
        _ = try definition(disk.storage)
        let isNew = Double(disk.path) != nil || disk.path == "cloudinit"
        if !isNew, disk.isCDROM, !volumes.contains(where: { $0.id == disk.volume }) {
            throw .plain("volume '\(disk.volume)' does not exist")
        }
    }

    /// Applies the change; what was done before an error stays done, as on a real node.
    mutating func applyConfigChange(_ call: Call, _ log: inout TaskLog) throws(Failure) {
        guard var guest = guests[call.vmid] else { return }
        for key in Format.list(call.text("revert")) { guest.pending[key] = nil }
        var problem: Failure?
        for key in Format.list(call.text("delete")) {
            if let failure = delete(key, from: &guest, force: call.flag("force")) { problem = problem ?? failure }
        }
        let set = call.values.filter { !Self.control.contains($0.key) }
        for (key, value) in set.sorted(by: { $0.key < $1.key }) {
            if let problem = obstacle(to: key, value, for: guest) { throw problem }
            let stored = store(key, value, for: &guest, &log)
            guard waits(key, guest) else {
                replaceDisk(key, with: stored, of: &guest)
                guest.config[key] = stored
                guest.pending[key] = nil
                continue
            }
            guest.pending[key] = guest.config[key] == stored ? nil : .some(stored)
        }
        guests[call.vmid] = guest
        if let problem { throw problem }
        if guest.kind == .container { try checkContainerBridges(set, on: guest.node) }
    }

    private func isHotplugged(_ key: String) -> Bool {
        key.hasPrefix("net") || key.hasPrefix("ipconfig") || key.hasPrefix("unused") || Disk.isKey(key, of: .vm)
    }

    /// Whether a change of `key` takes effect only when the guest starts again.
    private func waits(_ key: String, _ guest: Guest) -> Bool {
        guard guest.power.isOn else { return false }
        return switch guest.kind {
        case .vm: !Self.hot.contains(key) && !isHotplugged(key)
        case .container: Self.cold.contains(key) || key.hasPrefix("dev") && Int(key.dropFirst(3)) != nil
        }
    }

    /// Why no new volume can be made for `key`, if one is wanted.
    private func obstacle(to key: String, _ value: String, for guest: Guest) -> Failure? {
        guard Disk.isKey(key, of: guest.kind), let disk = Disk(value) else { return nil }
        for volume in [disk.options["import-from"], Double(disk.path) == nil ? disk.volume : nil] {
            guard let volume, disk.path != "cloudinit", bytes(of: volume) == nil else { continue }
            return .plain("volume '\(volume)' does not exist")
        }
        guard Double(disk.path) != nil else { return nil }
        return obstacle(to: disk.storage, on: guest.node, for: guest.kind).map { .plain($0) }
    }

    /// What `key` held before becomes unused, and what was unused and is attached no longer is.
    private func replaceDisk(_ key: String, with stored: String?, of guest: inout Guest) {
        guard Disk.isKey(key, of: guest.kind), let new = stored.flatMap({ Disk($0) }) else { return }
        for number in 0...255 where guest.config["unused\(number)"] == new.volume {
            guest.config["unused\(number)"] = nil
        }
        guard let old = guest.config[key].flatMap({ Disk($0) }), !old.isCDROM, old.volume != new.volume else { return }
        guest.addUnused(old.volume)
    }

    /// Takes disks off a guest; with `force` their volumes go too.
    mutating func unlink(_ keys: [String], _ call: Call) throws(Failure) {
        guard var guest = guests[call.vmid] else { return }
        if let text = guest.lockedText { throw .plain(text) }
        var problem: Failure?
        for key in keys {
            if let failure = delete(key, from: &guest, force: call.flag("force")) { problem = problem ?? failure }
        }
        guests[call.vmid] = guest
        if let problem { throw problem }
    }

    private func delete(_ key: String, from guest: inout Guest, force: Bool) -> Failure? {
        guard guest.config[key] != nil else {
            guest.pending[key] = nil
            return nil
        }
        if guest.config["protection"] == "1", Disk.isKey(key, of: guest.kind) || key.hasPrefix("unused") {
            let drive = guest.kind == .vm ? "drive" : "CT \(guest.vmid) drive"
            return .plain("can't remove \(drive) '\(key)' - protection mode enabled")
        }
        if guest.kind == .container, waits(key, guest) {
            guest.pending[key] = .some(nil)
            return nil
        }
        if guest.power.isOn, guest.kind == .vm, !Self.hot.contains(key) {
            if guest.config[key] == guest.bootDisk(in: guest.config), Disk.isKey(key, of: .vm) {
                guest.pending[key] = .some(nil)
                guest.pending["boot"] = " "
                return .parameters([key: "hotplug problem - can't unplug bootdisk '\(key)'\n"])
            }
            guard isHotplugged(key) else {
                guest.pending[key] = .some(nil)
                return nil
            }
        }
        if Disk.isKey(key, of: guest.kind), let disk = guest.config[key].flatMap({ Disk($0) }), !disk.isCDROM, !force {
            guest.addUnused(disk.volume, size: disk.options["size"])
        }
        guest.config[key] = nil
        // What is gone cannot be booted from; what comes back is not put back into the order.
        let order = guest.config["boot"].flatMap { PropertyList($0, leading: "")["order"] }?.split(separator: ";") ?? []
        if order.contains(key[...]) {
            let left = order.filter { $0 != key }.joined(separator: ";")
            guest.config["boot"] = left.isEmpty ? " " : "order=\(left)"
        }
        return nil
    }

    /// `value` as it will stand in the file: tags sorted, volumes allocated, addresses drawn.
    private mutating func store(_ key: String, _ value: String, for guest: inout Guest, _ log: inout TaskLog) -> String?
    {
        switch key {
        case "tags":
            let tags = Set(Format.list(value.lowercased())).sorted()
            return tags.isEmpty ? " " : tags.joined(separator: ";")
        case "description":
            if value.isEmpty { return nil }
            let text = value.reversed().drop { $0.isWhitespace }.reversed().map(String.init).joined()
            return guest.kind == .container ? text + "\n" : text
        case _ where key.hasPrefix("net") && Int(key.dropFirst(3)) != nil:
            return network(value, kind: guest.kind)
        case _ where Disk.isKey(key, of: guest.kind):
            return allocate(key, value, for: guest, &log)
        default: return value
        }
    }

    private mutating func network(_ value: String, kind: Guest.Kind) -> String {
        guard kind == .container else {
            var list = PropertyList(value, leading: "model")
            if let model = list["model"] {
                list.items =
                    [(model, list["macaddr"] ?? random.macAddress())]
                    + list.items.filter { $0.key != "model" && $0.key != "macaddr" }
            } else if let first = list.items.first, first.key == first.value {
                list.items[0].value = random.macAddress()
            }
            return list.text
        }
        var list = PropertyList(value, leading: "name")
        if list["hwaddr"] == nil {
            list.items.insert(("hwaddr", random.macAddress()), at: min(2, list.items.count))
        }
        if list["type"] == nil { list["type"] = "veth" }
        return list.text
    }

    /// Turns `local:32,format=qcow2` into a new volume of 32 GiB.
    private mutating func allocate(_ key: String, _ value: String, for guest: Guest, _ log: inout TaskLog) -> String {
        guard var disk = Disk(value) else { return value }
        let isCloudInit = disk.path == "cloudinit"
        guard isCloudInit || Double(disk.path) != nil else {
            // An image that is there is looked at for its size.
            guard disk.options["size"] == nil, let size = guest.detachedSizes[disk.volume] else { return value }
            disk.options["size"] = size
            return disk.line
        }
        let format = disk.options["format"] ?? "raw"
        let source = disk.options["import-from"]
        let bytes = isCloudInit ? 4 << 20 : source.flatMap(bytes(of:)) ?? Disk.bytes(disk.path + "G") ?? 0
        if isCloudInit {
            let holdsFiles = storage(disk.storage)?.holdsFiles == true
            let name = "vm-\(guest.vmid)-cloudinit"
            disk.volume = holdsFiles ? "\(disk.storage):\(guest.vmid)/\(name).qcow2" : "\(disk.storage):\(name)"
        } else {
            disk.volume = newVolume(on: disk.storage, for: guest.vmid, format: format, besides: guest)
        }
        disk.options["format"] = nil
        disk.options["import-from"] = nil
        disk.options[isCloudInit ? "media" : "size"] = isCloudInit ? "cdrom" : Disk.sizeText(bytes)
        log.lines.append("Formatting '\(disk.volume)', fmt=\(format) size=\(bytes)")
        log.lines.append("\(key): successfully created disk '\(disk.line)'")
        return disk.line
    }

    private func checkContainerBridges(_ set: [String: String], on name: String) throws(Failure) {
        for (key, value) in set where key.hasPrefix("net") {
            guard let bridge = PropertyList(value, leading: "name")["bridge"] else { continue }
            guard node(name)?.bridges.contains(bridge) == true else {
                throw .plain("bridge '\(bridge)' does not exist")
            }
        }
    }
}
