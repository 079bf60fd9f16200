import StrictJSON

/// A replication job and the result of its last run.
struct ReplicationJob: ConfigObject {
    var options: [String: String] = [:]
    var lastSync = 0
    var lastTry = 0
    var failures = 0
    var error: String?
    var log: [String] = []

    var guest: Int { options["guest"].flatMap { Int($0) } ?? 0 }
}

private let needs = "/storage Datastore.Allocate"
private let settings = """
    comment:str(..4096) disable:bool rate:num(1..) remove_job:enum(local|full) schedule:str(..128) source:node
    """
private let one = "nodes/{node}/replication/{id}"

let replicationKind = ObjectKind<ReplicationJob>(
    path: "cluster/replication", id: "id", place: { _ in \.replications }, writes: needs, finds: "id!:replication-id",
    makes: settings + " id!:replication-id target!:node type!:enum(local)",
    changes: settings + " id!:replication-id delete:configid-list(..4096) digest:str(..64)",
    removes: "id!:replication-id force:bool keep:bool",
    permit: { world, call in
        if call.endpoint.method == "GET", call["id"] != nil { _ = try world.replication(call) }
        guard call.endpoint.method == "DELETE", !call.flag("force"), world.replications[call.text("id")] == nil else {
            return
        }
        throw Failure("no such job '\(call.text("id"))'")
    }, unknown: { verb, id in verb == .delete ? nil : Failure("no such job '\(id)'") },
    taken: { Failure("replication job '\($0)' already exists") },
    show: { world, item, row in
        guard let job = item.old else { return false }
        row = job.row(item.id)
        if item.call["id"] != nil { row["digest"] = .string(world.replications.digest) }
        return item.call["id"] != nil || item.call.caller.may("VM.Audit", on: "/vms/\(job.guest)")
    }, check: { world, item in try world.checkReplication(&item) },
    settle: { world, item in
        guard item.new?.options["remove_job"] != nil, item.call.endpoint.method == "DELETE" else { return .null }
        // The scheduler removes a marked job a little later.
        world.atNextRound {
            if $0.replications[item.id]?.options["remove_job"] != nil { $0.replications[item.id] = nil }
        }
        return .null
    })

let replicationEndpoints: [Endpoint] = [
    .get("nodes/{node}/replication", "guest:vmid") { world, call in
        let jobs = world.replications.sorted.filter { _, job in
            call.caller.may("VM.Audit", on: "/vms/\(job.guest)") && world.guests[job.guest]?.node == call.node
                && call.int("guest").map { $0 == job.guest } ?? true
        }
        return .rows(jobs.map { .object(world.replicationStatus($0, $1)) })
    },
    .get(one, "id!:replication-id") { _, _ in .data([["name": "schedule_now"], ["name": "log"], ["name": "status"]]) },
    .get(one + "/status", "id!:replication-id") { world, call in
        .object(world.replicationStatus(call.text("id"), try world.replication(call)))
    },
    .get(one + "/log", "id!:replication-id limit:int(0..) start:int(0..)") { world, call in
        .lines(try world.replication(call).log, call)
    },
    .post(one + "/schedule_now", "id!:replication-id", needs: needs) { world, call in
        _ = try world.replication(call)
        world.runReplication(call.text("id"))
        return .data("")
    },
]

extension ReplicationJob {
    private static let table = ParameterTable(settings, path: "")

    fileprivate func row(_ id: String) -> JSONObject {
        var row = options.row(by: Self.table)
        row["id"] = .string(id)
        row["guest"] = JSON(guest)
        row["jobnum"] = JSON(Int(id.drop { $0 != "-" }.dropFirst()) ?? 0)
        return row
    }
}

extension ClusterState {
    fileprivate func replication(_ call: EndpointCall) throws(Failure) -> ReplicationJob {
        let id = call.text("id")
        guard let job = replications[id] else { throw Failure("no such replication job '\(id)'") }
        guard call.caller.may(["VM.Audit", "Datastore.Allocate"], on: "/vms/\(job.guest)") else { throw .denied() }
        return job
    }

    private func replicatesVolumes(of guest: Guest) -> Bool {
        let kinds = guest.disks.filter { $0.disk.options["replicate"] != "0" }.map { storage($0.disk.storage)?.type }
        return !kinds.isEmpty && kinds.allSatisfy { $0 == "zfspool" }
    }

    /// Refuses a job for a guest that cannot be replicated. A job to remove is only marked.
    fileprivate func checkReplication(_ item: inout ObjectKind<ReplicationJob>.Item) throws(Failure) {
        let call = item.call
        try CalendarEvent.check(call)
        if item.new == nil {
            if call.flag("force"), call.flag("keep") {
                throw Failure.parameters(["keep": "conflicts with parameter 'force'"])
            }
            guard !call.flag("force") else { return }
            item.new = item.old
            item.new?.options["remove_job"] = call.flag("keep") ? "local" : "full"
        }
        for key in Format.list(call.text("delete")) where ["type", "target", "guest"].contains(key) {
            throw Failure("unable to delete required option '\(key)'")
        }
        if item.old == nil { item.new?.options.merge(try newReplication(call)) { $1 } }
    }

    /// The guest and source node of a new job; throws if the job is invalid.
    private func newReplication(_ call: EndpointCall) throws(Failure) -> [String: String] {
        let (id, target) = (call.text("id"), call.text("target"))
        let vmid = id.split(separator: "-").first.flatMap { Int($0) } ?? 0
        guard let guest = guests[vmid] else { throw Failure("Guest '\(vmid)' does not exist.") }
        guard node(target) != nil else { throw Failure("Target '\(target)' does not exist.") }
        if let source = call["source"], source != guest.node {
            throw Failure("Source '\(source)' does not match current node of guest '\(vmid)' (\(guest.node))")
        }
        guard target != guest.node else { throw Failure("Source and target must not be identical") }
        func isVolume(_ key: String) -> Bool { Disk.isKey(key, of: guest.kind) || key.hasPrefix("unused") }
        let configs = [guest.config] + guest.snapshots.map(\.config)
        for (key, value) in configs.flatMap(\.sorted) where isVolume(key) && value.hasPrefix("/") {
            let list = PropertyList(value, leading: "file")
            guard list["replicate"] != "0", let path = list["file"] else { continue }
            let type = path.hasPrefix("/dev/") ? "device" : "bind"
            throw Failure(
                guest.kind == .vm
                    ? "unable to replicate local file/device '\(path)'"
                    : "unable to replicate mountpoint type '\(type)'")
        }
        let own = configs.flatMap { config in config.sorted.compactMap { isVolume($0.key) ? Disk($0.value) : nil } }
            .filter { !$0.isCDROM && $0.options["replicate"] != "0" && storage($0.storage)?.isShared != true }
        if let disk = own.first(where: { storage($0.storage)?.type != "zfspool" }) {
            throw Failure("missing replicate feature on volume '\(disk.volume)'")
        }
        guard !own.isEmpty else { throw Failure("No replicatable volumes found") }
        return ["guest": String(vmid), "source": guest.node]
    }

    fileprivate func replicationStatus(_ id: String, _ job: ReplicationJob) -> JSONObject {
        var row = job.row(id)
        row["last_sync"] = JSON(job.lastSync)
        row["last_try"] = JSON(job.lastTry)
        row["fail_count"] = JSON(job.failures)
        if job.lastTry > 0 { row["duration"] = .number(1.5) }
        row["source"] = guests[job.guest].map { .string($0.node) }
        row["next_sync"] = JSON(second + 900)
        row["error"] = job.error.map { .string($0) }
        row["vmtype"] = guests[job.guest].map { .string($0.kind.word) }
        return row
    }

    /// The scheduler's action for a job that is due.
    fileprivate mutating func runReplication(_ id: String) {
        guard var job = replications[id], let guest = guests[job.guest] else { return }
        let target = job.options["target"] ?? ""
        job.lastTry = second
        job.options["source"] = guest.node
        job.log = ["\(id): start replication job", "\(id): guest => \(guest.kind.letters) \(guest.vmid)"]
        if node(target)?.isOnline != true {
            job.error = "command '/usr/bin/ssh root@\(target)' failed: exit code 255"
        } else if !replicatesVolumes(of: guest) {
            job.error = "missing replicate feature on volume '\(guest.disks.first?.disk.volume ?? "")'"
        } else {
            job.error = nil
        }
        if let error = job.error {
            job.failures += 1
            job.log.append("\(id): end replication job with error: \(error)")
        } else {
            job.failures = 0
            job.lastSync = second
            job.log.append("\(id): end replication job")
        }
        replications[id] = job
    }
}
