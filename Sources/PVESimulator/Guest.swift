/// A virtual machine or a container.
///
/// Thousands of them must fit into little memory: until its configuration is written to, a guest is its ``Profile``.
struct Guest: Sendable {
    enum Kind: UInt8, Sendable {
        case vm, container

        /// The word in API paths and in `type`.
        var word: String { self == .vm ? "qemu" : "lxc" }
        var letters: String { self == .vm ? "VM" : "CT" }
        /// The prefix of its task types.
        var taskPrefix: String { self == .vm ? "qm" : "vz" }
        var folder: String { self == .vm ? "qemu-server" : "lxc" }
    }

    enum Power: Sendable, Hashable {
        case stopped
        /// Running since this second.
        case running(Int)
        case paused(Int)
        /// Started, but its processors are not yet running.
        case prelaunch(Int)

        var isOn: Bool { self != .stopped }
        /// Whether there is a process, but the system in it is not running.
        var isHalted: Bool {
            switch self {
            case .stopped, .running: false
            case .paused, .prelaunch: true
            }
        }
        var since: Int? {
            switch self {
            case .stopped: nil
            case .running(let second), .paused(let second), .prelaunch(let second): second
            }
        }
    }

    var vmid: Int
    var kind: Kind
    var node: String
    var profile: Profile
    var power = Power.stopped
    /// The configuration after the first write; before, it follows from the profile.
    var written: Config?
    var snapshots: [Snapshot] = []
    /// Changes that wait for the next start; `nil` deletes the option.
    var pending: [String: String?] = [:]
    /// The options from which the cloud-init drive of a running VM was made.
    var cloudInitDrive: [String: String]?
    /// The sizes of its unused volumes.
    var detachedSizes: [String: String] = [:]
    var pool: String?
    var haState: String?
    /// Whether the container has a saved running state, so that it can be resumed.
    var isCheckpointed = false
    /// Whether the guest's system reacts to a request to shut down or to release a device.
    var answersShutdown = true
    /// The error when a device is plugged into the running guest; `nil` if that works.
    var hotplugProblem: String?

    init(vmid: Int, kind: Kind, node: String, profile: Profile = Profile(), power: Power = .stopped) {
        (self.vmid, self.kind, self.node, self.profile, self.power) = (vmid, kind, node, profile, power)
    }

    /// A guest that a task is about to create.
    init(_ vmid: Int, _ kind: Kind, on node: String, lock: String, pool: String?) {
        self.init(vmid: vmid, kind: kind, node: node)
        written = ["lock": lock]
        self.pool = pool
    }

    var config: Config {
        get { written ?? profile.config(of: kind) }
        set { written = newValue }
    }

    var name: String {
        guard let written else { return profile.name }
        return written[kind == .vm ? "name" : "hostname"] ?? (kind == .vm ? "VM \(vmid)" : "CT\(vmid)")
    }
    var tags: String { written.map { $0["tags"] ?? "" } ?? profile.tags }
    var lock: String? { written?["lock"] }
    var isTemplate: Bool { written.map { $0["template"] == "1" } ?? profile.isTemplate }
    var cores: Int {
        guard let written else { return Int(profile.cores) }
        let cores = written["cores"].flatMap { Int($0) } ?? (kind == .vm ? 1 : 2)
        return cores * (written["sockets"].flatMap { Int($0) } ?? 1)
    }
    var memoryMiB: Int {
        guard let written else { return Int(profile.memoryMiB) }
        return written["memory"].flatMap { Int($0) } ?? 512
    }
    /// Bytes of the disk it boots from.
    var diskBytes: Int {
        guard let written else { return Int(profile.diskGiB) << 30 }
        let disk = kind == .vm ? bootDiskKey : "rootfs"
        return disk.flatMap { written[$0] }.flatMap { Disk($0)?.bytes } ?? 0
    }

    /// The disk that a VM boots from.
    var bootDiskKey: String? {
        (bootOrder + ["scsi0", "virtio0", "sata0", "ide0"]).first { key in
            config[key].flatMap { Disk($0) }.map { !$0.isCDROM } ?? false
        }
    }

    /// The refusal of a change whose digest is not the guest's.
    var stale: Failure { kind == .vm ? Failure("checksum mismatch (file change by other user?)") : .staleConfig }
    var lockedText: String? { lock.map { "\(kind.letters) is locked (\($0))" } }

    /// 40 hex digits over the whole content of the configuration file.
    var digest: String {
        var text = config.fileText
        for (key, value) in pending.sorted(by: { $0.key < $1.key }) { text += "[PENDING]\(key): \(value ?? "-")\n" }
        for snapshot in snapshots { text += "[\(snapshot.name)]\n\(snapshot.fileText)" }
        return Digest.sha1(text)
    }
}

/// Determines a guest's configuration until the first write to it.
struct Profile: Sendable {
    var name = ""
    var cores: UInt8 = 1
    var memoryMiB: Int32 = 2048
    var diskGiB: Int32 = 32
    var tags = ""
    var storage = "local-lvm"
    var isTemplate = false
    var onBoot = true
    var seed: UInt64 = 0
    /// The guest's number, which is part of its disks' names.
    var number = 0

    func config(of kind: Guest.Kind) -> Config {
        var random = SeededRandom(seed: seed)
        let mac = random.macAddress()
        let (first, second) = (random.uuid(), random.uuid())
        let volume = "\(storage):\(isTemplate ? "base" : "vm")-\(number)-disk-0,size=\(diskGiB)G"
        var config: Config =
            switch kind {
            case .vm:
                [
                    "name": name, "agent": "enabled=1", "boot": "order=scsi0;net0", "cpu": "x86-64-v2-AES",
                    "meta": "creation-qemu=10.1.2,ctime=\(1_750_000_000 + Int(seed % 20_000_000))",
                    "net0": "virtio=\(mac),bridge=vmbr0,firewall=1", "numa": "0", "ostype": "l26", "scsi0": volume,
                    "scsihw": "virtio-scsi-single", "smbios1": "uuid=\(first)", "sockets": "1", "vmgenid": second,
                ]
            case .container:
                [
                    "hostname": name, "arch": "amd64", "features": "nesting=1", "ostype": "debian", "rootfs": volume,
                    "net0": "name=eth0,bridge=vmbr0,firewall=1,hwaddr=\(mac),ip=dhcp,type=veth", "swap": "512",
                    "unprivileged": "1",
                ]
            }
        config["cores"] = String(cores)
        config["memory"] = String(memoryMiB)
        config["tags"] = tags.isEmpty ? nil : tags
        config["onboot"] = onBoot ? "1" : nil
        config["template"] = isTemplate ? "1" : nil
        return config
    }

}

/// A snapshot of a guest's configuration and disks.
struct Snapshot: Sendable {
    var name: String
    var description: String
    var time: Int
    var parent: String?
    var config: Config

    var fileText: String { "\(description)\n\(time)\n\(parent ?? "")\n\(config.fileText)" }
}
