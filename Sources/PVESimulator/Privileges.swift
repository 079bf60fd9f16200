/// The guest options that only root@pam itself may set, and the volumes that a caller may use. A token of root@pam is
/// not root.
///
/// As qemu-server does it (src/PVE/API2/Qemu.pm: check_vm_modify_config_perm, check_usb_perm, check_hostpci_perm,
/// check_storage_access), pve-container (src/PVE/LXC.pm: check_ct_modify_config_perm; src/PVE/API2/LXC.pm: create_vm)
/// and pve-storage (src/PVE/Storage.pm: check_volume_access).
extension ClusterState {
    /// Options of a VM that no privilege permits.
    private static let rootOnly: Set<String> = [
        "affinity", "amd-sev", "arch", "args", "hookscript", "hugepages", "intel-tdx", "ivshmem", "keephugepages",
        "lock", "parallel", "spice_enhancements", "vmgenid",
    ]

    /// Refuses options that the caller may not set or delete; `guest` is `nil` during creation.
    func checkPrivileges(
        _ set: [String: String], deleted: [String] = [], _ call: EndpointCall, for guest: Guest? = nil
    ) throws(Failure) {
        guard call.caller.token != nil else { return }
        for key in (Array(set.keys) + deleted).sorted() {
            switch call.kind {
            case .vm:
                if let old = guest?.config[key] { try checkDevice(key, old) }
                try checkMachineOption(key, set[key], call)
            case .container: try checkContainerOption(key, set[key], call, for: guest)
            }
            if let value = set[key], Disk.isKey(key, of: call.kind) { try checkVolumes(value, call) }
            for value in [guest?.config[key], set[key]] { try checkBridge(key, value, call) }
        }
        if call.kind == .container, guest == nil, call["unprivileged"] == "0" {
            try call.caller.need("Sys.Modify", on: "/")
        }
    }

    /// Refuses a network device on a bridge, or with VLANs of it, that the caller may not use. Every simulated bridge
    /// belongs to the nodes (pve-guest-common: src/PVE/GuestHelpers.pm, check_vnet_access).
    func checkBridge(_ key: String, _ value: String?, _ call: EndpointCall) throws(Failure) {
        guard call.caller.token != nil, key.hasPrefix("net"), Int(key.dropFirst(3)) != nil, let value else { return }
        let device = PropertyList(value, leading: "model")
        guard let bridge = device["bridge"] else { return }
        let path = "/sdn/zones/localnetwork/\(bridge)" + (device["tag"].map { "/\($0)" } ?? "")
        try call.caller.need("SDN.Use", on: path)
    }

    private func checkMachineOption(_ key: String, _ value: String?, _ call: EndpointCall) throws(Failure) {
        let stem = String(key.prefix { !$0.isNumber })
        if key == "startup" { try call.caller.need("Sys.Modify", on: "/") }
        // `smbios1` and the like have a number in their names.
        if Self.rootOnly.contains(key) || stem == "parallel" { throw Failure("only root can set '\(key)' config") }
        guard let value, stem != key else { return }
        if let mapped = Self.mapping(stem, value) { try call.caller.need("Mapping.Use", on: "/mapping/\(mapped)") }
        if stem == "unused" {
            guard value.contains(":"), !value.hasPrefix("/") else {
                throw .parameters([key: "not a valid volid: \(value)"])
            }
            if let disk = Disk(value), storage(disk.storage)?.holdsFiles == true, !disk.path.contains("/") {
                throw Failure("unable to parse directory volume name '\(disk.path)'")
            }
            try checkAccess(to: value, call)
        }
        try checkDevice(key, value)
    }

    /// Refuses a device of the node: the current one as well as its replacement.
    private func checkDevice(_ key: String, _ value: String) throws(Failure) {
        let host = PropertyList(value, leading: "host")["host"]
        switch String(key.prefix { !$0.isNumber }) {
        case "serial" where value != "socket": throw Failure("only root can set '\(key)' config for real devices")
        case "usb" where host.map { $0.lowercased() != "spice" } ?? false:
            throw Failure("only root can set '\(key)' config for real devices")
        case "hostpci" where host != nil: throw Failure("only root can set '\(key)' config for non-mapped devices")
        default: break
        }
    }

    /// The cluster-wide mapping of the node's device that the option passes to the guest.
    private static func mapping(_ stem: String, _ value: String) -> String? {
        let settings = PropertyList(value, leading: stem == "virtiofs" ? "dirid" : stem == "rng" ? "source" : "host")
        return switch stem {
        case "usb": settings["mapping"].map { "usb/\($0)" }
        case "hostpci": settings["mapping"].map { "pci/\($0)" }
        case "virtiofs": settings["dirid"].map { "dir/\($0)" }
        case "rng": settings["source"] == "/dev/hwrng" ? "hwrng" : nil
        default: nil
        }
    }

    private func checkContainerOption(
        _ key: String, _ value: String?, _ call: EndpointCall, for guest: Guest?
    ) throws(Failure) {
        if key == "hookscript" { throw .denied("changing the hookscript is only allowed for root@pam") }
        if key.hasPrefix("dev"), Int(key.dropFirst(3)) != nil {
            throw .denied("configuring device passthrough is only allowed for root@pam")
        }
        if let value, Disk.isKey(key, of: .container), let path = PropertyList(value, leading: "volume")["volume"],
            path.hasPrefix("/")
        {
            let type = path.hasPrefix("/dev/") ? "device" : "bind"
            throw .denied("mount point type \(type) is only allowed for root@pam")
        }
        guard key == "features" else { return }
        guard guest.map({ $0.config["unprivileged"] == "1" }) ?? (call["unprivileged"] != "0") else {
            throw .denied("changing feature flags for privileged container is only allowed for root@pam")
        }
        let (old, new) = (Self.features(guest?.config["features"]), Self.features(value))
        let changed = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }
        if changed.contains(where: { $0 != "nesting" }) {
            throw .denied("changing feature flags (except nesting) is only allowed for root@pam")
        }
    }

    private static func features(_ text: String?) -> [String: String] {
        PropertyList(text ?? "", leading: "").items.reduce(into: [:]) { $0[$1.key] = $1.value }
    }

    // MARK: Volumes

    private func checkVolumes(_ value: String, _ call: EndpointCall) throws(Failure) {
        let list = PropertyList(value, leading: "file")
        if let source = list["import-from"] {
            if let owner = Self.owner(of: source), source.contains(":") {
                try call.caller.need("VM.Clone", on: "/vms/\(owner)")
            } else {
                try checkAccess(to: source, call)
            }
        }
        guard let volume = list["file"] ?? list["volume"], volume != "none" else { return }
        guard volume != "cdrom" else {
            try call.caller.need("Sys.Console", on: "/")
            return
        }
        if let disk = Disk(value), Double(disk.path) != nil || disk.path == "cloudinit" { return }
        try checkAccess(to: volume, call)
    }

    /// Refuses a volume that the caller may not use for the call's guest.
    func checkAccess(to volume: String, _ call: EndpointCall) throws(Failure) {
        guard call.caller.token != nil else { return }
        guard let colon = volume.firstIndex(of: ":"), !volume.hasPrefix("/") else {
            throw Failure("Only root can pass arbitrary filesystem paths.")
        }
        let storage = "/storage/\(volume[..<colon])"
        if call.caller.may("Datastore.Allocate", on: storage) { return }
        if let saved = Self.savedGuest(of: volume) {
            try call.caller.need("Datastore.AllocateSpace", on: storage)
            try call.caller.need("VM.Backup", on: "/vms/\(saved)")
            return
        }
        guard let owner = Self.owner(of: volume) else {
            guard call.caller.may(["Datastore.AllocateSpace", "Datastore.Audit"], on: storage) else {
                throw .denied("\(storage), Datastore.AllocateSpace|Datastore.Audit")
            }
            return
        }
        if owner == call.vmid { return }
        try call.caller.need("Datastore.Audit", on: storage)
        try call.caller.need("VM.Config.Disk", on: "/vms/\(owner)")
    }

    /// The guest whose number is in a volume's name: 101 for `local:900/base-900-disk-0.qcow2/101/vm-101-disk-0.qcow2`.
    static func owner(of volume: String) -> Int? {
        let parts = volume.split { "/:".contains($0) }.last?.split(separator: "-") ?? []
        guard parts.count > 2, ["vm", "base", "subvol", "basevol"].contains(parts[0]) else { return nil }
        return Int(parts[1])
    }

    /// The guest of a backup: `local:backup/vzdump-qemu-110-2026_11_20-03_00_01.vma.zst`.
    private static func savedGuest(of volume: String) -> Int? {
        let parts = volume.split { "/:".contains($0) }.last?.split(separator: "-") ?? []
        return parts.count > 3 && parts[0] == "vzdump" ? Int(parts[2]) : nil
    }

    /// The bytes of a volume that a guest names or that lies on a storage, in any spelling of its name.
    func bytes(of volume: String) -> Int? {
        func name(_ volume: String) -> [Substring] {
            [volume.prefix { $0 != ":" }, volume.split { "/:".contains($0) }.last ?? ""]
        }
        let wanted = name(volume)
        if let found = volumes.first(where: { name($0.id) == wanted }) { return found.bytes }
        let configs = guests.values.flatMap { guest in
            [guest.config] + guest.snapshots.map(\.fullConfig) + [Config(guest.pending.compactMapValues { $0 })]
        }
        return configs.flatMap(\.sorted).lazy.compactMap { Disk($0.value) }.first { name($0.volume) == wanted }?.bytes
    }
}
