extension ActionCatalog {
    static let inventory: [ActionDefinition] = [
        .read(
            "read_vm", "Configuration and current status of one virtual machine", on: [.vm], [node],
            calls: [
                CallTemplate(.get, "/nodes/{node}/qemu/{vmid}/config", name: "config"),
                CallTemplate(.get, "/nodes/{node}/qemu/{vmid}/status/current", name: "status"),
            ]),
        .read(
            "read_inventory", "All virtual machines and containers, or only the running ones",
            on: [.inventoryAll, .inventoryRunning], calls: [CallTemplate(.get, "/cluster/resources")]),
        .read("read_nodes", "The cluster's nodes", on: [.nodesAll], calls: [CallTemplate(.get, "/nodes")]),
        .read(
            "read_tasks", "Recent and running tasks of the cluster, or of one node", on: [.tasksAll],
            [
                ParameterDefinition("node", .text(.node), isOwn: true, "only this node's tasks"),
                ParameterDefinition("limit", .integer(1...1000), "at most so many, newest first; 50"),
            ],
            calls: [
                CallTemplate(.get, "/cluster/tasks", when: .without("node"), passes: []),
                // PVE leaves the running ones out of this list unless it is asked for them.
                CallTemplate(
                    .get, "/nodes/{node}/tasks", when: .with("node"), fixed: ["source": "all", "limit": "50"]),
            ]),
        .read(
            "read_task_status", "State and exit status of one task", on: [.task],
            calls: [CallTemplate(.get, "/nodes/{node}/tasks/{upid}/status")]),
    ]
}
