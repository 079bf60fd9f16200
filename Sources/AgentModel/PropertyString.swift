package import StrictJSON

/// PVE's syntax for several settings in one text, `virtio=BC:24:11:4A:0F:A2,bridge=vmbr0,tag=5`, split into its parts.
package enum PropertyString {
    /// The name of the setting that a text without a key gives, by the configuration key. A virtual machine's network
    /// device has the model in place of the key.
    private static let leading: [String: String] = [
        "ide[n]": "volume", "sata[n]": "volume", "scsi[n]": "volume", "virtio[n]": "volume", "efidisk0": "volume",
        "tpmstate0": "volume", "unused[n]": "volume", "rootfs": "volume", "mp[n]": "volume", "cpu": "cputype",
        "agent": "enabled", "vga": "type", "machine": "type", "watchdog": "model", "hostpci[n]": "host",
        "usb[n]": "host",
        "audio0": "device", "rng0": "source", "startup": "order", "features": "", "smbios1": "", "ipconfig[n]": "",
        "numa[n]": "", "dev[n]": "path", "virtiofs[n]": "dirid", "net[n]": "", "ivshmem": "", "spice_enhancements": "",
    ]

    /// The settings in a value of the key `key`; `nil` if the key holds a single value.
    package static func settings(_ key: String, _ text: String) -> JSONObject? {
        guard let first = leading.first(where: { $0.key.names(key) })?.value else { return nil }
        var settings = JSONObject()
        for (index, part) in text.split(separator: ",").enumerated() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if key.hasPrefix("net"), index == 0, pair[0] != "name", models.contains(pair[0]) {
                settings["model"] = .string(pair[0])
                if pair.count == 2 { settings["mac"] = .string(pair[1].uppercased()) }
            } else if pair.count == 2 {
                let name = ["file": "volume", "hwaddr": "mac", "macaddr": "mac"][pair[0]] ?? pair[0]
                settings[name] = .string(name == "mac" ? pair[1].uppercased() : pair[1])
            } else {
                settings[first.isEmpty ? pair[0] : first] = .string(pair[0])
            }
        }
        return settings
    }

    /// Whether a value of the key may name volumes: a disk, or the files of `cicustom`.
    static func holdsVolume(_ key: String) -> Bool {
        key == "cicustom" || leading.first { $0.key.names(key) }?.value == "volume"
    }

    private static let models: Set<String> = [
        "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
        "ne2k_isa",
        "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
    ]
}
