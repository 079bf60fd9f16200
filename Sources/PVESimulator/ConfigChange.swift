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
    private static let rootOnly = ["lock", "args"]

    func checkConfigChange(_ call: Call) throws(Failure) {
        if call.flag("skiplock") { throw .parameters(["skiplock": "Only root may use this option."]) }
        let deleted = Format.list(call.text("delete"))
        for key in Self.rootOnly where call[key] != nil || deleted.contains(key) {
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
            if let failure = delete(key, from: &guest) { problem = problem ?? failure }
        }
        let set = call.values.filter { !Self.control.contains($0.key) }
        for (key, value) in set.sorted(by: { $0.key < $1.key }) {
            let stored = store(key, value, for: &guest, &log)
            guard guest.power.isOn, guest.kind == .vm, !Self.hot.contains(key), !isHotplugged(key) else {
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

    private func delete(_ key: String, from guest: inout Guest) -> Failure? {
        guard guest.config[key] != nil else {
            guest.pending[key] = nil
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
        if Disk.isKey(key, of: guest.kind), let disk = guest.config[key].flatMap({ Disk($0) }), !disk.isCDROM {
            let free = (0...).first { guest.config["unused\($0)"] == nil } ?? 0
            guest.config["unused\(free)"] = disk.volume
        }
        guest.config[key] = nil
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
            return guest.kind == .container ? value + "\n" : value
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
        guard isCloudInit || Double(disk.path) != nil else { return value }
        let format = disk.options["format"] ?? "raw"
        let bytes = isCloudInit ? 4 << 20 : Disk.bytes(disk.path + "G") ?? 0
        disk.volume = newVolume(
            on: disk.storage, for: guest.vmid, format: isCloudInit ? "qcow2" : format, besides: guest)
        disk.options["format"] = nil
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

    /// A name for a new volume of `vmid` that no disk of the guest has.
    mutating func newVolume(on storage: String, for vmid: Int, format: String, besides guest: Guest) -> String {
        let definition = self.storage(storage)
        let used =
            guest.config.fileText + guest.snapshots.map(\.config.fileText).joined()
            + volumes.filter { $0.vmid == vmid }.map(\.id).joined(separator: "\n")
        let number = (0...).first {
            !used.contains("\(storage):\(definition?.folder(of: vmid) ?? "")vm-\(vmid)-disk-\($0)")
        }
        let name = "vm-\(vmid)-disk-\(number ?? 0)"
        guard let definition, definition.holdsFiles else { return "\(storage):\(name)" }
        return "\(storage):\(vmid)/\(name).\(format)"
    }
}
