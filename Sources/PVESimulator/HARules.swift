import StrictJSON

private let settings = """
    affinity:enum(positive|negative) comment:str(..4096) disable:bool nodes:ha-node-list strict:bool
    type!:enum(node-affinity|resource-affinity)
    """

let haRuleEndpoints: [Endpoint] = [
    .get("cluster/ha/rules", "resource:str type:enum(node-affinity|resource-affinity)", needs: "/ Sys.Audit") {
        world, call in
        let rules = world.haRules.filter { _, rule in call["type"] == nil || rule["type"] == call["type"] }
        return .rows(world.haRuleOrder.filter { rules[$0] != nil }.map { world.haRuleRow($0) })
    },
    .change(
        "POST", "cluster/ha/rules", settings + " resources!:ha-resource-list rule!:configid", needs: "/ Sys.Console"
    ) { world, call in
        let name = call.text("rule")
        guard world.haRules[name] == nil else {
            throw Failure("create ha rule failed: HA rule '\(name)' already defined")
        }
        let wanted = call["type"] == "resource-affinity" ? "affinity" : "nodes"
        guard call[wanted] != nil else {
            let key = "oneOf[\(call.text("type"))].\(wanted)"
            throw Failure.parameters([key: "property is missing and it is not optional"])
        }
        try world.checkHARule(name, call.values, "create")
        world.haRules[name] = call.values
        world.haRuleOrder.append(name)
    },
    .get("cluster/ha/rules/{rule}", needs: "/ Sys.Audit") { world, call in
        guard world.haRules[call.text("rule")] != nil else { throw missing(call) }
        return .data(world.haRuleRow(call.text("rule")))
    },
    .change(
        "PUT", "cluster/ha/rules/{rule}",
        settings + " resources:ha-resource-list delete:configid-list(..4096) digest:str(..64)", needs: "/ Sys.Console"
    ) { world, call in
        guard var rule = world.haRules[call.text("rule")] else { throw missing(call) }
        if let digest = call["digest"], digest != world.haRuleDigest { throw Failure.staleConfig }
        for key in Format.list(call.text("delete")) { rule[key] = nil }
        for (key, value) in call.values where key != "delete" && key != "digest" { rule[key] = value }
        try world.checkHARule(call.text("rule"), rule, "update")
        world.haRules[call.text("rule")] = rule
    },
    .change("DELETE", "cluster/ha/rules/{rule}", needs: "/ Sys.Console") { world, call in
        world.removeHARule(call.text("rule"))
    },
]

private func missing(_ call: EndpointCall) -> Failure { Failure("no such ha rule '\(call.text("rule"))'") }

extension ClusterState {
    fileprivate var haRuleDigest: String {
        Digest.sha1(
            haRules.sorted { $0.key < $1.key }.map { _, rule in
                rule.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: "\n")
            }.joined(separator: "\n\n"))
    }

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

    fileprivate func haRuleRow(_ name: String) -> JSON {
        let order = haRuleOrder.firstIndex(of: name) ?? 0
        var row: JSONObject = ["digest": .string(haRuleDigest), "order": JSON(order + 1)]
        for (key, value) in (haRules[name] ?? [:]).sorted(by: { $0.key < $1.key }) {
            row[key] = ["strict", "disable"].contains(key) ? JSON(Int(value) ?? 0) : .string(value)
        }
        if let list = haRules[name]?["resources"] {
            row["resources"] = .string(Format.list(list).sorted().joined(separator: ","))
        }
        return .object(row)
    }

    /// The rules of an affinity that are in force.
    private func affinities(_ affinity: String) -> [(name: String, resources: Set<String>)] {
        haRules.filter { $0.value["affinity"] == affinity && $0.value["disable"] != "1" }.map {
            ($0.key, Set(Format.list($0.value["resources"] ?? "")))
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
        for (name, rule) in haRules {
            let rest = Format.list(rule["resources"] ?? "").filter { $0 != sid }
            guard rest.count < Format.list(rule["resources"] ?? "").count else { continue }
            haRules[name]?["resources"] = rest.joined(separator: ",")
            if rest.isEmpty { removeHARule(name) }
        }
    }

    fileprivate mutating func removeHARule(_ name: String) {
        haRules[name] = nil
        haRuleOrder.removeAll { $0 == name }
    }
}
