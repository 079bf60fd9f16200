import AgentAPI
import AgentModel
import AgentService
import StrictJSON

/// The tools that only look.
extension ToolCall {
    func environmentList() async throws(ServiceError) -> ToolResult {
        try await read { _ throws(ServiceError) in () }
        let environments = service.access.visibleEnvironments(context).map { Views.environment($0) }
        return ToolResult(content: Page.fitted(["environments": .array(environments)]))
    }

    func guestGet() async throws(ServiceError) -> ToolResult {
        let (environment, guest, detail) = try await read { reader throws(ServiceError) in
            let environment = reader.environment()
            reader.require("guest", "a guest such as vm/101")
            let guest = reader.parsed("guest", "a guest such as vm/101 or lxc/200") { text -> GuestRef? in
                if case .guest(let guest) = Target(text) { return guest }
                return nil
            }
            let detail = reader.detail()
            return (try needed(environment, &reader), try needed(guest, &reader), detail)
        }
        let content = try await data(guest.kind.action("read"), "\(guest)", in: environment)
        guard case .json(let data) = content else { throw ServiceError(.upstreamInvalid, "no guest in the answer") }
        var config = data["config"]?.object ?? [:]
        var status = data["status"]?.object ?? [:]
        if detail == .concise {
            for key in ["description", "digest", "smbios1", "vmgenid", "meta", "sshkeys"] { config[key] = nil }
            status = status.only(Self.statusKeys)
        }
        return ToolResult(content: Page.fitted(["config": .object(config), "status": .object(status)]))
    }

    private static let statusKeys = [
        "status", "qmpstatus", "name", "uptime", "cpu", "cpus", "mem", "maxmem", "disk", "maxdisk", "lock", "tags",
        "ha",
    ]

    func nodeList() async throws(ServiceError) -> ToolResult {
        let (environment, offset, detail) = try await read { reader throws(ServiceError) in
            let environment = reader.environment()
            let (offset, detail) = (reader.offset(), reader.detail())
            return (try needed(environment, &reader), offset, detail)
        }
        let content = try await data(Action.readNodes.rawValue, "\(Target.nodesAll)", in: environment)
        guard case .json(let data) = content else { throw ServiceError(.upstreamInvalid, "no nodes in the answer") }
        let keys = ["node", "status", "cpu", "maxcpu", "mem", "maxmem", "uptime"]
        let (rows, next) = Page.of((data.array ?? []).map { $0.shown(detail, keys) }, from: offset)
        return ToolResult(content: ["nodes": .array(rows), "next_cursor": next])
    }

    func storageList() async throws(ServiceError) -> ToolResult {
        let (environment, node, offset, detail) = try await read { reader throws(ServiceError) in
            let environment = reader.environment()
            let node = reader.string("node")
            let (offset, detail) = (reader.offset(), reader.detail())
            return (try needed(environment, &reader), node, offset, detail)
        }
        let content = try await data("read_cluster", "\(Target.cluster)", in: environment)
        guard case .json(let data) = content else { throw ServiceError(.upstreamInvalid, "no storages in the answer") }
        let rows = (data["resources"]?.array ?? []).filter { row in
            row["type"] == "storage" && (node.map { row["node"]?.string == $0 } ?? true)
        }
        let keys = ["storage", "node", "status", "plugintype", "content", "shared", "disk", "maxdisk"]
        let (page, next) = Page.of(rows.map { $0.shown(detail, keys) }, from: offset)
        return ToolResult(content: ["storages": .array(page), "next_cursor": next])
    }

    func taskLog() async throws(ServiceError) -> ToolResult {
        let (environment, upid, offset) = try await read { reader throws(ServiceError) in
            let environment = reader.environment()
            let upid = reader.parsed("upid", "a task's id, UPID:…", UPID.init)
            let offset = reader.offset()
            return (try needed(environment, &reader), upid, offset)
        }
        guard let upid else {
            let content = try await data(
                Action.readTasks.rawValue, "\(Target.tasksAll)", ["limit": 500], in: environment)
            guard case .json(let data) = content else { return ToolResult(content: ["tasks": []]) }
            let (rows, next) = Page.of(data.array ?? [], from: offset)
            return ToolResult(content: ["tasks": .array(rows), "next_cursor": next])
        }
        let asked = 500
        let content = try await data(
            "read_task_log", "\(Target.task(upid))", ["start": JSON(offset), "limit": JSON(asked)], in: environment)
        guard case .json(let data) = content else { return ToolResult(content: ["lines": []]) }
        let lines = (data.array ?? []).map { $0["t"] ?? $0 }
        let (page, _) = Page.of(lines, from: 0)
        let isAll = page.count == lines.count && lines.count < asked
        return ToolResult(content: [
            "lines": .array(page), "next_cursor": isAll ? nil : .string("\(offset + page.count)"),
        ])
    }

    func actionCatalog() async throws(ServiceError) -> ToolResult {
        let (name, match, offset) = try await read { reader throws(ServiceError) in
            (reader.string("action"), reader.string("match"), reader.offset())
        }
        if let name {
            guard let action = Action(rawValue: name) else { throw ServiceError(RequestError.unknownAction(name)) }
            var view = Views.action(ActionCatalog.definition(of: action)).object ?? [:]
            // A plan shows the calls that it makes.
            view["calls"] = nil
            let content: JSONObject = ["action": .object(view)]
            return ToolResult(
                content: Page.hasRoom(for: content) ? content : JSON.object(content).leaving(out: "pattern"))
        }
        let wanted = ActionCatalog.all.filter { entry in
            match.map { "\(entry.action.rawValue) \(entry.summary)".lowercased().contains($0.lowercased()) } ?? true
        }
        let rows = wanted.map { ["name": .string($0.action.rawValue), "summary": .string($0.summary)] as JSON }
        let (page, next) = Page.of(rows, from: offset)
        return ToolResult(content: ["actions": .array(page), "next_cursor": next])
    }
}

extension JSONObject {
    /// The members with these keys, in this order.
    func only(_ keys: [String]) -> JSONObject {
        keys.reduce(into: JSONObject()) { $0[$1] = self[$1] }
    }
}

extension JSON {
    /// The members of the object, without any member of that name that is a string, at whatever depth.
    fileprivate func leaving(out key: String) -> JSONObject {
        var kept = JSONObject()
        for member in object?.members ?? [] where member.key != key || member.value.string == nil {
            kept[member.key] = member.value.object == nil ? member.value : .object(member.value.leaving(out: key))
        }
        return kept
    }

    fileprivate func shown(_ detail: Detail, _ keys: [String]) -> JSON {
        detail == .full ? self : .object((object ?? [:]).only(keys))
    }
}
