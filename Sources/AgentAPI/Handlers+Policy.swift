import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON

/// The policy: what is in force, what it says to a request, and reloading it.
extension Handlers {
    func policy(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (version, rules) = service.access.rulesInForce(exchange.context)
        return .json(.ok, ["version": .string(version), "rules": .array(rules.map { Views.rule($0) })])
    }

    func changeWindows(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        .json(.ok, ["windows": .array(service.reads.changeWindows(exchange.context).map { Views.window($0) })])
    }

    func limitUses(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let limits = try await service.reads.limitUses(exchange.context)
        return .json(.ok, ["limits": .array(limits.map { Views.limit($0) })])
    }

    func explainPolicy(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let object = try await asked(exchange, exchange.object)
        return .json(.ok, Views.explanation(try await service.reads.explain(object, exchange.context)))
    }

    func reloadPolicy(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        .json(.ok, Views.reloaded(try await service.reloads.reload(exchange.context)))
    }

    /// What is wrong although the agent works. Only who may reload the configuration is told what is wrong in it.
    func warnings(_ exchange: APIExchange) -> JSON? {
        var warnings: [JSON] = []
        if let failure = service.reloads.failure {
            let isTold = exchange.isAuthenticated && exchange.context.principal.mayEverywhere(.reload)
            let what = "the configuration was not taken over at \(failure.at.rfc3339); an earlier one is in force"
            warnings.append(
                [
                    "code": .string(ErrorCode.policyInvalid.rawValue),
                    "detail": exchange.isAuthenticated ? .string(what) : nil,
                    "errors": isTold ? JSON(failure.lines) : nil,
                ])
        }
        if let reason = service.checkpoints.figures.withheld {
            let what = "no checkpoint of the audit log is signed: \(reason.phrase)"
            warnings.append(
                ["code": "checkpoint_withheld", "detail": exchange.isAuthenticated ? .string(what) : nil])
        }
        if let reason = service.leases.hindrance {
            warnings.append(["code": "carries_out_nothing", "detail": exchange.isAuthenticated ? .string(reason) : nil])
        }
        return warnings.isEmpty ? nil : .array(warnings)
    }
}
