import StrictJSON

/// A backup job as `jobs.cfg` defines it.
struct BackupJob: Sendable {
    var id: String
    var options: [String: String]

    var isEnabled: Bool { options["enabled"] != "0" }
}

/// What `vzdump` understands, as a job or as a single call.
let backupOptions = """
    all:bool bwlimit:int(0..) compress:enum(0|1|gzip|lzo|zstd) dumpdir:str exclude:vmid-list exclude-path:array
    fleecing:fleecing ionice:int(0..8) lockwait:int(0..) mailnotification:enum(always|failure) mailto:str
    maxfiles:int(1..) mode:enum(snapshot|suspend|stop) notes-template:str(..1024)^storage
    notification-mode:enum(auto|legacy-sendmail|notification-system)
    pbs-change-detection-mode:enum(legacy|data|metadata) performance:performance pigz:int pool:str
    protected:bool^storage prune-backups:prune quiet:bool remove:bool script:str stdexcludes:bool stop:bool
    stopwait:int(0..) storage:storage-id tmpdir:str vmid:vmid-list zstd:int
    """
private let jobOptions =
    backupOptions + """
         comment:str(..512) dow:str^starttime enabled:bool node:node repeat-missed:bool schedule:str(..128) starttime:time
        """

let backupJobEndpoints: [Endpoint] = [
    .get("cluster/backup", needs: "/ Sys.Audit") { world, _ in
        .rows(
            world.backupJobs.map { job in
                var row = job.json
                // The calendar is not simulated: every job is due at the next full hour.
                if job.isEnabled { row["next-run"] = JSON((world.second / 3600 + 1) * 3600) }
                return .object(row)
            })
    },
    .change("POST", "cluster/backup", jobOptions + " id:configid", needs: "/ Sys.Modify") { world, call in
        try world.addBackupJob(call)
    },
    .get("cluster/backup/{id}", "id:str(..50)", needs: "/ Sys.Audit") { world, call in
        .object(try world.backupJob(call).json)
    },
    .change("PUT", "cluster/backup/{id}", jobOptions + " delete:configid-list id:str(..50)", needs: "/ Sys.Modify") {
        world, call in try world.changeBackupJob(call)
    },
    .change("DELETE", "cluster/backup/{id}", "id:str(..50)", needs: "/ Sys.Modify") { world, call in
        let id = call.text("id")
        guard world.backupJobs.contains(where: { $0.id == id }) else {
            throw Failure("400 Parameter verification failed.\nid: No such job '\(id)'")
        }
        world.backupJobs.removeAll { $0.id == id }
    },
    .get("cluster/backup/{id}/included_volumes", "id:str(..50)", needs: "/ Sys.Audit") { world, call in
        .data(["children": .array(world.guests(in: try world.backupJob(call)).map(\.includedVolumes))])
    },
    .get("cluster/backup-info") { _, _ in .data(names(["not-backed-up"], key: "subdir")) },
    .get("cluster/backup-info/not-backed-up", needs: "/ Sys.Audit") { world, _ in
        let jobs = world.backupJobs.filter(\.isEnabled)
        let covered = Set(jobs.flatMap { world.guests(in: $0).map(\.vmid) })
        // A VM that a job leaves out by name has been thought of.
        let known = covered.union(jobs.flatMap { Format.list($0.options["exclude"] ?? "").compactMap { Int($0) } })
        return .rows(
            world.sortedGuests.filter { !known.contains($0.vmid) }.map {
                ["name": .string($0.name), "type": .string($0.kind.word), "vmid": JSON($0.vmid)]
            })
    },
]

extension BackupJob {
    private static let integers: Set<String> = [
        "all", "bwlimit", "enabled", "ionice", "lockwait", "maxfiles", "pigz", "protected", "quiet", "remove",
        "repeat-missed", "stdexcludes", "stop", "stopwait", "zstd",
    ]

    fileprivate var json: JSONObject {
        var row: JSONObject = ["enabled": isEnabled ? 1 : 0, "id": .string(id), "type": "vzdump"]
        for (key, value) in options.sorted(by: { $0.key < $1.key }) {
            switch key {
            case "prune-backups", "fleecing", "performance":
                let items = PropertyList(value, leading: "enabled").items
                row[key] = .object(items.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) })
            case _ where Self.integers.contains(key): row[key] = JSON(Int(value) ?? 0)
            default: row[key] = .string(value)
            }
        }
        return row
    }

    /// What is to be backed up must be named in exactly one way.
    fileprivate func check() throws(Failure) {
        let ways = ["vmid", "all", "pool"].filter { options[$0] != nil && options[$0] != "0" }
        guard let first = ways.first else {
            throw Failure("400 Parameter verification failed.\nvmid: property is missing")
        }
        guard ways.count == 1 else {
            throw Failure("400 Parameter verification failed.\n\(ways[1]): option conflicts with option '\(first)'")
        }
    }
}

extension Guest {
    /// The volumes of the guest, as the tree of a backup job shows them.
    fileprivate var includedVolumes: JSON {
        let volumes: [JSON] = disks.map { key, disk in
            let isIncluded = disk.options["backup"].map { $0 != "0" } ?? (kind == .vm || key == "rootfs")
            return [
                "id": .string("\(vmid):\(key)"), "included": isIncluded ? 1 : 0, "leaf": 1,
                "name": .string(disk.volume), "reason": .string("backup=\(isIncluded ? "yes" : "no")"),
            ]
        }
        return [
            "children": .array(volumes), "id": JSON(vmid), "leaf": 0, "name": .string(name), "type": .string(kind.word),
        ]
    }
}

extension ClusterState {
    fileprivate func backupJob(_ call: EndpointCall) throws(Failure) -> BackupJob {
        let id = call.text("id")
        guard let job = backupJobs.first(where: { $0.id == id }) else {
            throw .parameters(["id": "No such job '\(id)'"])
        }
        return job
    }

    fileprivate func guests(in job: BackupJob) -> [Guest] {
        guestsToBackUp(job.options).filter { guest in job.options["node"].map { $0 == guest.node } ?? true }
    }

    private static func options(of call: EndpointCall) -> [String: String] {
        var options = call.values
        for key in ["id", "delete"] { options[key] = nil }
        for (key, items) in call.lists { options[key] = items.joined(separator: "\n") }
        return options
    }

    /// Who may not allocate on a job's storage may not have it fill that.
    private func checkJob(_ storages: [String?], _ call: EndpointCall) throws(Failure) {
        for storage in storages.map({ $0 ?? "local" })
        where !call.caller.may("Datastore.Allocate", on: "/storage/\(storage)") {
            throw .denied("/storage/\(storage), Datastore.Allocate")
        }
        if let pool = call["pool"], !call.caller.may("VM.Backup", on: "/pool/\(pool)") {
            throw .denied("/pool/\(pool), VM.Backup")
        }
    }

    fileprivate mutating func addBackupJob(_ call: EndpointCall) throws(Failure) {
        try checkJob([call["storage"]], call)
        let job = BackupJob(id: call["id"] ?? random.uuid(), options: Self.options(of: call))
        guard !backupJobs.contains(where: { $0.id == job.id }) else { throw Failure("Job '\(job.id)' already exists") }
        try CalendarEvent.check(call)
        try job.check()
        backupJobs.append(job)
    }

    fileprivate mutating func changeBackupJob(_ call: EndpointCall) throws(Failure) {
        guard let index = backupJobs.firstIndex(where: { $0.id == call["id"] }) else {
            throw Failure("no such vzdump job")
        }
        var job = backupJobs[index]
        let isReset = Format.list(call.text("delete")).contains("storage")
        let next = call["storage"].map { [$0] } ?? (isReset ? ["local"] : [])
        try checkJob(next + [job.options["storage"]], call)
        let set = Self.options(of: call)
        // A new way of naming the guests takes the place of the old one.
        if ["vmid", "all", "pool"].contains(where: { set[$0] != nil }) {
            for key in ["vmid", "all", "pool", "exclude"] { job.options[key] = nil }
        }
        for key in Format.list(call.text("delete")) { job.options[key] = nil }
        job.options.merge(set) { $1 }
        try CalendarEvent.check(call)
        try job.check()
        backupJobs[index] = job
    }
}
