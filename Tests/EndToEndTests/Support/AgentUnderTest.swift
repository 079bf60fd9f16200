import AgentAPI
import CurlHTTP
import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// An agent that tests ask over a real socket, in this process or another.
protocol AgentUnderTest: Sendable {
    var datacenter: Datacenter { get }
    var auditLog: String { get }

    func send(_ request: OutgoingRequest) async throws -> Reply
}

extension AgentUnderTest {
    /// The PVE behind an environment.
    func pve(_ environment: String = "cloud") throws -> Simulator { try #require(datacenter.worlds[environment]) }

    /// Requests to PVE that changed something, in all environments.
    var executed: [Execution] { datacenter.worlds.values.flatMap(\.executed) }

    // MARK: Asking

    /// Sends a request; `actor` goes into `X-Actor-ID`, `token` into `Authorization`.
    func send(
        _ method: HTTPRequest.Method, _ target: String, body: [UInt8]? = nil, as actor: String? = "pi-agent",
        token: String? = Setup.token, fields: HTTPFields = [:], timeout: Duration = .seconds(20)
    ) async throws -> Reply {
        var all = fields
        if let actor, all[.actorID] == nil { all[.actorID] = actor }
        if let token, all[.authorization] == nil { all[.authorization] = "Bearer \(token)" }
        if body != nil, all[.contentType] == nil { all[.contentType] = "application/json" }
        return try await send(
            OutgoingRequest(
                method: method, target: target, fields: all, body: body, once: method != .get, timeout: timeout))
    }

    func get(_ target: String, as actor: String? = "pi-agent") async throws -> Reply {
        try await send(.get, target, as: actor)
    }

    func post(_ target: String, _ body: JSON, as actor: String? = "pi-agent", wait: Int? = nil) async throws -> Reply {
        let prefer = wait.map { HTTPFields([HTTPField(name: .preferWait, value: "wait=\($0)")]) }
        return try await send(.post, target, body: body.bytes, as: actor, fields: prefer ?? [:])
    }

    func plan(_ wish: PlanRequest, as actor: String? = "pi-agent") async throws -> Reply {
        try await post("/v1/actions/plan", wish.json, as: actor)
    }

    /// Plans and gives the plan's id; the plan must be made.
    func planID(_ wish: PlanRequest, as actor: String? = "pi-agent") async throws -> String {
        let reply = try await plan(wish, as: actor)
        #expect(reply.status == 200, "\(reply)")
        return try #require(reply["plan_id"]?.string, "\(reply)")
    }

    /// Applies a plan by its id and waits for the end.
    func apply(
        _ plan: String, approvedBy: String? = nil, as actor: String? = "pi-agent", wait: Int? = 15
    ) async throws -> Reply {
        try await post(
            "/v1/actions/apply", ["plan_id": .string(plan), "approved_by": approvedBy.map { .string($0) }], as: actor,
            wait: wait)
    }

    /// The operation that an answer tells of, once it has ended.
    func end(of reply: Reply) async throws -> JSON {
        let id = try #require((reply["operation"]?["operation_id"] ?? reply["operation_id"])?.string, "\(reply)")
        let operation = try await get("/v1/operations/\(id)?wait=20")
        #expect(operation["ended_at"] != nil, "\(operation)")
        return operation.json
    }

    func planState(_ id: String) async throws -> String? { try await get("/v1/plans/\(id)")["state"]?.string }

    /// The operation that has claimed a plan, as soon as there is one.
    func operation(of plan: String) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < deadline {
            let operations = try await get("/v1/operations?plan_id=\(plan)")["operations"]?.array
            if let id = operations?.first?["operation_id"]?.string { return id }
        }
        throw Missed(what: "an operation of \(plan)")
    }

    // MARK: The audit log

    /// All records of a log.
    func lines(of path: String? = nil) throws -> [JSON] {
        try readFile(path ?? auditLog, limit: 64 << 20).split(separator: UInt8(ascii: "\n")).map { try JSON.parse($0) }
    }

    /// All records so far, the writer's own left out.
    func records() throws -> [JSON] { try lines().filter { $0["kind"] != "log" } }

    /// What kinds of records there are of a plan, in order.
    func kinds(of plan: String) throws -> [String] {
        try records().filter { $0["plan_id"]?.string == plan }.compactMap { $0["kind"]?.string }
    }
}
