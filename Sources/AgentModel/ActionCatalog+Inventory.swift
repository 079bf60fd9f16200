import StrictJSON

/// Reads. They change nothing and need no approval.
extension ActionCatalog {
    private static let guests: [TargetForm] = [.vm, .container]
    private static let sees = [Privilege("/vms/{vmid}", "VM.Audit")]
    private static let audits = [Privilege("/", "Sys.Audit")]
    private static let seesStorage = [Privilege("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")]

    /// Reads that show settings. A caller who may not make one does not see the same settings in a plan's preview.
    package static let settingReads: Set<Action> = [
        Action("read_vm"), Action("read_container"), Action("read_config"), Action("read_snapshots"),
        Action("read_node"), Action("read_storage"), Action("read_storage_content"), Action("read_backups"),
        Action("read_firewall"), Action("read_ha"), Action("read_pools"), Action("read_cluster"),
    ]

    static let reads: [ActionDefinition] = guestReads + nodeReads + storageReads + clusterReads + taskReads

    private static let guestReads: [ActionDefinition] =
        GuestKind.allCases.map { kind in
            .read(
                "read_\(kind.suffix)", "Configuration and current status of one \(kind.noun)", on: [kind.form], [node],
                needs: sees,
                calls: [
                    .get("\(kind.path)/config", name: "config"),
                    .get("\(kind.path)/status/current", name: "status"),
                ])
        } + [
            .read(
                "read_config", "A guest's configuration, what of it is pending, or what it was at a snapshot",
                on: guests,
                [node, ParameterDefinition("snapshot", .text(.snapshot), "as it was at this snapshot")], needs: sees,
                calls: [
                    .get("/nodes/{node}/{kind}/{vmid}/config", name: "config"),
                    .get(
                        "/nodes/{node}/{kind}/{vmid}/pending", when: .without("snapshot"), forwards: [],
                        name: "pending"),
                ]),
            .read(
                "read_snapshots", "A guest's snapshots", on: guests, [node], needs: sees,
                calls: [.get("/nodes/{node}/{kind}/{vmid}/snapshot")]),
            .read(
                "read_guest_network", "The addresses that a running guest has", on: guests, [node],
                needs: [
                    Privilege(
                        "/vms/{vmid}", "VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", when: .on(.vm),
                        version: 9), monitors,
                    Privilege("/vms/{vmid}", "VM.Audit", when: .on(.container)),
                ],
                calls: [
                    .get("/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", when: .on(.vm)),
                    .get("/nodes/{node}/lxc/{vmid}/interfaces", when: .on(.container)),
                ]),
            .read(
                "read_metrics", "How a guest, a node or a storage was used lately", on: guests + [.node, .storage],
                [
                    node,
                    ParameterDefinition(
                        "timeframe", .choice(["hour", "day", "week", "month", "year"]), required: true, "how far back"),
                    ParameterDefinition("cf", .choice(["AVERAGE", "MAX"]), "means or maxima"),
                ],
                calls: [
                    .get("/nodes/{node}/{kind}/{vmid}/rrddata", when: .on(.vm, .container)),
                    .get("/nodes/{node}/rrddata", when: .on(.node)),
                    .get("/nodes/{node}/storage/{storage}/rrddata", when: .on(.storage)),
                ],
                examples: [["timeframe": "day"]]),
            .read(
                "read_inventory", "All virtual machines and containers, or only the running ones",
                on: [.inventoryAll, .inventoryRunning], needs: [Privilege("/vms", "VM.Audit")],
                calls: [.get("/cluster/resources")], answer: .guests),
        ]

    private static let nodeReads: [ActionDefinition] = [
        .read(
            "read_nodes", "The cluster's nodes", on: [.nodesAll], needs: [Privilege("/nodes", "Sys.Audit")],
            calls: [.get("/nodes")]),
        .read(
            "read_node", "A node's state and its services", on: [.node],
            needs: [Privilege("/nodes/{node}", "Sys.Audit")],
            calls: [
                .get("/nodes/{node}/status", name: "status"),
                .get("/nodes/{node}/services", name: "services"),
            ]),
    ]

    private static let storageReads: [ActionDefinition] = [
        .read(
            "read_storage", "A storage's definition, and how full it is", on: [.storage], [onNode],
            needs: seesStorage + [Privilege("/storage/{storage}", "Datastore.Allocate")],
            calls: [
                .get("/storage/{storage}", name: "definition"),
                .get("/nodes/{node}/storage/{storage}/status", name: "status"),
            ], showsGuests: false),
        .read(
            "read_storage_content", "The volumes on a storage", on: [.storage],
            [
                onNode,
                ParameterDefinition(
                    "content", .choice(["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import"]),
                    "only of this kind"), ParameterDefinition("vmid", .integer(vmid), "only of this guest"),
            ], needs: seesStorage, calls: [.get("/nodes/{node}/storage/{storage}/content")]),
        .read(
            "read_backups", "The backups on a storage, or the cluster's backup jobs", on: [.storage, .cluster],
            [
                onNode.only(.on(.storage)),
                ParameterDefinition("vmid", .integer(vmid), when: .on(.storage), "only of this guest"),
            ],
            calls: [
                .get("/nodes/{node}/storage/{storage}/content", when: .on(.storage), fixed: ["content": "backup"]),
                .get("/cluster/backup", when: .on(.cluster)),
            ]),
    ]

    private static let clusterReads: [ActionDefinition] = [
        .read(
            "read_firewall", "Options, rules, aliases and sets of a firewall",
            on: [.firewallCluster, .firewallNode, .firewallVM, .firewallContainer],
            calls: [
                .get("{firewall}/options", name: "options"),
                .get("{firewall}/rules", name: "rules"),
                .get(
                    "{firewall}/aliases", when: .on(.firewallCluster, .firewallVM, .firewallContainer),
                    name: "aliases"),
                .get(
                    "{firewall}/ipset", when: .on(.firewallCluster, .firewallVM, .firewallContainer),
                    name: "ipset"),
                .get("{firewall}/groups", when: .on(.firewallCluster), name: "groups"),
            ]),
        .read(
            "read_ha", "What HA manages, by which rules, and how it is", on: [.cluster], needs: audits,
            calls: [
                .get("/cluster/ha/status/current", name: "status"),
                .get("/cluster/ha/resources", name: "resources"),
                .get("/cluster/ha/rules", name: "rules"),
            ]),
        .read(
            "read_pools", "All pools, or one with its members", on: [.cluster, .pool],
            needs: [Privilege("/pool", "Pool.Audit", when: .on(.cluster))],
            calls: [
                .get("/pools", when: .on(.cluster)),
                .get("/pools", when: .on(.pool), fixed: ["poolid": "{pool}"]),
            ]),
        .read(
            "read_cluster", "The cluster, its quorum and its resources", on: [.cluster], needs: audits,
            calls: [
                .get("/cluster/status", name: "status"),
                .get("/cluster/resources", name: "resources"),
            ]),
        .read(
            "read_permissions", "What the agent's token may do", on: [.cluster],
            [ParameterDefinition("path", .text(.accessPath), "only on this path of PVE's ACL")],
            calls: [.get("/access/permissions")]),
        .read(
            "read_next_id", "An id that is free, or whether one is", on: [.cluster],
            [ParameterDefinition("vmid", .integer(vmid), "this one")],
            calls: [.get("/cluster/nextid")]),
    ]

    private static let taskReads: [ActionDefinition] = [
        .read(
            "read_tasks", "Recent and running tasks of the cluster, or of one node", on: [.tasksAll],
            [
                ParameterDefinition("node", .text(.node), agentOnly: true, "only this node's tasks"),
                ParameterDefinition("limit", .integer(1...1000), "at most so many, newest first; 50"),
            ],
            calls: [
                .get("/cluster/tasks", when: .without("node"), forwards: []),
                // PVE leaves the running ones out of this list unless it is asked for them.
                .get("/nodes/{node}/tasks", when: .with("node"), fixed: ["source": "all", "limit": "50"]),
            ], answer: .newest("limit", else: 50)),
        .read(
            "read_task_status", "State and exit status of one task", on: [.task],
            calls: [.get("/nodes/{node}/tasks/{upid}/status")]),
        .read(
            "read_task_log", "What one task wrote", on: [.task],
            [
                ParameterDefinition("start", .integer(0...100_000_000), "the first line, from 0"),
                ParameterDefinition("limit", .integer(1...5000), "at most so many lines; 50"),
            ],
            calls: [.get("/nodes/{node}/tasks/{upid}/log")]),
    ]
}
