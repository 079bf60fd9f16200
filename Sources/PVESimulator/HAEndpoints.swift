import StrictJSON

/// A guest that the HA manager manages.
struct HAResource: ConfigObject {
    var options: [String: String] = [:]
    /// The state that the manager reports; `nil` before its first round.
    var crmState: String?

    init() {}

    init(wanted: String, says: String? = nil) {
        options["state"] = wanted
        crmState = says
    }

    var wanted: String { options["state"] ?? "started" }
}

private let settings = """
    comment:str(..4096) failback:bool group:configid max_relocate:int(0..) max_restart:int(0..)
    state:enum(started|stopped|enabled|disabled|ignored)
    """

let haResourceKind = ObjectKind<HAResource>(
    path: "cluster/ha/resources", id: "sid", place: { _ in \.haResources }, lists: "/ Sys.Audit", reads: "/ Sys.Audit",
    writes: "/ Sys.Console", filters: "type:enum(ct|vm)", makes: settings + " sid!:ha-resource type:enum(ct|vm)",
    changes: settings + " delete:configid-list(..4096) digest:str(..64)", removes: "purge:bool", omits: ["type"],
    hasDigest: true, name: { world, call in call.int("sid").flatMap { world.guests[$0]?.haID } },
    unknown: { verb, sid in
        Failure(verb == .delete ? "cannot delete service '\(sid)', not HA managed!" : "no such resource '\(sid)'")
    }, taken: { Failure("create resource failed: resource ID '\($0)' already defined") },
    show: { _, item, row in
        row["type"] = .string(String(item.id.prefix(2)))
        return item.call["type"] == nil || item.id.hasPrefix(item.call.text("type"))
    },
    check: { world, item in
        guard item.old != nil || world.haResources[item.id] != nil || world.haGuest(item.id) != nil else {
            throw Failure("resource '\(item.id)' does not exist in cluster")
        }
        if item.new != nil, let state = item.call["state"], state != "disabled" { try world.checkHAState(item.id) }
    },
    settle: { world, item in
        if item.new == nil, let old = item.old { world.forget(item.id, old) }
        if item.old == nil { world.haLeaving[item.id] = nil }
        world.showHAState(item.id)
        if item.new != nil { world.enforce(item.id) }
        if item.new == nil, item.call["purge"] != "0" { world.purgeRules(of: item.id) }
        return .null
    })

let haEndpoints: [Endpoint] = [
    .post("cluster/ha/resources/{sid}/migrate", "node!:node", needs: "/ Sys.Console") { world, call in
        try world.moveResource(call)
    },
    .post("cluster/ha/resources/{sid}/relocate", "node!:node", needs: "/ Sys.Console") { world, call in
        try world.moveResource(call)
    },
    .get("cluster/ha/groups", needs: "/ Sys.Audit") { world, _ in
        guard let groups = world.haGroups else {
            throw Failure("cannot index groups: ha groups have been migrated to rules")
        }
        return .rows(groups.keys.sorted().map { world.haGroupRow($0) })
    },
    .get("cluster/ha/groups/{group}", "group:configid", needs: "/ Sys.Audit") { world, call in
        guard world.haGroups?[call.text("group")] != nil else {
            throw Failure("no such ha group '\(call.text("group"))'")
        }
        return .data(world.haGroupRow(call.text("group")))
    },
    .post(
        "cluster/ha/groups",
        "group!:configid nodes!:ha-node-list comment:str(..4096) nofailback:bool restricted:bool type:enum(group)",
        needs: "/ Sys.Console"
    ) { _, _ in throw Failure("cannot create group: ha groups have been migrated to rules") },
    .get("cluster/ha/status/current", needs: "/ Sys.Audit") { world, _ in .rows(world.haStatus) },
    .get("cluster/ha/status/manager_status", needs: "/ Sys.Audit") { world, _ in .data(world.managerStatus) },
]

extension ClusterState {
    fileprivate func haGroupRow(_ name: String) -> JSON {
        var row: JSONObject = ["group": .string(name), "type": "group"]
        for (key, value) in (haGroups?[name] ?? [:]).sorted(by: { $0.key < $1.key }) {
            row[key] = key == "nodes" || key == "comment" ? .string(value) : JSON(Int(value) ?? 0)
        }
        return .object(row)
    }

    func haGuest(_ sid: String) -> Guest? {
        sid.split(separator: ":").last.flatMap { Int($0) }.flatMap { guests[$0] }.flatMap { $0.haID == sid ? $0 : nil }
    }
}

private let ruleSettings = """
    affinity:enum(positive|negative) comment:str(..4096) disable:bool nodes:ha-node-list strict:bool
    type!:enum(node-affinity|resource-affinity)
    """

let haRuleKind = ObjectKind<[String: String]>(
    path: "cluster/ha/rules", id: "rule", place: { _ in \.haRules }, lists: "/ Sys.Audit", reads: "/ Sys.Audit",
    writes: "/ Sys.Console", filters: "resource:str type:enum(node-affinity|resource-affinity)",
    makes: ruleSettings + " resources!:ha-resource-list rule!:configid",
    changes: ruleSettings + " resources:ha-resource-list delete:configid-list(..4096) digest:str(..64)",
    hasDigest: true, isSorted: false,
    unknown: { verb, name in verb == .delete ? nil : Failure("no such ha rule '\(name)'") },
    taken: { Failure("create ha rule failed: HA rule '\($0)' already defined") },
    show: { world, item, row in
        row["order"] = JSON((world.haRules.ids.firstIndex(of: item.id) ?? 0) + 1)
        if let list = item.old?["resources"] {
            row["resources"] = .string(Format.list(list).sorted().joined(separator: ","))
        }
        return item.call["type"] == nil || row["type"]?.string == item.call["type"]
    },
    check: { world, item in
        guard let rule = item.new else { return }
        let wanted = rule["type"] == "resource-affinity" ? "affinity" : "nodes"
        guard item.old != nil || rule[wanted] != nil else {
            let key = "oneOf[\(rule["type"] ?? "")].\(wanted)"
            throw Failure.parameters([key: "property is missing and it is not optional"])
        }
        try world.checkHARule(item.id, rule, item.old == nil ? "create" : "update")
    })

extension ClusterState {
    /// Refuses a rule that names nodes or guests unknown to the HA manager, and a rule without effect.
    fileprivate func checkHARule(_ name: String, _ rule: [String: String], _ verb: String) throws(Failure) {
        let missing = Format.list(rule["nodes"] ?? "").map { String($0.prefix { $0 != ":" }) }.filter {
            node($0) == nil
        }
        guard missing.isEmpty else {
            throw Failure("\(verb) ha rule failed: cannot use non-existent node(s) \(missing.joined(separator: ", ")).")
        }
        let resources = Format.list(rule["resources"] ?? "")
        let foreign = resources.filter { haResources[$0] == nil }
        guard foreign.isEmpty else {
            throw Failure(
                "\(verb) ha rule failed: cannot use unmanaged resource(s) \(foreign.joined(separator: ", ")).")
        }
        guard rule["type"] == "resource-affinity", let flaw = flaw(in: rule, resources, besides: name) else { return }
        throw Failure("\(verb) ha rule failed: 400 Rule '\(name)' is invalid.\nresources: \(flaw)")
    }

    private func flaw(in rule: [String: String], _ resources: [String], besides name: String) -> String? {
        if resources.count < 2 { return "rule is ineffective as there are less than two resources" }
        if rule["affinity"] == "negative" {
            return resources.count > nodes.count ? "rule defines more resources than available nodes" : nil
        }
        let isContradicted = affinities("negative").contains { other in
            other.name != name && other.resources.intersection(resources).count > 1
        }
        return isContradicted ? "rule shares two or more resources with a negative resource affinity rule" : nil
    }

    /// The enabled rules of an affinity.
    private func affinities(_ affinity: String) -> [(name: String, resources: Set<String>)] {
        haRules.all.filter { $0.object["affinity"] == affinity && $0.object["disable"] != "1" }.map {
            ($0.id, Set(Format.list($0.object["resources"] ?? "")))
        }
    }

    /// Resources that move along with `sid`.
    func dependents(of sid: String) -> [String] {
        let together = affinities("positive").filter { $0.resources.contains(sid) }
        return Set(together.flatMap(\.resources)).subtracting([sid]).sorted()
    }

    /// Resources on a node that may not share a node with `sid`.
    func blockers(of sid: String, on node: String) -> [String] {
        let apart = affinities("negative").filter { $0.resources.contains(sid) }
        return Set(apart.flatMap(\.resources)).subtracting([sid]).filter { haGuest($0)?.node == node }.sorted()
    }
}

extension ClusterState {
    /// Removes `sid` from all rules, and deletes the rules that name only `sid`.
    mutating func purgeRules(of sid: String) {
        for (name, rule) in haRules.all {
            let resources = Format.list(rule["resources"] ?? "")
            guard resources.contains(sid) else { continue }
            haRules[name]?["resources"] = resources.filter { $0 != sid }.joined(separator: ",")
            if resources == [sid] { haRules[name] = nil }
        }
    }
}
