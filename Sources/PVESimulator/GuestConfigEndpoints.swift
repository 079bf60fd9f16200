import StrictJSON

private let changes = " delete:configid-list digest:str(..40) revert:configid-list"
private let vmChanges = changes + " force:bool^delete skiplock:bool"
private let vmConfigNeeds =
    "/vms/{vmid} "
    + ["Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options", "Cloudinit"].map { "VM.Config.\($0)" }.joined(
        separator: "|")
private let containerConfigNeeds =
    "/vms/{vmid} " + ["Disk", "CPU", "Memory", "Network", "Options"].map { "VM.Config.\($0)" }.joined(separator: "|")

let guestConfigEndpoints: [Endpoint] =
    ["qemu", "lxc"].flatMap { word -> [Endpoint] in
        let guest = "nodes/{node}/\(word)/{vmid}"
        return [
            .get(guest + "/config", "current:bool snapshot:configid(..40)", needs: "/vms/{vmid} VM.Audit") {
                world, call in .object(try world.configuration(call))
            },
            .get(guest + "/pending", needs: "/vms/{vmid} VM.Audit") { world, call in
                .rows(try world.guest(call).pendingRows)
            },
        ]
    } + [
        .change("PUT", "nodes/{node}/qemu/{vmid}/config", GuestOptions.vm + vmChanges, needs: vmConfigNeeds) {
            world, call in
            var log = TaskLog()
            try world.checkConfigChange(call)
            try world.applyConfigChange(call, &log)
        },
        .post(
            "nodes/{node}/qemu/{vmid}/config",
            GuestOptions.vm + vmChanges + " background_delay:int(1..30) import-working-storage:storage-id",
            needs: vmConfigNeeds
        ) { world, call in
            try world.checkConfigChange(call)
            return world.run("config", call, exclusive: false) { world, log in
                log.lines.append(world.updateText(call))
                try world.applyConfigChange(call, &log)
            }
        },
        .change("PUT", "nodes/{node}/lxc/{vmid}/config", GuestOptions.container + changes, needs: containerConfigNeeds)
        { world, call in
            var log = TaskLog()
            try world.checkConfigChange(call)
            try world.applyConfigChange(call, &log)
            try world.checkBridges(call)
        },
        .post(
            "nodes/{node}/qemu",
            GuestOptions.vm + """
                 vmid!:vmid archive:str(..255) bwlimit:int(0..) force:bool^archive ha-managed:bool
                 import-working-storage:storage-id live-restore:bool pool:poolid start:bool storage:storage-id
                 unique:bool^archive
                """
        ) { world, call in try world.createVM(call) },
        .post(
            "nodes/{node}/lxc",
            GuestOptions.container + """
                 vmid!:vmid ostemplate!:str(..255) bwlimit:num(0..) force:bool ha-managed:bool password:str(5..)
                 pool:poolid restore:bool ssh-public-keys:str start:bool storage:storage-id unique:bool^restore
                 ignore-unpack-errors:bool
                """
        ) { world, call in try world.createContainer(call) },
        .put(
            "nodes/{node}/qemu/{vmid}/resize", "digest:str(..40) disk!:disk size!:size skiplock:bool",
            needs: "/vms/{vmid} VM.Config.Disk"
        ) { world, call in try world.resizeVM(call) },
        .put(
            "nodes/{node}/lxc/{vmid}/resize", "digest:str(..40) disk!:volume size!:size",
            needs: "/vms/{vmid} VM.Config.Disk"
        ) { world, call in try world.resizeContainer(call) },
        .post(
            "nodes/{node}/qemu/{vmid}/move_disk",
            """
            bwlimit:int(0..) delete:bool digest:str(..40) disk!:anydisk format:enum(raw|qcow2|vmdk) storage:storage-id
            target-digest:str(..40) target-disk:anydisk target-vmid:vmid
            """, needs: "/vms/{vmid} VM.Config.Disk"
        ) { world, call in try world.moveDisk(call) },
        .post(
            "nodes/{node}/lxc/{vmid}/move_volume",
            """
            bwlimit:num(0..) delete:bool digest:str(..40) storage:storage-id target-digest:str(..40) target-vmid:vmid
            target-volume:anyvolume volume!:anyvolume
            """, needs: "/vms/{vmid} VM.Config.Disk"
        ) { world, call in try world.moveVolume(call) },
        .change(
            "PUT", "nodes/{node}/qemu/{vmid}/unlink", "force:bool idlist!:configid-list",
            needs: "/vms/{vmid} VM.Config.Disk"
        ) { world, call in try world.unlink(Format.list(call.text("idlist")), call) },
    ]

extension ClusterState {
    fileprivate func configuration(_ call: EndpointCall) throws(Failure) -> JSONObject {
        let guest = try guest(call)
        var config = guest.config
        if let name = call["snapshot"] {
            guard let snapshot = guest.snapshots.first(where: { $0.name == name }) else {
                throw Failure("snapshot '\(name)' does not exist")
            }
            config = snapshot.fullConfig
        } else if !call.flag("current") {
            for (key, value) in guest.pending { config[key] = value }
        }
        var json = config.json(of: guest.kind)
        json["digest"] = .string(guest.digest)
        return json
    }

    /// The first line of a `qmconfig` task's log.
    fileprivate func updateText(_ call: EndpointCall) -> String {
        let told = call.values.filter { !["node", "vmid", "digest", "background_delay"].contains($0.key) }
        let words = told.sorted { $0.key < $1.key }.map { key, value in
            "-\(key) \(key == "cipassword" ? "<hidden>" : value)"
        }
        return "update VM \(call.vmid): \(words.joined(separator: " "))"
    }
}

extension Guest {
    fileprivate var pendingRows: [JSON] {
        var keys = Set(config.keys).union(pending.keys)
        keys.insert("digest")
        return keys.sorted().map { key in
            var row: JSONObject = ["key": .string(key)]
            let value = key == "digest" ? digest : config[key]
            row["value"] = value.map { Config.json($0, key: key, of: kind) }
            if let change = pending[key] {
                if let change { row["pending"] = Config.json(change, key: key, of: kind) } else { row["delete"] = 1 }
            }
            return .object(row)
        }
    }
}
