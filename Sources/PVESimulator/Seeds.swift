/// Starting states, each a pure function of its name.
extension ClusterState {
    static func named(_ name: String, guests: Int?, at now: Duration) -> ClusterState {
        var world: ClusterState
        if let guests {
            world = crowd(name, of: guests, at: now)
        } else {
            switch name {
            case "home": world = home(at: now)
            case "cloud": world = cloud(at: now)
            default: world = other(name, at: now)
            }
        }
        world.now = now
        for index in world.nodes.indices {
            var random = SeededRandom("\(name)/\(world.nodes[index].name)")
            let bytes = (0..<32).map { _ in hex(random.below(256), digits: 2) }
            world.nodes[index].fingerprint = bytes.joined(separator: ":").uppercased()
        }
        return world
    }

    private init(nodes: [Node], storages: [StorageDefinition], clusterName: String? = nil) {
        self.nodes = nodes
        guests = [:]
        storageFile = Objects(storages.map { ($0.id, $0) })
        self.clusterName = clusterName
        taskDuration = .zero
        let date = 1_750_000_000
        volumes = [
            Volume(
                id: "local:iso/debian-13.2.0-amd64-netinst.iso", content: "iso", format: "iso", bytes: 792_723_456,
                time: date),
            Volume(
                id: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", content: "vztmpl", format: "tzst",
                bytes: 129_499_136, time: date),
        ]
    }

    private static let local = StorageDefinition(
        id: "local", type: "dir", options: ["path": "/var/lib/vz", "content": "backup,import,iso,snippets,vztmpl"],
        size: 470 << 30, used: 39 << 30)
    private static let thin = StorageDefinition(
        id: "local-lvm", type: "lvmthin", options: ["thinpool": "data", "vgname": "pve", "content": "images,rootdir"],
        size: 1 << 40, used: 412 << 30)
    private static let ceph = StorageDefinition(
        id: "ceph", type: "rbd", options: ["pool": "vm", "content": "images,rootdir", "krbd": "0"], size: 40 << 40,
        used: 17 << 40)

    /// Adds a guest; it runs if it has `onboot`.
    private mutating func add(_ vmid: Int, _ kind: Guest.Kind, _ seed: Profile, node: Int = 0, at now: Duration) {
        var random = SeededRandom("\(nodes[node].name)/\(vmid)/\(seed.name)")
        let uptime = 3600 + random.below(6_000_000)
        var profile = seed
        profile.seed = random.next() | 1
        profile.number = vmid
        guests[vmid] = Guest(
            vmid: vmid, kind: kind, node: nodes[node].name, profile: profile,
            power: seed.onBoot ? .running(Int(now.components.seconds) - uptime) : .stopped)
    }

    private static func home(at now: Duration) -> ClusterState {
        let node = Node(
            name: "pve", number: 0, address: "192.0.2.10", cores: 8, memory: 64 << 30, disk: 470 << 30,
            uptime: 4_120_337)
        var world = ClusterState(nodes: [node], storages: [local, thin])
        let seeds: [(Int, Guest.Kind, Profile)] = [
            (100, .vm, Profile(name: "router", cores: 2, diskGiB: 16, tags: "network")),
            (101, .vm, Profile(name: "nas", cores: 4, memoryMiB: 16384, diskGiB: 64, tags: "storage")),
            (102, .vm, Profile(name: "homeassistant", cores: 2, memoryMiB: 4096, tags: "iot")),
            (103, .vm, Profile(name: "sandbox", cores: 2, memoryMiB: 4096, tags: "lab", onBoot: false)),
            (110, .container, Profile(name: "pihole", memoryMiB: 512, diskGiB: 8, tags: "network")),
            (111, .container, Profile(name: "jellyfin", cores: 4, memoryMiB: 4096, tags: "media")),
            (112, .container, Profile(name: "wiki", memoryMiB: 1024, diskGiB: 8, onBoot: false)),
            (900, .vm, Profile(name: "debian-13", diskGiB: 8, tags: "template", isTemplate: true, onBoot: false)),
        ]
        for (vmid, kind, seed) in seeds { world.add(vmid, kind, seed, at: now) }
        return world
    }

    private static func servers(_ count: Int, prefix: String = "pve") -> [Node] {
        (1...count).map { number in
            Node(
                name: "\(prefix)\(number)", number: number, address: "192.0.2.\(10 + number)", cores: 32,
                memory: 256 << 30, uptime: 5_184_000 + number * 3671)
        }
    }

    private static func cloud(at now: Duration) -> ClusterState {
        var world = ClusterState(nodes: servers(3), storages: [local, thin, ceph], clusterName: "cloud")
        world.pools = ["production": Pool(comment: "Customers depend on it"), "staging": Pool(comment: nil)]
        let roles: [(name: String, count: Int, kind: Guest.Kind, cores: UInt8, memory: Int32, disk: Int32)] = [
            ("web", 8, .vm, 2, 4096, 32), ("api", 6, .vm, 4, 8192, 32), ("db", 4, .vm, 8, 32768, 256),
            ("cache", 4, .container, 2, 4096, 8), ("worker", 8, .vm, 4, 8192, 32), ("proxy", 3, .container, 1, 1024, 8),
            ("monitor", 2, .vm, 2, 8192, 128), ("ci", 3, .vm, 8, 16384, 128), ("bastion", 1, .vm, 1, 1024, 8),
        ]
        var vmid = 100
        for role in roles {
            for number in 1...role.count {
                let isStaging = number == role.count && role.count > 2
                let seed = Profile(
                    name: "\(role.name)\(number)", cores: role.cores, memoryMiB: role.memory, diskGiB: role.disk,
                    tags: isStaging ? "\(role.name);staging" : "production;\(role.name)",
                    storage: role.name == "ci" ? "local-lvm" : "ceph", onBoot: !(role.name == "ci" && number == 2))
                world.add(vmid, role.kind, seed, node: vmid % 3, at: now)
                world.guests[vmid]?.pool = isStaging ? "staging" : "production"
                vmid += 1
            }
        }
        let template = Profile(
            name: "debian-13-cloud", cores: 2, diskGiB: 8, tags: "template", storage: "ceph", isTemplate: true,
            onBoot: false)
        world.add(9000, .vm, template, at: now)
        return world
    }

    private static func other(_ name: String, at now: Duration) -> ClusterState {
        var random = SeededRandom(name)
        let count = 1 + random.below(3)
        let label = String(name.lowercased().filter { Format.isAlphanumeric($0) }.prefix(12))
        let prefix = label.first?.isLetter == true ? label : "pve"
        var world = ClusterState(
            nodes: servers(count, prefix: prefix + "-"), storages: count > 1 ? [local, thin, ceph] : [local, thin],
            clusterName: count > 1 ? prefix : nil)
        world.populate(5 + random.below(10), &random, storage: count > 1 ? "ceph" : "local-lvm", at: now)
        return world
    }

    private static func crowd(_ name: String, of guests: Int, at now: Duration) -> ClusterState {
        var random = SeededRandom("\(name)/\(guests)")
        let count = max(1, min(16, guests / 500))
        var world = ClusterState(
            nodes: servers(count), storages: [local, thin, ceph], clusterName: count > 1 ? "crowd" : nil)
        world.populate(guests, &random, storage: count > 1 ? "ceph" : "local-lvm", at: now)
        return world
    }

    private mutating func populate(_ count: Int, _ random: inout SeededRandom, storage: String, at now: Duration) {
        let names = ["web", "app", "db", "cache", "queue", "mail", "build", "log", "auth", "files"]
        let tags = ["", "prod", "staging", "prod;web", "lab"]
        for vmid in 100..<(100 + count) {
            // The order of the draws determines the state that a name produces.
            let kind: Guest.Kind = random.below(3) == 0 ? .container : .vm
            let seed = Profile(
                name: "\(names[random.below(names.count)])-\(vmid)", cores: UInt8(1 << random.below(4)),
                memoryMiB: Int32(1024 << random.below(5)), diskGiB: Int32(8 << random.below(5)),
                tags: tags[random.below(tags.count)], storage: storage, onBoot: random.below(4) != 0)
            add(vmid, kind, seed, node: vmid % nodes.count, at: now)
        }
    }
}

/// SplitMix64: the same seed yields the same numbers.
struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// Seeded with the FNV-1a hash of `text`.
    init(_ text: String) { state = text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension RandomNumberGenerator {
    /// A number below `bound`.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// An address with the prefix that Proxmox uses for its guests.
    mutating func macAddress() -> String {
        let value = next()
        return "BC:24:11"
            + [value & 0xFF, value >> 8 & 0xFF, value >> 16 & 0xFF].map { ":\(hex($0, digits: 2))" }.joined()
            .uppercased()
    }

    mutating func uuid() -> String {
        let high = hex(next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, digits: 16)
        let low = hex(next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000, digits: 16)
        return "\(high.prefix(8))-\(high.dropFirst(8).prefix(4))-\(high.dropFirst(12))-\(low.prefix(4))"
            + "-\(low.dropFirst(4))"
    }
}

/// `value` in hexadecimal, with leading zeros.
func hex(_ value: some BinaryInteger, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
