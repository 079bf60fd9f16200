import StrictJSON

/// Disks of guests.
extension ActionCatalog {
    private static let guests: [TargetForm] = [.vm, .container]
    private static let slot = ParameterDefinition(
        "disk", .text(.slot), required: true, agentOnly: true,
        "the disk: scsi0, rootfs, mp0, …")
    private static let mayDisk = [Privilege("/vms/{vmid}", "VM.Config.Disk")]

    /// What a disk is besides its volume and its path, each with PVE's own name and bounds.
    package static let diskOptions: [ParameterDefinition] = {
        let vm = Condition.on(.vm)
        let container = Condition.on(.container)
        func option(
            _ name: String, _ form: ParameterDefinition.Form, _ summary: String, _ when: Condition = .always
        ) -> ParameterDefinition { ParameterDefinition(name, form, agentOnly: true, when: when, summary) }
        let limits = ["", "_rd", "_wr"].flatMap { side in
            [
                option("iops\(side)", .integer(0...1_000_000_000), "operations a second", vm),
                option("mbps\(side)", .number(0...1_000_000), "MB a second", vm),
            ]
        }
        let errors = ["enospc", "ignore", "report", "stop"]
        return [
            option("backup", .boolean, "part of the guest's backups"),
            option("replicate", .boolean, "part of its replication"), option("ro", .boolean, "read only"),
            option("shared", .boolean, "the same volume on every node"),
            option("aio", .choice(["native", "threads", "io_uring"]), "how it is read and written", vm),
            option("cache", .choice(["none", "writethrough", "writeback", "unsafe", "directsync"]), "cache mode", vm),
            option("detect_zeroes", .boolean, "do not write zeroes", vm),
            option("discard", .choice(["ignore", "on"]), "give freed blocks back to the storage", vm),
            option("format", .choice(["raw", "qcow2", "vmdk"]), "of the image", vm),
            option("iothread", .boolean, "a thread of its own", vm),
            option("media", .choice(["cdrom", "disk"]), "what the guest sees", vm),
            option("queues", .integer(2...64), "queues of a virtio disk", vm),
            option("rerror", .choice(["ignore", "report", "stop"]), "at errors of reading", vm),
            option("werror", .choice(errors), "at errors of writing", vm),
            option("serial", .text(.diskSerial), "the serial number that the guest sees", vm),
            option("ssd", .boolean, "the guest sees an SSD", vm),
            option("wwn", .text(.worldWideName), "the world-wide name that the guest sees", vm),
        ] + limits + [
            option("acl", .boolean, "access control lists", container),
            option("quota", .boolean, "quotas of users", container),
            option("mountoptions", .text(.mountOptions), "noatime;nosuid;…", container),
        ]
    }()

    static let disks: [ActionDefinition] = [
        .change(
            "resize_disk", "Make a guest's disk larger", on: guests,
            [
                node, slot,
                ParameterDefinition("size", .text(.size), required: true, "as +10G more, or 42G in all; never less"),
            ], rules: [.diskOfKind("disk")], risk: .medium, approval: false,
            because: "uses storage; cannot be made smaller again",
            [
                CallTemplate(
                    .put, "/nodes/{node}/{kind}/{vmid}/resize", tasks: ["resize"], id: "{vmid}",
                    fixed: ["disk": "{disk}"], digest: true, expectedDrift: ["digest"])
            ], checks: [.unlocked(), .diskExists("disk"), .diskGrows], changes: .size, needs: mayDisk, safety: true,
            examples: [["disk": "scsi0", "size": "+1G"]]),
        .change(
            "move_disk", "Move a guest's disk to another storage", on: guests,
            [
                node, slot,
                ParameterDefinition("storage", .text(.storage), required: true, "where it goes"),
                ParameterDefinition("delete", .boolean, "delete the original; it stays as unused otherwise"),
                ParameterDefinition("format", .choice(["raw", "qcow2", "vmdk"]), when: .on(.vm), "the copy's format"),
                bandwidth,
            ], rules: [.diskOfKind("disk")], risk: .high, approval: true,
            because: "moves data that the guest works on",
            [
                CallTemplate(
                    .post, "/nodes/{node}/qemu/{vmid}/move_disk", when: .on(.vm), tasks: ["qmmove"], id: "{vmid}",
                    fixed: ["disk": "{disk}"], digest: true, expectedDrift: ["digest"]),
                CallTemplate(
                    .post, "/nodes/{node}/lxc/{vmid}/move_volume", when: .on(.container), tasks: ["move_volume"],
                    id: "{vmid}", fixed: ["volume": "{disk}"], digest: true, expectedDrift: ["digest"]),
            ], checks: [.unlocked(), .diskExists("disk"), .storageActive("storage", content: "disks")], changes: .moved,
            undo: .moveBack, needs: mayDisk + [mayFill], safety: true,
            examples: [["disk": "scsi0", "storage": "nas"]]),
        .change(
            "attach_disk", "Give a guest a new disk, or a volume that is there", on: guests,
            [
                node, slot,
                ParameterDefinition("volume", .text(.volume), agentOnly: true, "a volume that is there"),
                ParameterDefinition(
                    "storage", .text(.storage), requiredWhen: .without("volume"), agentOnly: true,
                    when: .without("volume"),
                    "storage for a new disk"),
                ParameterDefinition(
                    "size", .integer(1...131_072), requiredWhen: .without("volume"), agentOnly: true,
                    when: .without("volume"),
                    "GiB of the new disk"),
                ParameterDefinition(
                    "path", .text(.directory), required: true, agentOnly: true, when: .on(.container),
                    "where the container sees it"),
            ] + diskOptions, rules: [.diskOfKind("disk")], risk: .medium, approval: false,
            because: "uses storage, takes nothing away",
            escalations: [
                RiskEscalation(
                    "touches-volume", ["volume"], because: "gives the guest data that may be somebody else's")
            ], GuestKind.allCases.map { config($0, forwards: [], computed: [.disk]) },
            checks: [
                .unlocked(), .slotIsFree("disk"), .volumeUnused("volume"), .volumeIsThere("volume"),
                .storageActive("storage", content: "disks"), .hotplug,
            ], changes: .config, undo: .detach(by: "detach_disk"), needs: mayDisk + [mayFill], safety: true,
            also: [Equivalent("configure_*")],
            examples: [["disk": "scsi5", "storage": "nas", "size": 8]]),
        .change(
            "detach_disk", "Take a disk from a guest", on: guests,
            [
                node, slot,
                ParameterDefinition("destroy", .boolean, when: .on(.vm), "destroy it; it stays as unused otherwise"),
            ], rules: [.diskOfKind("disk")], risk: .high, approval: true,
            because: "takes data from the guest, and may destroy it",
            GuestKind.allCases.map {
                config(
                    $0, fixed: ["delete": "{disk}"], forwards: $0 == .vm ? ["destroy"] : [],
                    renames: ["destroy": "force"]
                )
            }, checks: [.unlocked(), .diskExists("disk"), .notRoot("disk"), .hotplug], changes: .config,
            undo: .attach(by: "attach_disk"),
            needs: mayDisk, safety: true,
            also: [Equivalent("delete_volume", "delete_vm", when: .flag("destroy"))],
            examples: [["disk": "scsi1"]]),
    ]
}
