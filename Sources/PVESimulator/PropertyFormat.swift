/// A kind of property list in Proxmox VE's schema: which keys it takes, and which may stand in front without its name.
struct PropertyFormat: Sendable, Hashable {
    /// The word in parameter tables.
    var name: String
    var keys: Set<String>
    /// Empty where every item needs its key.
    var leading: String
    /// Keys that cannot be left out.
    var required: [String] = []

    /// `name`, `keys` with `*` at the one that may stand alone and `!` at those that cannot be left out.
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
