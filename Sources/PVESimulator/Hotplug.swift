/// The changes that a running guest applies at once; the others wait for its next start.
///
/// As qemu-server does it (src/PVE/QemuServer.pm: vmconfig_hotplug_pending) and pve-container
/// (src/PVE/LXC/Config.pm: vmconfig_hotplug_pending).
extension ClusterState {
    /// Options of a VM that change without access to the process.
    private static let fast: Set<String> = [
        "cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "description", "hookscript", "lock",
        "migrate_downtime", "migrate_speed", "name", "nameserver", "onboot", "protection", "searchdomain", "shares",
        "sshkeys", "startup", "tags", "vmstatestorage",
    ]
    /// Options of a container that take effect at once, devices aside.
    private static let fastOfContainer: Set<String> = [
        "cores", "cpulimit", "cpuunits", "description", "hookscript", "hostname", "lock", "memory", "onboot",
        "protection", "startup", "swap", "tags",
    ]

    /// Applies those of the `changed` keys that a running VM can apply. Keys that fail stay pending; the result has
    /// their errors by key.
    func hotplug(_ guest: inout Guest, _ changed: Set<String>, _ force: Bool) -> [String: String] {
        var errors: [String: String] = [:]
        let waiting = guest.pending.sorted { ($0.value != nil ? 1 : 0, $0.key) < ($1.value != nil ? 1 : 0, $1.key) }
        for (key, value) in waiting {
            if Self.fast.contains(key) || key.hasPrefix("ipconfig") {
                guest.applyPending(key, force: force)
                continue
            }
            guard changed.contains(key), isHotplugged(key, to: value, of: guest) else { continue }
            if let problem = obstacle(toPlugging: key, value, into: guest) {
                errors[key] = "hotplug problem - \(problem)\n"
            } else {
                guest.applyPending(key, force: force)
            }
        }
        return errors
    }

    /// Whether a running VM can apply a change of `key` at all; other changes stay pending without an error.
    private func isHotplugged(_ key: String, to value: String?, of guest: Guest) -> Bool {
        let stem = key.prefix { !$0.isNumber }
        let old = guest.config[key]
        switch stem {
        case "cpulimit", "cpuunits": return true
        case "balloon": return (old == "0") == (value == "0")
        case "vcpus": return guest.hotplugs("cpu")
        case "memory": return guest.hotplugs("memory")
        case "net": return guest.hotplugs("network") || old.map { !Self.needsReplugging($0, value ?? "") } ?? false
        case "scsi", "virtio", "ide", "sata":
            if let new = value.flatMap({ Disk($0) }), let old = old.flatMap({ Disk($0) }) {
                // Any drive can change its medium; a disk that stays can only change its limits.
                if old.isCDROM || new.volume == old.volume { return old.isCDROM || !Self.needsRestart(old, new) }
            } else if let value, PropertyList(value, leading: "file")["media"] == "cdrom", old != nil {
                return true
            }
            return guest.hotplugs("disk") && stem != "ide" && stem != "sata"
        default: return false
        }
    }

    private static func needsRestart(_ old: Disk, _ new: Disk) -> Bool {
        ["aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro"].contains {
            old.options[$0] != new.options[$0]
        }
    }

    /// Whether the card must be unplugged and plugged in again.
    private static func needsReplugging(_ old: String, _ new: String) -> Bool {
        let (old, new) = (PropertyList(old, leading: "model"), PropertyList(new, leading: "model"))
        let isSameCard =
            old.items.first?.key == new.items.first?.key && old.items.first?.value == new.items.first?.value
        return !isSameCard || old["queues"] != new["queues"] || old["mtu"] != new["mtu"] || old["bridge"] == nil
            || new["bridge"] == nil
    }

    /// Why a running VM cannot unplug, plug in or change a device.
    private func obstacle(toPlugging key: String, _ value: String?, into guest: Guest) -> String? {
        let old = guest.config[key]
        let isCard = key.hasPrefix("net") && key != "nets"
        let isDisk = Disk.isKey(key, of: .vm)
        guard isCard || isDisk else { return nil }
        if let problem = guest.hotplugProblem { return problem }
        let isReplaced =
            isCard
            ? old.map { old in value.map { Self.needsReplugging(old, $0) } ?? true } ?? false
            : old.flatMap { Disk($0) }.map { !$0.isCDROM && value.flatMap { Disk($0) }?.volume != $0.volume } ?? false
        if isReplaced {
            // The current boot order, not the pending one.
            if isDisk, guest.bootOrder.contains(key) || guest.bootDiskKey == key {
                return "can't unplug bootdisk '\(key)'"
            }
            guard guest.answersShutdown else { return "error on hot-unplugging device '\(key)' - still busy in guest?" }
        }
        guard isCard, let value, let bridge = missingBridge(in: PropertyList(value, leading: "model"), on: guest.node)
        else { return nil }
        return "bridge '\(bridge)' does not exist"
    }

    /// Applies those of the `changed` keys that a running container can apply; the result has the errors by key. After
    /// an error PVE does not write the outcome, except for a card that was plugged or unplugged on the way: `written`
    /// is the file at that moment, with all waiting changes noted as pending.
    func hotplugContainer(_ guest: inout Guest, _ changed: Set<String>, written: inout Guest?) -> [String: String] {
        var errors: [String: String] = [:]
        func turn(_ key: String, _ value: String?) -> (Int, String) {
            (Self.fastOfContainer.contains(key) ? 0 : value == nil ? 1 : 2, key)
        }
        let waiting = guest.pending.filter { changed.contains($0.key) }
        for (key, value) in waiting.sorted(by: { turn($0.key, $0.value) < turn($1.key, $1.value) }) {
            let stem = key.prefix { !$0.isNumber }
            let isDevice = stem == "mp" || stem == "dev"
            let isCard = stem == "net" && key != "net"
            guard Self.fastOfContainer.contains(key) || isCard || isDevice && guest.config[key] == nil && value != nil
            else { continue }
            let old = guest.config[key]
            let problem = isDevice ? guest.hotplugProblem : isCard ? obstacle(toPlugging: key, value, in: guest) : nil
            if let problem {
                errors[key] = "unable to hotplug \(key): \(problem)\n"
                guard let old, let value, Self.isAnotherCard(old, value) else { continue }
                // The old card is removed before the new one is added.
                guest.config[key] = nil
                written = guest
            } else {
                guest.applyPending(key, force: false)
                if isCard, value != nil { written = guest }
            }
        }
        return errors
    }

    /// Whether a container's card must be removed to make way for the new one.
    private static func isAnotherCard(_ old: String, _ new: String) -> Bool {
        let (old, new) = (PropertyList(old, leading: "name"), PropertyList(new, leading: "name"))
        return ["hwaddr", "name"].contains { old[$0] != new[$0] }
    }

    /// Why a running container cannot add, remove or change a card.
    private func obstacle(toPlugging key: String, _ value: String?, in guest: Guest) -> String? {
        guard let value else { return guest.hotplugProblem }
        if let old = guest.config[key], !Self.isAnotherCard(old, value) {
            let (old, new) = (PropertyList(old, leading: "name"), PropertyList(value, leading: "name"))
            let isReplugged = ["bridge", "tag", "firewall", "link_down"].contains { old[$0] != new[$0] }
            guard isReplugged else { return nil }
        }
        return guest.hotplugProblem
            ?? missingBridge(in: PropertyList(value, leading: "model"), on: guest.node).map {
                "bridge '\($0)' does not exist"
            }
    }
}

extension Guest {
    /// Whether a running VM hotplugs devices of a kind.
    fileprivate func hotplugs(_ feature: String) -> Bool {
        switch config["hotplug"] ?? "1" {
        case "0": false
        case "1": ["network", "disk", "usb"].contains(feature)
        case let list: Format.list(list).contains(feature)
        }
    }

    /// The devices that `boot` names.
    var bootOrder: [String] {
        guard kind == .vm else { return [] }
        let order = config["boot"].flatMap { PropertyList($0, leading: "")["order"] } ?? ""
        return order.split(separator: ";").map { String($0) }
    }

    static func bootText(_ order: [String]) -> String { order.isEmpty ? " " : "order=" + order.joined(separator: ";") }

    /// Drops pending changes that would change nothing.
    mutating func forgetIdlePending() { pending = pending.filter { config[$0.key] != $0.value } }

    /// Applies all pending changes.
    mutating func applyPending(force: Bool = false) {
        for key in pending.keys.sorted() where pending[key] == .some(nil) { applyPending(key, force: force) }
        for key in pending.keys.sorted() { applyPending(key, force: force) }
    }

    /// Applies the pending change of `key`. A removed disk becomes unused, unless it is removed with force.
    mutating func applyPending(_ key: String, force: Bool) {
        guard let value = pending.removeValue(forKey: key) else { return }
        if Disk.isKey(key, of: kind) {
            let new = value.flatMap { Disk($0) }
            for number in 0...255 where new != nil && config["unused\(number)"] == new?.volume {
                config["unused\(number)"] = nil
            }
            if let old = config[key].flatMap({ Disk($0) }), !old.isCDROM, old.volume != new?.volume, !force {
                addUnused(old.volume, size: old.options["size"])
            }
        }
        config[key] = value
    }
}
