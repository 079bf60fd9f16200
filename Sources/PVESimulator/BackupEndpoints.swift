import StrictJSON

/// Work on many guests at once, and what a node says about itself.
let bulkEndpoints: [Endpoint] = [
    .post(
        "nodes/{node}/vzdump",
        """
        all:bool bwlimit:int(0..) compress:enum(0|1|gzip|lzo|zstd) exclude:str fleecing:str ionice:int(0..8)
        lockwait:int(0..) mailto:str mode:enum(snapshot|suspend|stop) node:node notes-template:str(..1024) pool:str
        notification-mode:str protected:bool prune-backups:str remove:bool stdexcludes:bool stop:bool
        storage:storage-id tmpdir:str vmid:str zstd:int
        """
    ) { (world, call) throws(Failure) in try world.backUp(call) },
    .post("nodes/{node}/startall", "force:bool vms:str") { (world, call) throws(Failure) in
        world.switchMany(call, on: true)
    },
    .post("nodes/{node}/stopall", "force-stop:bool timeout:int(0..7200) vms:str") { (world, call) throws(Failure) in
        world.switchMany(call, on: false)
    },
    .get("nodes/{node}/services", needs: "/nodes/{node} Sys.Audit") { (_, _) throws(Failure) in
        let services = ["corosync", "pve-cluster", "pvedaemon", "pveproxy", "pvestatd", "qmeventd"]
        return .data(
            .array(
                services.map {
                    [
                        "active-state": "active", "desc": .string("\($0) service"), "name": .string($0),
                        "service": .string($0), "state": "running", "unit-state": "enabled",
                    ]
                }))
    },
    .get("nodes/{node}/apt/update", needs: "/nodes/{node} Sys.Modify") { (_, _) throws(Failure) in .data([]) },
    .get("access/roles") { (_, _) throws(Failure) in
        .data(
            .array(
                roles.map { ["privs": .string($1.joined(separator: ",")), "roleid": .string($0), "special": 1] }))
    },
]

private let roles: [(String, [String])] = [
    ("Administrator", Access.privileges), ("NoAccess", []),
    ("PVEAuditor", Access.privileges.filter { $0.hasSuffix(".Audit") }),
    ("PVEDatastoreUser", ["Datastore.AllocateSpace", "Datastore.Audit"]),
    ("PVESysAdmin", ["Sys.Audit", "Sys.Console", "Sys.Syslog"]),
    ("PVETemplateUser", ["VM.Audit", "VM.Clone"]),
    ("PVEVMAdmin", Access.privileges.filter { $0.hasPrefix("VM.") }),
]

extension World {
    fileprivate mutating func backUp(_ call: Call) throws(Failure) -> Reply {
        let storage = call["storage"] ?? "local"
        guard call.caller.may("Datastore.AllocateSpace", on: "/storage/\(storage)") else {
            throw .denied("/storage/\(storage), Datastore.AllocateSpace")
        }
        guard call["vmid"] != nil || call.flag("all") || call["pool"] != nil else {
            throw .parameters(["vmid": "property is missing"])
        }
        var wanted = Format.list(call.text("vmid")).compactMap { Int($0) }
        if wanted.isEmpty {
            let excluded = Set(Format.list(call.text("exclude")))
            wanted = sortedGuests.filter { guest in
                guest.node == call.node && !excluded.contains(String(guest.vmid))
                    && call["pool"].map { $0 == guest.pool } ?? true
            }.map(\.vmid)
        }
        let vmids = wanted
        let id = vmids.count == 1 ? String(vmids[0]) : ""
        var work = Work(type: "vzdump", id: id, node: call.node) { (world, log) throws(TaskFailure) in
            guard world.storage(storage) != nil else {
                let missing = "storage '\(storage)' does not exist"
                throw TaskFailure(
                    "could not activate storage '\(storage)': \(missing) "
                        + "could not get storage information for '\(storage)': \(missing)")
            }
            log.lines.append("INFO: starting new backup job: vzdump \(call.text("vmid")) --storage \(storage)")
            for vmid in vmids where world.guests[vmid]?.lock == nil { world.lock(vmid, "backup") }
        } finish: { (world, log) throws(TaskFailure) in
            let failed = vmids.filter { !world.saveBackup(of: $0, to: storage, node: call.node, &log) }
            log.lines.append("INFO: Backup job finished \(failed.isEmpty ? "successfully" : "with errors")")
            if !failed.isEmpty { throw TaskFailure("job errors") }
        }
        work.release = { world in
            for vmid in vmids where world.guests[vmid]?.lock == "backup" { world.lock(vmid, nil) }
        }
        return start(work, by: call.caller)
    }

    private mutating func saveBackup(
        of vmid: Int, to storage: String, node: String, _ log: inout TaskLog
    ) -> Bool {
        guard let guest = guests[vmid], guest.node == node else {
            log.lines.append("ERROR: Backup of VM \(vmid) failed - unable to find VM '\(vmid)'")
            return false
        }
        let ending = guest.kind == .vm ? "vma.zst" : "tar.zst"
        let name = "vzdump-\(guest.kind.word)-\(vmid)-\(second).\(ending)"
        volumes.append(
            Volume(
                id: "\(storage):backup/\(name)", content: "backup", format: ending, bytes: guest.diskBytes / 4,
                time: second, vmid: vmid))
        lock(vmid, nil)
        log.lines.append("INFO: Finished Backup of VM \(vmid) (00:00:01)")
        return true
    }

    fileprivate mutating func switchMany(_ call: Call, on: Bool) -> Reply {
        let named = Format.list(call.text("vms")).compactMap { Int($0) }
        let wanted = sortedGuests.filter { guest in
            guest.node == call.node && call.caller.may("VM.PowerMgmt", on: "/vms/\(guest.vmid)")
                && (named.isEmpty ? guest.config["onboot"] == "1" || !on : named.contains(guest.vmid))
        }.map(\.vmid)
        let type = on ? "startall" : "stopall"
        let work = Work(type: type, id: "", node: call.node) { (world, log) throws(TaskFailure) in
            for vmid in wanted where world.guests[vmid]?.power.isOn == !on {
                log.lines.append("\(on ? "Starting" : "Stopping") VM \(vmid)")
                if on { world.switchOn(vmid) } else { world.switchOff(vmid) }
            }
        }
        return start(work, by: call.caller)
    }
}
