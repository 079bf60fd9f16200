import StrictJSON

/// Firewalls and pools.
extension ActionCatalog {
    static let network: [ActionDefinition] = [editFirewall, editPool]

    private static let firewalls: [TargetForm] = [.firewallCluster, .firewallNode, .firewallVM, .firewallContainer]

    private static var editFirewall: ActionDefinition {
        .change(
            "firewall_edit", "Change firewall rules, options, aliases, IP sets or groups", on: firewalls,
            endpoint + [
                op.only(.without("endpoint"), required: .without("endpoint")),
                ParameterDefinition(
                    "object", .choice(["rule", "options", "alias", "ipset", "ipset-entry", "group", "group-rule"]),
                    required: true, agentOnly: true, when: .with("op"), "what to edit"),
            ] + ruleKeys + setKeys + optionKeys + [
                removals.only(firewall("rule", "group-rule", "options", op: "change"))
            ],
            rules: [.notSetAndListed("delete"), .firewallObject, .changesSomething], risk: .high, approval: true,
            because: "can cut machines off or lay them open", firewallCalls, endpoint: true, object: .call,
            checks: [.objectFits, .emptied], changes: .object,
            undo: .edit([EditGap(.entries, when: firewall("ipset", op: "remove"))]),
            needs: [
                Privilege("/", "Sys.Modify", when: .on(.firewallCluster)),
                Privilege("/nodes/{node}", "Sys.Modify", when: .on(.firewallNode)),
                Privilege("/vms/{vmid}", "VM.Config.Network", when: .on(.firewallVM, .firewallContainer)),
            ],
            examples: [["endpoint": "/cluster/firewall/options", "method": "PUT"]])
    }

    /// One of these objects, and one of these operations.
    private static func firewall(_ objects: String..., op ops: String...) -> Condition {
        let object = Condition.among("object", objects)
        return ops.isEmpty ? object : object.and(.among("op", ops))
    }

    private static var ruleKeys: [ParameterDefinition] {
        let add = firewall("rule", "group-rule", op: "add")
        let set = firewall("rule", "group-rule", op: "add", "change")
        let levels = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"]
        return [
            ParameterDefinition(
                "pos", .integer(0...10_000), requiredWhen: firewall("rule", "group-rule", op: "change", "remove"),
                when: firewall("rule", "group-rule"), identity: .place,
                "the rule's place; a new one goes first when missing"),
            ParameterDefinition(
                "moveto", .integer(0...10_000), when: firewall("rule", "group-rule", op: "change"), "its new place"),
            ParameterDefinition(
                "type", .choice(["in", "out", "forward", "group"]), requiredWhen: add, when: set, identity: .name,
                "direction, or group"),
            ParameterDefinition(
                "action", .text(.ruleAction), requiredWhen: add, when: set, "ACCEPT, DROP, REJECT, or a group"),
            ParameterDefinition(
                "enable", .integer(0...1), when: firewall("rule", "group-rule", "options", op: "add", "change"),
                "1 is on; a new rule is off when missing"),
            ParameterDefinition("macro", .text(.macro), when: set, "SSH, HTTPS, …"),
            ParameterDefinition("proto", .text(.protocolName), when: set, "tcp, udp, …"),
            ParameterDefinition("source", .text(.addresses), when: set, "from where"),
            ParameterDefinition("dest", .text(.addresses), when: set, "to where"),
            ParameterDefinition("sport", .text(.ports), when: set, "from which ports"),
            ParameterDefinition("dport", .text(.ports), when: set, "to which ports"),
            ParameterDefinition("icmp-type", .text(.protocolName), when: set, "of ICMP"),
            ParameterDefinition("iface", .text(.interface), when: set, "on which device"),
            ParameterDefinition("log", .choice(levels), when: set, "log level"),
        ]
    }

    private static var setKeys: [ParameterDefinition] {
        [
            ParameterDefinition(
                "name", .text(.firewallName), required: true, when: firewall("alias", "ipset", "ipset-entry"),
                identity: .name,
                "the alias or set"),
            ParameterDefinition(
                "group", .text(.groupName), required: true, when: firewall("group", "group-rule"), identity: .name,
                "the group"),
            ParameterDefinition(
                "cidr", .text(.networkOrAlias),
                requiredWhen: .anyOf(firewall("ipset-entry"), firewall("alias", op: "add", "change")),
                when: .anyOf(firewall("ipset-entry"), firewall("alias", op: "add", "change")), identity: .name,
                "an address or network"),
            ParameterDefinition(
                "nomatch", .boolean, when: firewall("ipset-entry", op: "add", "change"), "an exception"),
            ParameterDefinition("rename", .text(.firewallName), when: firewall("alias", op: "change"), "its new name"),
            ParameterDefinition("force", .boolean, when: firewall("ipset", op: "remove"), "even if it has entries"),
            ParameterDefinition(
                "comment", .text(.line(256)),
                when: .anyOf(
                    firewall("rule", "group-rule", "alias", "ipset-entry", op: "add", "change"),
                    firewall("ipset", "group", op: "add")), "a note"),
        ]
    }

    private static var optionKeys: [ParameterDefinition] {
        let set = firewall("options", op: "change")
        let guests = set.and(.on(.firewallVM, .firewallContainer))
        let levels = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"]
        let policies = ["ACCEPT", "REJECT", "DROP"]
        let everywhereButCluster = set.and(.on(.firewallNode, .firewallVM, .firewallContainer))
        let hosts = set.and(.on(.firewallNode))
        func flag(_ name: String, _ when: Condition, _ summary: String) -> ParameterDefinition {
            ParameterDefinition(name, .boolean, when: when, summary)
        }
        return [
            ParameterDefinition(
                "policy_in", .choice(policies), when: set.and(.on(.firewallCluster, .firewallVM, .firewallContainer)),
                "what is not ruled"),
            ParameterDefinition(
                "policy_out", .choice(policies), when: set.and(.on(.firewallCluster, .firewallVM, .firewallContainer)),
                "what is not ruled"),
            ParameterDefinition(
                "policy_forward", .choice(["ACCEPT", "DROP"]), when: set.and(.on(.firewallCluster)), "what is not ruled"
            ),
            flag("ebtables", set.and(.on(.firewallCluster)), "filter bridges"),
            ParameterDefinition(
                "log_ratelimit", .text(.line(128)), when: set.and(.on(.firewallCluster)), "enable=,rate=,burst="),
            ParameterDefinition("log_level_in", .choice(levels), when: everywhereButCluster, "log level"),
            ParameterDefinition("log_level_out", .choice(levels), when: everywhereButCluster, "log level"),
            ParameterDefinition("log_level_forward", .choice(levels), when: hosts, "log level"),
            flag("ndp", everywhereButCluster, "neighbour discovery"), flag("dhcp", guests, "DHCP"),
            flag("ipfilter", guests, "only its own addresses"), flag("macfilter", guests, "only its own MAC"),
            flag("radv", guests, "router advertisements"), flag("nosmurfs", hosts, "no smurfs"),
            flag("tcpflags", hosts, "no illegal TCP flags"), flag("nftables", hosts, "the newer firewall"),
            flag("log_nf_conntrack", hosts, "log connections"),
            flag("nf_conntrack_allow_invalid", hosts, "let invalid packets pass"),
            flag("protection_synflood", hosts, "against floods"),
            ParameterDefinition("nf_conntrack_max", .integer(32_768...2_147_483_647), when: hosts, "connections"),
        ]
    }

    private static var firewallCalls: [CallTemplate] {
        func edits(
            _ object: String, add: String, item: String, change: Bool = true, replaces: Bool = false,
            pass added: [String]?,
            set: [String]?
        )
            -> [CallTemplate]
        {
            [
                CallTemplate(.post, add, when: firewall(object, op: "add"), tasks: [], forwards: added),
                CallTemplate(
                    .delete, item, when: firewall(object, op: "remove"), tasks: [],
                    forwards: object == "ipset" ? ["force"] : [],
                    digest: change),
            ]
                + (change
                    ? [
                        CallTemplate(
                            .put, item, when: firewall(object, op: "change"), tasks: [], forwards: set,
                            replaces: replaces, digest: true)
                    ]
                    : [])
        }
        let rules = ruleKeys.map(\.name) + ["comment"]
        return [
            CallTemplate(.put, "{firewall}/options", when: firewall("options", op: "change"), tasks: [], digest: true)
        ]
            + edits(
                "rule", add: "{firewall}/rules", item: "{firewall}/rules/{pos}", pass: rules.filter { $0 != "moveto" },
                set: rules.filter { $0 != "pos" } + ["delete"])
            + edits(
                "group-rule", add: "{firewall}/groups/{group}", item: "{firewall}/groups/{group}/{pos}",
                pass: rules.filter { $0 != "moveto" }, set: rules.filter { $0 != "pos" } + ["delete"])
            + edits(
                "alias", add: "{firewall}/aliases", item: "{firewall}/aliases/{name}", replaces: true,
                pass: ["name", "cidr", "comment"],
                set: ["cidr", "rename", "comment"])
            + edits(
                "ipset-entry", add: "{firewall}/ipset/{name}", item: "{firewall}/ipset/{name}/{cidr}",
                replaces: true,
                pass: ["cidr", "nomatch", "comment"], set: ["nomatch", "comment"])
            + edits(
                "ipset", add: "{firewall}/ipset", item: "{firewall}/ipset/{name}", change: false,
                pass: ["name", "comment"], set: nil)
            + edits(
                "group", add: "{firewall}/groups", item: "{firewall}/groups/{group}", change: false,
                pass: ["group", "comment"], set: nil)
    }

    private static var editPool: ActionDefinition {
        let members = Condition.when("op", "join", "leave")
        return .change(
            "pool_edit", "Add, change or remove a pool, or its members", on: [.pool],
            [
                ParameterDefinition(
                    "op", .choice(["add", "change", "remove", "join", "leave"]), required: true, agentOnly: true,
                    "what to do"),
                ParameterDefinition(
                    "comment", .text(1024), requiredWhen: .when("op", "change"),
                    when: .when("op", "add", "change"),
                    "a note"),
                ParameterDefinition(
                    "vms", .list(.integer(vmid), upTo: 200), when: members, "guests that join or leave"),
                ParameterDefinition(
                    "storage", .list(.text(.storage), upTo: 100), when: members, "storages that join or leave"),
                ParameterDefinition(
                    "allow-move", .boolean, when: .when("op", "join"), "take guests from the pool that they are in"),
            ], rules: [.membersGiven], risk: .high, approval: true,
            because: "what callers may do to a guest can follow from its pool",
            [
                CallTemplate(.post, "/pools", when: .when("op", "add"), tasks: [], fixed: ["poolid": "{pool}"]),
                CallTemplate(
                    .put, "/pools", when: .when("op", "change", "join"), tasks: [], fixed: ["poolid": "{pool}"]),
                CallTemplate(
                    .put, "/pools", when: .when("op", "leave"), tasks: [], fixed: ["poolid": "{pool}", "delete": "1"]),
                CallTemplate(.delete, "/pools", when: .when("op", "remove"), tasks: [], fixed: ["poolid": "{pool}"]),
            ], object: .pool, checks: [.objectFits, .emptied, .members], changes: .pool, undo: .pool,
            needs: [Privilege("/pool/{pool}", "Pool.Allocate")],
            examples: [
                ["op": "remove"], ["op": "add"], ["op": "change", "comment": "x"], ["op": "join", "vms": [101]],
                ["op": "leave", "storage": ["nas"]],
            ])
    }
}
