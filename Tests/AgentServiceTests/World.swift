import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization
import Testing

/// A service with a hypervisor, a log and a clock that a test holds in its hand.
struct World {
    final class Clock: Sendable {
        private let time = Mutex(Date.sample)
        var now: Date { time.withLock { $0 } }
        func move(by seconds: Double) { time.withLock { $0 = $0.addingTimeInterval(seconds) } }
    }

    let pve: FakeHypervisor
    let audit = FlakyAuditSink()
    let store = MemoryPlanStore()
    let clock = Clock()
    let service: ActionService

    init(
        limits: Limits = Limits(), readOnly: Bool = false,
        change: @escaping FakeHypervisor.Change = { _ in .done(.null) }
    ) throws {
        pve = FakeHypervisor(change: change)
        pve.put("vm/101", status: "running")
        pve.put("vm/102", status: "stopped")
        let facts = EnvironmentFacts(
            name: try #require(EnvironmentName("home")), baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home",
            trust: "system", readOnly: readOnly, acceptsDeclaredApprovals: true)
        var log = Logger(label: "test")
        log.logLevel = .critical
        let clock = clock
        service = ActionService(
            sites: [Site(facts: facts, hypervisor: pve)],
            ports: Ports(audit: audit, store: store, log: log, now: { clock.now }), key: .sample, limits: limits)
    }

    static let alice = Context(caller: .labelled("alice"), requestID: "req_1")
    static let upid = "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:agent@pve!home:"

    func plan(
        _ action: Action, _ target: String, _ params: JSON = [:], dryRun: Bool? = nil, expiresAt: String? = nil,
        as context: Context = alice
    ) async throws(ServiceError) -> Plan {
        try await service.plan(.request(action, target, params, dryRun: dryRun, expiresAt: expiresAt), context)
    }

    @discardableResult
    func apply(
        _ plan: Plan, approvedBy: String? = nil, wait: Duration? = .seconds(60), as context: Context = alice
    ) async throws(ServiceError) -> Operation {
        let body: JSONObject = [
            "plan_id": .string(plan.id.description), "approved_by": approvedBy.map { .string($0) },
        ]
        let request: ApplyRequest
        do throws(JSONIssues) { request = try ApplyRequest(parsing: body) } catch { throw ServiceError(error) }
        let outcome = try await service.apply(request, context, wait: wait)
        guard case .operation(let operation) = outcome.kind else {
            throw ServiceError(.internalError, "the plan changes nothing")
        }
        return operation
    }

    /// The error that a body ends with.
    func refusal(
        _ body: () async throws(ServiceError) -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) async -> ServiceError? {
        do throws(ServiceError) { try await body() } catch { return error }
        Issue.record("nothing was refused", sourceLocation: sourceLocation)
        return nil
    }

    func state(of plan: Plan) async throws -> PlanState? {
        try await store.read { $0.plan(plan.id)?.state }
    }
}
