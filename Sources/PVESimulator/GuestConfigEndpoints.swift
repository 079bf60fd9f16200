import StrictJSON

/// What a VM's configuration may hold, in the words of ``ParameterTable``.
private let vmOptions = """
    acpi:bool affinity:str agent:str allow-ksm:bool amd-sev:str arch:enum(x86_64|aarch64) args:str audio0:str
    autostart:bool balloon:int(0..) bios:enum(seabios|ovmf) boot:str bootdisk:str cdrom:str cicustom:str
    cipassword:str citype:enum(configdrive2|nocloud|opennebula) ciupgrade:bool ciuser:str cores:int(1..) cpu:str
    cpulimit:num(0..128) cpuunits:int(1..262144) description:str(..8192) efidisk0:drive freeze:bool hookscript:str
    hostpci[n]:str hotplug:str hugepages:enum(any|2|1024) ide[n]:drive intel-tdx:str ipconfig[n]:ipconfig ivshmem:str
    keephugepages:bool keyboard:str kvm:bool localtime:bool
    lock:enum(backup|clone|create|migrate|rollback|snapshot|snapshot-delete|suspending|suspended) machine:str
    memory:memory migrate_downtime:num(0..) migrate_speed:int(0..) name:dns nameserver:str net[n]:net numa:bool
    numa[n]:str onboot:bool
    ostype:enum(other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris) parallel[n]:str protection:bool
    reboot:bool rng0:str sata[n]:drive scsi[n]:drive
    scsihw:enum(lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi) searchdomain:str serial[n]:str
    shares:int(0..50000) smbios1:str(..512) smp:int(1..) sockets:int(1..) spice_enhancements:str sshkeys:urlencoded
    startdate:str startup:str tablet:bool tags:tags tdf:bool template:bool tpmstate0:drive unused[n]:unused
    usb[n]:str vcpus:int(1..) vga:str virtio[n]:drive virtiofs[n]:str vmgenid:str vmstatestorage:storage-id
    watchdog:str
    """

private let containerOptions = """
    arch:enum(amd64|i386|arm64|armhf|riscv32|riscv64) cmode:enum(shell|console|tty) console:bool cores:int(1..8192)
    cpulimit:num(0..8192) cpuunits:int(0..500000) debug:bool description:str(..8192) dev[n]:str entrypoint:str env:str
    features:str hookscript:str hostname:dns(..255)
    lock:enum(backup|create|destroyed|disk|fstrim|migrate|mounted|rollback|snapshot|snapshot-delete) memory:int(16..)
    mp[n]:mp nameserver:str net[n]:lxcnet onboot:bool
    ostype:enum(debian|devuan|ubuntu|centos|fedora|opensuse|archlinux|alpine|gentoo|nixos|unmanaged) protection:bool
    rootfs:mp searchdomain:str startup:str swap:int(0..) tags:tags template:bool timezone:str tty:int(0..6)
    unprivileged:bool unused[n]:unused
    """

private let changes = " delete:configid-list digest:str(..40) revert:configid-list force:bool skiplock:bool"
private let vmConfigNeeds =
    "/vms/{vmid} "
    + ["Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options", "Cloudinit"]
    .map { "VM.Config.\($0)" }.joined(separator: "|")
private let containerConfigNeeds =
    "/vms/{vmid} "
    + ["Disk", "CPU", "Memory", "Network", "Options"].map { "VM.Config.\($0)" }.joined(separator: "|")

let guestConfigEndpoints: [Endpoint] =
    ["qemu", "lxc"].flatMap { word -> [Endpoint] in
        let guest = "nodes/{node}/\(word)/{vmid}"
        return [
            .get(guest + "/config", "current:bool snapshot:configid(..40)", needs: "/vms/{vmid} VM.Audit") {
                (world, call) throws(Failure) in .data(.object(try world.configuration(call)))
            },
            .get(guest + "/pending", needs: "/vms/{vmid} VM.Audit") { (world, call) throws(Failure) in
                .data(.array(try world.guest(call).pendingRows))
            },
        ]
    } + [
        .put("nodes/{node}/qemu/{vmid}/config", vmOptions + changes, needs: vmConfigNeeds) {
            (world, call) throws(Failure) in
            var log = TaskLog()
            try world.checkConfigChange(call)
            try world.applyConfigChange(call, &log)
            return .null
        },
        .post(
            "nodes/{node}/qemu/{vmid}/config",
            vmOptions + changes + " background_delay:int(1..30) import-working-storage:storage-id", needs: vmConfigNeeds
        ) { (world, call) throws(Failure) in
            try world.checkConfigChange(call)
            let work = world.work("config", call, exclusive: false) { (world, log) throws(TaskFailure) in
                log.lines.append(world.updateText(call))
                do throws(Failure) { try world.applyConfigChange(call, &log) } catch { throw TaskFailure(error.reason) }
            }
            return world.start(work, by: call.caller)
        },
        .put("nodes/{node}/lxc/{vmid}/config", containerOptions + changes, needs: containerConfigNeeds) {
            (world, call) throws(Failure) in
            var log = TaskLog()
            try world.checkConfigChange(call)
            try world.applyConfigChange(call, &log)
            return .null
        },
        .post(
            "nodes/{node}/qemu",
            vmOptions + """
                 vmid!:vmid archive:str(..255) bwlimit:int(0..) force:bool ha-managed:bool pool:str start:bool
                 storage:storage-id unique:bool live-restore:bool
                """
        ) { (world, call) throws(Failure) in try world.createVM(call) },
        .post(
            "nodes/{node}/lxc",
            containerOptions + """
                 vmid!:vmid ostemplate!:str(..255) bwlimit:num(0..) force:bool ha-managed:bool password:str(5..) pool:str
                 restore:bool ssh-public-keys:str start:bool storage:storage-id unique:bool ignore-unpack-errors:bool
                """
        ) { (world, call) throws(Failure) in try world.createContainer(call) },
        .put(
            "nodes/{node}/qemu/{vmid}/resize", "digest:str(..40) disk!:disk size!:size skiplock:bool",
            needs: "/vms/{vmid} VM.Config.Disk"
        ) { (world, call) throws(Failure) in try world.resizeVM(call) },
        .put(
            "nodes/{node}/lxc/{vmid}/resize", "digest:str(..40) disk!:volumes size!:size",
            needs: "/vms/{vmid} VM.Config.Disk"
        ) { (world, call) throws(Failure) in try world.resizeContainer(call) },
        .post(
            "nodes/{node}/qemu/{vmid}/move_disk",
            """
            bwlimit:int(0..) delete:bool digest:str(..40) disk!:str format:enum(raw|qcow2|vmdk) storage:storage-id
            target-digest:str(..40) target-disk:str target-vmid:vmid
            """, needs: "/vms/{vmid} VM.Config.Disk"
        ) { (world, call) throws(Failure) in try world.moveDisk(call) },
        .post(
            "nodes/{node}/lxc/{vmid}/move_volume",
            """
            bwlimit:num(0..) delete:bool digest:str(..40) storage:storage-id target-digest:str(..40) target-vmid:vmid
            target-volume:volumes volume!:volumes
            """, needs: "/vms/{vmid} VM.Config.Disk"
        ) { (world, call) throws(Failure) in try world.moveVolume(call) },
        .put("nodes/{node}/qemu/{vmid}/unlink", "force:bool idlist!:configid-list", needs: "/vms/{vmid} VM.Config.Disk")
        {
            (world, call) throws(Failure) in
            _ = try world.guest(call)
            world.change(call.vmid) { guest in
                for key in Format.list(call.text("idlist")) where guest.config[key] != nil { guest.config[key] = nil }
            }
            return .null
        },
    ]

extension World {
    fileprivate func configuration(_ call: Call) throws(Failure) -> JSONObject {
        let guest = try guest(call)
        var config = guest.config
        if let name = call["snapshot"] {
            guard let snapshot = guest.snapshots.first(where: { $0.name == name }) else {
                throw .plain("snapshot '\(name)' does not exist")
            }
            config = snapshot.fullConfig
        } else if !call.flag("current") {
            for (key, value) in guest.pending { config[key] = value }
        }
        var json = config.json(of: guest.kind)
        json["digest"] = .string(guest.digest)
        return json
    }

    fileprivate func updateText(_ call: Call) -> String {
        let set = call.values.filter {
            !["node", "vmid", "digest", "delete", "revert", "background_delay"].contains($0.key)
        }
        return "update VM \(call.vmid): "
            + set.sorted { $0.key < $1.key }.map { "-\($0.key) \($0.value)" }.joined(separator: " ")
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
