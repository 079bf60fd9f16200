import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Signatures
import StrictJSON

/// What each route does: decode, call the service once, encode.
struct Handlers: Sendable {
    let service: ControlPlane

    let authenticator: Authenticator
    let meter: any Meter
    let failures: AuthFailures

    let streams: EventStreams

    private struct EnvironmentRow: Hashable {
        let name: EnvironmentName
        let probe: Probe?
    }

    let guestLists = GuestLists()
    private let environmentList = ResponseCache<[EnvironmentRow]>()

    init(service: ControlPlane, authenticator: Authenticator, meter: any Meter, failures: AuthFailures) {
        self.service = service
        self.authenticator = authenticator
        self.meter = meter
        self.failures = failures
        streams = EventStreams(service.events)
    }

    /// Answers that the process is serving.
    func health(_ exchange: APIExchange) async throws(ServiceError) -> Response { Self.healthy }

    private static let healthy = Response.json(.ok, ["ok": true])

    /// Whether the agent can work. An unreachable PVE does not make it unready.
    func ready(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let missing = await service.missing(isAuthConfigured: authenticator.isConfigured)
        var body: JSONObject = ["ok": .bool(missing.isEmpty)]
        if !missing.isEmpty {
            body["missing"] = .array(
                missing.map { error in
                    [
                        "code": .string(error.code.rawValue),
                        "detail": exchange.isAuthenticated ? .string(error.detail) : nil,
                    ]
                })
        }
        body["warnings"] = warnings(exchange)
        if exchange.isAuthenticated {
            body["environments"] = .array(
                service.access.visibleEnvironments(exchange.context).map { Views.environment($0) })
        }
        return .json(missing.isEmpty ? .ok : .serviceUnavailable, .object(body))
    }

    func metrics(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let page = await meter.page(accepting: exchange.request.fields[.accept])
        return Response(status: .ok, fields: [.contentType: page.contentType], body: .init(page.body))
    }

    func environments(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let managedEnvironments = service.access.visibleEnvironments(exchange.context)
        return environmentList.response(
            of: managedEnvironments.map { EnvironmentRow(name: $0.settings.name, probe: $0.probe) }
        ) {
            .json(.ok, ["environments": .array(managedEnvironments.map { Views.environment($0) })])
        }
    }

    func actions(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        Negotiation.tagged(Self.catalogue, for: exchange.request)
    }

    private static let catalogue = Response.json(.ok, ["actions": .array(ActionCatalog.all.map { Views.action($0) })])

    /// The description of the API.
    func openAPI(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        Negotiation.tagged(Self.description, for: exchange.request)
    }

    func docs(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        Negotiation.tagged(DocsPage.response, for: exchange.request)
    }

    private static let description = Response.json(.ok, OpenAPI.document(of: Route.described))

    // MARK: Plan and apply

    /// Reads what a request asks for. If it cannot be read, the refusal is recorded.
    func asked<Value: Sendable>(
        _ exchange: APIExchange, _ read: () throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        try await service.recordingRefusals(of: exchange.context, read)
    }

    func plan(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let object = try await asked(exchange, exchange.object)
        return try await once(exchange, "plan", object) { kept async throws(ServiceError) in
            .json(.ok, shown(try await service.workflow.plan(object, exchange.context, kept: kept), to: exchange))
        }
    }

    func apply(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let object = try await asked(exchange, exchange.object)
        let wanted = try await asked(exchange) { () throws(ServiceError) in try ApplyRequest(body: object) }
        let wait = exchange.preferredWait
        var response = try await once(exchange, "apply", object) { kept async throws(ServiceError) in
            await reply(to: try await service.applies.apply(wanted, exchange.context, wait: wait, kept: kept), exchange)
        }
        if let wait { response.fields[.preferenceApplied] = "wait=\(wait.components.seconds)" }
        return response
    }

    /// Carries a request out, or repeats the answer if its `Idempotency-Key` was used before.
    private func once(
        _ exchange: APIExchange, _ route: String, _ object: JSONObject,
        _ body: (PendingIdempotentRequest?) async throws(ServiceError) -> Response
    ) async throws(ServiceError) -> Response {
        let sent = try await asked(exchange) { () throws(ServiceError) in try exchange.idempotencyKey(route) }
        guard let key = sent else { return try await body(nil) }
        let hash = service.idempotency.payloadHash(object)
        switch try await service.idempotency.begin(key, payloadHash: hash, exchange.context) {
        case .answered(let answer): return Self.replayed(Response(answer))
        case .unanswered(let operation):
            return Self.replayed(
                await reply(to: try await service.applies.outcome(of: operation, exchange.context), exchange))
        case .fresh:
            defer { service.idempotency.end(key) }
            let keyed = PendingIdempotentRequest(key: key, payloadHash: hash) {
                StoredResponse(.json(.ok, shown($0, to: exchange)))
            }
            do throws(ServiceError) {
                let response = try await body(keyed)
                await service.idempotency.keep(StoredResponse(response), for: key)
                return response
            } catch {
                await service.idempotency.keep(
                    StoredResponse(Problem.response(to: error, requestID: exchange.context.requestID)), for: key)
                throw error
            }
        }
    }

    private static func replayed(_ response: Response) -> Response {
        var response = response
        response.fields[.idempotencyReplayed] = "true"
        return response
    }

    private func reply(to outcome: ApplyOutcome, _ exchange: APIExchange) async -> Response {
        let plan = outcome.plan
        var body: JSONObject = ["request": Views.request(plan.request), "decision": Views.decision(plan.decision)]
        if outcome.isStored { body["plan_id"] = .string(plan.id.description) }
        switch outcome.kind {
        case .read(let result): return ReadEnvelope(head: body, result: result).response()
        case .dryRun:
            body["result"] = [
                "status": "planned", "message": "a dry run: nothing was changed",
                "data": Views.preview(service.workflow.shown(plan, to: exchange.context.caller).preview),
            ]
            return .json(.ok, .object(body))
        case .operation(let found):
            let operation = await service.workflow.shown(found, to: exchange.context.caller)
            body["result"] = [
                "status": .string(operation.state.rawValue), "message": .string(operation.message),
                "data": operation.partial == nil ? operation.data ?? .null : Views.partial(operation),
            ]
            body["operation"] = Views.operation(operation)
            guard !operation.state.isEnded else { return .json(.ok, .object(body)) }
            var response = Response.json(.accepted, .object(body))
            response.fields[.location] = "/v1/operations/\(operation.id)"
            return response
        }
    }

    // MARK: Plans

    /// A plan as the caller may see it.
    private func shown(_ plan: Plan, to exchange: APIExchange) -> JSON {
        Views.plan(service.workflow.shown(plan, to: exchange.context.caller))
    }

    func plans(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let limit = try exchange.query("limit", in: 1...500) ?? 100
        var filter = PlanFilter(limit: limit + 1)
        filter.state = try exchange.query("state", states(PlanState.self), PlanState.init)
        filter.target = try exchange.query("target", "a target such as vm/101", Target.init)
        filter.before = try exchange.query("before", "a plan's id") { RecordID($0, .plan) }
        filter.environments = try await environments(exchange)
        if let before = filter.before { _ = try await service.workflow.plan(before, exchange.context) }
        let found =
            try exchange.query("awaiting", "me", { $0 == "me" ? true : nil }) == nil
            ? try await service.workflow.plans(filter, exchange.context)
            : try await service.workflow.plansAwaiting(filter, exchange.context)
        return page("plans", found.rows.map { ($0.plan.id, Views.summary($0)) }, limit, isCut: found.isCut)
    }

    func onePlan(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let plan = try await service.workflow.plan(try exchange.id(.plan), exchange.context)
        return Negotiation.tagged(.json(.ok, shown(plan, to: exchange)), for: exchange.request)
    }

    func decidePlan(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (id, approval) = try await asked(exchange) { () throws(ServiceError) in
            (try exchange.id(.plan), try ApprovalRequest(body: try exchange.object()))
        }
        return .json(.ok, shown(try await service.approvals.decide(id, approval, exchange.context), to: exchange))
    }

    func approvalText(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let verdict = try exchange.query("decision", "approve or reject", ApprovalRequest.Verdict.init)
        let reason = try exchange.query("reason", "text of at most 4096 characters") {
            TextForm.text(4096).matches($0) ? $0 : nil
        }
        guard let verdict else { throw ServiceError(.invalidRequest, "the query needs decision: approve or reject") }
        let text = try await service.approvals.text(
            of: verdict, on: try exchange.id(.plan), reason: reason, exchange.context)
        return .json(
            .ok, ["text": .string(text.text), "challenge": .string(Base64.encodeURL(text.challenge))])
    }

    func cancelPlan(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let id = try await asked(exchange) { () throws(ServiceError) in try exchange.id(.plan) }
        return .json(.ok, shown(try await service.workflow.cancelPlan(id, exchange.context), to: exchange))
    }

    /// The one environment that the query names, for a list of its contents.
    func environments(_ exchange: APIExchange) async throws(ServiceError) -> Set<EnvironmentName>? {
        guard let name = exchange.query["environment"] else { return nil }
        return [try await service.environment(named: name, .view, exchange.context)]
    }

    /// A page of a list: at most `limit` rows and about 1 MiB, though a single row may be larger. If there are more
    /// rows, `next` says where the next page starts.
    func page(_ name: String, _ rows: [(id: RecordID, json: JSON)], _ limit: Int, isCut: Bool) -> Response {
        var body: [UInt8] = []
        body.append(contentsOf: "{\"\(name)\":[".utf8)
        var last: RecordID?
        var count = 0
        for row in rows.prefix(limit) {
            let bytes = row.json.bytes
            guard count == 0 || body.count + bytes.count + 64 <= ControlPlane.pageBytes else { break }
            if count > 0 { body.append(UInt8(ascii: ",")) }
            body.append(contentsOf: bytes)
            (last, count) = (row.id, count + 1)
        }
        let next = isCut || count < rows.count ? last.map { JSON.string($0.description) } : nil
        body.append(contentsOf: "],\"next\":\((next ?? .null).text)}".utf8)
        return Response(status: .ok, fields: [.contentType: "application/json"], body: .init(body))
    }

    func states<State: RawRepresentable<String> & CaseIterable>(_ type: State.Type) -> String {
        "one of " + State.allCases.map(\.rawValue).joined(separator: ", ")
    }
}
