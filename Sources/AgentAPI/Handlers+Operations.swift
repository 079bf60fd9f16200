import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Operations: lists, one, its log, cancel and resolve.
extension Handlers {
    func operations(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let limit = try exchange.query("limit", in: 1...500) ?? 100
        var filter = OperationFilter(limit: limit + 1)
        filter.state = try exchange.query("state", states(OperationState.self), OperationState.init)
        filter.plan = try exchange.query("plan_id", "a plan's id") { RecordID($0, .plan) }
        filter.target = try exchange.query("target", "a target such as vm/101", Target.init)
        filter.before = try exchange.query("before", "an operation's id") { RecordID($0, .operation) }
        filter.environments = try await environments(exchange)
        if let before = filter.before { _ = try await service.operations.operation(before, exchange.context) }
        let found = try await service.operations.list(filter, exchange.context)
        return page(
            "operations",
            found.rows.map { ($0.id, Views.operation(service.workflow.outlined($0, to: exchange.context.caller))) },
            limit,
            isCut: found.isCut)
    }

    func oneOperation(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let wait = try exchange.query("wait", in: 0...60).map { Duration.seconds($0) }
        return .json(
            .ok,
            Views.operation(
                await service.workflow.shown(
                    try await service.operations.operation(try exchange.id(.operation), exchange.context, wait: wait),
                    to: exchange.context.caller))
        )
    }

    func operationLog(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let start = try exchange.query("start", in: 0...10_000_000) ?? 0
        let limit = try exchange.query("limit", in: 1...5000) ?? 500
        let log = try await service.operations.log(
            of: try exchange.id(.operation), from: start, limit: limit, exchange.context)
        return .json(.ok, ["start": JSON(start), "total": JSON(log.total), "lines": JSON(log.lines)])
    }

    func cancelOperation(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let id = try await asked(exchange) { () throws(ServiceError) in try exchange.id(.operation) }
        let operation = try await service.operations.cancel(id, exchange.context)
        return .json(operation.state.isEnded ? .ok : .accepted, Views.operation(operation))
    }

    func resolveOperation(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (id, body) = try await asked(exchange) { () throws(ServiceError) in
            (try exchange.id(.operation), try ResolveRequest(body: try exchange.object()))
        }
        let operation = try await service.operations.resolve(
            id, succeeded: body.succeeded, reason: body.reason, exchange.context)
        return .json(.ok, Views.operation(operation))
    }
}
