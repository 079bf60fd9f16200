import StrictJSON

/// A replication job and how its last run went.
struct ReplicationJob: Sendable {
    var options: [String: String]
    var lastSync = 0
    var lastTry = 0
    var failures = 0
    var error: String?
    var log: [String] = []
    /// When the scheduler has cleaned up after a job that was marked for removal.
    var goneAt: Duration?

    var guest: Int { options["guest"].flatMap { Int($0) } ?? 0 }
}

private let needs = "/storage Datastore.Allocate"
private let settings = """
    comment:str(..4096) disable:bool rate:num(1..) remove_job:enum(local|full) schedule:str(..128) source:node
    """
private let one = "nodes/{node}/replication/{id}"

let replicationEndpoints: [Endpoint] = [
    .get("cluster/replication") { world, call in
        .rows(world.visibleJobs(to: call.caller).map { .object($1.json($0)) })
    },
    .change(
        "POST", "cluster/replication", settings + " id!:replication-id target!:node type!:enum(local)", needs: needs
    ) { world, call in try world.addReplication(call) },
    .get("cluster/replication/{id}", "id!:replication-id") { world, call in
        var row = try world.replication(call).json(call.text("id"))
        row["digest"] = .string(world.replicationDigest)
        return .object(row)
    },
    .change(
        "PUT", "cluster/replication/{id}",
        settings + " id!:replication-id delete:configid-list(..4096) digest:str(..64)", needs: needs
    ) { world, call in try world.changeReplication(call) },
    .change("DELETE", "cluster/replication/{id}", "id!:replication-id force:bool keep:bool", needs: needs) {
        world, call in try world.removeReplication(call)
    },
    .get("nodes/{node}/replication", "guest:vmid") { world, call in
        let jobs = world.visibleJobs(to: call.caller).filter { _, job in
            world.guests[job.guest]?.node == call.node && call.int("guest").map { $0 == job.guest } ?? true
        }
        return .rows(jobs.map { .object(world.replicationStatus($0, $1)) })
    },
    .get(one, "id!:replication-id") { _, _ in .data(names(["schedule_now", "log", "status"])) },
    .get(one + "/status", "id!:replication-id") { world, call in
        .object(world.replicationStatus(call.text("id"), try world.replication(call)))
    },
    .get(one + "/log", "id!:replication-id limit:int(0..) start:int(0..)") { world, call in
        let lines = try world.replication(call).log
        let page = lines.enumerated().dropFirst(call.int("start") ?? 0).prefix(call.int("limit") ?? 50)
        return .page(.array(page.map { ["n": JSON($0.offset + 1), "t": .string($0.element)] }), total: lines.count)
    },
    .post(one + "/schedule_now", "id!:replication-id", needs: needs) { world, call in
        _ = try world.replication(call)
        world.runReplication(call.text("id"))
        return .data("")
    },
]

extension ReplicationJob {
    fileprivate func json(_ id: String) -> JSONObject {
        var row: JSONObject = ["id": .string(id)]
        for (key, value) in options.sorted(by: { $0.key < $1.key }) {
            row[key] = ["disable", "guest"].contains(key) ? JSON(Int(value) ?? 0) : .string(value)
        }
        row["jobnum"] = JSON(Int(id.drop { $0 != "-" }.dropFirst()) ?? 0)
        return row
    }
}

extension ClusterState {
    fileprivate var replicationDigest: String {
        Digest.sha1(
            replications.sorted { $0.key < $1.key }.map { id, job in
                "\(id) " + job.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
            }.joined(separator: "\n"))
    }

    private mutating func forgetRemovedJobs() {
        for (id, job) in replications where job.goneAt.map({ $0 <= now }) == true { replications[id] = nil }
    }

    fileprivate mutating func visibleJobs(to caller: Caller) -> [(key: String, value: ReplicationJob)] {
        forgetRemovedJobs()
        return replications.sorted { $0.key < $1.key }.filter { caller.may("VM.Audit", on: "/vms/\($0.value.guest)") }
    }

    fileprivate mutating func replication(_ call: EndpointCall) throws(Failure) -> ReplicationJob {
        forgetRemovedJobs()
        let id = call.text("id")
        guard let job = replications[id] else { throw Failure("no such replication job '\(id)'") }
        guard call.caller.may(["VM.Audit", "Datastore.Allocate"], on: "/vms/\(job.guest)") else { throw .denied() }
        return job
    }

    private func replicatesVolumes(of guest: Guest) -> Bool {
        let kinds = guest.disks.filter { $0.disk.options["replicate"] != "0" }.map { storage($0.disk.storage)?.type }
        return !kinds.isEmpty && kinds.allSatisfy { $0 == "zfspool" }
    }

    fileprivate mutating func addReplication(_ call: EndpointCall) throws(Failure) {
        try CalendarEvent.check(call)
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
        forgetRemovedJobs()
        guard replications[id] == nil else { throw Failure("replication job '\(id)' already exists") }
        var options = call.values
        options["id"] = nil
        options["guest"] = String(vmid)
        options["source"] = guest.node
        replications[id] = ReplicationJob(options: options)
    }

    fileprivate mutating func changeReplication(_ call: EndpointCall) throws(Failure) {
        try CalendarEvent.check(call)
        let id = call.text("id")
        if let digest = call["digest"], digest != replicationDigest { throw .staleConfig }
        guard var job = replications[id] else { throw Failure("no such job '\(id)'") }
        for (key, value) in call.values where !["id", "delete", "digest"].contains(key) { job.options[key] = value }
        for key in Format.list(call.text("delete")) {
            if ["type", "target", "guest"].contains(key) { throw Failure("unable to delete required option '\(key)'") }
            job.options[key] = nil
        }
        replications[id] = job
    }

    /// Marks a job; the scheduler removes it a little later.
    fileprivate mutating func removeReplication(_ call: EndpointCall) throws(Failure) {
        let id = call.text("id")
        if call.flag("force") {
            if call.flag("keep") { throw .parameters(["keep": "conflicts with parameter 'force'"]) }
            replications[id] = nil
            return
        }
        guard replications[id] != nil else { throw Failure("no such job '\(id)'") }
        replications[id]?.options["remove_job"] = call.flag("keep") ? "local" : "full"
        replications[id]?.goneAt = now + taskDuration
    }

    fileprivate func replicationStatus(_ id: String, _ job: ReplicationJob) -> JSONObject {
        var row = job.json(id)
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

    /// What the scheduler does with a job that is due.
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
