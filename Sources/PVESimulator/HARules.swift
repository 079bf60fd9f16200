import StrictJSON

private let settings = """
    affinity:enum(positive|negative) comment:str(..4096) disable:bool nodes:ha-node-list strict:bool
    type!:enum(node-affinity|resource-affinity)
    """

let haRuleEndpoints: [Endpoint] = [
    .get("cluster/ha/rules", "resource:str type:enum(node-affinity|resource-affinity)", needs: "/ Sys.Audit") {
        (world, call) throws(Failure) in
        let rules = world.haRules.filter { _, rule in call["type"] == nil || rule["type"] == call["type"] }
        return .data(.array(rules.keys.sorted().map { world.haRuleRow($0) }))
    },
    .post("cluster/ha/rules", settings + " resources!:ha-resource-list rule!:configid", needs: "/ Sys.Console") {
        (world, call) throws(Failure) in
        let name = call.text("rule")
        guard world.haRules[name] == nil else {
            throw .plain("create ha rule failed: HA rule '\(name)' already defined")
        }
        let wanted = call["type"] == "resource-affinity" ? "affinity" : "nodes"
        guard call[wanted] != nil else {
            let key = "oneOf[\(call.text("type"))].\(wanted)"
            throw .parameters([key: "property is missing and it is not optional"])
        }
        world.haRules[name] = call.values
        return .null
    },
    .get("cluster/ha/rules/{rule}", needs: "/ Sys.Audit") { (world, call) throws(Failure) in
        guard world.haRules[call.text("rule")] != nil else { throw missing(call) }
        return .data(world.haRuleRow(call.text("rule")))
    },
    .put(
        "cluster/ha/rules/{rule}",
        settings + " resources:ha-resource-list delete:configid-list(..4096) digest:str(..64)",
        needs: "/ Sys.Console"
    ) { (world, call) throws(Failure) in
        guard var rule = world.haRules[call.text("rule")] else { throw missing(call) }
        if let digest = call["digest"], digest != world.haRuleDigest { throw .staleConfig }
        for key in Format.list(call.text("delete")) { rule[key] = nil }
        for (key, value) in call.values where key != "delete" && key != "digest" { rule[key] = value }
        world.haRules[call.text("rule")] = rule
        return .null
    },
    .delete("cluster/ha/rules/{rule}", needs: "/ Sys.Console") { (world, call) throws(Failure) in
        world.haRules[call.text("rule")] = nil
        return .null
    },
]

private func missing(_ call: Call) -> Failure { .plain("no such ha rule '\(call.text("rule"))'") }

extension World {
    fileprivate var haRuleDigest: String {
        Digest.sha1(
            haRules.sorted { $0.key < $1.key }.map { _, rule in
                rule.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: "\n")
            }.joined(separator: "\n\n"))
    }

    fileprivate func haRuleRow(_ name: String) -> JSON {
        let order = haRules.keys.sorted().firstIndex(of: name) ?? 0
        var row: JSONObject = ["digest": .string(haRuleDigest), "order": JSON(order + 1)]
        for (key, value) in (haRules[name] ?? [:]).sorted(by: { $0.key < $1.key }) {
            row[key] = ["strict", "disable"].contains(key) ? JSON(Int(value) ?? 0) : .string(value)
        }
        return .object(row)
    }
}

extension World {
    /// Takes `sid` out of all rules; a rule that is about nothing else goes too.
    mutating func purgeRules(of sid: String) {
        for (name, rule) in haRules {
            let rest = Format.list(rule["resources"] ?? "").filter { $0 != sid }
            guard rest.count < Format.list(rule["resources"] ?? "").count else { continue }
            haRules[name]?["resources"] = rest.joined(separator: ",")
            if rest.isEmpty { haRules[name] = nil }
        }
    }
}
