import StrictJSON

private let settings = """
    affinity:enum(positive|negative) comment:str(..4096) disable:bool nodes:ha-node-list strict:bool
    type!:enum(node-affinity|resource-affinity)
    """

let haRuleKind = ObjectKind<[String: String]>(
    path: "cluster/ha/rules", id: "rule", place: { _ in \.haRules }, lists: "/ Sys.Audit", reads: "/ Sys.Audit",
    writes: "/ Sys.Console", filters: "resource:str type:enum(node-affinity|resource-affinity)",
    makes: settings + " resources!:ha-resource-list rule!:configid",
    changes: settings + " resources:ha-resource-list delete:configid-list(..4096) digest:str(..64)", hasDigest: true,
    isSorted: false, unknown: { verb, name in verb == .delete ? nil : Failure("no such ha rule '\(name)'") },
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
    /// Refuses a rule about nodes or guests that the HA manager does not have, and one that means nothing.
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

    /// The rules of an affinity that are in force.
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

    /// Resources on a node that `sid` must not join.
    func blockers(of sid: String, on node: String) -> [String] {
        let apart = affinities("negative").filter { $0.resources.contains(sid) }
        return Set(apart.flatMap(\.resources)).subtracting([sid]).filter { haGuest($0)?.node == node }.sorted()
    }
}

extension ClusterState {
    /// Takes `sid` out of all rules; a rule that is about nothing else goes too.
    mutating func purgeRules(of sid: String) {
        for (name, rule) in haRules.all {
            let resources = Format.list(rule["resources"] ?? "")
            guard resources.contains(sid) else { continue }
            haRules[name]?["resources"] = resources.filter { $0 != sid }.joined(separator: ",")
            if resources == [sid] { haRules[name] = nil }
        }
    }
}
