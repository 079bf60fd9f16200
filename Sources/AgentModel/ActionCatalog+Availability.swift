import StrictJSON

/// HA and replication.
extension ActionCatalog {
    private static let guests: [TargetForm] = [.vm, .container]
    private static let set = Condition.when("op", "add", "change")
    private static let comment = ParameterDefinition("comment", .text(.line(1024)), when: set, "a note")
    private static let mayReplicate = [
        Privilege("/vms/{vmid}", "VM.Replicate", version: 9), Privilege("/storage", "Datastore.Allocate", version: 8),
    ]
    private static let mayHA = [Privilege("/", "Sys.Console")]

    static let availability: [ActionDefinition] = [editHA, migrateHA, editReplication, runReplication]

    private static var editHA: ActionDefinition {
        let resource = Condition.on(.vm, .container)
        let rule = Condition.on(.cluster)
        return .change(
            "ha_edit", "Let HA manage a guest, change how, or no longer; or edit a rule of HA", on: guests + [.cluster],
            [
                op,
                ParameterDefinition(
                    "state", .choice(["started", "stopped", "disabled", "ignored"]), when: set.and(resource),
                    "what HA keeps it in"),
                ParameterDefinition("max_restart", .integer(0...10), when: set.and(resource), "tries on its node"),
                ParameterDefinition("max_relocate", .integer(0...10), when: set.and(resource), "tries on others"),
                ParameterDefinition("failback", .boolean, when: set.and(resource), "go back to the better node"),
                ParameterDefinition(
                    "purge", .boolean, when: .when("op", "remove").and(resource), "out of rules as well"),
                ParameterDefinition(
                    "rule", .text(.configID), required: true, when: rule, identity: .name, "the rule's name"),
                ParameterDefinition(
                    "type", .choice(["node-affinity", "resource-affinity"]), required: true, when: set.and(rule),
                    identity: .name, "its kind"),
                ParameterDefinition(
                    "resources", .list(.text(.resource), upTo: 200),
                    requiredWhen: .when("op", "add").and(rule), when: set.and(rule), "vm:100, ct:200"),
                ParameterDefinition(
                    "nodes", .list(.text(.rankedNode), upTo: 64),
                    when: set.and(rule), "nodes, with priorities: pve1:2"),
                ParameterDefinition(
                    "affinity", .choice(["positive", "negative"]), when: set.and(rule), "together or apart"),
                ParameterDefinition("strict", .boolean, when: set.and(rule), "nowhere else"),
                ParameterDefinition("disable", .boolean, when: set.and(rule), "not in force"), comment,
                removals.only(.when("op", "change")),
            ], rules: [.notSetAndListed("delete"), .changesSomething], risk: .high, approval: true,
            because: "HA starts, stops and moves guests on its own",
            edits(
                "/cluster/ha/resources", "{sid}", on: resource, fixed: ["sid": "{sid}"], removing: ["purge"])
                + edits("/cluster/ha/rules", "{rule}", on: rule, fixed: [:], removing: []),
            object: .ha, checks: [.objectFits, .ruleFits], changes: .object,
            undo: .edit([
                EditGap(.rules, when: .when("op", "remove").and(resource)),
                EditGap(.guestState, when: .when("op", "add").and(resource)),
            ]), needs: mayHA,
            also: [
                Equivalent("shutdown_*", "stop_*", when: .when("state", "stopped")),
                Equivalent("start_*", when: .when("state", "started")),
            ],
            examples: [["op": "remove"]])
    }

    /// Add, change and remove of one kind of object.
    private static func edits(
        _ list: String, _ item: String, on targets: Condition, fixed: KeyValuePairs<String, String>, removing: [String]
    ) -> [CallTemplate] {
        [
            CallTemplate(.post, list, when: .when("op", "add").and(targets), tasks: [], fixed: fixed),
            CallTemplate(.put, "\(list)/\(item)", when: .when("op", "change").and(targets), tasks: [], digest: true),
            CallTemplate(
                .delete, "\(list)/\(item)", when: .when("op", "remove").and(targets), tasks: [], forwards: removing),
        ]
    }

    private static var migrateHA: ActionDefinition {
        .change(
            "ha_migrate", "Ask HA to move a guest to another node", on: guests,
            [
                node,
                ParameterDefinition("target", .text(.node), required: true, agentOnly: true, "the node to move to"),
                ParameterDefinition(
                    "mode", .choice(["migrate", "relocate"]), required: true, agentOnly: true,
                    "while it runs, or stopped and started there"),
            ], risk: .high, approval: true, because: "moves a machine; may interrupt it",
            [CallTemplate(.post, "/cluster/ha/resources/{sid}/{mode}", tasks: [], fixed: ["node": "{target}"])],
            checks: [.unlocked(), .managedByHA, .otherNode("target"), .migration, .ruleAllows("target")],
            changes: .node("target"),
            undo: .action("ha_migrate", [.take("target", .observed("node")), .same("mode")]), needs: mayHA,
            also: [Equivalent("migrate_*")], answer: .asked("hamigrate"),
            examples: [["target": "pve2", "mode": "migrate"]])
    }

    private static let job = ParameterDefinition(
        "job", .integer(0...999), required: true, agentOnly: true, "the number of the guest's replication job")

    private static var editReplication: ActionDefinition {
        let job = "{vmid}-{job}"
        return .change(
            "replication_edit", "Add, change or remove a guest's replication to another node", on: guests,
            [
                node, op, self.job,
                ParameterDefinition(
                    "target", .text(.node), required: true, when: .when("op", "add"), "the node that gets it"),
                ParameterDefinition("schedule", .text(.schedule), when: set, "*/15 when missing"),
                ParameterDefinition("rate", .number(1...100_000), when: set, "MB/s"),
                ParameterDefinition("disable", .boolean, when: set, "not in force"), comment,
                ParameterDefinition("keep", .boolean, when: .when("op", "remove"), "keep what was replicated"),
                ParameterDefinition(
                    "force", .boolean, when: .when("op", "remove"), "even if the other node cannot be reached"),
                removals.only(.when("op", "change")),
            ], rules: [.notSetAndListed("delete"), .changesSomething], risk: .high, approval: true,
            because: "what is not replicated is lost with its node",
            [
                CallTemplate(
                    .post, "/cluster/replication", when: .when("op", "add"), tasks: [],
                    fixed: ["id": job, "type": "local"]),
                CallTemplate(.put, "/cluster/replication/\(job)", when: .when("op", "change"), tasks: [], digest: true),
                CallTemplate(
                    .delete, "/cluster/replication/\(job)", when: .when("op", "remove"), tasks: [],
                    forwards: ["keep", "force"]),
            ], object: .at("/cluster/replication/\(job)"), checks: [.objectFits, .otherNode("target"), .replicable],
            changes: .object,
            undo: .edit([
                EditGap(
                    .told("replicated data", "what was replicated is deleted, and sent anew as a whole"),
                    when: .when("op", "remove").and(.unless("keep")))
            ]), needs: mayReplicate,
            examples: [["op": "remove", "job": 0]])
    }

    private static var runReplication: ActionDefinition {
        .change(
            "replication_run", "Run a guest's replication now", on: guests, [node, job], risk: .medium, approval: false,
            because: "uses the network, interrupts nothing",
            [CallTemplate(.post, "/nodes/{node}/replication/{vmid}-{job}/schedule_now", tasks: [])],
            object: .at("/cluster/replication/{vmid}-{job}", fields: ["id", "target", "disable"]),
            checks: [.objectFits], changes: .told("job", key: "replication"),
            needs: mayReplicate,
            examples: [["job": 0]])
    }
}
