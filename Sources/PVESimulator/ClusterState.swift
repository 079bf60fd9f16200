import StrictJSON

/// Everything the simulated cluster knows. A plain value: the simulator keeps it behind one lock.
struct ClusterState: Sendable {
    var nodes: [Node] { didSet { guestRows = nil } }
    var guests: [Int: Guest] { didSet { guestRows = nil } }
    var storageFile: Objects<StorageDefinition>
    /// Volumes that no guest's configuration names: images, templates, backups.
    var volumes: [Volume] = []
    var pools: [String: Pool] = [:]
    var firewalls: [FirewallScope: Firewall] = [:]
    var haResources = Objects<HAResource>()
    /// Where resources are, and what the manager says of them, that it has not let go of yet.
    var haLeaving: [String: (node: String, crmState: String)] = [:]
    var haRules = Objects<[String: String]>()
    /// Groups of HA, by name; a PVE that has them, as PVE 8 does, has no rules.
    var haGroups: [String: [String: String]]?
    var backupJobs = Objects<[String: String]>()
    var replications = Objects<ReplicationJob>()
    /// What can be downloaded, by URL; anything else is taken for a file of no particular content.
    var downloads: [String: Download] = [:]
    /// Sections of configuration files that nothing else of the simulator looks into, by file and name.
    var sections: [String: [String: [String: String]]] = [:]
    var clusterName: String?
    var options: [String: String] = [:]
    /// Commands that were run inside guests, and what a test wants them to answer, by their first word.
    var commands: [(vmid: Int, words: [String], start: Duration)] = []
    var commandResults: [String: CommandResult] = [:]
    /// File systems inside guests, and why they cannot be trimmed, where they cannot; `/` alone where nothing is set.
    var trims: [Int: [String: String?]] = [:]
    var access = Access()
    var directory = Directory()
    /// Whether the kernel tells how much containers wait for what they need.
    var reportsPressure = true
    var tasks = TaskBook()
    var random = SeededRandom(seed: 0)
    /// Wall-clock time since 1970, set at the start of every request.
    var now: Duration = .zero
    var taskDuration: Duration
    /// Whether an HA manager acts on what it is asked.
    var haActs = true
    /// Whether the node that answers belongs to a majority of the cluster.
    var isQuorate = true
    /// Whether a device that is no node has a vote as well.
    var hasQDevice = false
    /// Whether the nodes have a name server that answers.
    var resolvesNames = true
    /// Tasks started while this is set do not end by themselves.
    var holdsTasks = false
    /// What a fault demands of the tasks that the current request starts.
    var taskFault: TaskFault?
    /// The serialised answer of `/cluster/resources?type=vm` for callers who may see everything.
    var guestRows: (bytes: [UInt8], at: Duration)?

    var storages: [StorageDefinition] { storageFile.values }
    var second: Int { Int(now.components.seconds) }

    func node(_ name: String) -> Node? { nodes.first { $0.name == name } }

    /// Changes the node `name`, if it is there.
    mutating func changeNode(_ name: String, _ body: (inout Node) -> Void) {
        if let index = nodes.firstIndex(where: { $0.name == name }) { body(&nodes[index]) }
    }

    /// The guest `call` is about.
    func guest(_ call: EndpointCall) throws(Failure) -> Guest {
        guard let guest = guests[call.vmid], guest.kind == call.kind, guest.node == call.node else {
            throw Failure(
                "Configuration file 'nodes/\(call.node)/\(call.kind.folder)/\(call.vmid).conf' does not exist")
        }
        return guest
    }

    /// Changes the guest `vmid`, if it is there.
    mutating func change(_ vmid: Int, _ body: (inout Guest) -> Void) {
        guard var guest = guests[vmid] else { return }
        body(&guest)
        guests[vmid] = guest
    }

    /// Sets or clears the lock in the configuration of `vmid`.
    mutating func lock(_ vmid: Int, _ lock: String?) { change(vmid) { $0.config["lock"] = lock } }

    /// "VM 110 already exists on node 'pve1'", if so.
    func existsText(_ vmid: Int) -> String? {
        guests[vmid].map { "\($0.kind.letters) \(vmid) already exists on node '\($0.node)'" }
    }

    var sortedGuests: [Guest] { guests.values.sorted { $0.vmid < $1.vmid } }
}

/// A server of the cluster.
struct Node: Sendable {
    var name: String
    var number: Int
    var address: String
    var cores = 16
    var memory = 128 << 30
    var disk = 470 << 30
    /// Seconds it had been up when the simulation began.
    var uptime = 1_234_567
    var bridges: Set<String> = ["vmbr0"]
    var isOnline = true
    /// When it is back from a reboot.
    var returnsAt: Duration?
    var stoppedServices: Set<String> = []
    /// Of the certificate it would have: `AA:BB:…`, 32 bytes.
    var fingerprint = ""
    var options: [String: String] = [:]
}

/// A set of guests and storages with a name.
struct Pool: Sendable {
    var comment: String?
    var storages: Set<String> = []
}

/// Who calls.
struct Caller: Sendable, Hashable {
    /// `root@pam`
    var user: String
    var token: String?
    /// Privileges by path; `nil` means all on every path.
    var grants: [String: Set<String>]?

    /// As it stands in a UPID.
    var identity: String { token.map { "\(user)!\($0)" } ?? user }

    /// Whether the caller has one of `privileges` on `path`: the nearest path above with a grant decides.
    func may(_ privileges: [String], on path: String) -> Bool {
        guard let grants else { return true }
        var at = path[...]
        while true {
            if let granted = grants[at.isEmpty ? "/" : String(at)] {
                return privileges.contains { granted.contains($0) }
            }
            guard !at.isEmpty, at != "/", let slash = at.lastIndex(of: "/") else { return false }
            at = at[..<slash]
        }
    }

    func may(_ privilege: String, on path: String) -> Bool { may([privilege], on: path) }

    /// Refuses a caller who has none of `"VM.Audit|VM.Console"` on `path`.
    func need(_ privileges: String, on path: String) throws(Failure) {
        guard may(privileges.split(separator: "|").map { String($0) }, on: path) else {
            throw .denied("\(path), \(privileges)")
        }
    }
}
