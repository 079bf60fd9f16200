import StrictJSON

/// A guest under the care of the HA manager.
struct HAResource: Sendable {
    var state: String?
    var options: [String: String] = [:]
    /// What the manager says; `nil` until it has looked.
    var crmState: String?

    var wanted: String { state ?? "started" }
}

private let settings = """
    comment:str(..4096) failback:bool group:configid max_relocate:int(0..) max_restart:int(0..)
    state:enum(started|stopped|enabled|disabled|ignored)
    """

let haEndpoints: [Endpoint] = [
    .get("cluster/ha", needs: "/ Sys.Audit") { _, _ in
        .data(names(["status", "resources", "groups", "rules"], key: "id"))
    },
    .get("cluster/ha/resources", "type:enum(ct|vm)", needs: "/ Sys.Audit") { world, call in
        .rows(
            world.haResources.keys.sorted().filter { call["type"] == nil || $0.hasPrefix(call.text("type")) }.map {
                world.haRow($0)
            })
    },
    .change("POST", "cluster/ha/resources", settings + " sid!:ha-resource type:enum(ct|vm)", needs: "/ Sys.Console") {
        world, call in try world.addHAResource(call)
    },
    .get("cluster/ha/resources/{sid}", needs: "/ Sys.Audit") { world, call in
        guard world.haResources[call.text("sid")] != nil else {
            throw Failure("no such resource '\(call.text("sid"))'")
        }
        return .data(world.haRow(call.text("sid")))
    },
    .change(
        "PUT", "cluster/ha/resources/{sid}", settings + " delete:configid-list(..4096) digest:str(..64)",
        needs: "/ Sys.Console"
    ) { world, call in
        let sid = call.text("sid")
        guard var resource = world.haResources[sid] else { throw Failure("no such resource '\(sid)'") }
        if let digest = call["digest"], digest != world.haDigest { throw Failure.staleConfig }
        if let state = call["state"], state != "disabled" { try world.checkHAState(sid) }
        for key in Format.list(call.text("delete")) { resource.options[key] = nil }
        resource.take(call)
        world.haResources[sid] = resource
        world.showHAState(sid)
        world.enforce(sid)
    },
    .change("DELETE", "cluster/ha/resources/{sid}", "purge:bool", needs: "/ Sys.Console") { world, call in
        let sid = call.text("sid")
        guard let resource = world.haResources.removeValue(forKey: sid) else {
            throw Failure("cannot delete service '\(sid)', not HA managed!")
        }
        world.forget(sid, resource)
        world.showHAState(sid)
        if call["purge"] != "0" { world.purgeRules(of: sid) }
    },
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
    .get("cluster/ha/status") { _, _ in .data(names(["current", "manager_status"])) },
    .get("cluster/ha/status/current", needs: "/ Sys.Audit") { world, _ in .rows(world.haStatus) },
    .get("cluster/ha/status/manager_status", needs: "/ Sys.Audit") { world, _ in .data(world.managerStatus) },
]

extension HAResource {
    fileprivate mutating func take(_ call: EndpointCall) {
        state = call["state"] ?? state
        for key in ["comment", "failback", "group", "max_relocate", "max_restart"] {
            options[key] = call[key] ?? options[key]
        }
    }
}

extension ClusterState {
    fileprivate func haGroupRow(_ name: String) -> JSON {
        var row: JSONObject = ["group": .string(name), "type": "group"]
        for (key, value) in (haGroups?[name] ?? [:]).sorted(by: { $0.key < $1.key }) {
            row[key] = key == "nodes" || key == "comment" ? .string(value) : JSON(Int(value) ?? 0)
        }
        return .object(row)
    }

    fileprivate var haDigest: String {
        Digest.sha1(
            haResources.sorted { $0.key < $1.key }.map { sid, resource in
                "\(sid) \(resource.state ?? "") "
                    + resource.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
            }.joined(separator: "\n"))
    }

    fileprivate func haRow(_ sid: String) -> JSON {
        guard let resource = haResources[sid] else { return .null }
        var row: JSONObject = [
            "digest": .string(haDigest), "sid": .string(sid), "state": resource.state.map { .string($0) },
            "type": .string(String(sid.prefix(2))),
        ]
        for (key, value) in resource.options.sorted(by: { $0.key < $1.key }) {
            row[key] = key == "comment" || key == "group" ? .string(value) : JSON(Int(value) ?? 0)
        }
        return .object(row)
    }

    func haGuest(_ sid: String) -> Guest? {
        sid.split(separator: ":").last.flatMap { Int($0) }.flatMap { guests[$0] }.flatMap { $0.haID == sid ? $0 : nil }
    }

    fileprivate mutating func addHAResource(_ call: EndpointCall) throws(Failure) {
        var sid = call.text("sid")
        if let vmid = Int(sid), let guest = guests[vmid] { sid = guest.haID }
        guard haResources[sid] == nil else {
            throw Failure("create resource failed: resource ID '\(sid)' already defined")
        }
        guard haGuest(sid) != nil else { throw Failure("resource '\(sid)' does not exist in cluster") }
        var resource = HAResource()
        resource.take(call)
        haResources[sid] = resource
        haLeaving[sid] = nil
        showHAState(sid)
        enforce(sid)
    }
}
