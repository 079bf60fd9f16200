/// The privilege that PVE requires to set or delete a key of a guest's configuration.
package enum KeyPrivilege: Sendable, Hashable {
    /// One of these, on the guest.
    case anyOf([String])
    /// Only root@pam itself, without a token.
    case rootOnly
    /// The privilege depends on the value.
    case byValue
}

/// As in qemu-server and pve-container. Keys that they do not know are reserved for root.
extension ActionCatalog {
    private static let machinePrivileges: [(String, [String])] = [
        ("VM.Config.CPU", ["cores", "cpu", "cpulimit", "cpuunits", "numa", "numa[n]", "sockets", "vcpus"]),
        ("VM.Config.Memory", ["memory", "balloon", "shares", "allow-ksm"]),
        (
            "VM.Config.HWType",
            [
                "acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog", "audio0", "rng0",
            ]
        ),
        (
            "VM.Config.Options",
            [
                "agent", "autostart", "bios", "description", "keyboard", "localtime", "migrate_downtime", "name",
                "onboot", "ostype", "protection", "startdate", "startup", "tags", "tdf",
            ]
        ), ("VM.PowerMgmt", ["freeze"]),
        ("VM.Config.Disk", ["boot", "vmstatestorage", "unused[n]", "virtiofs[n]"]), ("VM.Config.Network", ["net[n]"]),
    ]

    private static let containerPrivileges: [(String, [String])] = [
        ("VM.Config.CPU", ["cores", "cpulimit", "cpuunits"]), ("VM.Config.Memory", ["memory", "swap"]),
        ("VM.Config.Disk", ["unused[n]"]), ("VM.Config.Network", ["net[n]", "nameserver", "searchdomain", "hostname"]),
    ]

    package static func privilege(for key: String, of kind: GuestKind) -> KeyPrivilege {
        let table = kind == .vm ? machinePrivileges : containerPrivileges
        if let name = table.first(where: { $0.1.contains { $0.names(key) } })?.0 { return .anyOf([name]) }
        if TextForm.disk(kind).matches(key) { return .byValue }
        switch kind {
        case .vm:
            if ["serial[n]", "usb[n]", "hostpci[n]"].contains(where: { $0.names(key) }) { return .byValue }
            if (cloudInit.map(\.name) + ["nameserver", "searchdomain", "cicustom"]).contains(where: { $0.names(key) }) {
                return .anyOf(["VM.Config.Cloudinit", "VM.Config.Network"])
            }
            return .rootOnly
        case .container:
            if key == "hookscript" || "dev[n]".names(key) { return .rootOnly }
            return key == "features" ? .byValue : .anyOf(["VM.Config.Options"])
        }
    }
}
