import StrictJSON

/// Nodes, and many guests at once.
extension ActionCatalog {
    static let nodes: [ActionDefinition] = [
        power("reboot", "Reboot a node"), power("shutdown", "Shut a node down"), wake, service,
        bulk(
            "start", "Start many guests", "startall", [], fixed: ["force": "1"], risk: .medium,
            because: "uses resources, interrupts nothing", changes: .guestStatus("running"),
            undo: .guests("bulk_shutdown"), also: [Equivalent("start_*")]),
        bulk(
            "shutdown", "Ask the systems in many guests to shut down", "stopall",
            [
                ParameterDefinition("timeout", .integer(0...7200), "seconds each may take"),
                ParameterDefinition("force-stop", .boolean, "stop those that do not in time"),
            ],  // PVE would stop them by force unless it is told not to.
            always: ["force-stop": "0"], risk: .high, because: "interrupts what runs in many guests",
            changes: .guestStatus("stopped"),
            undo: .guests("bulk_start"),
            also: [Equivalent("shutdown_*"), Equivalent("stop_*", when: .flag("force-stop"))]),
        bulk(
            "migrate", "Move many guests to another node", "migrateall",
            [
                ParameterDefinition("target", .text(.node), required: true, "the node to move to"),
                ParameterDefinition("with-local-disks", .boolean, "move local disks along"),
                ParameterDefinition("online", .boolean, when: .on(.cluster), "move those that run while they run"),
            ],  // A node does not begin without a number, and moves what runs while it runs.
            fixed: ["max-workers": "1"], asNode: ["online": "1"], risk: .high,
            because: "moves many guests; may interrupt them",
            checks: [.otherNode("target"), .guestsMove],
            changes: .guestNode("target"), undo: .guests("bulk_migrate"), also: [Equivalent("migrate_*")],
            examples: [["target": "pve2"]]),
    ]

    private static let row = ObjectRule.row("/nodes", where: "node", is: "{node}", fields: ["node", "status"])
    private static let mayPower = [Privilege("/nodes/{node}", "Sys.PowerMgmt")]

    private static func power(_ command: String, _ summary: String) -> ActionDefinition {
        .change(
            "\(command)_node", summary, on: [.node], [], risk: .high, approval: true,
            because: "interrupts every guest on the node",
            [CallTemplate(.post, "/nodes/{node}/status", tasks: [], fixed: ["command": command], quorum: nil)],
            object: row,
            checks: [.nodeOnline(nil), .quorateWithout, .guestsOnNode],
            changes: command == "reboot" ? .restarted : .nodeStatus("offline"),
            undo: command == "reboot" ? .none : .wake(by: "wake_node"), needs: mayPower,
            also: [Equivalent("shutdown_*", "stop_*")])
    }

    private static var wake: ActionDefinition {
        .change(
            "wake_node", "Wake a node over the network", on: [.node], [], risk: .medium, approval: false,
            because: "uses power, interrupts nothing",
            [CallTemplate(.post, "/nodes/{node}/wakeonlan", tasks: [], quorum: nil)],
            object: row,
            checks: [.nodeOffline], changes: .nodeStatus("online"), undo: .action("shutdown_node"), needs: mayPower)
    }

    /// Services that a node cannot do without, or cannot be reached without.
    private static let vital = [
        "pve-cluster", "pve-firewall", "pve-ha-crm", "pve-ha-lrm", "pve-lxc-syscalld", "pvedaemon", "pvefw-logger",
        "proxmox-firewall", "pveproxy", "pvescheduler", "pvestatd", "sshd",
    ]

    private static var service: ActionDefinition {
        let others = [
            "chrony", "corosync", "cron", "ksmtuned", "lxcfs", "postfix", "qmeventd", "spiceproxy",
            "syslog", "systemd-journald", "systemd-timesyncd",
        ]
        let commands = ["start", "stop", "restart", "reload"]
        return .change(
            "node_service", "Start, stop, restart or reload a service of a node", on: [.node],
            [
                ParameterDefinition("service", .choice((vital + others).sorted()), required: true, "the service"),
                ParameterDefinition("command", .choice(commands), required: true, agentOnly: true, "what to do"),
            ], risk: .medium, approval: true, because: "interrupts what the service does",
            escalations: [
                RiskEscalation(
                    "touches-vital", when: .when("command", "stop").and(.among("service", vital + ["corosync"])),
                    because: "the node may be out of reach, or out of the cluster, without it")
            ],
            commands.map { command in
                CallTemplate(
                    .post, "/nodes/{node}/services/{service}/\(command)", when: .when("command", command),
                    tasks: ["srv\(command)"], id: "{service}", quorum: nil)
            }, object: .at("/nodes/{node}/services/{service}/state", fields: ["name", "state", "unit-state"]),
            checks: [.objectFits, .nodeOnline(nil), .dispensable], changes: .service,
            undo: .opposite("command", ["stop": "start", "start": "stop"]),
            needs: [Privilege("/nodes/{node}", "Sys.Modify")],
            examples: [["service": "cron", "command": "restart"]])
    }

    /// The same for the guests of a node and for guests anywhere in the cluster.
    private static func bulk(
        _ verb: String, _ summary: String, _ nodeCall: String, _ parameters: [ParameterDefinition],
        fixed: KeyValuePairs<String, String> = [:], always: KeyValuePairs<String, String> = [:],
        asNode: KeyValuePairs<String, String> = [:], risk: Risk,
        because reason: String, checks: [CheckKind] = [],
        changes: ChangeRule, undo: UndoRule, also equivalents: [Equivalent], examples: [JSONObject] = []
    ) -> ActionDefinition {
        // A node's own bulk start removes the backup locks of all its guests. A node's own bulk tasks report OK even
        // when guests fail.
        func cluster(_ when: Condition, _ fixed: KeyValuePairs<String, String>) -> CallTemplate {
            CallTemplate(
                .post, "/cluster/bulk-action/guest/\(verb)", when: when, tasks: ["bulk-\(verb)"], id: "", fixed: fixed,
                computed: [.guestList], bulk: true)
        }
        return .change(
            "bulk_\(verb)", summary, on: [.node, .cluster],
            [
                ParameterDefinition(
                    "vms", .list(.integer(vmid), upTo: 200), requiredWhen: .on(.cluster), agentOnly: true,
                    "these guests; on a node all that it fits when missing"),
                ParameterDefinition("max-workers", .integer(1...64), "how many at the same time"),
            ] + parameters, risk: risk, approval: risk == .high, because: reason,
            [
                CallTemplate(
                    .post, "/nodes/{node}/\(nodeCall)", when: .on(.node), tasks: [nodeCall], id: "",
                    fixed: always.isEmpty ? fixed : always, computed: [.guests],
                    quorum: nodeCall == "stopall" ? nil : .always, bulk: false)
            ]
                + (asNode.isEmpty
                    ? [cluster(.on(.node, .cluster), always)]
                    : [cluster(.on(.node), asNode), cluster(.on(.cluster), always)]),
            checks: checks + [.guestsFit], changes: changes, undo: undo, needs: [], also: equivalents,
            examples: examples)
    }
}
