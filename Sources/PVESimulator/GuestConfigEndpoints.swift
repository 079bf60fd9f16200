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
        ) { world, call in try world.resize(call) },
        .put(
            "nodes/{node}/lxc/{vmid}/resize", "digest:str(..40) disk!:volume size!:size",
            needs: "/vms/{vmid} VM.Config.Disk"
        ) { world, call in try world.resize(call) },
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
        ) { world, call in try world.moveDisk(call) },
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
            config = try guest.snapshot(name).fullConfig
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

/// The options of a guest's configuration, as a ``ParameterTable``.
enum GuestOptions {
    static let vmTable = ParameterTable(vm, path: "")
    static let containerTable = ParameterTable(container, path: "")

    static let vm = """
        acpi:bool affinity:str agent:agent allow-ksm:bool amd-sev:str arch:enum(x86_64|aarch64) args:str audio0:audio
        autostart:bool balloon:int(0..) bios:enum(seabios|ovmf) boot:boot bootdisk:bootdisk cdrom:ide cicustom:cicustom
        cipassword:str citype:enum(configdrive2|nocloud|opennebula) ciupgrade:bool ciuser:str cores:int(1..) cpu:cpu
        cpulimit:num(0..128) cpuunits:int(1..262144) description:str(..8192) efidisk0:efidisk freeze:bool
        hookscript:volume-id hostpci[n]:hostpci hotplug:hotplug hugepages:enum(any|2|1024) ide[n]:ide intel-tdx:str
        ipconfig[n]:ipconfig ivshmem:ivshmem keephugepages:bool keyboard:enum(\(keyboards)) kvm:bool localtime:bool
        lock:enum(backup|clone|create|migrate|rollback|snapshot|snapshot-delete|suspending|suspended) machine:machine
        memory:memory migrate_downtime:num(0..) migrate_speed:int(0..) name:dns nameserver:str net[n]:net numa:bool
        numa[n]:numa onboot:bool
        ostype:enum(other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris) parallel[n]:parallel
        protection:bool reboot:bool rng0:rng sata[n]:sata scsi[n]:scsi
        scsihw:enum(lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi) searchdomain:str serial[n]:serial
        shares:int(0..50000) smbios1:smbios(..512) smp:int(1..) sockets:int(1..) spice_enhancements:spice
        sshkeys:urlencoded startdate:startdate startup:startup tablet:bool tags:tags tdf:bool template:bool tpmstate0:tpmstate
        unused[n]:unused usb[n]:usb vcpus:int(1..) vga:vga virtio[n]:virtio virtiofs[n]:virtiofs vmgenid:uuid
        vmstatestorage:storage-id watchdog:watchdog
        """

    static let container = """
        arch:enum(amd64|i386|arm64|armhf|riscv32|riscv64) cmode:enum(shell|console|tty) console:bool cores:int(1..8192)
        cpulimit:num(0..8192) cpuunits:int(0..500000) debug:bool description:str(..8192) dev[n]:dev entrypoint:str
        env:str features:features hookscript:volume-id hostname:dns(..255)
        lock:enum(backup|create|destroyed|disk|fstrim|migrate|mounted|rollback|snapshot|snapshot-delete) memory:int(16..)
        mp[n]:mp nameserver:str net[n]:lxcnet onboot:bool
        ostype:enum(debian|devuan|ubuntu|centos|fedora|opensuse|archlinux|alpine|gentoo|nixos|unmanaged) protection:bool
        rootfs:rootfs searchdomain:dns-list startup:startup swap:int(0..) tags:tags template:bool timezone:str
        tty:int(0..6) unprivileged:bool unused[n]:lxcunused
        """

    static let keyboards =
        "de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr"
}

/// The options from which the cloud-init drive is made.
private let options = [
    "cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys",
]

let cloudInitEndpoints: [Endpoint] = [
    .get("nodes/{node}/qemu/{vmid}/cloudinit", needs: "/vms/{vmid} VM.Audit") { world, call in
        let guest = try world.guest(call)
        let rows: [JSON] = options.compactMap { key in
            let wanted = guest.config[key].map { Config.json($0, key: key, of: .vm) }
            guard let drive = guest.cloudInitDrive else { return wanted.map { ["key": .string(key), "value": $0] } }
            let current = drive[key].map { Config.json($0, key: key, of: .vm) }
            guard wanted != nil || current != nil else { return nil }
            let isPending = drive[key] != guest.config[key]
            return [
                "delete": isPending && wanted == nil ? .some(1) : .none, "key": .string(key),
                "pending": isPending ? wanted : nil, "value": current,
            ]
        }
        return .rows(rows)
    },
    .change("PUT", "nodes/{node}/qemu/{vmid}/cloudinit", needs: "/vms/{vmid} VM.Config.Cloudinit") { world, call in
        if let text = try world.guest(call).lockedText { throw Failure(text) }
        world.change(call.vmid) { guest in if guest.power.isOn { guest.writeCloudInitDrive() } }
    },
    .get("nodes/{node}/qemu/{vmid}/cloudinit/dump", "type!:enum(user|network|meta)", needs: "/vms/{vmid} VM.Audit") {
        world, call in
        let guest = try world.guest(call)
        guard call["type"] == "user" else { return .data("version: 1\nconfig: []\n") }
        var text = "#cloud-config\nhostname: \(guest.name)\nmanage_etc_hosts: true\n"
        if let user = guest.config["ciuser"] { text += "user: \(user)\n" }
        return .text(text + "chpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n")
    },
]

extension Guest {
    /// Regenerates the cloud-init drive, if there is one.
    mutating func writeCloudInitDrive() {
        let config = config
        guard config.sorted.contains(where: { $0.value.contains("cloudinit") && $0.value.contains("media=cdrom") })
        else { return }
        cloudInitDrive = options.reduce(into: [:]) { $0[$1] = config[$1] }
    }
}
