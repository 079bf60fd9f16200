import StrictJSON

/// A guest under the care of the HA manager.
struct HAResource: ConfigObject {
    var options: [String: String] = [:]
    /// What the manager says; `nil` until it has looked.
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
