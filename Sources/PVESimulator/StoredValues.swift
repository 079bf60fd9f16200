/// Values of a configuration as they are written into its file.
extension ClusterState {
    /// `value` as it will stand in the file: tags sorted, volumes allocated, addresses drawn.
    mutating func store(_ key: String, _ value: String, for guest: inout Guest, _ log: inout TaskLog) -> String? {
        switch key {
        case "tags":
            let tags = tagsAsWritten(value)
            return tags.isEmpty ? " " : tags.joined(separator: ";")
        case "description":
            if value.isEmpty { return nil }
            return guest.kind == .container ? value + "\n" : value
        case _ where key.hasPrefix("net") && Int(key.dropFirst(3)) != nil: return network(value, kind: guest.kind)
        case _ where Disk.isKey(key, of: guest.kind): return allocate(key, value, for: guest, &log)
        default: return value
        }
    }

    /// Each tag once, as `tag-style` says: in lower case and sorted, where it says nothing else.
    private func tagsAsWritten(_ value: String) -> [String] {
        let style = options["tag-style"].map { PropertyList($0, leading: "") }
        let isCaseSensitive = style?["case-sensitive"].map { ["1", "on", "yes", "true"].contains($0) } ?? false
        var tags = Format.list(isCaseSensitive ? value : value.lowercased())
        if style?["ordering"] != "config" { tags.sort() }
        var seen: Set<String> = []
        return tags.filter { seen.insert($0).inserted }
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
        if list["hwaddr"] == nil { list.items.insert(("hwaddr", random.macAddress()), at: min(2, list.items.count)) }
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
}
