import StrictJSON

/// The actions of the HA manager.
extension ClusterState {
    /// Whether the HA manager manages the guest. If so, it carries out the requests to start, stop and move it.
    func isManaged(_ guest: Guest) -> Bool { haResources[guest.haID].map { $0.wanted != "ignored" } ?? false }

    /// Puts a guest under the HA manager.
    mutating func manage(_ vmid: Int, isStarted: Bool) {
        guard let guest = guests[vmid] else { return }
        haResources[guest.haID] = HAResource(wanted: isStarted ? "started" : "stopped")
        showHAState(guest.haID)
    }

    /// Updates the resource state that lists of guests show.
    mutating func showHAState(_ sid: String) {
        guard let vmid = sid.split(separator: ":").last.flatMap({ Int($0) }) else { return }
        let state = haResources[sid]?.wanted
        change(vmid) { $0.haState = state }
    }

    /// Lets the manager act a little later, in its next round.
    mutating func atNextRound(_ act: @escaping @Sendable (inout ClusterState) -> Void) {
        let work = Work(type: "", id: "", node: "") { world, _ in act(&world) }
        // An empty UPID: no task is visible.
        tasks.active.append(ActiveTask(upid: "", phase: .working(until: now + taskDuration), work: work))
        tasks.nextEvent = tasks.active.compactMap(\.event).min()
    }

    /// The manager drops a removed resource in its next round.
    mutating func forget(_ sid: String, _ resource: HAResource) {
        guard haActs, let state = resource.crmState, let guest = haGuest(sid) else { return }
        haLeaving[sid] = (guest.node, state)
        atNextRound { $0.haLeaving[sid] = nil }
    }

    /// A resource in the error state can only be disabled.
    func checkHAState(_ sid: String) throws(Failure) {
        guard haResources[sid]?.crmState == "error" else { return }
        throw Failure("service '\(sid)' in error state, must be disabled and fixed first")
    }

    /// Brings a resource to its wanted state.
    mutating func enforce(_ sid: String) {
        guard haActs, let resource = haResources[sid], let guest = haGuest(sid) else { return }
        switch resource.wanted {
        case "started", "enabled":
            haResources[sid]?.crmState = "started"
            if !guest.power.isOn { actAsManager("start", guest, managerCall(for: guest)) }
        case "stopped", "disabled":
            haResources[sid]?.crmState = "stopped"
            if guest.power.isOn { actAsManager("stop", guest, managerCall(for: guest)) }
        default: haResources[sid]?.crmState = resource.wanted
        }
    }

    /// The request that the manager makes for a guest.
    private func managerCall(for guest: Guest, target: String? = nil) -> EndpointCall {
        var values = ["online": "1", "with-local-disks": "0"]
        if guest.kind == .container { values["restart"] = "1" }
        values["target"] = target
        return call(for: guest, values, by: Caller(user: "root@pam"))
    }

    /// Asks the manager to move a resource to another node: live, or by stopping and starting it.
    /// It does not check that the node exists.
    mutating func moveResource(_ call: EndpointCall) throws(Failure) -> Reply {
        let (sid, target) = (call.text("sid"), call.text("node"))
        guard haResources[sid] != nil else { throw Failure("resource '\(sid)' is not HA managed") }
        try checkHAState(sid)
        let others = dependents(of: sid)
        var reply: JSONObject = ["requested-node": .string(target), "sid": .string(sid)]
        if !others.isEmpty { reply["comigrated-resources"] = JSON(others) }
        let blocking = blockers(of: sid, on: target)
        guard blocking.isEmpty else {
            reply["blocking-resources"] = .array(blocking.map { ["cause": "resource-affinity", "sid": .string($0)] })
            return .object(reply)
        }
        guard haActs, node(target) != nil else { return .object(reply) }
        atNextRound { world in
            for id in [sid] + others {
                guard let guest = world.haGuest(id), guest.node != target else { continue }
                world.actAsManager("migrate", guest, world.managerCall(for: guest, target: target))
            }
        }
        return .object(reply)
    }

    /// Handles a request for a managed guest: it asks the HA manager, which acts a little later.
    mutating func askHA(_ verb: String, _ guest: Guest, _ call: EndpointCall) -> Reply {
        let sid = guest.haID
        let acts = haActs
        return run(type: "ha\(verb)", id: String(guest.vmid), call) { world, log in
            log.lines.append("Requesting HA \(verb) for \(guest.kind.letters) \(guest.vmid)")
            try world.checkHARequest(verb, sid, call, &log)
            if verb != "migrate" {
                world.haResources[known: sid].options["state"] = verb == "start" ? "started" : "stopped"
            }
            world.showHAState(sid)
            if acts { world.atNextRound { $0.actAsManager(verb, guest, call) } }
        }
    }

    /// `ha-manager` refuses requests that the manager would not carry out.
    private func checkHARequest(
        _ verb: String, _ sid: String, _ call: EndpointCall, _ log: inout TaskLog
    ) throws(Failure) {
        let target = call.text("target")
        let words =
            verb == "migrate"
            ? "migrate \(sid) \(target)" : "set \(sid) --state \(verb == "start" ? "started" : "stopped")"
        do throws(Failure) { try checkHAState(sid) } catch {
            log.lines.append(error.reason)
            throw Failure("command 'ha-manager \(words)' failed: exit code 255")
        }
        guard verb == "migrate", let other = blockers(of: sid, on: target).first else { return }
        log.lines += [
            "cannot migrate resource '\(sid)' to node '\(target)':", "",
            "- resource '\(other)' on target node '\(target)' in negative affinity with resource '\(sid)'",
        ]
        throw Failure("command 'ha-manager \(words)' failed: exit code 2")
    }

    private mutating func actAsManager(_ verb: String, _ guest: Guest, _ call: EndpointCall) {
        let manager = Caller(user: "root@pam")
        switch verb {
        case "start": _ = start(startWork(call), by: manager)
        case "stop":
            let work = work("shutdown", call) { world, _ in world.switchOff(guest.vmid) }
            _ = start(work, by: manager)
        default:
            let target = call.text("target")
            var move = migrateWork(managerCall(for: guest, target: target), to: target)
            let finish = move.finish
            move.finish = { world, log in
                try finish(&world, &log)
                world.haResources[guest.haID]?.crmState = "started"
                world.atNextRound { $0.obeyRules(guest.vmid) }
            }
            haResources[guest.haID]?.crmState = "migrate"
            _ = start(move, by: manager)
            return
        }
        haResources[guest.haID]?.crmState = verb == "stop" ? "stopped" : "started"
    }

    /// Moves a guest back if a strict rule demands another node.
    private mutating func obeyRules(_ vmid: Int) {
        guard let guest = guests[vmid] else { return }
        for rule in haRules.values
        where rule["type"] == "node-affinity" && rule["strict"] == "1" && rule["disable"] != "1" {
            guard Format.list(rule["resources"] ?? "").contains(guest.haID) else { continue }
            let places = Format.list(rule["nodes"] ?? "").map { String($0.prefix { $0 != ":" }) }
            guard !places.contains(guest.node), let place = places.first(where: { node($0)?.isOnline == true }) else {
                continue
            }
            return actAsManager("migrate", guest, managerCall(for: guest, target: place))
        }
    }
}

/// The status that the manager reports.
extension ClusterState {
    private var master: String { nodes.first { $0.isOnline }?.name ?? "" }

    var haStatus: [JSON] {
        let local = nodes.first?.name ?? ""
        let isArmed = haActs && isQuorate && clusterName != nil && !(haResources.isEmpty && haLeaving.isEmpty)
        var rows: [JSON] = [
            [
                "id": "quorum", "node": .string(local), "quorate": isQuorate ? 1 : 0,
                "status": .string(isQuorate ? "OK" : "No quorum on node '\(local)'!"), "type": "quorum",
            ],
            [
                "armed-state": isArmed ? "armed" : "standby", "id": "fencing", "node": .string(local),
                "status": isArmed ? "armed (CRM watchdog active)" : "standby (CRM watchdog standby)", "type": "fencing",
            ],
        ]
        let isKnown = !haLeaving.isEmpty || haResources.values.contains { $0.crmState != nil }
        if clusterName != nil, isKnown {
            let dead = "old timestamp - dead?"
            rows.append([
                "id": "master", "node": .string(master), "timestamp": JSON(second), "type": "master",
                "status": .string("\(master) (\(isQuorate ? "active" : dead))"),
            ])
            rows += nodes.map { node in
                let state = node.isOnline && isQuorate ? "active, watchdog active" : "\(dead), watchdog standby"
                return [
                    "id": .string("lrm:\(node.name)"), "node": .string(node.name), "timestamp": JSON(second),
                    "status": .string("\(node.name) (\(state))"), "type": "lrm",
                ]
            }
        }
        rows += haResources.ids.sorted().compactMap(serviceRow)
        rows += haLeaving.sorted { $0.key < $1.key }.map { sid, last in
            [
                "crm_state": .string(last.crmState), "id": .string("service:\(sid)"), "node": .string(last.node),
                "sid": .string(sid), "state": "deleting", "status": .string("\(sid) (\(last.node), deleting)"),
                "type": "service",
            ]
        }
        return rows
    }

    private func serviceRow(_ sid: String) -> JSON? {
        guard let resource = haResources[sid], let guest = haGuest(sid) else { return nil }
        let state = resource.crmState == nil ? "queued" : shownState(of: resource, guest)
        func number(_ key: String) -> JSON { JSON(resource.options[key].flatMap { Int($0) } ?? 1) }
        return [
            "failback": number("failback"), "id": .string("service:\(sid)"), "max_relocate": number("max_relocate"),
            "max_restart": number("max_restart"), "node": .string(guest.node),
            "request_state": .string(resource.wanted), "sid": .string(sid),
            "comment": resource.options["comment"].map { .string($0) },
            // The manager drops a resource whose wanted state is `ignored`.
            "crm_state": resource.wanted == "ignored" ? nil : resource.crmState.map { .string($0) },
            "state": .string(state), "status": .string("\(sid) (\(guest.node), \(state))"), "type": "service",
        ]
    }

    private func shownState(of resource: HAResource, _ guest: Guest) -> String {
        let state = resource.crmState ?? ""
        if ["disabled", "ignored"].contains(resource.wanted) { return resource.wanted }
        return state == "started" && !guest.power.isOn ? "starting" : state
    }

    var managerStatus: JSON {
        let local = nodes.first?.name ?? ""
        let quorum: JSON = ["node": .string(local), "quorate": isQuorate ? "1" : ""]
        guard haActs, clusterName != nil, !(haResources.isEmpty && haLeaving.isEmpty) else {
            return ["manager_status": ["node_status": [:]], "quorum": quorum]
        }
        func byNode(_ value: (Node) -> JSON) -> JSON {
            .object(nodes.reduce(into: JSONObject()) { $0[$1.name] = value($1) })
        }
        var known = haLeaving
        for (sid, resource) in haResources.all {
            known[sid] = haGuest(sid).map { ($0.node, resource.crmState ?? "request_start") }
        }
        let services = known.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { all, entry in
            all[entry.key] = [
                "node": .string(entry.value.node), "state": .string(entry.value.crmState),
                "uid": .string(String(Digest.sha1(entry.key).prefix(22))),
            ]
        }
        return [
            "lrm_status": byNode { _ in
                ["mode": "active", "results": [:], "state": "active", "timestamp": JSON(second)]
            },
            "manager_status": [
                "master_node": .string(master), "node_status": byNode { $0.isOnline ? "online" : "unknown" },
                "service_status": .object(services), "timestamp": JSON(second),
            ], "quorum": quorum,
        ]
    }
}
