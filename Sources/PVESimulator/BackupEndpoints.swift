import StrictJSON

/// Making backups, looking into them, and removing old ones.
let backupEndpoints: [Endpoint] = [
    .post("nodes/{node}/vzdump", backupOptions + " job-id:str(..50) stdout:bool") { world, call in
        try world.backUp(call)
    },
    .get("nodes/{node}/vzdump/defaults", "storage:storage-id") { world, call in
        .object(try world.backupDefaults(call))
    },
    .get("nodes/{node}/vzdump/extractconfig", "volume!:str") { world, call in
        let id = call.text("volume")
        guard let volume = world.volumes.first(where: { $0.id == id }) else {
            throw Failure("volume '\(id)' does not exist")
        }
        return .text(volume.archive?.config.fileText ?? "")
    },
    .get(
        "nodes/{node}/storage/{storage}/prunebackups", "prune-backups:prune type:enum(qemu|lxc) vmid:vmid",
        needs: "/storage/{storage} Datastore.Audit|Datastore.AllocateSpace"
    ) { world, call in
        let storage = try world.definition(call.text("storage"))
        let marks = world.pruneMarks(on: storage, call["prune-backups"], kind: call["type"], vmid: call.int("vmid"))
        return .rows(
            marks.map { volume, mark in
                [
                    "ctime": JSON(volume.time), "mark": .string(mark), "type": .string(volume.backupKind),
                    "vmid": volume.vmid.map { JSON($0) }, "volid": .string(volume.id),
                ]
            })
    },
    .delete("nodes/{node}/storage/{storage}/prunebackups", "prune-backups:prune type:enum(qemu|lxc) vmid:vmid") {
        world, call in try world.prune(call)
    },
]

extension ClusterState {
    fileprivate func backupDefaults(_ call: EndpointCall) throws(Failure) -> JSONObject {
        var row: JSONObject = [
            "all": 0, "bwlimit": 0, "compress": "0", "fleecing": ["enabled": 0], "ionice": 7, "lockwait": 180,
            "mailnotification": "always", "mode": "snapshot", "notification-mode": "auto",
            "performance": ["max-workers": 16, "pbs-entries-max": 1_048_576], "pigz": 0, "prune-backups": "keep-all=1",
            "quiet": 0, "remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10, "zstd": 1,
        ]
        guard let id = call["storage"] else { return row }
        let storage = try definition(id)
        row["storage"] = .string(id)
        row["prune-backups"] = .string(storage.options["prune-backups"] ?? "keep-all=1")
        if let path = storage.options["path"] { row["dumpdir"] = .string(path + "/dump") }
        return row
    }

    /// Why no backup can be saved on `storage`; `nil` if one can.
    private func obstacle(to storage: String) -> String? {
        guard let definition = self.storage(storage) else {
            let missing = "storage '\(storage)' does not exist"
            return "could not activate storage '\(storage)': \(missing) "
                + "could not get storage information for '\(storage)': \(missing)"
        }
        guard definition.isActive else {
            return "could not activate storage '\(storage)': storage '\(storage)' is not online"
        }
        guard definition.contents.contains("backup") else {
            return "could not get storage information for '\(storage)': can't use storage '\(storage)' for backups - "
                + "wrong content type"
        }
        return nil
    }

    fileprivate mutating func backUp(_ call: EndpointCall) throws(Failure) -> Reply {
        let storage = call["storage"] ?? "local"
        let isTuned = ["bwlimit", "ionice", "performance"].contains { call[$0] != nil }
        if isTuned { try call.caller.need("Sys.Modify", on: "/") }
        if call["prune-backups"] != nil { try call.caller.need("Datastore.Allocate", on: "/storage/\(storage)") }
        try call.caller.need("Datastore.AllocateSpace", on: "/storage/\(storage)")
        guard call["vmid"] != nil || call.flag("all") || call["pool"] != nil else {
            throw .parameters(["vmid": "property is missing"])
        }
        var wanted = Format.list(call.text("vmid")).compactMap { Int($0) }
        if wanted.isEmpty { wanted = guestsToBackUp(call.values).filter { $0.node == call.node }.map(\.vmid) }
        let vmids = wanted
        let id = vmids.count == 1 ? String(vmids[0]) : ""
        let machines = vmids.compactMap { guests[$0] }.filter { $0.kind == .vm }
        let half: Work.Step = { _, log in
            guard let bytes = machines.first?.disks.reduce(0, { $0 + $1.disk.bytes }), bytes > 0 else { return }
            log.lines.append(ProgressLine.backedUp(bytes, 50))
        }
        return run(type: "vzdump", id: id, call, stages: machines.isEmpty ? [] : [half]) { world, log in
            if let obstacle = world.obstacle(to: storage) { throw Failure(obstacle) }
            log.lines.append("INFO: starting new backup job: vzdump \(call.text("vmid")) --storage \(storage)")
            for vmid in vmids where world.guests[vmid]?.lock == nil { world.lock(vmid, "backup") }
        } finish: { world, log in
            let failed = vmids.filter { !world.saveBackup(of: $0, to: storage, call, &log) }
            log.lines.append("INFO: Backup job finished \(failed.isEmpty ? "successfully" : "with errors")")
            if !failed.isEmpty { throw Failure("job errors") }
        } release: { world in
            for vmid in vmids where world.guests[vmid]?.lock == "backup" { world.lock(vmid, nil) }
        }
    }

    private mutating func saveBackup(
        of vmid: Int, to storage: String, _ call: EndpointCall, _ log: inout TaskLog
    ) -> Bool {
        guard let guest = guests[vmid], guest.node == call.node, let definition = self.storage(storage) else {
            log.lines.append("ERROR: Backup of VM \(vmid) failed - unable to find VM '\(vmid)'")
            return false
        }
        let letters = guest.kind.letters
        guard guest.lock == "backup" else {
            log.lines.append("ERROR: Backup of VM \(vmid) failed - \(guest.lockedText ?? "")")
            return false
        }
        lock(vmid, nil)
        guard !definition.isFull else {
            log.lines.append("ERROR: Backup of \(letters) \(vmid) failed - write error: No space left on device")
            return false
        }
        let keep = call["prune-backups"] ?? definition.options["prune-backups"]
        let limit = Retention(keep).limit
        if limit > 0, call["remove"] == "0", count(of: guest, on: storage) >= limit {
            log.lines.append(
                "ERROR: Backup of VM \(vmid) failed - There is a max backup limit of \(limit) enforced by the target "
                    + "storage or the vzdump parameters. Either increase the limit or delete old backups.")
            return false
        }
        let volume = addBackup(of: guest, to: definition, call)
        log.lines.append("INFO: creating vzdump archive '\(volume)'")
        if call["remove"] != "0", let keep {
            removePruned(on: definition, keep, kind: guest.kind.word, vmid: vmid, &log)
        }
        log.lines.append("INFO: Finished Backup of \(letters) \(vmid) (00:00:01)")
        return true
    }

    /// The number of a guest's backups that could be removed.
    private func count(of guest: Guest, on storage: String) -> Int {
        volumes.count { volume in
            volume.storage == storage && volume.content == "backup" && volume.vmid == guest.vmid
                && volume.backupKind == guest.kind.word && !volume.isProtected
        }
    }

    private mutating func removePruned(
        on storage: StorageDefinition, _ keep: String?, kind: String?, vmid: Int?, _ log: inout TaskLog
    ) {
        for (volume, mark) in pruneMarks(on: storage, keep, kind: kind, vmid: vmid) where mark == "remove" {
            volumes.removeAll { $0.id == volume.id }
            log.lines.append("removing backup '\(volume.id)'")
        }
    }

    fileprivate mutating func prune(_ call: EndpointCall) throws(Failure) -> Reply {
        let id = call.text("storage")
        let (privilege, vmid) = (call["vmid"] == nil ? "Datastore.Allocate" : "Datastore.AllocateSpace", call["vmid"])
        try call.caller.need(privilege, on: "/storage/\(id)")
        if let vmid { try call.caller.need("VM.Backup", on: "/vms/\(vmid)") }
        return run(type: "prunebackups", id: vmid.map { "\($0)@\(id)" } ?? id, call) { world, log in
            guard let storage = world.storage(id) else { throw Failure("storage '\(id)' does not exist") }
            guard storage.isActive else { throw Failure("storage '\(id)' is not online") }
            world.removePruned(on: storage, call["prune-backups"], kind: call["type"], vmid: call.int("vmid"), &log)
        }
    }
}
