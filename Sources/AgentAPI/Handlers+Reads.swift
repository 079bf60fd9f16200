import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Reads of what the environments hold.
extension Handlers {
    func inventory(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let running = try exchange.query("state", "all or running") { ["all": false, "running": true][$0] } ?? false
        let page = try inventoryPage(exchange)
        guard let name = exchange.query["environment"] else {
            let result = try await service.reads.inventoryOfAll(runningOnly: running, exchange.context)
            let request: JSON = [
                "action": .string(Action.readInventory.rawValue),
                "target": .string("\(running ? Target.inventoryRunning : .inventoryAll)"),
            ]
            return try page.response(of: ReadEnvelope(head: ["request": request], result: result), guestLists)
        }
        let environment = try await service.environment(named: name, .view, exchange.context)
        let envelope = try await envelope(
            ActionRequest(
                reading: .readInventory, on: running ? .inventoryRunning : .inventoryAll, in: environment),
            exchange)
        return try page.response(of: envelope, guestLists)
    }

    private func inventoryPage(_ exchange: APIExchange) throws(ServiceError) -> InventoryPage {
        var page = InventoryPage()
        page.filter.node = try exchange.query("node", "a node's name", NodeName.init).map { "\($0)" }
        page.filter.tag = exchange.query["tag"]
        page.filter.name = exchange.query["name"]
        page.filter.kind = try exchange.query("type", "qemu or lxc", GuestKind.init(rawValue:))
        page.filter.pool = try exchange.query("pool", "a pool's name", PoolName.init).map { "\($0)" }
        page.after = try exchange.query("after", "`next` of the page before", GuestRow.Cursor.init)
        page.limit = try exchange.query("limit", in: 1...10_000)
        page.fields = try exchange.query("fields", "names with commas between them, such as name,node,status") {
            InventoryPage.fieldsForm.matches($0) ? $0.split(separator: ",").map(String.init) : nil
        }
        return page
    }

    func nodes(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        try await read(ActionRequest(reading: .readNodes, on: .nodesAll, in: try await environment(exchange)), exchange)
    }

    func tasks(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        var params = JSONObject()
        params["node"] = try exchange.query("node", "a node's name", NodeName.init).map { .string("\($0)") }
        params["limit"] = try exchange.query("limit", in: 1...1000).map { JSON($0) }
        return try await read(
            ActionRequest(reading: .readTasks, on: .tasksAll, in: try await environment(exchange), params: params),
            exchange)
    }

    func taskStatus(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        guard let upid = try exchange.query("upid", "a task's id, UPID:…", UPID.init) else {
            throw ServiceError(.invalidRequest, "query parameter upid is missing; it takes a task's id, UPID:…")
        }
        return try await read(
            ActionRequest(reading: .readTaskStatus, on: .task(upid), in: try await environment(exchange)), exchange)
    }

    private func environment(_ exchange: APIExchange) async throws(ServiceError) -> EnvironmentName {
        guard let name = exchange.query["environment"] else {
            throw ServiceError(
                .invalidRequest, "query parameter environment is missing; GET /v1/environments lists all")
        }
        return try await service.environment(named: name, .view, exchange.context)
    }

    private func read(_ request: ActionRequest, _ exchange: APIExchange) async throws(ServiceError) -> Response {
        try await envelope(request, exchange).response()
    }

    private func envelope(
        _ request: ActionRequest, _ exchange: APIExchange
    ) async throws(ServiceError) -> ReadEnvelope {
        let (plan, result) = try await service.reads.read(request, exchange.context)
        return ReadEnvelope(head: ["request": Views.request(request), "plan": Views.unstored(plan)], result: result)
    }
}
