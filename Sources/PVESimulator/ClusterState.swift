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
    /// Resources that the HA manager still tracks: their node and state.
    var haLeaving: [String: (node: String, crmState: String)] = [:]
    var haRules = Objects<[String: String]>()
    /// HA groups, by name. A PVE with groups, such as PVE 8, has no rules.
    var haGroups: [String: [String: String]]?
    var backupJobs = Objects<[String: String]>()
    var replications = Objects<ReplicationJob>()
    /// Downloadable files, by URL; any other URL counts as a file of no particular content.
    var downloads: [String: Download] = [:]
    /// Configuration sections that no other part of the simulator reads, by file and name.
    var sections: [String: [String: [String: String]]] = [:]
    var clusterName: String?
    var options: [String: String] = [:]
    /// Commands that were run inside guests, and the results that a test sets for them, by their first word.
    var commands: [(vmid: Int, words: [String], start: Duration)] = []
    var commandResults: [String: CommandResult] = [:]
    /// File systems inside guests, and the reason if one cannot be trimmed. Without an entry a guest has only `/`.
    var trims: [Int: [String: String?]] = [:]
    var access = Access()
    var directory = Directory()
    /// Whether the kernel reports how long containers wait for resources (pressure stall information).
    var reportsPressure = true
    var tasks = TaskBook()
    var random = SeededRandom(seed: 0)
    /// Wall-clock time since 1970, set at the start of every request.
    var now: Duration = .zero
    var taskDuration: Duration
    /// Whether an HA manager acts on requests.
    var haActs = true
    /// Whether the node that answers belongs to a majority of the cluster.
    var isQuorate = true
    /// Whether a device that is not a node also has a vote.
    var hasQDevice = false
    /// Whether the nodes have a working name server.
    var resolvesNames = true
    /// Tasks started while this is set do not end by themselves.
    var holdsTasks = false
    /// What a fault does to the tasks that the current request starts.
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

    /// "VM 110 already exists on node 'pve1'", if that number is taken.
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
    /// The moment when it is back from a reboot.
    var returnsAt: Duration?
    var stoppedServices: Set<String> = []
    /// The fingerprint of its made-up certificate: `AA:BB:…`, 32 bytes.
    var fingerprint = ""
    var options: [String: String] = [:]
}

/// A set of guests and storages with a name.
struct Pool: Sendable {
    var comment: String?
    var storages: Set<String> = []
}

/// The caller of a request.
struct Caller: Sendable, Hashable {
    /// `root@pam`
    var user: String
    var token: String?
    /// Privileges by path; `nil` means all on every path.
    var grants: [String: Set<String>]?

    /// The form used in a UPID.
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
