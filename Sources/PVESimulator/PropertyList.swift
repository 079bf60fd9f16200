/// Values such as `virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1`.
struct PropertyList: Sendable {
    var items: [(key: String, value: String)]

    /// Parses `text`. If the first item has no `=`, it gets the key `leading`.
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

    static let networkModels: Set<String> = [
        "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
        "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
    ]
    private static let diskFormats = ["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"]

    /// The error for a property list, in Proxmox VE's words.
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

/// A kind of property list in Proxmox VE's schema: its keys, and the key that a first item without a key gets.
struct PropertyFormat: Sendable, Hashable {
    /// Its name in parameter tables.
    var name: String
    var keys: Set<String>
    /// Empty if every item needs its key.
    var leading: String
    /// Required keys.
    var required: [String] = []

    /// `name`, and `keys` with `*` at the one that the first item may omit and `!` at the required ones.
    private init(_ name: String, _ text: String) {
        let words = text.split(whereSeparator: \.isWhitespace)
        self.name = name
        keys = Set(words.map { String($0.prefix { $0 != "*" && $0 != "!" }) })
        leading = words.first { $0.contains("*") }.map { String($0.prefix { $0 != "*" && $0 != "!" }) } ?? ""
        required = words.filter { $0.hasSuffix("!") }.map { String($0.prefix { $0 != "*" && $0 != "!" }) }
    }

    static let all: [String: PropertyFormat] = texts.reduce(into: [:]) { $0[$1.key] = PropertyFormat($1.key, $1.value) }

    private static let drive = """
        file* volume aio backup bps bps_max_length bps_rd bps_rd_length bps_rd_max_length bps_wr bps_wr_length
        bps_wr_max_length cache detect_zeroes discard format import-from iops iops_max iops_max_length iops_rd
        iops_rd_length iops_rd_max iops_rd_max_length iops_wr iops_wr_length iops_wr_max iops_wr_max_length mbps mbps_max
        mbps_rd mbps_rd_max mbps_wr mbps_wr_max media replicate rerror serial shared size snapshot werror
        """

    private static let texts: [String: String] = [
        "net": "model* " + PropertyList.networkModels.sorted().joined(separator: " ")
            + " bridge firewall link_down macaddr mtu queues rate tag trunks",
        "lxcnet": """
        bridge firewall gw gw6 host-managed hwaddr ip ip6 link_down mtu name! rate tag trunks type
        """, "ide": drive + " model ssd wwn", "sata": drive + " ssd wwn", "virtio": drive + " iothread ro",
        "scsi": drive + " iothread product queues ro scsiblock ssd vendor wwn",
        "efidisk": "file* volume efitype format import-from ms-cert pre-enrolled-keys size",
        "tpmstate": "file* volume format import-from size version",
        "rootfs": "volume* acl mountoptions quota replicate ro shared size",
        "mp": "volume* acl backup keepattrs mountoptions mp quota replicate ro shared size", "unused": "volume* file",
        "lxcunused": "volume*", "memory": "current*", "ipconfig": "ip gw ip6 gw6",
        "agent": "enabled* freeze-fs freeze-fs-on-backup fstrim_cloned_disks guest-fsfreeze type",
        "audio": "device driver", "ivshmem": "name size", "machine": "type* aw-bits enable-s3 enable-s4 viommu",
        "numa": "cpus* hostnodes memory policy", "spice": "foldersharing videostreaming", "usb": "host* mapping usb3",
        "vga": "type* clipboard memory", "virtiofs": "dirid* cache direct-io expose-acl expose-xattr",
        "dev": "path* deny-write gid mode uid", "smbios": "base64 family manufacturer product serial sku uuid version",
        "watchdog": "model* action", "rng": "source* max_bytes period", "cicustom": "meta network user vendor",
        "boot": "legacy* order",
        "cpu": "cputype* flags guest-phys-bits hidden hv-vendor-id level phys-bits reported-model",
        "hostpci": """
        host* device-id driver legacy-igd mapping mdev pcie rombar romfile sub-device-id sub-vendor-id vendor-id x-vga
        """, "features": "force_rw_sys fuse keyctl mknod mount nesting",
        "bwlimits": "clone default migration move restore", "log-ratelimit": "enable* burst rate",
        "wakeonlan": "mac* bind-interface broadcast-address", "acme": "account domains",
        "acmedomain": "domain* alias plugin",
        "prune": "keep-all keep-last keep-hourly keep-daily keep-weekly keep-monthly keep-yearly",
        "fleecing": "enabled* storage", "performance": "max-workers pbs-entries-max",
        "crs": """
        ha* ha-auto-rebalance ha-auto-rebalance-hold-duration ha-auto-rebalance-margin ha-auto-rebalance-method
        ha-auto-rebalance-threshold ha-rebalance-on-start
        """, "ha": "shutdown_policy", "migration": "type* network", "next-id": "lower upper",
        "replication": "type* network",
        "notify": "fencing package-updates replication target-fencing target-package-updates target-replication",
        "tag-style": "case-sensitive color-map ordering shape", "u2f": "appid origin",
        "user-tag-access": "user-allow user-allow-list", "webauthn": "allow-subdomains id origin rp",
    ]
}
