import AgentModel
import AgentService
import HTTPMessage
package import HTTPTypes
import StrictJSON

/// Events.
extension Handlers {
    func events(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let start = try await start(exchange)
        let filter = service.events.filter(
            environment: try await environments(exchange)?.first, kinds: try kinds(exchange),
            plan: try await plan(exchange), exchange.context)
        let stream = try await streams.open(filter, after: start, of: exchange.session) { [authenticator] in
            await authenticator.openSessions(among: [$0])?.contains($0.id) == true
        }
        // The caller's rights may have changed before the stream was there to be ended.
        do throws(ServiceError) {
            let identity = try await authenticator.identity(of: exchange.request, byCookie: true)
            guard identity.principal == exchange.context.principal else {
                throw ServiceError(.shuttingDown, "the rules have just changed; ask again")
            }
        } catch {
            stream.finish()
            throw error
        }
        var response = Response(
            status: .ok, fields: [.contentType: "text/event-stream", .accelBuffering: "no"])
        response.stream = stream
        return response
    }

    /// Where to resume: what the client heard last, which a browser sends again by itself, else what the query says.
    private func start(_ exchange: APIExchange) async throws(ServiceError) -> UInt64? {
        var start: UInt64?
        for (text, place) in [
            (exchange.query["after"], "query parameter after"),
            (exchange.request.fields[.lastEventID], "header Last-Event-ID"),
        ] { if let text { start = try await number(text, place) } }
        return start
    }

    private func number(_ text: String, _ place: String) async throws(ServiceError) -> UInt64 {
        guard let number = UInt64(text), "\(number)" == text else {
            throw ServiceError(
                .invalidRequest,
                "\(place): expected the id of an event, a decimal number, got \(JSON.string(text).shown); without it the "
                    + "stream begins now")
        }
        let newest = try await service.events.head()
        guard number <= newest else {
            throw ServiceError(
                .invalidRequest,
                "\(place): there is no event \(number) yet, the newest record is \(newest); without it the "
                    + "stream begins now")
        }
        return number
    }

    /// `operation,plan.created`: kinds, and all kinds of what stands before the dot.
    private func kinds(_ exchange: APIExchange) throws(ServiceError) -> Set<AgentEvent.Kind>? {
        guard let text = exchange.query["kind"] else { return nil }
        var kinds: Set<AgentEvent.Kind> = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            let named = AgentEvent.Kind.allCases.filter { $0.rawValue == name || $0.subject == name }
            guard !named.isEmpty else {
                let known = AgentEvent.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw ServiceError(
                    .invalidRequest,
                    "query parameter kind: there is no kind \(JSON.string(String(name)).shown); there are, also in a list "
                        + "with commas, \(known), and what stands before their dots")
            }
            kinds.formUnion(named)
        }
        return kinds
    }

    private func plan(_ exchange: APIExchange) async throws(ServiceError) -> RecordID? {
        guard let id = try exchange.query("plan", "a plan's id", { RecordID($0, .plan) }) else { return nil }
        return try await service.workflow.plan(id, exchange.context).id
    }
}

extension Views {
    static func event(_ event: AgentEvent) -> JSON {
        var shown: JSONObject = ["kind": .string(event.kind.rawValue), "at": .string(event.at.description)]
        shown["environment"] = event.environment.map { .string($0) } ?? .null
        shown["plan_id"] = event.planID.map { .string($0) }
        shown["operation_id"] = event.operationID.map { .string($0) }
        shown["actor"] = event.actor.map { .string($0) }
        for member in event.details.members { shown[member.key] = member.value }
        return .object(shown)
    }
}

extension HTTPField.Name {
    /// What nginx has for streams.
    static var accelBuffering: Self { constant("X-Accel-Buffering") }
    package static var lastEventID: Self { constant("Last-Event-ID") }
}
