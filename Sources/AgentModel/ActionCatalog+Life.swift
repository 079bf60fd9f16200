import StrictJSON

/// Creating, moving and deleting guests.
extension ActionCatalog {
    static func life(_ kind: GuestKind) -> [ActionDefinition] {
        [create(kind), clone(kind), migrate(kind), template(kind), delete(kind)]
    }

    static let mayAllocate = [Privilege("/vms/{vmid}", "VM.Allocate")]
    static let mayFill = Privilege("/storage/{storage}", "Datastore.AllocateSpace", when: .with("storage"))
    private static let newNode = ParameterDefinition(
        "node", .text(.node), required: true, agentOnly: true, "the node that gets it")

    private static func create(_ kind: GuestKind) -> ActionDefinition {
        let isVM = kind == .vm
        return .change(
            "create_\(kind.suffix)", "Make a new \(kind.noun) with the target's id", on: [kind.form],
            [newNode] + keys(of: kind)
                + [
                    ParameterDefinition("storage", .text(.storage), "storage where a disk names none"), pool,
                    ParameterDefinition("start", .boolean, "start it at once"), bandwidth,
                ]
                + (isVM
                    ? []
                    : [
                        ParameterDefinition("ostemplate", .text(.volume), required: true, "local:vztmpl/…"),
                        ParameterDefinition("unprivileged", .boolean, "map its root to a user of the node's"),
                        ParameterDefinition("password", .text(.password), "of its root"),
                        ParameterDefinition("ssh-public-keys", .text(32_768), "for its root, one a line"),
                    ]),
            risk: .medium, approval: false, because: "uses resources, takes nothing away",
            escalations: [touchesHost, touchesVolumes(kind)]
                + (isVM
                    ? [touchesHostDevice]
                    : [
                        RiskEscalation(
                            "touches-template", ["ostemplate"], value: .noTemplate,
                            because: "makes the container from data that may be somebody else's"),
                        RiskEscalation(
                            "touches-privileged", ["unprivileged"], value: .notOn,
                            because: "the container's root is the node's; give unprivileged: true"),
                    ]),
            [
                CallTemplate(
                    .post, "/nodes/{node}/\(kind.rawValue)", tasks: kind.tasks("create"), id: "{vmid}",
                    fixed: ["vmid": "{vmid}"])
            ],
            expects: .absent,
            checks: [
                .idIsFree(nil), .nodeOnline("node"), .storageActive("storage", content: "disks"), .diskStorages,
                .poolExists, .volumeIsThere("ostemplate"),
            ],
            changes: .exists(true), undo: .action("delete_\(kind.suffix)"), needs: mayAllocate + [mayFill],
            runs: .flag("start"), also: [Equivalent("start_*", when: .flag("start"))],
            examples: [
                isVM
                    ? ["node": "pve1"]
                    : ["node": "pve1", "ostemplate": "local:vztmpl/debian-13.tar.zst", "unprivileged": true]
            ])
    }

    private static func clone(_ kind: GuestKind) -> ActionDefinition {
        let isVM = kind == .vm
        let format = ParameterDefinition("format", .choice(["raw", "qcow2", "vmdk"]), "disk format of a full copy")
        return .change(
            "clone_\(kind.suffix)", "Copy a \(kind.noun) or a template", on: [kind.form],
            [
                node, ParameterDefinition("newid", .integer(vmid), required: true, "the new guest's id; must be free"),
                ParameterDefinition(isVM ? "name" : "hostname", .text(.dnsName), "the new guest's name"),
                ParameterDefinition("description", .text(8192), "the new guest's note"),
                ParameterDefinition("full", .boolean, "copy all disks, even of a template"),
                ParameterDefinition("target", .text(.node), "the node for the new guest; shared storage only"),
                ParameterDefinition("storage", .text(.storage), "storage for a full copy"),
            ] + (isVM ? [format] : []) + [
                pool,
                ParameterDefinition("snapname", .text(.snapshot), "copy this snapshot instead of the present state"),
                bandwidth,
            ], risk: .medium, approval: false, because: "uses storage, leaves the source as it is",
            escalations: [
                RiskEscalation(
                    "touches-host", live: .copiesHost, because: "makes another guest with the same hold on its node")
            ],
            [CallTemplate(.post, "\(kind.path)/clone", tasks: kind.tasks("clone"), id: "{vmid}")],
            checks: [
                .unlocked(), .idIsFree("newid"), .nodeOnline("target"), .storageActive("storage", content: "disks"),
                .snapshotExists("snapname"), .linkedClone, .poolExists,
            ], changes: .newGuest("newid"), undo: .action("delete_\(kind.suffix)", on: "\(kind.targetWord)/{newid}"),
            needs: [
                Privilege("/vms/{vmid}", "VM.Clone"), Privilege("/vms/{newid}", "VM.Allocate", when: .without("pool")),
                mayFill,
            ],
            examples: [["newid": 900]])
    }

    private static func migrate(_ kind: GuestKind) -> ActionDefinition {
        let isVM = kind == .vm
        return .change(
            "migrate_\(kind.suffix)", "Move a \(kind.noun) to another node", on: [kind.form],
            [node, ParameterDefinition("target", .text(.node), required: true, "the node to move to")]
                + (isVM
                    ? [
                        ParameterDefinition("online", .boolean, "move it while it runs"),
                        ParameterDefinition("with-local-disks", .boolean, "move local disks along"),
                        ParameterDefinition(
                            "targetstorage", .text(.storageMap), "storage, or pairs FROM:TO, at the other end"),
                    ]
                    : [
                        ParameterDefinition("restart", .boolean, "stop it, move it, start it there"),
                        ParameterDefinition(
                            "target-storage", .text(.storageMap), "storage, or pairs FROM:TO, at the other end"),
                        ParameterDefinition("timeout", .integer(1...86_400), "seconds to shut it down for a restart"),
                    ]) + [bandwidth], risk: .high, approval: true,
            because: "moves a machine and perhaps its disks; may interrupt it",
            [CallTemplate(.post, "\(kind.path)/migrate", tasks: kind.migrationTasks, id: "{vmid}")],
            checks: [.unlocked(), .otherNode("target"), .migration, .ruleAllows("target")],
            changes: .node("target"),
            undo: .migration,
            needs: [Privilege("/vms/{vmid}", "VM.Migrate")],
            examples: [["target": "pve2"]])
    }

    private static func template(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "template_\(kind.suffix)", "Make a \(kind.noun) a template, for good", on: [kind.form], [node], risk: .high,
            approval: true, because: "it can never be started again",
            [CallTemplate(.post, "\(kind.path)/template", tasks: kind == .vm ? ["qmtemplate"] : [], id: "{vmid}")],
            checks: [.unlocked(), .notTemplate, .stopped, .noSnapshots], changes: .template, needs: mayAllocate)
    }

    private static func delete(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "delete_\(kind.suffix)", "Delete a \(kind.noun) and its disks", on: [kind.form],
            [
                node,
                ParameterDefinition("purge", .boolean, "remove it from backup jobs, replication and HA as well"),
                ParameterDefinition(
                    "destroy-unreferenced-disks", .boolean, "delete disks of its id that its config names not"),
            ], risk: .high, approval: true, because: "destroys a machine and its data",
            [CallTemplate(.delete, kind.path, tasks: kind.tasks("destroy"), id: "{vmid}")],
            checks: [.unlocked(), .stopped, .unprotected, .notLinked, .outOfHA], changes: .exists(false),
            needs: mayAllocate,
            safety: true)
    }
}
