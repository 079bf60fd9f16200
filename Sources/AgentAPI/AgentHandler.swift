import AgentModel
package import AgentService
import FoundationEssentials
package import HTTPMessage
import HTTPTypes
package import Logging
import StrictJSON

/// The agent's HTTP face: ids, authentication, routing, headers and the access log around the handlers.
package struct AgentHandler: HTTPHandler {
    private let handlers: Handlers
    private let authenticator: Authenticator
    private let router: Router<Route>
    private let log: Logger
    private let onAuthFailure: @Sendable (_ peer: String) -> Void

    /// - Parameter onAuthFailure: is told of each failed authentication and where it came from.
    package init(
        service: ActionService, authenticator: Authenticator, log: Logger,
        onAuthFailure: @escaping @Sendable (_ peer: String) -> Void = { _ in }
    ) {
        handlers = Handlers(service: service)
        self.authenticator = authenticator
        self.log = log
        self.onAuthFailure = onAuthFailure
        router = Router(Route.all.map { .init($0.method, $0.path, $0) })
    }

    package func respond(to request: Request) async -> Response {
        let start = ContinuousClock.now
        let id = requestID(of: request)
        let (response, actor) = await answer(request, id)
        return finish(response, request, id, actor, start)
    }

    package func refuse(_ request: Request, because refusal: Refusal) -> Response {
        let error =
            switch refusal {
            case .bodyTooLarge(let limit):
                ServiceError(.bodyTooLarge, "the body is larger than \(limit) bytes, the limit")
            case .malformed(let why): ServiceError(.invalidRequest, why)
            case .deadlineExceeded: ServiceError(.overloaded, "no answer was ready in time; ask again")
            case .overloaded: ServiceError(.overloaded, "as many requests are under way as are allowed; ask again")
            case .shuttingDown: ServiceError(.shuttingDown, "the agent is stopping; ask again when it is back")
            }
        let id = requestID(of: request)
        return finish(Problem.response(to: error, requestID: id), request, id, nil, ContinuousClock.now)
    }

    private func answer(_ request: Request, _ id: String) async -> (Response, actor: String?) {
        if let response = await health(request, id) { return (response, nil) }
        do throws(ServiceError) {
            let (route, captures) = try find(request)
            if request.method == .options, let allow = allowed(request) { return (allow, nil) }
            guard let route else { return (Response(status: .noContent), nil) }
            let caller = try authenticate(request)
            let exchange = Exchange(
                request: request, context: Context(caller: caller, requestID: id), captures: captures,
                query: try query(of: request, route))
            do throws(ServiceError) { return (try await route.handle(handlers, exchange), caller.actor) } catch {
                return (Problem.response(to: error, requestID: id), caller.actor)
            }
        } catch {
            var response = Problem.response(to: error, requestID: id)
            if error.code == .methodNotAllowed, case .wrongMethod(let allow) = router.lookup(request) {
                response.fields[.allow] = allow.map(\.rawValue).joined(separator: ", ")
            }
            return (response, nil)
        }
    }
}
