/// Disks of guests.
extension ActionCatalog {
    private static let guests: [TargetForm] = [.vm, .container]
    private static let slot = ParameterDefinition(
        "disk", .text(.slot), required: true, isOwn: true,
        "the disk: scsi0, rootfs, mp0, …")
    private static let mayDisk = [Privilege("/vms/{vmid}", "VM.Config.Disk")]

    static let disks: [ActionDefinition] = [
        .change(
            "resize_disk", "Make a guest's disk larger", on: guests,
            [
                node, slot,
                ParameterDefinition("size", .text(.size), required: true, "as +10G more, or 42G in all; never less"),
            ], rules: [.diskOfKind("disk")], risk: .medium, because: "uses storage; cannot be made smaller again",
            [
                CallTemplate(
                    .put, "/nodes/{node}/{kind}/{vmid}/resize", tasks: ["resize"], id: "{vmid}",
                    fixed: ["disk": "{disk}"], digest: true, moves: ["digest"])
            ], checks: [.unlocked(), .diskExists("disk"), .diskGrows], changes: .size, needs: mayDisk, safety: true),
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
                    fixed: ["disk": "{disk}"], digest: true, moves: ["digest"]),
                CallTemplate(
                    .post, "/nodes/{node}/lxc/{vmid}/move_volume", when: .on(.container), tasks: ["move_volume"],
                    id: "{vmid}", fixed: ["volume": "{disk}"], digest: true, moves: ["digest"]),
            ], checks: [.unlocked(), .diskExists("disk"), .storageActive("storage", content: nil)], changes: .moved,
            undo: .disk, needs: mayDisk + [mayFill], safety: true),
        .change(
            "attach_disk", "Give a guest a new disk, or a volume that is there", on: guests,
            [
                node, slot,
                ParameterDefinition("volume", .text(.volume), isOwn: true, "a volume that is there"),
                ParameterDefinition(
                    "storage", .text(.storage), requiredWhen: .without("volume"), isOwn: true, when: .without("volume"),
                    "storage for a new disk"),
                ParameterDefinition(
                    "size", .integer(1...131_072), requiredWhen: .without("volume"), isOwn: true,
                    when: .without("volume"),
                    "GiB of the new disk"),
                ParameterDefinition(
                    "path", .text(.directory), required: true, isOwn: true, when: .on(.container),
                    "where the container sees it"),
                ParameterDefinition("options", .text(.line(512)), isOwn: true, "PVE's options: discard=on,ssd=1"),
            ], rules: [.diskOfKind("disk")], risk: .medium, because: "uses storage, takes nothing away",
            touches: [
                TouchRule("touches-volume", ["volume"], because: "gives the guest data that may be somebody else's")
            ], GuestKind.allCases.map { config($0, passes: [], computed: [.disk]) },
            checks: [
                .unlocked(), .slotIsFree("disk"), .volumeUnused("volume"), .storageActive("storage", content: nil),
            ], changes: .config, undo: .disk, needs: mayDisk + [mayFill], safety: true),
        .change(
            "detach_disk", "Take a disk from a guest", on: guests,
            [
                node, slot,
                ParameterDefinition("destroy", .boolean, when: .on(.vm), "destroy it; it stays as unused otherwise"),
            ], rules: [.diskOfKind("disk")], risk: .high, approval: true,
            because: "takes data from the guest, and may destroy it",
            GuestKind.allCases.map {
                config(
                    $0, fixed: ["delete": "{disk}"], passes: $0 == .vm ? ["destroy"] : [], renames: ["destroy": "force"]
                )
            }, checks: [.unlocked(), .diskExists("disk"), .notRoot("disk")], changes: .config, undo: .disk,
            needs: mayDisk,
            safety: true),
    ]
}
