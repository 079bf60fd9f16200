import AgentModel
package import AgentService
import FoundationEssentials
package import HTTPMessage
import HTTPTypes
import StrictJSON
import Synchronization

/// The agent's HTTP interface: ids, routing, authentication, headers and the access log around the handlers.
package struct AgentHandler: HTTPHandler {
    private let handlers: Handlers
    private let authenticator: Authenticator
    private let router: Router<Int>
    /// By the numbers that the router finds.
    private let routes: [Route]
    private let accessLog: any AccessLog
    private let throttle: Throttle
    private let meter: any Meter
    private let traces = TraceSource()

    /// `others` are the routes of other faces of the service.
    package init(
        service: ControlPlane, authenticator: Authenticator, accessLog: any AccessLog, failures: AuthFailures,
        throttle: Throttle = Throttle(RateLimits()), meter: any Meter = NoMeter(), and others: [Route] = []
    ) {
        self.throttle = throttle
        self.meter = meter
        handlers = Handlers(service: service, authenticator: authenticator, meter: meter, failures: failures)
        self.authenticator = authenticator
        self.accessLog = accessLog
        routes = Route.all + others
        router = Router(routes.enumerated().map { .init($1.method, $1.path, $0) })
    }

    /// The open event streams.
    package var events: EventStreams { handlers.streams }

    /// Ends the streams of sessions that have ended, at whichever agent; of all, if that cannot be known twice in a row.
    package func endStreamsOfEndedSessions() async {
        let streams = handlers.streams
        let sessions = await streams.sessions
        let open = sessions.isEmpty ? [] : await authenticator.openSessions(among: sessions)
        let wasMissed = authenticator.isLookMissed.exchange(open == nil, ordering: .sequentiallyConsistent)
        guard open != nil || wasMissed else { return }
        for session in sessions where open?.contains(session.id) != true { await streams.end(of: session.id) }
    }

    package func respond(to request: Request) async -> Response {
        let start = ContinuousClock.now
        meter.began()
        defer { meter.answered() }
        let id = requestID(of: request)
        let match = router.find(request.method, request.path)
        let trace = trace(of: request, match)
        let quota = throttle.take(admission(of: request, match))
        if let exceeded = quota.exceeded {
            meter.refused(exceeded.policy.reason)
            return finish(Self.refusal(exceeded, quota, id), request, match, id, trace, nil, start)
        }
        var (response, actor) = await TraceContext.$current.withValue(trace) {
            await answer(request, match, id, trace)
        }
        response.fields.append(contentsOf: quota.fields)
        return finish(response, request, match, id, trace, actor, start)
    }

    private func trace(of request: Request, _ match: Router<Int>.Match) -> TraceContext {
        if case .matched(let number, _) = match, let trace = routes[number].trace?(request) { return trace }
        return traces.trace(of: request)
    }

    /// The lane and party of a request. Only principals with the route's right use the places for urgent requests.
    package func admission(of request: Request) -> Admission {
        admission(of: request, router.find(request.method, request.path))
    }

    private func admission(of request: Request, _ match: Router<Int>.Match) -> Admission {
        guard case .matched(let number, _) = match else { return Admission(.source(request.source)) }
        let route = routes[number]
        if route.access == .scrape {
            var lane = route.lane
            do throws(ServiceError) { _ = try authenticator.checkMayScrape(request) } catch { lane = .ordinary }
            return Admission(.source(request.source), lane)
        }
        if route.lane == .health {
            // A wrong token makes the answer wait. That must not take up a place for probes.
            let isGuess =
                request.fields.contains(.authorization) && (try? authenticator.principal(of: request)) == nil
            return Admission(.source(request.source), isGuess ? .ordinary : .health)
        }
        guard let principal = try? authenticator.apparentPrincipal(of: request, byCookie: route.takesCookie) else {
            return Admission(.source(request.source))
        }
        let mayUse = route.right.map(principal.rights.contains) ?? true
        return Admission(.principal(principal.id), mayUse ? route.lane : .ordinary)
    }

    private static func refusal(_ exceeded: Quota.Item, _ quota: Quota, _ id: String) -> Response {
        let what =
            switch exceeded.policy {
            case .requests, .urgent: "more than \(exceeded.limit) requests"
            case .storedBytes: "requests for which more than \(exceeded.limit) bytes had to be written"
            }
        var error = ServiceError(
            .rateLimited,
            "you have sent \(what) within \(Throttle.window) s; wait \(exceeded.seconds) s and send fewer")
        error.retryAfter = exceeded.seconds
        var response = Problem.response(to: error, requestID: id)
        response.fields.append(contentsOf: quota.fields)
        return response
    }

    package func refuse(_ request: Request, because refusal: Refusal) -> Response {
        let error =
            switch refusal {
            case .bodyTooLarge(let limit):
                ServiceError(.bodyTooLarge, "the body is larger than \(limit) bytes, the limit")
            case .headTooLarge(let limit):
                ServiceError(
                    .invalidRequest, "request line and header fields are larger than \(limit) bytes, the limit")
            case .malformed(let why): ServiceError(.invalidRequest, why)
            case .deadlineExceeded: ServiceError(.overloaded, "no response was ready in time; try again")
            case .overloaded: ServiceError(.overloaded, "too many requests are under way; try again later")
            case .shareUsedUp:
                ServiceError(
                    .rateLimited,
                    "you have as many requests, bodies or responses under way as one caller may have; let some finish")
            case .clientLeft:
                ServiceError(
                    .invalidRequest, "the client closed its side of the connection before the response was ready")
            case .shuttingDown: ServiceError(.shuttingDown, "the agent is stopping; try again when it is back")
            }
        meter.refused(refusal.reason)
        let id = requestID(of: request)
        let match = router.find(request.method, request.path)
        let status: HTTPResponse.Status? = if case .headTooLarge = refusal { .requestHeaderFieldsTooLarge } else { nil }
        let response = Problem.response(to: error, requestID: id, status: status)
        return finish(response, request, match, id, traces.trace(of: request), nil, .now)
    }

    private func answer(
        _ request: Request, _ match: Router<Int>.Match, _ id: String, _ trace: TraceContext
    ) async -> (Response, actor: String?) {
        switch match {
        case .notFound, .badPath:
            let path = JSON.string(request.path).shown
            return (problem(.notFound, "no route matches \(path); docs/api.md lists the routes", id), nil)
        case .options(let allow): return (Response(status: .noContent, fields: Self.allow(allow)), nil)
        case .wrongMethod(let allow):
            let methods = allow.map(\.rawValue).joined(separator: ", ")
            var response = problem(.methodNotAllowed, "\(request.path) takes \(methods)", id)
            response.fields.append(contentsOf: Self.allow(allow))
            return (response, nil)
        case .matched(let number, let captures):
            return await serve(routes[number], captures, request, id, trace)
        }
    }

    private func serve(
        _ route: Route, _ captures: PathCaptures, _ request: Request, _ id: String, _ trace: TraceContext
    ) async -> (Response, actor: String?) {
        if let refusal = route.screen?(request) { return (refusal, nil) }
        let identity: Identity?
        do throws(ServiceError) { identity = try await authenticate(request, for: route, id, trace) } catch {
            return (Problem.response(to: error, requestID: id), nil)
        }
        let principal = identity?.principal
        var context = Context(principal ?? .nobody, requestID: id, trace: trace)
        do throws(ServiceError) {
            if let principal {
                context = try await asked(on: route, context) { () throws(ServiceError) in
                    try Self.context(request, by: principal, on: route, id, trace)
                }
            }
            let (caller, isAuthenticated, session) = (context, principal != nil, identity?.session)
            let exchange = try await asked(on: route, caller) { () throws(ServiceError) in
                let query = try Self.query(of: request, route)
                try route.checkRight(of: caller.principal)
                return APIExchange(
                    request: request, context: caller, isAuthenticated: isAuthenticated, session: session,
                    captures: captures, query: query)
            }
            return (try await route.handle(handlers, exchange), principal.map { _ in context.caller.actor })
        } catch {
            return (Problem.response(to: error, requestID: id), principal.map { _ in context.caller.actor })
        }
    }

    /// Reads what a request asks for. A change that is refused here, before the service sees it, is still recorded.
    private func asked<Value: Sendable>(
        on route: Route, _ context: Context, _ read: () throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        guard route.access == .change else { return try read() }
        return try await handlers.service.recordingRefusals(of: context, read)
    }

    /// The principal; `nil` on an open route without valid credentials. The answer to a failure is delayed.
    private func authenticate(
        _ request: Request, for route: Route, _ id: String, _ trace: TraceContext
    ) async throws(ServiceError) -> Identity? {
        do throws(ServiceError) {
            guard route.access == .scrape else {
                let identity = try await authenticator.identity(of: request, byCookie: route.takesCookie)
                // A stream that a page keeps open does not show that somebody is there.
                return route.lane == .stream ? identity : try await authenticator.used(identity, by: request)
            }
            return try authenticator.checkMayScrape(request).map { Identity(principal: $0, session: nil) }
        } catch {
            let isGuess = request.fields.contains(.authorization)
            let isOpen = [.open, .visitor].contains(route.access)
            let hasCookie = route.takesCookie && Sessions.cookie(in: request) != nil
            if error.code == .unauthenticated, isGuess || hasCookie || !isOpen {
                try await handlers.holdBack(request, isGuess: isGuess)
            }
            if error.code != .unauthenticated, route.takesCookie {
                try await handlers.recordBrowser(error, request, id, trace)
            }
            if route.access == .open || (route.access == .visitor && error.code == .unauthenticated && !isGuess) {
                return nil
            }
            throw error
        }
    }

    private static func context(
        _ request: Request, by principal: Principal, on route: Route, _ id: String, _ trace: TraceContext
    ) throws(ServiceError) -> Context {
        do throws(ServiceError) {
            return try Authenticator.context(request, by: principal, requestID: id, trace: trace)
        } catch {
            // An open route answers every caller.
            if route.access == .open { return Context(principal, requestID: id, trace: trace) }
            throw error
        }
    }

    private static func query(of request: Request, _ route: Route) throws(ServiceError) -> QueryItems {
        guard let text = request.query else { return QueryItems() }
        let items: QueryItems
        do throws(QueryError) { items = try QueryItems(text) } catch {
            throw ServiceError(.invalidRequest, "the query is not well-formed: \(error)")
        }
        if let unknown = items.names.first(where: { name in !route.query.contains { $0.name == name } }) {
            let known = route.query.isEmpty ? "none" : route.query.map(\.name).joined(separator: ", ")
            throw ServiceError(
                .invalidRequest, "unknown query parameter \(JSON.string(unknown).shown); known here: \(known)")
        }
        return items
    }

    private func problem(_ code: ErrorCode, _ detail: String, _ id: String) -> Response {
        Problem.response(to: ServiceError(code, detail), requestID: id)
    }

    private static func allow(_ methods: [HTTPRequest.Method]) -> HTTPFields {
        [.allow: methods.map(\.rawValue).joined(separator: ", ")]
    }
}

extension AgentHandler {
    /// The caller's request id if it is well-formed (1 to 128 of `A-Za-z0-9._-`), else a new one.
    private func requestID(of request: Request) -> String {
        guard let given = request.fields[.requestID], (1...128).contains(given.utf8.count),
            given.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            })
        else { return Self.newID() }
        return given
    }

    /// A new request id: `req_` and 16 hexadecimal digits.
    private static func newID() -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return "req_" + String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    /// Adds the fields that every answer carries, and writes the line of the access log.
    private func finish(
        _ answer: Response, _ request: Request, _ match: Router<Int>.Match, _ id: String, _ trace: TraceContext,
        _ actor: String?, _ start: ContinuousClock.Instant
    ) -> Response {
        var response = answer
        response.fields = Self.onEveryAnswer
        response.fields.reserveCapacity(Self.onEveryAnswer.count + answer.fields.count + 1)
        response.fields.append(HTTPField(name: .requestID, value: id))
        for field in answer.fields {
            // A handler may be stricter, or laxer, than what is sent with every answer.
            if [.cacheControl, .contentSecurityPolicy].contains(field.name) {
                response.fields[field.name] = field.value
            } else {
                response.fields.append(field)
            }
        }
        response = Negotiation.encoded(response, for: request)
        let time = start.duration(to: .now)
        let route: Int? = if case .matched(let number, _) = match { number } else { nil }
        meter.count(
            CountedAnswer(route: route, method: request.method, status: response.status.code, time: time))
        accessLog.answered(
            AccessEntry(
                method: request.method.rawValue, path: request.path, status: response.status.code,
                bytes: response.body.count, microseconds: time.microseconds, peer: request.peer, requestID: id,
                trace: trace, actor: actor))
        return response
    }

    private static let onEveryAnswer: HTTPFields = [
        .xContentTypeOptions: "nosniff", .cacheControl: "no-store",
        .contentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'", .referrerPolicy: "no-referrer",
    ]
}

extension Duration {
    fileprivate var microseconds: Int {
        Int(components.seconds) * 1_000_000 + Int(components.attoseconds / 1_000_000_000_000)
    }
}
