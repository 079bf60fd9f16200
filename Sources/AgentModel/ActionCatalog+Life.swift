/// How guests come to be, move and go.
extension ActionCatalog {
    static func life(_ kind: GuestKind) -> [ActionDefinition] {
        [snapshot(kind), clone(kind), migrate(kind), delete(kind)]
    }

    static func snapshot(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "snapshot_\(kind.suffix)", "Take a snapshot of a \(kind.noun)", on: [kind.form],
            [
                node, ParameterDefinition("snapname", .text(.snapshot), required: true, "the snapshot's name"),
                ParameterDefinition("description", .text(8192), "a note kept with the snapshot"),
            ] + (kind == .vm ? [ParameterDefinition("vmstate", .boolean, "save the memory too")] : []),
            risk: .medium, because: "uses storage, interrupts little",
            [CallTemplate(.post, "\(kind.path)/snapshot", tasks: kind.tasks("snapshot"), id: "{vmid}")],
            checks: [.unlocked(), .snapshotIsNew("snapname")], changes: .snapshot("snapname", true),
            needs: [Privilege("/vms/{vmid}", "VM.Snapshot")])
    }

    static func clone(_ kind: GuestKind) -> ActionDefinition {
        let isVM = kind == .vm
        return .change(
            "clone_\(kind.suffix)", "Copy a \(kind.noun) or a template", on: [kind.form],
            [
                node, ParameterDefinition("newid", .integer(vmid), required: true, "the new guest's id; must be free"),
                ParameterDefinition(isVM ? "name" : "hostname", .text(.dnsName), "the new guest's name"),
                ParameterDefinition("description", .text(8192), "the new guest's note"),
                ParameterDefinition("full", .boolean, "copy all disks, even of a template"),
                ParameterDefinition("target", .text(.node), "the node for the new guest; shared storage only"),
                ParameterDefinition("storage", .text(.storage), "storage for a full copy"),
            ]
                + (isVM
                    ? [ParameterDefinition("format", .choice(["raw", "qcow2", "vmdk"]), "disk format of a full copy")]
                    : []) + [
                    pool,
                    ParameterDefinition(
                        "snapname", .text(.snapshot), "copy this snapshot instead of the present state"),
                    bandwidth,
                ],
            risk: .medium, because: "uses storage, leaves the source as it is",
            [CallTemplate(.post, "\(kind.path)/clone", tasks: kind.tasks("clone"), id: "{vmid}")],
            checks: [.unlocked(), .idIsFree("newid")], changes: .newGuest("newid"),
            needs: [Privilege("/vms/{vmid}", "VM.Clone")])
    }

    static func migrate(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "migrate_\(kind.suffix)", "Move a \(kind.noun) to another node", on: [kind.form],
            [
                node, ParameterDefinition("target", .text(.node), required: true, "the node to move to"),
                ParameterDefinition("online", .boolean, "move it while it runs"),
                ParameterDefinition("with-local-disks", .boolean, "move local disks along"),
                ParameterDefinition("targetstorage", .text(.storageMap), "storage, or pairs FROM:TO, at the other end"),
                bandwidth,
            ], risk: .high, approval: true, because: "moves a machine and perhaps its disks; may interrupt it",
            [CallTemplate(.post, "\(kind.path)/migrate", tasks: kind.tasks("migrate", ha: "migrate"), id: "{vmid}")],
            checks: [.unlocked(), .otherNode("target"), .migration], changes: .node("target"),
            needs: [Privilege("/vms/{vmid}", "VM.Migrate")])
    }

    static func delete(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "delete_\(kind.suffix)", "Delete a \(kind.noun) and its disks", on: [kind.form],
            [
                node,
                ParameterDefinition("purge", .boolean, "remove it from backup jobs, replication and HA as well"),
                ParameterDefinition(
                    "destroy-unreferenced-disks", .boolean, "delete disks of its id that its config names not"),
            ], risk: .high, approval: true, because: "destroys a machine and its data",
            [CallTemplate(.delete, kind.path, tasks: kind.tasks("destroy"), id: "{vmid}")],
            checks: [.unlocked(), .stopped, .unprotected], changes: .exists(false),
            needs: [Privilege("/vms/{vmid}", "VM.Allocate")])
    }
}
