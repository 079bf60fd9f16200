/// Values such as `virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1`.
struct PropertyList: Sendable, Hashable {
    var items: [(key: String, value: String)]

    static func == (a: PropertyList, b: PropertyList) -> Bool { a.text == b.text }
    func hash(into hasher: inout Hasher) { hasher.combine(text) }

    /// Parses `text`; an item without `=` gets the key `leading` where it stands first.
    init(_ text: String, leading: String) {
        items = text.split(separator: ",").enumerated().map { index, item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { return (String(parts[0]), String(parts[1])) }
            return (index == 0 ? leading : String(item), String(item))
        }
    }

    subscript(key: String) -> String? {
        get { items.first { $0.key == key }?.value }
        set {
            let index = items.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): items[index].value = value
            case (let index?, nil): items.remove(at: index)
            case (nil, let value?): items.append((key, value))
            case (nil, nil): break
            }
        }
    }

    var text: String { items.map { "\($0.key)=\($0.value)" }.joined(separator: ",") }

    /// The text with the value of `key` standing alone in front.
    func text(leading key: String) -> String {
        items.map { $0.key == key ? $0.value : "\($0.key)=\($0.value)" }.joined(separator: ",")
    }

    static let networkModels: Set<String> = [
        "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
        "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
    ]
    private static let known: [Format: Set<String>] = [
        .vmNetwork: networkModels.union([
            "model", "macaddr", "bridge", "queues", "rate", "tag", "trunks", "firewall", "link_down", "mtu",
            "host-managed",
        ]),
        .containerNetwork: [
            "type", "name", "bridge", "hwaddr", "mtu", "ip", "gw", "ip6", "gw6", "firewall", "tag", "trunks", "rate",
            "link_down", "host-managed",
        ],
        .drive: [
            "file", "volume", "media", "size", "format", "cache", "discard", "ssd", "iothread", "backup", "replicate",
            "ro", "aio", "snapshot", "serial", "import-from", "werror", "rerror", "detect_zeroes", "shared", "queues",
            "iops", "iops_rd", "iops_wr", "mbps", "mbps_rd", "mbps_wr", "wwn", "model", "product", "vendor",
            "efitype", "pre-enrolled-keys", "version", "cyls", "heads", "secs", "trans", "bps", "bps_rd", "bps_wr",
        ],
        .mountPoint: [
            "volume", "mp", "size", "acl", "backup", "mountoptions", "quota", "replicate", "ro", "shared", "keepattrs",
        ],
        .unusedVolume: ["volume", "file"],
        .ipConfig: ["ip", "gw", "ip6", "gw6"],
        .memory: ["current"],
    ]
    private static let diskFormats = ["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"]
    private static let leading: [Format: String] = [
        .vmNetwork: "model", .drive: "file", .mountPoint: "volume", .unusedVolume: "volume", .memory: "current",
    ]

    /// What is wrong with a property list, in Proxmox VE's words.
    static func error(in text: String, named name: String, format: Format) -> String? {
        let list = PropertyList(text, leading: leading[format] ?? "")
        if format == .vmNetwork {
            let models = list.items.filter { $0.key == "model" || networkModels.contains($0.key) }
            let isCut = list.items.dropFirst().contains { $0.key == $0.value && !networkModels.contains($0.key) }
            if models.count > 1 || isCut {
                return "invalid format - duplicate key in comma-separated list property: model\n"
            }
        }
        let undefined = "property is not defined in schema and the schema does not allow additional properties"
        for (key, value) in list.items {
            if known[format]?.contains(key) != true {
                return "invalid format - format error\n\(name).\(key): \(undefined)\n"
            }
            if let error = error(of: value, key: key, in: format) {
                return "invalid format - format error\n\(name).\(key): \(error)\n"
            }
        }
        if format == .containerNetwork, list["name"] == nil {
            return "invalid format - format error\n\(name).name: property is missing and it is not optional\n"
        }
        return nil
    }

    private static func error(of value: String, key: String, in format: Format) -> String? {
        switch (format, key) {
        case (.memory, "current"):
            guard let number = Int(value) else { return "type check ('integer') failed - got '\(value)'" }
            return number < 16 ? "value must have a minimum value of 16" : nil
        case (.drive, "format") where !diskFormats.contains(value):
            return "value '\(value)' does not have a value in the enumeration "
                + "'\(diskFormats.joined(separator: ", "))'"
        case (.unusedVolume, "volume") where !value.contains(":"):
            return "invalid format - unable to parse volume ID '\(value)'\n"
        case (.ipConfig, "ip") where value != "dhcp" && !(value.contains("/") && Format.isAddress(value)):
            return "invalid format - value does not look like a valid ipv4 network configuration\n"
        default: return nil
        }
    }
}
