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
    .get("cluster/ha", needs: "/ Sys.Audit") { (_, _) throws(Failure) in
        .data(names(["status", "resources", "groups", "rules"], key: "id"))
    },
    .get("cluster/ha/resources", "type:enum(ct|vm)", needs: "/ Sys.Audit") { (world, call) throws(Failure) in
        .data(
            .array(
                world.haResources.keys.sorted().filter { call["type"] == nil || $0.hasPrefix(call.text("type")) }
                    .map { world.haRow($0) }))
    },
    .post(
        "cluster/ha/resources", settings + " sid!:ha-resource type:enum(ct|vm)", needs: "/ Sys.Console"
    ) { (world, call) throws(Failure) in try world.addHAResource(call) },
    .get("cluster/ha/resources/{sid}", needs: "/ Sys.Audit") { (world, call) throws(Failure) in
        guard world.haResources[call.text("sid")] != nil else {
            throw .plain("no such resource '\(call.text("sid"))'")
        }
        return .data(world.haRow(call.text("sid")))
    },
    .put(
        "cluster/ha/resources/{sid}", settings + " delete:configid-list(..4096) digest:str(..64)",
        needs: "/ Sys.Console"
    ) { (world, call) throws(Failure) in
        let sid = call.text("sid")
        guard var resource = world.haResources[sid] else { throw .plain("no such resource '\(sid)'") }
        if let digest = call["digest"], digest != world.haDigest { throw .staleConfig }
        for key in Format.list(call.text("delete")) { resource.options[key] = nil }
        resource.take(call)
        world.haResources[sid] = resource
        world.showHAState(sid)
        world.enforce(sid)
        return .null
    },
    .delete("cluster/ha/resources/{sid}", "purge:bool", needs: "/ Sys.Console") { (world, call) throws(Failure) in
        let sid = call.text("sid")
        guard world.haResources.removeValue(forKey: sid) != nil else {
            throw .plain("cannot delete service '\(sid)', not HA managed!")
        }
        world.showHAState(sid)
        if call["purge"] != "0" { world.purgeRules(of: sid) }
        return .null
    },
    .post("cluster/ha/resources/{sid}/migrate", "node!:node", needs: "/ Sys.Console") { (world, call) throws(Failure) in
        world.moveResource(call)
    },
    .post("cluster/ha/resources/{sid}/relocate", "node!:node", needs: "/ Sys.Console") {
        (world, call) throws(Failure) in
        world.moveResource(call)
    },
    .get("cluster/ha/groups", needs: "/ Sys.Audit") { (_, _) throws(Failure) in
        throw .plain("cannot index groups: ha groups have been migrated to rules")
    },
    .post(
        "cluster/ha/groups",
        "group!:configid nodes!:ha-node-list comment:str(..4096) nofailback:bool restricted:bool type:enum(group)",
        needs: "/ Sys.Console"
    ) {
        (_, _) throws(Failure) in throw .plain("cannot create group: ha groups have been migrated to rules")
    },
    .get("cluster/ha/status") { (_, _) throws(Failure) in .data(names(["current", "manager_status"])) },
    .get("cluster/ha/status/current", needs: "/ Sys.Audit") { (world, _) throws(Failure) in
        .data(.array(world.haStatus))
    },
    .get("cluster/ha/status/manager_status", needs: "/ Sys.Audit") { (world, _) throws(Failure) in
        .data([
            "manager_status": ["node_status": [:]],
            "quorum": ["node": .string(world.nodes.first?.name ?? ""), "quorate": "1"],
        ])
    },
]

extension HAResource {
    fileprivate mutating func take(_ call: Call) {
        state = call["state"] ?? state
        for key in ["comment", "failback", "max_relocate", "max_restart"] { options[key] = call[key] ?? options[key] }
    }
}

extension World {
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
            row[key] = key == "comment" ? .string(value) : JSON(Int(value) ?? 0)
        }
        return .object(row)
    }

    private func haGuest(_ sid: String) -> Guest? {
        sid.split(separator: ":").last.flatMap { Int($0) }.flatMap { guests[$0] }.flatMap { $0.haID == sid ? $0 : nil }
    }

    fileprivate mutating func addHAResource(_ call: Call) throws(Failure) -> Reply {
        var sid = call.text("sid")
        if let vmid = Int(sid), let guest = guests[vmid] { sid = guest.haID }
        guard haResources[sid] == nil else {
            throw .plain("create resource failed: resource ID '\(sid)' already defined")
        }
        guard haGuest(sid) != nil else { throw .plain("resource '\(sid)' does not exist in cluster") }
        var resource = HAResource()
        resource.take(call)
        haResources[sid] = resource
        showHAState(sid)
        enforce(sid)
        return .null
    }

    /// Puts a guest into the manager's care.
    mutating func manage(_ vmid: Int, isStarted: Bool) {
        guard let guest = guests[vmid] else { return }
        haResources[guest.haID] = HAResource(state: isStarted ? "started" : "stopped")
        showHAState(guest.haID)
    }

    /// What the manager does when a resource is not as it is wanted.
    fileprivate mutating func enforce(_ sid: String) {
        guard haActs, let resource = haResources[sid], let guest = haGuest(sid) else { return }
        switch resource.wanted {
        case "started", "enabled":
            haResources[sid]?.crmState = "started"
            if !guest.power.isOn { actAsManager("start", guest, managerCall(for: guest)) }
        case "stopped":
            haResources[sid]?.crmState = "stopped"
            if guest.power.isOn { actAsManager("stop", guest, managerCall(for: guest)) }
        default: haResources[sid]?.crmState = resource.wanted
        }
    }

    /// The request that the manager makes for a guest.
    private func managerCall(for guest: Guest, target: String? = nil) -> Call {
        var values = ["node": guest.node, "vmid": String(guest.vmid), "online": "1", "with-local-disks": "0"]
        values["target"] = target
        let endpoint = Endpoint.get("nodes/{node}/\(guest.kind.word)/{vmid}") { (_, _) throws(Failure) in .null }
        return Call(endpoint: endpoint, caller: Caller(user: "root@pam"), values: values)
    }

    /// Asks the manager to bring a resource to another node: running, or stopped and started again.
    fileprivate mutating func moveResource(_ call: Call) -> Reply {
        let (sid, target) = (call.text("sid"), call.text("node"))
        if haActs, haResources[sid] != nil, let guest = haGuest(sid), node(target) != nil, guest.node != target {
            actAsManager("migrate", guest, managerCall(for: guest, target: target))
        }
        return .data(["requested-node": .string(target), "sid": .string(sid)])
    }

    fileprivate mutating func showHAState(_ sid: String) {
        guard let vmid = sid.split(separator: ":").last.flatMap({ Int($0) }) else { return }
        let state = haResources[sid]?.wanted
        change(vmid) { $0.haState = state }
    }

    fileprivate var haStatus: [JSON] {
        let master = nodes.first?.name ?? ""
        var rows: [JSON] = [
            [
                "id": "quorum", "node": .string(master), "quorate": isQuorate ? 1 : 0,
                "status": .string(isQuorate ? "OK" : "No quorum on node '\(master)'!"), "type": "quorum",
            ],
            [
                "armed-state": "standby", "id": "fencing", "node": .string(master),
                "status": "standby (CRM watchdog standby)", "type": "fencing",
            ],
        ]
        if haActs, clusterName != nil {
            rows.append(
                ["id": "master", "node": .string(master), "status": .string("\(master) (active)"), "type": "master"])
            rows += nodes.map { node in
                let status = node.isOnline ? "active" : "old timestamp - dead?"
                return [
                    "id": .string("lrm:\(node.name)"), "node": .string(node.name),
                    "status": .string("\(node.name) (\(status))"), "type": "lrm",
                ]
            }
        }
        for (sid, resource) in haResources.sorted(by: { $0.key < $1.key }) {
            guard let guest = haGuest(sid) else { continue }
            let state = resource.crmState ?? "queued"
            rows.append([
                "failback": 1, "id": .string("service:\(sid)"), "max_relocate": 1, "max_restart": 1,
                "node": .string(guest.node), "request_state": .string(resource.wanted), "sid": .string(sid),
                "state": .string(state), "status": .string("\(sid) (\(guest.node), \(state))"), "type": "service",
            ])
        }
        return rows
    }

    /// What a request for a managed guest does: it asks the HA manager, which acts a little later.
    mutating func askHA(_ verb: String, _ guest: Guest, _ call: Call) -> Reply {
        let sid = guest.haID
        let acts = haActs
        let work = Work(type: "ha\(verb)", id: String(guest.vmid), node: call.node) {
            (world, log) throws(TaskFailure) in
            log.lines.append("Requesting HA \(verb) for \(guest.kind.letters) \(guest.vmid)")
            if verb != "migrate" {
                world.haResources[sid, default: HAResource()].state = verb == "start" ? "started" : "stopped"
            }
            world.showHAState(sid)
            if acts { world.actAsManager(verb, guest, call) }
        }
        return start(work, by: call.caller)
    }

    private mutating func actAsManager(_ verb: String, _ guest: Guest, _ call: Call) {
        let manager = Caller(user: "root@pam")
        switch verb {
        case "start": _ = start(startWork(call), by: manager)
        case "stop":
            let work = work("shutdown", call) { (world, _) throws(TaskFailure) in world.switchOff(guest.vmid) }
            _ = start(work, by: manager)
        default: _ = start(migrateWork(call, to: call.text("target")), by: manager)
        }
        haResources[guest.haID]?.crmState = verb == "stop" ? "stopped" : "started"
    }
}
