import AgentModel
import AgentService
import StrictJSON

/// Checks on disks and on keys of the configuration.
extension PreviewBuilder {
    /// One disk of the guest.
    struct Disk {
        let slot: String
        let settings: JSONObject
        var volume: String { settings["volume"]?.string ?? "" }
        var storage: String? {
            volume.firstIndex(of: ":").map { String(volume[..<$0]) }.flatMap { volume.hasPrefix("/") ? nil : $0 }
        }
        var isCDROM: Bool { settings["media"] == "cdrom" }
        /// A drive that PVE writes from the configuration.
        var isCloudInit: Bool { VolumeName(volume)?.name.hasSuffix("cloudinit") == true }
        /// Whether PVE keeps the volume as unused when it is removed from its slot.
        var isKept: Bool { storage != nil && !isCDROM && !isCloudInit && !slot.hasPrefix("unused") }
        /// The format from the file's name or from an option; `raw` for a volume with neither.
        var format: String {
            let named = volume.split(separator: "/").last?.split(separator: ".").dropFirst().last.map(String.init)
            return settings["format"]?.string ?? named ?? "raw"
        }
        /// Whether the volume is a file, which may have one of several formats.
        var isFile: Bool { volume.contains("/") }
    }

    /// The disk that this value puts in the slot; `nil` where the key cannot hold a disk.
    func disk(_ slot: String, _ text: String) -> Disk? {
        guard let kind = guest?.kind, TextForm.disk(kind).matches(slot) else { return nil }
        return PropertyString.settings(slot, text).map { Disk(slot: slot, settings: $0) }
    }

    /// The guest's disks, without empty drives.
    func disks(in config: JSON? = nil) -> [Disk] {
        ((config ?? self.config).object?.members ?? []).compactMap { member in
            guard let disk = member.value.string.flatMap({ self.disk(member.key, $0) }), disk.volume != "none" else {
                return nil
            }
            return disk
        }.sorted { $0.slot < $1.slot }
    }

    func diskExists(_ slot: String) -> [Check] {
        guard let guest, config[slot] == nil else { return [] }
        let slots = disks().map(\.slot).joined(separator: ", ")
        return [Check("disk-exists", .block, "\(guest) has no \(slot); it has \(slots.isEmpty ? "no disks" : slots)")]
    }

    func slotIsFree(_ slot: String) -> [Check] {
        guard let guest else { return [] }
        guard !slot.hasPrefix("unused") else {
            return [
                Check("slot-free", .block, "PVE fills \(slot) itself when a disk is detached; take a slot of a disk")
            ]
        }
        guard config[slot] != nil else { return [] }
        return [Check("slot-free", .block, "\(guest) has a \(slot) already; take another slot")]
    }

    func notRoot(_ slot: String) -> [Check] {
        guard let guest, slot == "rootfs" else { return [] }
        return [Check("root", .block, "\(guest) cannot be without its root volume")]
    }

    func diskGrows() -> [Check] {
        let slot = text("disk")
        guard !slot.hasPrefix("unused") else {
            return [Check("disk-grows", .block, "\(slot) is of no use to the guest; attach it with attach_disk first")]
        }
        guard !Self.isCDROM(slot, config[slot]?.string ?? "") else {
            return [Check("disk-grows", .block, "\(slot) is a CD drive; what is in it has the size that it has")]
        }
        let wanted = text("size")
        guard !wanted.hasPrefix("+"), let new = Self.bytes(wanted),
            let now = PropertyString.settings(text("disk"), config[text("disk")]?.string ?? "")?["size"]?.string,
            let old = Self.bytes(now), new < old
        else { return [] }
        return [Check("disk-grows", .block, "\(text("disk")) has \(now); a disk cannot be made smaller")]
    }

    /// `32G` in bytes.
    static func bytes(_ text: String) -> Double? {
        let units: [Character: Double] = ["K": 1024, "M": 1_048_576, "G": 1_073_741_824, "T": 1_099_511_627_776]
        let digits = text.drop { $0 == "+" }
        let unit = digits.last.flatMap { units[$0] }
        let number = unit == nil ? digits : digits.dropLast()
        guard !number.isEmpty, number.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }) else { return nil }
        return Double(number).map { $0 * (unit ?? 1) }
    }

    func keysExist(_ list: String) -> [Check] {
        let names = (request.params[list]?.array ?? []).compactMap(\.string)
        let known = request.definition.parameters
        return names.compactMap { name in
            if config[name] != nil {
                let isProtected =
                    flag(config, "protection", of: guest?.description ?? "the guest")
                    && disks().contains { $0.slot == name }
                return isProtected
                    ? Check(
                        "protected", .block, "\(name) is protected with its guest; unset the protection option first")
                    : nil
            }
            guard known.contains(where: { $0.matches(name) }) else {
                return Check("keys-exist", .block, "\(name) is no key that could be deleted")
            }
            return Check("keys-exist", .warn, "\(name) is not set; deleting it changes nothing")
        }
    }

    func keysPending(_ list: String) async throws(HypervisorError) -> [Check] {
        let rows = try await readGuest("pending").array ?? []
        let waiting = rows.filter { $0["pending"] != nil || $0["delete"] != nil }.compactMap { $0["key"]?.string }
        return (request.params[list]?.array ?? []).compactMap(\.string).filter { !waiting.contains($0) }.map { name in
            let others = waiting.isEmpty ? "nothing is" : "\(waiting.joined(separator: ", ")) are"
            return Check("keys-pending", .block, "\(name) has no pending change; \(others) pending")
        }
    }

    /// The storages on which the calls make new disks.
    func diskStorages() async throws(HypervisorError) -> [Check] {
        guard let kind = guest?.kind else { return [] }
        var checks: [Check] = []
        let given = disks(in: .object(request.params))
        for storage in Set(given.compactMap(\.storage)).sorted() {
            let isForDisks = given.contains { $0.storage == storage && $0.settings["media"] != "cdrom" }
            checks += try await active(storage, on: node, content: isForDisks ? kind.diskContent : nil)
        }
        for disk in given where VolumeName.isNewDisk("\(disk.volume)") == false || disk.settings["media"] == "cdrom" {
            checks += try await volumeIsThere(disk.volume)
        }
        for disk in given where VolumeName(disk.volume)?.owner != nil {
            for user in try await users(of: disk.volume) where user != guest?.description {
                checks.append(Check("volume-used", .block, "\(disk.volume) is a disk of \(user)"))
            }
        }
        return checks
    }
}
