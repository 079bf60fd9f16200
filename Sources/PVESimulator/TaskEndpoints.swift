import StrictJSON

let taskEndpoints: [Endpoint] = [
    .get("cluster/tasks") { world, call in .rows(world.clusterTasks(for: call.caller)) },
    .get(
        "nodes/{node}/tasks",
        """
        errors:bool limit:int(0..) since:int source:enum(archive|active|all) start:int(0..) statusfilter:str
        typefilter:str until:int userfilter:str vmid:vmid
        """
    ) { world, call in world.nodeTasks(call) },
    .change("DELETE", "nodes/{node}/tasks/{upid}") { world, call in
        let task = try world.task(call, privilege: "Sys.Modify")
        world.interrupt(task.upid)
    },
    .get("nodes/{node}/tasks/{upid}/status") { world, call in
        let task = try world.task(call, privilege: "Sys.Audit")
        var row = task.row
        row["status"] = task.end == nil ? "running" : "stopped"
        row["exitstatus"] = task.end.map { .string($0.exit) }
        return .object(row)
    },
    .get("nodes/{node}/tasks/{upid}/log", "download:bool limit:int(0..) start:int(0..)") { world, call in
        try world.taskLog(call)
    },
]

extension SimulatedTask {
    /// The fields that status and lists share.
    fileprivate var row: JSONObject {
        [
            "id": .string(id), "node": .string(node), "pid": JSON(pid), "pstart": JSON(pstart),
            "starttime": JSON(start), "tokenid": token.map { .string($0) }, "type": .string(type),
            "upid": .string(upid), "user": .string(user),
        ]
    }

    fileprivate var archiveRow: JSONObject {
        var row = row
        row["endtime"] = end.map { JSON($0.time) }
        row["status"] = end.map { .string($0.exit) }
        return row
    }

    fileprivate var activeRow: JSONObject {
        var row = row
        row["tokenid"] = nil
        row["user"] = .string(identity)
        row["saved"] = "0"
        row["status"] = "RUNNING"
        return row
    }

    fileprivate func isVisible(to caller: Caller) -> Bool {
        identity == caller.identity || caller.may("Sys.Audit", on: "/nodes/\(node)")
    }
}

extension ClusterState {
    /// The task that `call` names, for its owner or for holders of `privilege` on the node.
    fileprivate func task(_ call: EndpointCall, privilege: String) throws(Failure) -> SimulatedTask {
        let upid = call.text("upid")
        let parts = upid.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 9, parts[0] == "UPID", parts[2].count == 8, parts[3].count >= 8, parts[4].count == 8 else {
            throw .parameters(["upid": "unable to parse worker upid"])
        }
        if parts[7] != call.caller.identity { try call.caller.need(privilege, on: "/nodes/\(call.node)") }
        guard let task = tasks.all[upid], task.node == call.node else { throw .parameters(["upid": "no such task"]) }
        return task
    }

    fileprivate func clusterTasks(for caller: Caller) -> [JSON] {
        let visible = tasks.order.reversed().lazy.compactMap { self.tasks.all[$0] }.filter { $0.isVisible(to: caller) }
        let running = visible.filter { $0.end == nil }
        let ended = visible.filter { $0.end != nil }.prefix(25)
        let newest = ended.first?.upid
        return (Array(running) + Array(ended)).map { task in
            var row = task.end == nil ? task.row : task.archiveRow
            row["pstart"] = nil
            if task.end == nil {
                row["saved"] = "0"
            } else {
                row["pid"] = nil
                // A number until the list is read again after the task's end.
                let isNew = task.upid == newest && running.isEmpty
                row["saved"] = isNew ? 1 : "1"
            }
            return .object(row)
        }
    }

    fileprivate func nodeTasks(_ call: EndpointCall) -> Reply {
        let source = call["source"] ?? "archive"
        let matching = tasks.order.reversed().compactMap { tasks.all[$0] }.filter { task in
            task.node == call.node && task.isVisible(to: call.caller) && matches(task, call)
        }
        var rows: [JSONObject] = []
        if source != "archive" { rows += matching.filter { $0.end == nil }.map(\.activeRow) }
        if source != "active" { rows += matching.filter { $0.end != nil }.map(\.archiveRow) }
        let page = rows.dropFirst(call.int("start") ?? 0).prefix(call.int("limit") ?? 50)
        return .page(.array(page.map { .object($0) }), total: rows.isEmpty ? nil : rows.count)
    }

    private func matches(_ task: SimulatedTask, _ call: EndpointCall) -> Bool {
        if let vmid = call["vmid"], task.id != vmid { return false }
        if let type = call["typefilter"], task.type != type { return false }
        if let user = call["userfilter"], !task.identity.contains(user) { return false }
        if let since = call.int("since"), task.start < since { return false }
        if let until = call.int("until"), task.start > until { return false }
        let exit = task.end?.exit
        if call.flag("errors"), exit == nil || exit == "OK" { return false }
        guard let wanted = call["statusfilter"].map({ Format.list($0) }) else { return true }
        let state =
            switch exit {
            case nil: "unknown"
            case "OK": "ok"
            case let text? where text.hasPrefix("WARNINGS: "): "warning"
            case .some: "error"
            }
        return wanted.contains(state)
    }

    fileprivate func taskLog(_ call: EndpointCall) throws(Failure) -> Reply {
        let task: SimulatedTask
        do throws(Failure) { task = try self.task(call, privilege: "Sys.Audit") } catch {
            guard error.errors["upid"] == "no such task" else { throw error }
            return .noLog
        }
        var lines = task.log
        if task.end == nil { lines = tasks.active.first { $0.upid == task.upid }?.log.lines ?? [] }
        if lines.isEmpty { lines = ["no content"] }
        return .lines(lines, call)
    }
}
