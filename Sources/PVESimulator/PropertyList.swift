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
    private static let diskFormats = ["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"]

    /// What is wrong with a property list, in Proxmox VE's words.
    static func error(in text: String, named name: String, format: PropertyFormat) -> String? {
        let list = PropertyList(text, leading: format.leading)
        if format.name == "net" {
            let models = list.items.filter { $0.key == "model" || networkModels.contains($0.key) }
            let isCut = list.items.dropFirst().contains { $0.key == $0.value && !networkModels.contains($0.key) }
            if models.count > 1 || isCut {
                return "invalid format - duplicate key in comma-separated list property: model\n"
            }
        }
        let undefined = "property is not defined in schema and the schema does not allow additional properties"
        for (key, value) in list.items {
            if !format.keys.contains(key) { return "invalid format - format error\n\(name).\(key): \(undefined)\n" }
            if let error = error(of: value, key: key, in: format.name) {
                return "invalid format - format error\n\(name).\(key): \(error)\n"
            }
        }
        for key in format.required where list[key] == nil {
            return "invalid format - format error\n\(name).\(key): property is missing and it is not optional\n"
        }
        return nil
    }

    private static func error(of value: String, key: String, in format: String) -> String? {
        switch (format, key) {
        case ("memory", "current"):
            guard let number = Int(value) else { return "type check ('integer') failed - got '\(value)'" }
            return number < 16 ? "value must have a minimum value of 16" : nil
        case ("ide", "format"), ("sata", "format"), ("scsi", "format"), ("virtio", "format"):
            guard !diskFormats.contains(value) else { return nil }
            return "value '\(value)' does not have a value in the enumeration '\(diskFormats.joined(separator: ", "))'"
        case ("unused", "volume"), ("lxcunused", "volume"):
            return value.contains(":") ? nil : "invalid format - unable to parse volume ID '\(value)'\n"
        case ("ipconfig", "ip") where value != "dhcp" && !(value.contains("/") && Format.isAddress(value)):
            return "invalid format - value does not look like a valid ipv4 network configuration\n"
        case ("prune", _): return Int(value) == nil ? "type check ('integer') failed - got '\(value)'" : nil
        default: return nil
        }
    }
}
