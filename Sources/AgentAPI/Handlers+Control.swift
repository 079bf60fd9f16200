import AgentAudit
import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Reviews of emergencies, freezes and the audit log.
extension Handlers {
    func reviews(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let limit = try exchange.query("limit", in: 1...500) ?? 100
        var filter = ReviewFilter(limit: limit + 1)
        filter.isOpen = try exchange.query("state", "open or closed") { ["open": true, "closed": false][$0] }
        filter.before = try exchange.query("before", "an operation's id") { RecordID($0, .operation) }
        let found = try await service.reviews.list(filter, exchange.context)
        return page("reviews", found.map { ($0.operationID, Views.review($0)) }, limit, isCut: false)
    }

    func oneReview(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        .json(.ok, Views.review(try await service.reviews.review(try exchange.id(.operation), exchange.context)))
    }

    func closeReview(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let (id, body) = try await asked(exchange) { () throws(ServiceError) in
            (try exchange.id(.operation), try ReviewClose(body: try exchange.object()))
        }
        let closed = try await service.reviews.close(
            id, isJustified: body.isJustified, comment: body.comment, exchange.context)
        return .json(.ok, Views.review(closed))
    }

    func agents(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        guard let overview = try await service.leases.overview() else {
            return .json(.ok, ["shared": false, "agents": []])
        }
        let visible = service.access.environments(.view, exchange.context)
        let agents = overview.agents.map { agent -> JSON in
            let led = overview.leases.filter {
                $0.holder == agent.process && (visible?.contains($0.environment) ?? true)
            }
            return [
                "name": .string(agent.name), "version": .string(agent.version),
                "started_at": .string(agent.startedAt.rfc3339),
                "seen_seconds": JSON(Int(min(1e9, max(0, agent.age)))),
                "state": .string(overview.standing(of: agent)), "this": .bool(agent.name == service.leases.name),
                "environments": .array(led.map { .string($0.environment.description) }),
            ]
        }
        return .json(.ok, ["shared": true, "agents": .array(agents)])
    }

    func forgetAgent(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let name = exchange.captures["name"] ?? ""
        try await service.leases.forget(name, exchange.context)
        return .json(.ok, ["name": .string(name), "forgotten": true])
    }

    func drainAgent(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        try await drain(exchange, true)
    }

    func endDrain(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        try await drain(exchange, false)
    }

    private func drain(_ exchange: APIExchange, _ isDraining: Bool) async throws(ServiceError) -> Response {
        let name = exchange.captures["name"] ?? ""
        try await service.leases.drain(name, isDraining, exchange.context)
        return .json(.ok, ["name": .string(name), "draining": .bool(isDraining)])
    }

    func freezes(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        .json(.ok, ["freezes": .array(service.freezes.inForce(exchange.context).map { Views.freeze($0) })])
    }

    func freeze(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let request = try await asked(exchange) { () throws(ServiceError) in
            try FreezeRequest(body: try exchange.object())
        }
        return .json(.ok, Views.freeze(try await service.freezes.freeze(request, exchange.context)))
    }

    func unfreeze(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let choice = FreezeChoice(
            id: exchange.query["id"], environment: exchange.query["environment"], by: exchange.query["by"])
        let lifted = try await service.freezes.unfreeze(choice, exchange.context)
        let left = service.freezes.inForce(exchange.context)
        return .json(
            .ok, ["lifted": lifted.map { Views.freeze($0) } ?? .null, "freezes": .array(left.map { Views.freeze($0) })])
    }

    func audit(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let after = try exchange.query("after", in: Schema.recordNumbers) ?? 0
        let limit = try exchange.query("limit", in: 1...1000) ?? 100
        var filter = AuditFilter()
        filter.kind = try exchange.query("kind", states(AuditKind.self), AuditKind.init)
        filter.principal = try exchange.query("principal", "a principal's id") {
            TextForm.label.matches($0) ? $0 : nil
        }
        filter.planID = try exchange.query("plan_id", "a plan's id") { RecordID($0, .plan)?.description }
        filter.environment = try exchange.query("environment", "an environment's name") {
            EnvironmentName($0)?.description
        }
        filter.agent = try exchange.query("agent", "an agent's name") { TextForm.environment.matches($0) ? $0 : nil }
        let page = try await service.reads.auditRecords(
            filter, after: UInt64(after), limit: limit, exchange.context)
        var parts: [[UInt8]] = [Array("{\"records\":[".utf8)]
        for (index, entry) in page.records.enumerated() {
            parts.append((index > 0 ? [UInt8(ascii: ",")] : []) + entry.record.line)
        }
        let numbers = page.records.map { "\($0.number)" }.joined(separator: ",")
        let next = page.next.map { "\($0)" } ?? "null"
        let oldest = page.oldest.map { ",\"oldest\":\($0)" } ?? ""
        let end = "],\"numbers\":[\(numbers)],\"next\":\(next),\"newest\":\(page.newest)\(oldest)}"
        parts.append(Array(end.utf8))
        return Response(status: .ok, fields: [.contentType: "application/json"], body: .init(parts: parts))
    }

    func auditHead(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let head = service.reads.auditHead
        var shown: JSONObject = ["seq": JSON(Int(clamping: head.seq)), "hash": .string(head.hash)]
        shown["agent"] = service.leases.name.map { .string($0) }
        return .json(.ok, .object(shown))
    }
}

extension Handlers {
    func auditCheckpoint(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        .text("\(try service.checkpoints.newest())")
    }

    func auditProof(_ exchange: APIExchange) async throws(ServiceError) -> Response {
        let text = exchange.captures["seq"] ?? ""
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let seq = UInt64(text) else {
            throw ServiceError(.notFound, "there is no record \(JSON.string(text).shown); records have numbers")
        }
        return .text("\(try await service.checkpoints.proof(of: seq))")
    }
}

extension Response {
    fileprivate static func text(_ text: String) -> Response {
        Response(status: .ok, fields: [.contentType: "text/plain; charset=utf-8"], body: .init(Array(text.utf8)))
    }
}

extension StoredResponse {
    init(_ response: Response) {
        self.init(
            status: response.status.code, body: response.body.bytes, location: response.fields[.location])
    }
}

extension Response {
    /// A response that was sent before.
    init(_ kept: StoredResponse) {
        var fields: HTTPFields = [.contentType: kept.status < 400 ? "application/json" : "application/problem+json"]
        fields[.location] = kept.location
        self.init(status: HTTPResponse.Status(code: kept.status), fields: fields, body: .init(kept.body))
    }
}
