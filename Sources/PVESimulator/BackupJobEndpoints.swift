import StrictJSON

/// The parameters of `vzdump`, for a job or a single call.
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

/// The ways to select the guests of a backup.
private let ways = ["vmid", "all", "pool"]

/// Backup jobs as `jobs.cfg` defines them.
let backupJobKind = ObjectKind<[String: String]>(
    path: "cluster/backup", id: "id", place: { _ in \.backupJobs }, lists: "/ Sys.Audit", reads: "/ Sys.Audit",
    writes: "/ Sys.Modify", finds: "id:str(..50)", makes: jobOptions + " id:configid",
    changes: jobOptions + " delete:configid-list id:str(..50)", removes: "id:str(..50)", isSorted: false,
    name: { world, call in call["id"] ?? world.random.uuid() },
    unknown: { verb, id in
        switch verb {
        case .read: .parameters(["id": "No such job '\(id)'"])
        case .update: Failure("no such vzdump job")
        default: Failure("400 Parameter verification failed.\nid: No such job '\(id)'")
        }
    }, taken: { Failure("Job '\($0)' already exists") },
    show: { world, item, row in
        row["type"] = "vzdump"
        row["enabled"] = row["enabled"] ?? 1
        for key in ["prune-backups", "fleecing", "performance"] {
            let items = item.old?[key].map { PropertyList($0, leading: "enabled").items }
            row[key] = items.map { .object($0.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) }) }
        }
        // The calendar is not simulated: every job is due at the next full hour.
        if item.call["id"] == nil, row["enabled"] == 1 { row["next-run"] = JSON((world.second / 3600 + 1) * 3600) }
        return true
    },
    check: { world, item in
        guard var job = item.new else { return }
        try world.checkJob([job["storage"]] + (item.old.map { [$0["storage"]] } ?? []), item.call)
        // A new way of selecting guests replaces the old one.
        if ways.contains(where: { item.call[$0] != nil }) {
            for key in ways + ["exclude"] { job[key] = item.call[key] }
        }
        item.new = job
        try CalendarEvent.check(item.call)
        let named = ways.filter { job[$0] != nil && job[$0] != "0" }
        guard let first = named.first else {
            throw Failure("400 Parameter verification failed.\nvmid: property is missing")
        }
        guard named.count == 1 else {
            throw Failure("400 Parameter verification failed.\n\(named[1]): option conflicts with option '\(first)'")
        }
    })

let backupJobEndpoints: [Endpoint] = [
    .get("cluster/backup/{id}/included_volumes", "id:str(..50)", needs: "/ Sys.Audit") { world, call in
        guard let job = world.backupJobs[call.text("id")] else {
            throw Failure.parameters(["id": "No such job '\(call.text("id"))'"])
        }
        return .data(["children": .array(world.guests(in: job).map(\.includedVolumes))])
    },
    .get("cluster/backup-info/not-backed-up", needs: "/ Sys.Audit") { world, _ in
        let jobs = world.backupJobs.values.filter { $0["enabled"] != "0" }
        let covered = Set(jobs.flatMap { world.guests(in: $0).map(\.vmid) })
        // A VM that a job excludes by name does not count as forgotten.
        let known = covered.union(jobs.flatMap { Format.list($0["exclude"] ?? "").compactMap { Int($0) } })
        return .rows(
            world.sortedGuests.filter { !known.contains($0.vmid) }.map {
                ["name": .string($0.name), "type": .string($0.kind.word), "vmid": JSON($0.vmid)]
            })
    },
]

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
    fileprivate func guests(in job: [String: String]) -> [Guest] {
        guestsToBackUp(job).filter { guest in job["node"].map { $0 == guest.node } ?? true }
    }

    /// A caller who may not allocate on a storage may not let a job write to it.
    fileprivate func checkJob(_ storages: [String?], _ call: EndpointCall) throws(Failure) {
        for storage in storages.map({ $0 ?? "local" })
        where !call.caller.may("Datastore.Allocate", on: "/storage/\(storage)") {
            throw .denied("/storage/\(storage), Datastore.Allocate")
        }
        if let pool = call["pool"] { try call.caller.need("VM.Backup", on: "/pool/\(pool)") }
    }
}

/// Schedules in the form of systemd's calendar events: `mon..fri 02:00`, `*/15`, `sat *-1..7 15:00`, `daily`.
enum CalendarEvent {
    private static let words: Set<String> = [
        "minutely", "hourly", "daily", "weekly", "monthly", "yearly", "annually", "quarterly", "semiannually",
        "semi-annually",
    ]

    /// Refuses a schedule that does not parse.
    static func check(_ call: EndpointCall) throws(Failure) {
        guard let text = call["schedule"], !isValid(text) else { return }
        throw .parameters([
            "schedule": "invalid format - invalid calendar event '\(text)' - unable to parse calendar event\n\n"
        ])
    }

    /// Whether the parts form a schedule in the right order: days, a date, a time.
    static func isValid(_ text: String) -> Bool {
        let text = text.lowercased()
        if words.contains(text) { return true }
        var parts = text.split(separator: " ")[...]
        guard !parts.isEmpty else { return false }
        if let first = parts.first, isDays(first) { parts.removeFirst() }
        if let first = parts.first, first.contains("-"), isNumbers(first, and: "-") { parts.removeFirst() }
        if let first = parts.first, isNumbers(first, and: ":") { parts.removeFirst() }
        return parts.isEmpty
    }

    private static func isDays(_ text: Substring) -> Bool {
        let days = /(mon|tue|wed|thu|fri|sat|sun)[a-z]*/
        return text.replacing("..", with: ",").split(separator: ",", omittingEmptySubsequences: false).allSatisfy {
            $0.wholeMatch(of: days) != nil
        }
    }

    private static func isNumbers(_ text: Substring, and separator: Character) -> Bool {
        let list = /(\*|\d+(\.\.\d+)?)(\/\d+)?(,(\*|\d+(\.\.\d+)?)(\/\d+)?)*/
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        return parts.count <= 3 && parts.allSatisfy { $0.wholeMatch(of: list) != nil }
    }
}
