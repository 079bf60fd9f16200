import StrictJSON

private let levels = "enum(emerg|alert|crit|err|warning|notice|info|debug|nolog)"
private let optional = """
    comment:str dest:fw-addr(..512) digest:str(..64) dport:fw-port enable:int(0..) icmp-type:str iface:iface(2..20)
    log:\(levels) macro:str(..128) proto:str source:fw-addr(..512) sport:fw-port
    """
private let newRule = optional + " action!:word(2..20) type!:enum(in|out|forward|group) pos:int(0..)"
private let changedRule =
    optional + " action:word(2..20) type:enum(in|out|forward|group) moveto:int(0..) delete:configid-list"
private let policies = "policy_in:enum(ACCEPT|REJECT|DROP) policy_out:enum(ACCEPT|REJECT|DROP)"

/// One of the three levels at which there are rules.
private struct Level: Sendable {
    var base: String
    var reads: String
    var writes: String
    var options: String
    var index: [String]
    var scope: @Sendable (EndpointCall) -> FirewallScope
}

private let levelList: [Level] =
    [
        Level(
            base: "cluster/firewall", reads: "/ Sys.Audit", writes: "/ Sys.Modify",
            options:
                "ebtables:bool enable:int(0..) log_ratelimit:log-ratelimit policy_forward:enum(ACCEPT|DROP) \(policies)",
            index: ["aliases", "rules", "options", "groups", "ipset", "macros", "refs"], scope: { _ in .cluster }),
        Level(
            base: "nodes/{node}/firewall", reads: "/nodes/{node} Sys.Audit", writes: "/nodes/{node} Sys.Modify",
            options: """
                enable:bool log_level_forward:\(levels) log_level_in:\(levels) log_level_out:\(levels)
                log_nf_conntrack:bool ndp:bool nf_conntrack_allow_invalid:bool nf_conntrack_helpers:str nf_conntrack_max:int(32768..)
                nf_conntrack_tcp_timeout_established:int(7875..) nf_conntrack_tcp_timeout_syn_recv:int(30..60)
                protection_synflood_burst:int protection_synflood_rate:int
                nftables:bool nosmurfs:bool protection_synflood:bool smurf_log_level:\(levels)
                tcp_flags_log_level:\(levels) tcpflags:bool
                """, index: ["rules", "options", "log"], scope: { .node($0.node) }),
    ]
    + ["qemu", "lxc"].map { word in
        Level(
            base: "nodes/{node}/\(word)/{vmid}/firewall", reads: "/vms/{vmid} VM.Audit",
            writes: "/vms/{vmid} VM.Config.Network",
            options: """
                dhcp:bool enable:bool ipfilter:bool log_level_in:\(levels) log_level_out:\(levels) macfilter:bool ndp:bool
                radv:bool \(policies)
                """, index: ["rules", "aliases", "ipset", "refs", "options"], scope: { .guest($0.vmid) })
    }

let firewallEndpoints: [Endpoint] =
    levelList.flatMap { level in
        ruleEndpoints(level) + (level.base.hasPrefix("nodes/{node}/firewall") ? [] : addressEndpoints(level))
    } + groupEndpoints + [
        .get("cluster/firewall/macros", needs: "") { _, _ in
            .rows(macros.sorted().map { ["macro": .string($0), "descr": .string("\($0) traffic")] })
        }
    ]

private func ruleEndpoints(_ level: Level) -> [Endpoint] {
    let scope = level.scope
    var endpoints: [Endpoint] = [
        .get(level.base) { _, _ in .data(names(level.index)) },
        .get(level.base + "/options", needs: level.reads) { world, call in
            .object(world.firewall(scope(call)).optionsJSON)
        },
        .change(
            "PUT", level.base + "/options", level.options + " delete:configid-list digest:str(..64)",
            needs: level.writes
        ) { world, call in try world.changeFirewallOptions(scope(call), call) },
        .get(level.base + "/rules", needs: level.reads) { world, call in
            .data(world.firewall(scope(call)).rules.list())
        },
        .change("POST", level.base + "/rules", newRule, needs: level.writes) { world, call in
            try world.firewalls[scope(call), default: Firewall()].rules.add(call)
        },
        .get(level.base + "/rules/{pos}", needs: level.reads) { world, call in
            .data(try world.firewall(scope(call)).rules.one(call))
        },
        .change("PUT", level.base + "/rules/{pos}", changedRule, needs: level.writes) { world, call in
            try world.firewalls[scope(call), default: Firewall()].rules.change(call)
        },
        .change("DELETE", level.base + "/rules/{pos}", "digest:str(..64)", needs: level.writes) { world, call in
            try world.firewalls[scope(call), default: Firewall()].rules.delete(call)
        },
    ]
    if level.base != "cluster/firewall" {
        let needs = level.base == "nodes/{node}/firewall" ? "/nodes/{node} Sys.Syslog" : "/vms/{vmid} VM.Console"
        endpoints.append(
            .get(level.base + "/log", "limit:int(0..) start:int(0..) since:int(0..) until:int(0..)", needs: needs) {
                _, _ in .page([["n": 1, "t": "unable to open file - No such file or directory"]], total: 1)
            })
    }
    return endpoints
}

private func addressEndpoints(_ level: Level) -> [Endpoint] {
    let scope = level.scope
    let aliases = level.base + "/aliases"
    let sets = level.base + "/ipset"
    return [
        .get(level.base + "/refs", "type:enum(alias|ipset)", needs: level.reads) { world, call in
            .rows(world.firewall(scope(call)).references(call["type"]))
        },
        .get(aliases, needs: level.reads) { world, call in .rows(world.firewall(scope(call)).aliasRows) },
        .change("POST", aliases, "cidr!:cidr comment:str name!:word(2..64)", needs: level.writes) { world, call in
            try world.firewalls[scope(call), default: Firewall()].addAlias(call)
        },
        .get(aliases + "/{name}", needs: level.reads) { world, call in
            .data(try world.firewall(scope(call)).aliasRow(call.text("name")))
        },
        .change(
            "PUT", aliases + "/{name}", "cidr!:cidr comment:str digest:str(..64) rename:word(2..64)",
            needs: level.writes
        ) { world, call in try world.firewalls[scope(call), default: Firewall()].changeAlias(call) },
        .change("DELETE", aliases + "/{name}", "digest:str(..64)", needs: level.writes) { world, call in
            try world.firewalls[scope(call), default: Firewall()].deleteAlias(call)
        },
        .get(sets, needs: level.reads) { world, call in .rows(world.firewall(scope(call)).setRows) },
        .change("POST", sets, "comment:str digest:str(..64) name!:word(2..64) rename:word(2..64)", needs: level.writes)
        { world, call in try world.firewalls[scope(call), default: Firewall()].addSet(call) },
        .get(sets + "/{name}", needs: level.reads) { world, call in
            .rows(try world.firewall(scope(call)).set(call).rows)
        },
        .change("POST", sets + "/{name}", "cidr!:fw-addr comment:str nomatch:bool", needs: level.writes) {
            world, call in try world.firewalls[scope(call), default: Firewall()].addEntry(call)
        },
        .change("DELETE", sets + "/{name}", "force:bool", needs: level.writes) { world, call in
            let set = try world.firewall(scope(call)).set(call)
            guard set.entries.isEmpty || call.flag("force") else {
                throw Failure("IPSet '\(call.text("name"))' is not empty")
            }
            world.firewalls[scope(call), default: Firewall()].sets[call.text("name")] = nil
        },
        .get(sets + "/{name}/{cidr*}", needs: level.reads) { world, call in
            .data(try world.firewall(scope(call)).set(call).row(of: call.text("cidr")))
        },
        .change("PUT", sets + "/{name}/{cidr*}", "comment:str digest:str(..64) nomatch:bool", needs: level.writes) {
            world, call in try world.firewalls[scope(call), default: Firewall()].changeEntry(call)
        },
        .change("DELETE", sets + "/{name}/{cidr*}", "digest:str(..64)", needs: level.writes) { world, call in
            try world.firewalls[scope(call), default: Firewall()].deleteEntry(call)
        },
    ]
}

private let groupEndpoints: [Endpoint] = [
    .get("cluster/firewall/groups") { world, _ in .rows(world.firewall(.cluster).groupRows) },
    .change(
        "POST", "cluster/firewall/groups", "comment:str digest:str(..64) group!:word(2..18) rename:word(2..18)",
        needs: "/ Sys.Modify"
    ) { world, call in try world.firewalls[.cluster, default: Firewall()].addGroup(call) },
    .get("cluster/firewall/groups/{group}", needs: "/ Sys.Audit") { world, call in
        .data(try world.firewallGroup(call).rules.list())
    },
    .change("POST", "cluster/firewall/groups/{group}", newRule, needs: "/ Sys.Modify") { world, call in
        try world.changeGroup(call) { (rules) throws(Failure) in try rules.add(call) }
    },
    .change("DELETE", "cluster/firewall/groups/{group}", needs: "/ Sys.Modify") { world, call in
        guard try world.firewallGroup(call).rules.isEmpty else {
            throw Failure("Security group '\(call.text("group"))' is not empty")
        }
        world.firewalls[.cluster, default: Firewall()].groups[call.text("group")] = nil
    },
    .get("cluster/firewall/groups/{group}/{pos}", needs: "/ Sys.Audit") { world, call in
        .data(try world.firewallGroup(call).rules.one(call))
    },
    .change("PUT", "cluster/firewall/groups/{group}/{pos}", changedRule, needs: "/ Sys.Modify") { world, call in
        try world.changeGroup(call) { (rules) throws(Failure) in try rules.change(call) }
    },
    .change("DELETE", "cluster/firewall/groups/{group}/{pos}", "digest:str(..64)", needs: "/ Sys.Modify") {
        world, call in try world.changeGroup(call) { (rules) throws(Failure) in try rules.delete(call) }
    },
]

extension ClusterState {
    fileprivate func firewall(_ scope: FirewallScope) -> Firewall { firewalls[scope] ?? Firewall() }

    fileprivate mutating func changeFirewallOptions(_ scope: FirewallScope, _ call: EndpointCall) throws(Failure) {
        var firewall = firewall(scope)
        try call.checkDigest(firewall.optionsDigest)
        for key in Format.list(call.text("delete")) { firewall.options[key] = nil }
        for (key, value) in call.values where !["delete", "digest", "node", "vmid"].contains(key) {
            firewall.options[key] = value
        }
        firewalls[scope] = firewall
    }

    fileprivate func firewallGroup(_ call: EndpointCall) throws(Failure) -> Firewall.Group {
        let name = call.text("group")
        guard let group = firewall(.cluster).groups[name] else { throw Failure("no such security group '\(name)'") }
        return group
    }

    fileprivate mutating func changeGroup(
        _ call: EndpointCall, _ body: (inout [FirewallRule]) throws(Failure) -> Void
    ) throws(Failure) {
        var group = try firewallGroup(call)
        try body(&group.rules)
        firewalls[.cluster, default: Firewall()].groups[call.text("group")] = group
    }
}
