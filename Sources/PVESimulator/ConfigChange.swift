/// Checks and applies a change of a guest's configuration.
extension ClusterState {
    private static let control: Set<String> = [
        "node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "import-working-storage",
    ]

    func checkConfigChange(_ call: EndpointCall) throws(Failure) {
        if call.kind == .vm { try Self.checkKeys(call) }
        let deleted = Format.list(call.text("delete"))
        for key in ["lock", "args"] where call[key] != nil || deleted.contains(key) {
            throw Failure("only root can set '\(key)' config")
        }
        let set = call.values.filter { !Self.control.contains($0.key) }
        guard !set.isEmpty || call["delete"] != nil || call["revert"] != nil else {
            throw Failure("no options specified")
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
        try call.checkDigest(guest.digest, guest.stale)
        if let text = guest.lockedText { throw Failure(text) }
        for (key, value) in set.sorted(by: { $0.key < $1.key }) { try checkOption(key, value, of: guest) }
    }

    private func checkOption(_ key: String, _ value: String, of guest: Guest) throws(Failure) {
        if value.hasPrefix("+"), Int(value) != nil {
            throw Failure("unable to parse value of '\(key)' - type check ('integer') failed - got '\(value)'")
        }
        guard Disk.isKey(key, of: guest.kind), let disk = Disk(value) else { return }
        _ = try definition(disk.storage)
        let isNew = Double(disk.path) != nil || disk.path == "cloudinit"
        if !isNew, disk.isCDROM, !volumes.contains(where: { $0.id == disk.volume }) {
            throw Failure("volume '\(disk.volume)' does not exist")
        }
    }

    /// Applies the change. After an error, a VM keeps the changes noted so far as pending. A container keeps only those
    /// that PVE had already written to its file.
    mutating func applyConfigChange(_ call: EndpointCall, _ log: inout TaskLog) throws(Failure) {
        guard var guest = guests[call.vmid] else { return }
        var changed: Set<String> = []
        do throws(Failure) { try note(call, in: &guest, &changed, &log) } catch {
            if guest.kind == .vm { guests[call.vmid] = guest }
            throw error
        }
        guest.forgetIdlePending()
        guard guest.kind == .container else {
            let errors = guest.power.isOn ? hotplug(&guest, changed, call.flag("force")) : [:]
            if !guest.power.isOn { guest.applyPending(force: call.flag("force")) }
            guests[call.vmid] = guest
            if !errors.isEmpty { throw .parameters(errors) }
            return
        }
        try applyToContainer(guest, changed)
    }

    /// Notes the changes of `call` as pending; `changed` receives their keys.
    private mutating func note(
        _ call: EndpointCall, in guest: inout Guest, _ changed: inout Set<String>, _ log: inout TaskLog
    ) throws(Failure) {
        for key in Format.list(call.text("revert")) { guest.pending[key] = nil }
        var order = guest.bootOrder
        for key in Format.list(call.text("delete")) {
            guard guest.config[key] != nil || guest.pending[key] != nil else {
                log.lines.append("cannot delete '\(key)' - not set in current configuration!")
                continue
            }
            changed.insert(key)
            if let index = order.firstIndex(of: key) {
                order.remove(at: index)
                guest.pending["boot"] = .some(Guest.bootText(order))
                changed.insert("boot")
            }
            try noteRemoval(of: key, from: &guest, force: call.flag("force"))
        }
        let set = call.values.filter { !Self.control.contains($0.key) }
        for (key, value) in set.sorted(by: { $0.key < $1.key }) {
            if guest.kind == .container, key == "unprivileged" {
                throw Failure("unable to modify read-only option: '\(key)'")
            }
            if let problem = obstacle(to: key, value, for: guest) { throw problem }
            changed.insert(key)
            let stored = store(key, value, for: &guest, &log)
            guest.pending[key] = .some(stored)
            // A new CD drive becomes bootable if there is a boot order.
            if guest.kind == .vm, !order.isEmpty, !order.contains(key), Disk.isKey(key, of: .vm),
                PropertyList(value, leading: "file")["media"] == "cdrom"
            {
                order.append(key)
                guest.pending["boot"] = .some(Guest.bootText(order))
                changed.insert("boot")
            }
        }
    }

    private mutating func noteRemoval(of key: String, from guest: inout Guest, force: Bool) throws(Failure) {
        let isDrive = Disk.isKey(key, of: guest.kind)
        if guest.config["protection"] == "1", isDrive || key.hasPrefix("unused") {
            let drive = guest.kind == .vm ? "drive" : "CT \(guest.vmid) drive"
            throw Failure("can't remove \(drive) '\(key)' - protection mode enabled")
        }
        if guest.kind == .container, ["memory", "rootfs", "ostype"].contains(key) {
            throw Failure("unable to delete required option '\(key)'")
        }
        if guest.kind == .container, key == "unprivileged" {
            throw Failure("unable to delete read-only option: '\(key)'")
        }
        guard !key.hasPrefix("unused") else {
            let volume = guest.config[key] ?? ""
            if guest.kind == .vm, guest.snapshots.contains(where: { $0.config.holds(volume) }) {
                throw Failure("unable to delete '\(volume)' - volume is still in use (snapshot?)")
            }
            guest.config[key] = nil
            guest.pending[key] = nil
            return
        }
        // A disk that was only pending becomes unused.
        if isDrive, case .some(.some(let waiting)) = guest.pending[key], let disk = Disk(waiting), !disk.isCDROM {
            guest.addUnused(disk.volume, size: disk.options["size"])
        }
        guest.pending[key] = .some(nil)
    }

    /// A running container applies the changes that it can make at once; a stopped one applies all.
    private mutating func applyToContainer(_ noted: Guest, _ changed: Set<String>) throws(Failure) {
        var guest = noted
        if guest.power.isOn {
            var written: Guest?
            let errors = hotplugContainer(&guest, changed, written: &written)
            guard errors.isEmpty else {
                guests[guest.vmid] = written ?? guests[guest.vmid]
                throw .parameters(errors)
            }
        } else {
            for key in changed.sorted() { guest.applyPending(key, force: false) }
        }
        guests[guest.vmid] = guest
    }

    /// The check that PVE makes after it has written a container's file: it fails if a card's bridge is missing.
    func checkBridges(_ call: EndpointCall) throws(Failure) {
        let guest = try guest(call)
        for (_, card) in guest.config.cards {
            if let bridge = missingBridge(in: card, on: guest.node) {
                throw Failure("bridge '\(bridge)' does not exist")
            }
        }
    }

    /// The bridge that a network card names, if the node lacks it.
    func missingBridge(in card: PropertyList, on name: String) -> String? {
        guard let bridge = card["bridge"] else { return nil }
        return node(name)?.bridges.contains(bridge) == true ? nil : bridge
    }

    /// Why no new volume can be made for `key`, if the value asks for one.
    private func obstacle(to key: String, _ value: String, for guest: Guest) -> Failure? {
        guard Disk.isKey(key, of: guest.kind), let disk = Disk(value) else { return nil }
        for volume in [disk.options["import-from"], Double(disk.path) == nil ? disk.volume : nil] {
            guard let volume, disk.path != "cloudinit", bytes(of: volume) == nil else { continue }
            return Failure("volume '\(volume)' does not exist")
        }
        guard Double(disk.path) != nil else { return nil }
        return obstacle(to: disk.storage, on: guest.node, for: guest.kind).map { Failure($0) }
    }

    /// Detaches disks from a guest; `force` also removes their volumes.
    mutating func unlink(_ keys: [String], _ call: EndpointCall) throws(Failure) {
        let guest = try guest(call)
        if let text = guest.lockedText { throw Failure(text) }
        let change = call.setting(["delete": keys.joined(separator: ","), "force": call["force"] ?? "0"])
        var log = TaskLog()
        try applyConfigChange(change, &log)
    }
}
