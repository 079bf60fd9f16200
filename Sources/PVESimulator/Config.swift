import Crypto
import StrictJSON

/// The keys and values of a configuration file.
struct Config: Sendable, ExpressibleByDictionaryLiteral {
    private var values: [String: String]

    init(dictionaryLiteral values: (String, String)...) { self.init(Dictionary(uniqueKeysWithValues: values)) }
    init(_ values: [String: String]) { self.values = values }

    subscript(key: String) -> String? {
        get { values[key] }
        set { values[key] = newValue }
    }

    var sorted: [(key: String, value: String)] { values.sorted { $0.key < $1.key } }
    var keys: some Collection<String> { values.keys }
    var fileText: String { sorted.reduce(into: "") { $0 += "\($1.key): \($1.value)\n" } }

    /// Its network cards, by number.
    var cards: [(number: Int, card: PropertyList)] {
        sorted.compactMap { key, value in
            let number = key.hasPrefix("net") ? Int(key.dropFirst(3)) : nil
            return number.map { ($0, PropertyList(value, leading: "model")) }
        }
    }

    var withoutUnused: Config { Config(values.filter { !$0.key.hasPrefix("unused") }) }

    /// Whether one of its disks is `volume`.
    func holds(_ volume: String) -> Bool { values.values.contains { Disk($0)?.volume == volume } }

    /// As a JSON object, with numbers where Proxmox VE's schema has integers and booleans.
    func json(of kind: Guest.Kind) -> JSONObject {
        sorted.reduce(into: JSONObject()) { $0[$1.key] = Self.json($1.value, key: $1.key, of: kind) }
    }

    static func json(_ value: String, key: String, of kind: Guest.Kind) -> JSON {
        if key == "cipassword" { return "**********" }
        let type = (kind == .vm ? GuestOptions.vmTable : GuestOptions.containerTable).type(of: key)
        let isNumber = key == "snaptime" || type.map { $0.base == .boolean || $0.base == .integer } ?? false
        return isNumber ? Int(value).map { JSON($0) } ?? .string(value) : .string(value)
    }
}

/// A disk or mount point as its configuration line names it: `local:110/vm-110-disk-0.qcow2,size=1G`.
struct Disk: Sendable {
    var volume: String
    var options: PropertyList

    /// `nil` if the value names no volume.
    init?(_ line: String) {
        let list = PropertyList(line, leading: "file")
        guard let volume = list["file"] ?? list["volume"], volume.contains(":") else { return nil }
        self.volume = volume
        options = list
        options["file"] = nil
        options["volume"] = nil
    }

    var storage: String { String(volume.prefix { $0 != ":" }) }
    /// The part after the name of the storage.
    var path: String { String(volume.drop { $0 != ":" }.dropFirst()) }
    var isCDROM: Bool { options["media"] == "cdrom" }
    var bytes: Int { options["size"].flatMap { Disk.bytes($0) } ?? 0 }
    var format: String {
        guard let dot = path.lastIndex(of: ".") else { return "raw" }
        return String(path[path.index(after: dot)...])
    }
    var line: String { options.items.isEmpty ? volume : "\(volume),\(options.text)" }

    /// `32G` in bytes.
    static func bytes(_ text: String) -> Int? {
        guard let last = text.last else { return nil }
        guard let shift = ["K": 10, "M": 20, "G": 30, "T": 40][last] else { return Int(text) }
        if let whole = Int(text.dropLast()), whole < 1 << 20 { return whole << shift }
        return Double(text.dropLast()).flatMap { Int(exactly: ($0 * Double(1 << shift)).rounded(.down)) }
    }

    /// Bytes as Proxmox VE writes them into a configuration.
    static func sizeText(_ bytes: Int) -> String {
        if bytes % (1 << 30) == 0 { return "\(bytes >> 30)G" }
        return bytes % (1 << 20) == 0 ? "\(bytes >> 20)M" : "\(bytes >> 10)K"
    }

    /// Whether `key` of a guest's configuration holds a disk.
    static func isKey(_ key: String, of kind: Guest.Kind) -> Bool {
        let stem = key.prefix { !$0.isNumber }
        guard stem.count < key.count || key == "rootfs" else { return false }
        return switch kind {
        case .vm: ["scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"].contains(stem)
        case .container: key == "rootfs" || stem == "mp"
        }
    }
}

enum Digest {
    static func sha1(_ text: String) -> String { hex(Insecure.SHA1.hash(data: Array(text.utf8))) }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.reduce(into: "") { $0 += ($1 < 16 ? "0" : "") + String($1, radix: 16) }
    }
}

/// Converts configuration values to the form that the file holds.
extension ClusterState {
    /// `value` in the form that the file holds: tags sorted, volumes allocated, addresses drawn.
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

    /// Each tag once, as `tag-style` demands; by default in lower case and sorted.
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
            // An existing image determines the size.
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
