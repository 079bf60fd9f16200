import AgentModel
import AgentService
import StrictJSON

/// The undo for disks, and the effects of removing a disk.
extension PreviewBuilder {
    /// The boot order after the call: PVE removes the devices that the call deletes, and appends the CD drives that it
    /// sets; `nil` where the order does not change.
    func boot(after call: Call) -> String? {
        guard guest?.kind == .vm, let boot = config["boot"]?.string, call["boot"] == nil else { return nil }
        let parts = boot.split(separator: ",").map(String.init)
        guard let order = parts.first(where: { $0.hasPrefix("order=") })?.dropFirst("order=".count) else { return nil }
        let devices = order.split(separator: ";").map(String.init)
        let (deleted, set) = call.configKeys
        var left = devices.filter { !deleted.contains($0) }
        for key in set where !left.isEmpty && !left.contains(key) {
            if call[key].flatMap({ disk(key, $0) })?.isCDROM == true { left.append(key) }
        }
        guard left != devices else { return nil }
        return left.isEmpty ? "" : "order=\(left.joined(separator: ";"))"
    }

    /// The present disk in the slot that the request names.
    private var named: Disk? { disks().first { $0.slot == text("disk") } }

    func undoAttach(by action: String) -> FollowUp {
        let slot = text("disk")
        if let call = calls.last { noteUnused(after: call) }
        if guest?.kind == .container, status != "stopped" {
            gap("pending.\(slot)", "a running container keeps its mount point until it is started again")
        }
        return wish(action, ["disk": .string(slot)])
    }

    func undoDetach(by action: String) -> FollowUp? {
        guard request.params["destroy"] != true, !text("disk").hasPrefix("unused") else { return nil }
        return named.flatMap { attach($0, by: action) } ?? undoConfig(by: configure)
    }

    /// Attaches the disk again with all its options; `nil` where that is not enough.
    private func attach(_ now: Disk, by action: String) -> FollowUp? {
        guard let call = calls.last, boot(after: call) == nil, now.isKept else { return nil }
        var params: JSONObject = ["disk": .string(now.slot), "volume": .string(now.volume)]
        if let path = now.settings["mp"] { params["path"] = path }
        // The size belongs to the volume, not to the request.
        for option in now.settings.members where !["volume", "mp", "size"].contains(option.key) {
            guard let form = ActionCatalog.diskOptions.first(where: { $0.name == option.key })?.form,
                let value = form.value(shownByPVE: option.value)
            else { return nil }
            params[option.key] = value
        }
        noteUnused(after: call)
        return wish(action, params)
    }

    /// Restores the old volume where PVE keeps it. A running guest works on the copy, so the undo moves that copy back.
    func undoMove() -> FollowUp? {
        guard let now = named, let storage = now.storage, let kind = guest?.kind else { return nil }
        let isUnused = now.slot.hasPrefix("unused")
        guard request.params["delete"] != true, status == "stopped", !isUnused, let old = config[now.slot] else {
            gap("\(now.slot).volume", "the data goes back into a new volume, whose name may be another")
            if request.params["delete"] != true {
                var slots = UnusedSlots(config)
                let place = slots.add(now.volume)
                gap("unused\(place)", "\(now.volume) stays, as it is at the time of the move")
            }
            return wish(
                request.action.rawValue,
                [
                    "disk": .string(now.slot), "storage": .string(storage), "delete": true,
                    "format": kind == .vm && now.isFile ? .string(now.format) : nil,
                ])
        }
        var slots = UnusedSlots(config)
        let place = slots.add(now.volume)
        gap("unused\(place)", "the copy stays, with all that is written to it until then")
        return wish(configure, [now.slot: old])
    }

    /// Compares the unused volumes of now with those after the call and its undo.
    func noteUnused(after call: Call) {
        let (deleted, set) = call.configKeys
        func now(_ key: String) -> Disk? {
            config[key]?.string.flatMap { disk(key, $0) }.flatMap { $0.isKept ? $0 : nil }
        }
        let new = set.sorted().compactMap { key in call[key].flatMap { disk(key, $0) } }
        var slots = UnusedSlots(config)
        let before = slots.volumes
        for old in deleted.compactMap(now) { slots.add(old.volume) }
        for disk in new { slots.replace(now(disk.slot)?.volume, by: disk.volume) }
        // The undo first deletes the new keys, then restores the old values.
        func name(_ disk: Disk) -> String {
            VolumeName.isNewDisk(disk.volume) ? "the new volume of \(disk.slot)" : disk.volume
        }
        for disk in new where disk.isKept && config[disk.slot] == nil { slots.add(name(disk)) }
        let changed =
            deleted.compactMap(now).map { ($0, Disk?.none) }
            + new.compactMap { new in
                now(new.slot).map { ($0, Optional(new)) }
            }
        for (old, new) in changed.sorted(by: { $0.0.slot < $1.0.slot }) {
            slots.replace(new.flatMap { $0.isKept ? name($0) : nil }, by: old.volume)
        }
        for place in Set(before.keys).union(slots.volumes.keys).sorted() where before[place] != slots.volumes[place] {
            let (old, new) = (before[place], slots.volumes[place])
            gap("unused\(place)", new.map { "\($0) stays there" } ?? "\(old ?? "") has another place")
        }
    }
}

/// The unused volumes of a guest, by their numbers.
struct UnusedSlots {
    private(set) var volumes: [Int: String] = [:]

    init(_ config: JSON) {
        for member in config.object?.members ?? [] where "unused[n]".names(member.key) {
            guard let place = Int(member.key.dropFirst("unused".count)) else { continue }
            volumes[place] = PropertyString.settings(member.key, member.value.string ?? "")?["volume"]?.string
        }
    }

    static func same(_ one: String, _ other: String) -> Bool {
        one == other || (VolumeName(one).map { $0 == VolumeName(other) } ?? false)
    }

    /// Adds a volume at the first free number, as PVE does.
    @discardableResult
    mutating func add(_ volume: String) -> Int {
        let place = (0...volumes.count).first { volumes[$0] == nil } ?? volumes.count
        volumes[place] = volume
        return place
    }

    /// Puts one volume into the slot of another.
    mutating func replace(_ old: String?, by new: String) {
        remove(new)
        if let old, !Self.same(old, new) { add(old) }
    }

    mutating func remove(_ volume: String) { volumes = volumes.filter { !Self.same($0.value, volume) } }
}
