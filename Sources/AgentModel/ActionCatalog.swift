/// Every action there is. Adding one is a case of ``Action``, an entry here, and its tests.
package enum ActionCatalog {
    /// The entry of `action`; total by construction.
    package static func definition(of action: Action) -> ActionDefinition {
        switch action {
        case .readVM:
            .read(
                action, "Configuration and current status of one virtual machine", on: [.vm], [node],
                calls: [
                    CallTemplate(.get, "/nodes/{node}/qemu/{vmid}/config"),
                    CallTemplate(.get, "/nodes/{node}/qemu/{vmid}/status/current"),
                ])
        case .readInventory:
            .read(
                action, "All virtual machines and containers, or only the running ones",
                on: [.inventoryAll, .inventoryRunning], calls: [CallTemplate(.get, "/cluster/resources")])
        case .readNodes:
            .read(action, "The cluster's nodes", on: [.nodesAll], calls: [CallTemplate(.get, "/nodes")])
        case .readTasks:
            .read(
                action, "Recent and running tasks of the cluster, or of one node", on: [.tasksAll],
                [
                    ParameterDefinition("node", .text(.node), isLocator: true, "only this node's tasks"),
                    ParameterDefinition(
                        "limit", .integer(1...1000), isLocator: true, "at most so many tasks, newest first; 50"),
                ], calls: [CallTemplate(.get, "/cluster/tasks")])
        case .readTaskStatus:
            .read(
                action, "State and exit status of one task", on: [.task],
                calls: [CallTemplate(.get, "/nodes/{node}/tasks/{upid}/status")])
        case .startVM:
            .change(
                action, "Start a virtual machine", on: [.vm], [node, timeout], risk: .medium,
                because: "uses resources, interrupts nothing",
                .calls([CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/status/start")]), inverse: .stopVM)
        case .stopVM:
            .change(
                action, "Stop a virtual machine at once, as if its plug were pulled", on: [.vm], [node, timeout],
                risk: .medium, approval: true, because: "interrupts what the machine does; unsaved data is lost",
                .calls([CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/status/stop")]), inverse: .startVM)
        case .snapshotVM:
            .change(
                action, "Take a snapshot of a virtual machine", on: [.vm], [node] + snapshotParameters, risk: .medium,
                because: "uses storage, interrupts little",
                .calls([CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/snapshot")]))
        case .cloneVM:
            .change(
                action, "Copy a virtual machine or a template", on: [.vm], [node] + cloneParameters, risk: .medium,
                because: "uses storage, leaves the source as it is",
                .calls([CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/clone")]))
        case .migrateVM:
            .change(
                action, "Move a virtual machine to another node", on: [.vm], [node] + migrateParameters, risk: .high,
                approval: true, because: "moves a machine and perhaps its disks; may interrupt it",
                .calls([CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/migrate")]))
        case .deleteVM:
            .change(
                action, "Delete a virtual machine and its disks", on: [.vm], [node] + deleteParameters, risk: .high,
                approval: true, because: "destroys a machine and its data",
                .calls([CallTemplate(.delete, "/nodes/{node}/qemu/{vmid}")]), irreversible: true)
        case .storageEdit:
            .change(
                action, "Add, change or remove a storage definition", on: [.storage], endpointParameters, risk: .high,
                approval: true, because: "guests and backups depend on storage", .endpoint)
        case .firewallEdit:
            .change(
                action, "Change firewall rules, options, aliases, IP sets or groups",
                on: [.firewallCluster, .firewallNode, .firewallVM, .firewallContainer], endpointParameters,
                risk: .high, approval: true, because: "can cut machines off or lay them open", .endpoint)
        }
    }

    /// All entries in the order of ``Action``.
    package static let all = Action.allCases.map(definition(of:))

    // The parameters follow the PVE endpoints' own names and bounds.
    private static let node = ParameterDefinition(
        "node", .text(.node), isLocator: true, "the node the guest is on; found by itself when missing")
    private static let timeout = ParameterDefinition(
        "timeout", .integer(0...86_400), "seconds PVE waits before it gives up")
    private static let bandwidth = ParameterDefinition("bwlimit", .integer(0...1_000_000_000), "KiB/s; 0 is unlimited")
    private static let snapshotParameters = [
        ParameterDefinition("snapname", .text(.snapshot), required: true, "the snapshot's name"),
        ParameterDefinition("description", .text(8192), "a note kept with the snapshot"),
        ParameterDefinition("vmstate", .boolean, "save the memory too"),
    ]
    private static let cloneParameters = [
        ParameterDefinition("newid", .integer(100...999_999_999), required: true, "the new machine's id; must be free"),
        ParameterDefinition("name", .text(.dnsName), "the new machine's name"),
        ParameterDefinition("description", .text(8192), "the new machine's note"),
        ParameterDefinition("full", .boolean, "copy all disks, even of a template"),
        ParameterDefinition("target", .text(.node), "the node for the new machine; shared storage only"),
        ParameterDefinition("storage", .text(.storage), "storage for a full copy"),
        ParameterDefinition("format", .choice(["raw", "qcow2", "vmdk"]), "disk format of a full copy"),
        ParameterDefinition("pool", .text(.pool), "pool that takes the new machine"),
        ParameterDefinition("snapname", .text(.snapshot), "copy this snapshot instead of the present state"),
        bandwidth,
    ]
    private static let migrateParameters = [
        ParameterDefinition("target", .text(.node), required: true, "the node to move to"),
        ParameterDefinition("online", .boolean, "move it while it runs"),
        ParameterDefinition("with-local-disks", .boolean, "move local disks along"),
        ParameterDefinition("targetstorage", .text(.storageMap), "storage, or pairs FROM:TO, at the other end"),
        bandwidth,
    ]
    private static let deleteParameters = [
        ParameterDefinition("purge", .boolean, "remove it from backup jobs, replication and HA as well"),
        ParameterDefinition("destroy-unreferenced-disks", .boolean, "delete disks of its id that its config names not"),
    ]
    private static let endpointParameters = [
        ParameterDefinition("endpoint", .text(.text(512)), required: true, "PVE path under the target, unencoded"),
        ParameterDefinition("method", .choice(["POST", "PUT", "DELETE"]), required: true, "HTTP method"),
        ParameterDefinition("params", .object, "the endpoint's own parameters"),
    ]
}

extension ParameterDefinition.Form {
    /// Free text of at most so many characters.
    static func text(_ limit: Int) -> Self { .text(.text(limit)) }
}
