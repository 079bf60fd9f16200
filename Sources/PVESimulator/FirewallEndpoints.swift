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

/// One of the three levels that have rules.
private struct Level: Sendable {
    var base: String
    var reads: String
    var writes: String
    var options: String
    var scope: @Sendable (EndpointCall) -> FirewallScope

    /// Whether it has aliases for addresses.
    var hasAddresses: Bool { !base.hasPrefix("nodes/{node}/firewall") }
}

private let levelList: [Level] =
    [
        Level(
            base: "cluster/firewall", reads: "/ Sys.Audit", writes: "/ Sys.Modify",
            options:
                "ebtables:bool enable:int(0..) log_ratelimit:log-ratelimit policy_forward:enum(ACCEPT|DROP) \(policies)",
            scope: { _ in .cluster }),
        Level(
            base: "nodes/{node}/firewall", reads: "/nodes/{node} Sys.Audit", writes: "/nodes/{node} Sys.Modify",
            options: """
                enable:bool log_level_forward:\(levels) log_level_in:\(levels) log_level_out:\(levels)
                log_nf_conntrack:bool ndp:bool nf_conntrack_allow_invalid:bool nf_conntrack_helpers:str nf_conntrack_max:int(32768..)
                nf_conntrack_tcp_timeout_established:int(7875..) nf_conntrack_tcp_timeout_syn_recv:int(30..60)
                protection_synflood_burst:int protection_synflood_rate:int
                nftables:bool nosmurfs:bool protection_synflood:bool smurf_log_level:\(levels)
                tcp_flags_log_level:\(levels) tcpflags:bool
                """, scope: { .node($0.node) }),
    ]
    + ["qemu", "lxc"].map { word in
        Level(
            base: "nodes/{node}/\(word)/{vmid}/firewall", reads: "/vms/{vmid} VM.Audit",
            writes: "/vms/{vmid} VM.Config.Network",
            options: """
                dhcp:bool enable:bool ipfilter:bool log_level_in:\(levels) log_level_out:\(levels) macfilter:bool ndp:bool
                radv:bool \(policies)
                """, scope: { .guest($0.vmid) })
    }

let firewallEndpoints: [Endpoint] =
    levelList.flatMap { level in
        optionEndpoints(level)
            + ruleEndpoints(level.base + "/rules", reads: level.reads, writes: level.writes) { call in
                \.[firewall: level.scope(call)].rules
            } + (level.hasAddresses ? addressEndpoints(level) : [])
    } + groupEndpoints

private func optionEndpoints(_ level: Level) -> [Endpoint] {
    let scope = level.scope
    let parameters = level.options + " delete:configid-list digest:str(..64)"
    let table = ParameterTable(parameters, path: "")
    let log = level.base.hasSuffix("{vmid}/firewall") ? "/vms/{vmid} VM.Console" : "/nodes/{node} Sys.Syslog"
    return [
        .get(level.base + "/options", needs: level.reads) { world, call in
            let options = world[firewall: scope(call)].options
            var row = options.row(by: table)
            row["digest"] = .string(options.digest)
            return .object(row)
        },
        .change("PUT", level.base + "/options", parameters, needs: level.writes) { world, call in
            try call.checkDigest(world[firewall: scope(call)].options.digest)
            world[firewall: scope(call)].options.take(call)
        },
        .get(level.base + "/log", "limit:int(0..) start:int(0..) since:int(0..) until:int(0..)", needs: log) { _, _ in
            .noLog
        },
    ].filter { level.base != "cluster/firewall" || !$0.path.hasSuffix("/log") }
}

private typealias RulePlace = WritableKeyPath<ClusterState, [FirewallRule]> & Sendable

/// The rules of a level, or of a group.
private func ruleEndpoints(
    _ list: String, reads: String, writes: String,
    permit: @escaping @Sendable (ClusterState, EndpointCall) throws -> Void = { _, _ in },
    place: @escaping @Sendable (EndpointCall) -> any RulePlace
) -> [Endpoint] {
    [
        .get(list, needs: reads) { world, call in
            try permit(world, call)
            return .data(world[keyPath: place(call)].list())
        },
        .change("POST", list, newRule, needs: writes) { world, call in
            try permit(world, call)
            try world[keyPath: place(call)].add(call)
        },
        .get(list + "/{pos}", needs: reads) { world, call in
            try permit(world, call)
            return .data(try world[keyPath: place(call)].one(call))
        },
        .change("PUT", list + "/{pos}", changedRule, needs: writes) { world, call in
            try permit(world, call)
            try world[keyPath: place(call)].change(call)
        },
        .change("DELETE", list + "/{pos}", "digest:str(..64)", needs: writes) { world, call in
            try permit(world, call)
            try world[keyPath: place(call)].delete(call)
        },
    ]
}

private func addressEndpoints(_ level: Level) -> [Endpoint] {
    let scope = level.scope
    let sets = level.base + "/ipset"
    let entries = ObjectKind<[String: String]>(
        path: sets + "/{name}", id: "cidr*",
        place: { call in \.[firewall: scope(call)].sets[known: call.text("name")].entries }, lists: level.reads,
        reads: level.reads, writes: level.writes, makes: "cidr!:fw-addr comment:str nomatch:bool",
        changes: "comment:str digest:str(..64) nomatch:bool", removes: "digest:str(..64)", hasDigest: true,
        isSorted: false, permit: { world, call in _ = try world[firewall: scope(call)].set(call) },
        unknown: { verb, _ in verb == .delete ? nil : .parameters(["cidr": "no such IP/Network"]) },
        taken: { .parameters(["cidr": "address '\($0)' already exists"]) },
        check: { _, item in
            guard item.new != nil else { return }
            item.new = ["comment": item.call["comment"], "nomatch": item.call.flag("nomatch") ? "1" : nil]
                .compactMapValues { $0 }
        })
    return aliasKind(level).endpoints + entries.endpoints + [
        .get(level.base + "/refs", "type:enum(alias|ipset)", needs: level.reads) { world, call in
            .rows(world[firewall: scope(call)].references(call["type"]))
        },
        .get(sets, needs: level.reads) { world, call in .rows(world[firewall: scope(call)].sets.rows("name")) },
        .change("POST", sets, "comment:str digest:str(..64) name!:word(2..64) rename:word(2..64)", needs: level.writes)
        { world, call in
            try world[firewall: scope(call)].sets.add(
                call, "name", unknown: { Failure("IPSet '\($0)' does not exist") },
                taken: { .parameters(["name": "IPSet '\($0)' already exists"]) })
        },
        .change("DELETE", sets + "/{name}", "force:bool", needs: level.writes) { world, call in
            guard try world[firewall: scope(call)].set(call).entries.isEmpty || call.flag("force") else {
                throw Failure("IPSet '\(call.text("name"))' is not empty")
            }
            world[firewall: scope(call)].sets[call.text("name")] = nil
        },
    ]
}

/// Aliases for addresses. Their names ignore case, and a change replaces the whole alias.
private func aliasKind(_ level: Level) -> ObjectKind<[String: String]> {
    ObjectKind(
        path: level.base + "/aliases", id: "name", place: { call in \.[firewall: level.scope(call)].aliases },
        lists: level.reads, reads: level.reads, writes: level.writes, makes: "cidr!:cidr comment:str name!:word(2..64)",
        changes: "cidr!:cidr comment:str digest:str(..64) rename:word(2..64)", removes: "digest:str(..64)",
        omits: ["rename"], hasDigest: true,
        name: { world, call in
            let name = call.text("name").lowercased()
            return world[firewall: level.scope(call)].aliases.ids.first { $0.lowercased() == name }
        }, unknown: { verb, _ in verb == .delete ? nil : .parameters(["name": "no such alias"]) },
        taken: { .parameters(["name": "alias '\($0)' already exists"]) },
        show: { _, item, row in
            row["ipversion"] = item.old?["cidr"]?.contains(":") == true ? 6 : 4
            if item.call["name"] != nil { row["digest"] = nil }
            return true
        }, check: { _, item in if item.new != nil { item.new?["comment"] = item.call["comment"] } })
}

private let group = "cluster/firewall/groups/{group}"
private let groupEndpoints: [Endpoint] =
    ruleEndpoints(
        group, reads: "/ Sys.Audit", writes: "/ Sys.Modify",
        permit: { world, call in _ = try world.firewallGroup(call) },
        place: { call in \.[firewall: .cluster].groups[known: call.text("group")].rules }) + [
        .get("cluster/firewall/groups") { world, _ in .rows(world[firewall: .cluster].groups.rows("group")) },
        .change(
            "POST", "cluster/firewall/groups", "comment:str digest:str(..64) group!:word(2..18) rename:word(2..18)",
            needs: "/ Sys.Modify"
        ) { world, call in
            try world[firewall: .cluster].groups.add(
                call, "group", unknown: { .parameters(["group": "Security group '\($0)' does not exist"]) },
                taken: { name in
                    let already = call["rename"] == nil ? "already exists" : "does already exist"
                    return .parameters(["group": "Security group '\(name)' \(already)"])
                })
        },
        .change("DELETE", group, needs: "/ Sys.Modify") { world, call in
            guard try world.firewallGroup(call).rules.isEmpty else {
                throw Failure("Security group '\(call.text("group"))' is not empty")
            }
            world[firewall: .cluster].groups[call.text("group")] = nil
        },
        .get("cluster/firewall/macros") { _, _ in
            .rows(macros.sorted().map { ["macro": .string($0), "descr": .string("\($0) traffic")] })
        },
    ]

extension ClusterState {
    fileprivate subscript(firewall scope: FirewallScope) -> Firewall {
        get { firewalls[scope] ?? Firewall() }
        set { firewalls[scope] = newValue }
    }

    fileprivate func firewallGroup(_ call: EndpointCall) throws(Failure) -> Firewall.Group {
        guard let group = self[firewall: .cluster].groups[call.text("group")] else {
            throw Failure("no such security group '\(call.text("group"))'")
        }
        return group
    }
}

/// Lists and creates address sets and groups.
extension Objects {
    fileprivate func rows(_ key: String) -> [JSON] {
        sorted.map { id, object in
            ["comment": object.options["comment"].map { .string($0) }, "digest": .string(digest), key: .string(id)]
        }
    }

    /// Adds an object; with `rename` it replaces the object of that name.
    fileprivate mutating func add(
        _ call: EndpointCall, _ key: String, unknown: (String) -> Failure, taken: (String) -> Failure
    ) throws(Failure) {
        let name = call.text(key)
        var object = Object()
        if let old = call["rename"] {
            try call.checkDigest(digest)
            guard let known = self[old] else { throw unknown(old) }
            object = known
        }
        guard self[name] == nil || call["rename"] == name else { throw taken(name) }
        if let old = call["rename"] { self[old] = nil }
        object.options["comment"] = call["comment"] ?? object.options["comment"]
        self[name] = object
    }
}

extension Firewall {
    fileprivate func set(_ call: EndpointCall) throws(Failure) -> AddressSet {
        guard let set = sets[call.text("name")] else { throw Failure("no such IPSet '\(call.text("name"))'") }
        return set
    }

    /// The names that rules may refer to.
    fileprivate func references(_ type: String?) -> [JSON] {
        func rows(_ word: String, _ mark: String, _ names: [(String, String?)]) -> [JSON] {
            names.map { name, comment in
                [
                    "comment": comment.map { .string($0) }, "name": .string(name), "ref": .string("\(mark)dc/\(name)"),
                    "scope": "dc", "type": .string(word),
                ]
            }
        }
        let found =
            rows("alias", "", aliases.sorted.map { ($0.id, $0.object["comment"]) })
            + rows("ipset", "+", sets.sorted.map { ($0.id, $0.object.options["comment"]) })
        return found.filter { type == nil || $0["type"]?.string == type }
    }
}
