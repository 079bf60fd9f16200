import StrictJSON

/// Backups of guests.
extension ActionCatalog {
    private static let compress = ParameterDefinition("compress", .choice(["0", "gzip", "lzo", "zstd"]), "how")
    private static let mode = ParameterDefinition(
        "mode", .choice(["snapshot", "suspend", "stop"]), "what the guest does meanwhile")
    private static let notes = ParameterDefinition("notes-template", .text(.line(1024)), "a note: {{guestname}}")
    private static let protected = ParameterDefinition("protected", .boolean, "keep it from being deleted")
    static let retention = ParameterDefinition(
        "prune-backups", .text(.retention), "which to keep: keep-last=3,keep-daily=7")

    static let backups: [ActionDefinition] =
        GuestKind.allCases.map(backup) + [restore, deleteBackup, editJob, prune]

    private static func backup(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "backup_\(kind.suffix)", "Back a \(kind.noun) up to a storage", on: [kind.form],
            [
                node, ParameterDefinition("storage", .text(.storage), required: true, "where the backup goes"), mode,
                compress, notes, protected,
                ParameterDefinition("remove", .boolean, "delete older backups by the rule of storage or prune-backups"),
                retention, bandwidth, ParameterDefinition("ionice", .integer(0...8), "IO priority; 8 is idle"),
            ], risk: .medium, approval: false, because: "uses storage, interrupts little",
            escalations: [
                RiskEscalation(
                    "touches-running", when: .when("mode", "suspend", "stop"), risk: .medium,
                    because: "interrupts what runs in it"),
                RiskEscalation("touches-backups", ["remove", "prune-backups"], because: "deletes older backups"),
            ],
            [
                CallTemplate(
                    .post, "/nodes/{node}/vzdump", tasks: ["vzdump"], id: "{vmid}",
                    fixed: ["vmid": "{vmid}", "remove": "0"])
            ], checks: [.unlocked(), .storageActive("storage", content: "backup"), .backupRoom],
            changes: .told("storage", key: "backup"),
            needs: [
                Privilege("/vms/{vmid}", "VM.Backup"), mayFill,
                Privilege("/storage/{storage}", "Datastore.Allocate", when: .with("prune-backups")),
                Privilege("/", "Sys.Modify", when: .any(["bwlimit", "ionice"])),
            ], also: [Equivalent("prune_backups", "delete_backup", when: .any(["remove", "prune-backups"]))],
            examples: [["storage": "nas"]])
    }

    private static var restore: ActionDefinition {
        let starts = Condition.anyOf(.flag("start"), .flag("live-restore"))
        return .change(
            "restore_backup", "Make a guest from a backup, in place of the one that is there or as a new one",
            on: [.vm, .container],
            [
                ParameterDefinition(
                    "node", .text(.node), agentOnly: true, "the node for a new guest; else where it is"),
                ParameterDefinition("archive", .text(.volume), required: true, "the backup: local:backup/vzdump-…"),
                ParameterDefinition("storage", .text(.storage), "storage for its disks; else as they were"),
                ParameterDefinition("overwrite", .boolean, "replace the guest that is there"),
                ParameterDefinition("unique", .boolean, "new hardware addresses"),
                ParameterDefinition("start", .boolean, "start it afterwards"),
                ParameterDefinition("live-restore", .boolean, when: .on(.vm), "start it at once"), pool, bandwidth,
            ], risk: .high, approval: true, because: "replaces a guest and all its data, where one is there",
            [
                CallTemplate(
                    .post, "/nodes/{node}/qemu", when: .on(.vm), tasks: ["qmrestore"], id: "{vmid}",
                    fixed: ["vmid": "{vmid}"], renames: ["overwrite": "force"]),
                CallTemplate(
                    .post, "/nodes/{node}/lxc", when: .on(.container), tasks: ["vzrestore"], id: "{vmid}",
                    fixed: ["vmid": "{vmid}", "restore": "1"], renames: ["overwrite": "force", "archive": "ostemplate"]
                ),
            ], expects: .either,
            checks: [
                .replaceable, .nodeOnline("node"), .archive("archive"), .storageActive("storage", content: "disks"),
                .poolExists,
            ],
            changes: .restored, undo: .restored, needs: mayAllocate + [mayFill],
            runs: starts,
            also: [
                Equivalent("create_*"), Equivalent("delete_*", when: .flag("overwrite")),
                Equivalent("start_*", when: starts),
            ],
            examples: [["archive": "nas:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst"]])
    }

    private static var deleteBackup: ActionDefinition {
        .change(
            "delete_backup", "Delete a backup", on: [.storage], [onNode, volume], rules: [.onTarget("volume")],
            risk: .high, approval: true, because: "destroys a way back",
            [CallTemplate(.delete, "/nodes/{node}/storage/{storage}/content/{volume}", tasks: ["imgdel"])],
            object: volumeRow, checks: [.volumeExists("volume", isBackup: true), .volumeUnprotected("volume")],
            changes: .exists(false),
            needs: [Privilege("/storage/{storage}", "Datastore.AllocateSpace", "Datastore.Allocate")],
            examples: [["volume": "nas:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst"]])
    }

    private static var editJob: ActionDefinition {
        let set = Condition.when("op", "add", "change")
        return .change(
            "backup_job_edit", "Add, change or remove a scheduled backup", on: [.cluster],
            [
                op, ParameterDefinition("id", .text(.configID), required: true, identity: .name, "the job's name"),
                ParameterDefinition(
                    "schedule", .text(.schedule), requiredWhen: .when("op", "add"), when: set, "mon..fri 2:30"),
                ParameterDefinition(
                    "storage", .text(.storage),
                    // PVE takes these two only together with it.
                    requiredWhen: .anyOf(.when("op", "add"), .with("notes-template"), .with("protected")), when: set,
                    "where to"),
                ParameterDefinition("enabled", .boolean, when: set, "whether it runs"),
                ParameterDefinition("all", .boolean, when: set, "every guest"),
                ParameterDefinition("vmid", .list(.integer(vmid), upTo: 500), when: set, "these guests"),
                ParameterDefinition("exclude", .list(.integer(vmid), upTo: 500), when: set, "all but these guests"),
                ParameterDefinition("pool", .text(.pool), when: set, "the guests of a pool"),
                ParameterDefinition("node", .text(.node), agentOnly: false, when: set, "only those on this node"),
                mode.only(set), compress.only(set), notes.only(set), protected.only(set), retention.only(set),
                bandwidth.only(set), ParameterDefinition("comment", .text(.line(512)), when: set, "a note"),
                ParameterDefinition("repeat-missed", .boolean, when: set, "make up for missed runs"),
                removals.only(.when("op", "change")),
            ],
            rules: [
                .notSetAndListed("delete"), .notTogether("all", "vmid"), .notTogether("vmid", "exclude"),
                .changesSomething,
            ],
            risk: .high, approval: true, because: "what is not backed up any more cannot be brought back",
            [
                CallTemplate(.post, "/cluster/backup", when: .when("op", "add"), tasks: []),
                CallTemplate(.put, "/cluster/backup/{id}", when: .when("op", "change"), tasks: []),
                CallTemplate(.delete, "/cluster/backup/{id}", when: .when("op", "remove"), tasks: []),
            ], object: .at("/cluster/backup/{id}"), checks: [.objectFits], changes: .object, undo: .edit(),
            needs: [
                Privilege("/", "Sys.Modify"),
                Privilege("/storage/{storage}", "Datastore.Allocate", when: .with("storage")),
                Privilege("/pool/{pool}", "VM.Backup", when: .with("pool")),
            ],
            examples: [
                ["op": "remove", "id": "nightly"],
                ["op": "add", "id": "nightly", "schedule": "sun 01:00", "storage": "nas"],
                ["op": "change", "id": "nightly", "enabled": false],
                ["op": "change", "id": "nightly", "delete": ["comment"]],
            ])
    }

    private static var prune: ActionDefinition {
        .change(
            "prune_backups", "Delete backups on a storage that a rule does not keep", on: [.storage],
            [
                onNode,
                ParameterDefinition(
                    "prune-backups", .text(.retention), required: true, "which to keep: keep-last=3,keep-daily=7"),
                ParameterDefinition("type", .choice(["qemu", "lxc"]), "only of this kind of guest"),
                ParameterDefinition("vmid", .integer(vmid), "only of this guest"),
            ], risk: .high, approval: true, because: "destroys ways back",
            [CallTemplate(.delete, "/nodes/{node}/storage/{storage}/prunebackups", tasks: ["prunebackups"])],
            object: .pruned, changes: .pruned,
            needs: [Privilege("/storage/{storage}", "Datastore.AllocateSpace", "Datastore.Allocate")],
            also: [Equivalent("delete_backup")],
            examples: [["prune-backups": "keep-last=3"]])
    }
}
