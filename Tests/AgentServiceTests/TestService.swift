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
struct TestService {
    final class Clock: Sendable {
        private let time = Mutex(Date.sample)
        private let up = Mutex(ContinuousClock.now)
        private let file = Mutex(false)
        private let short = Mutex(false)
        var now: Date { time.withLock { $0 } }
        var uptime: ContinuousClock.Instant { up.withLock { $0 } }

        /// Time passes.
        func move(by seconds: Double) {
            jump(by: seconds)
            pass(seconds)
        }

        /// Somebody sets the clock on the wall.
        func jump(by seconds: Double) { time.withLock { $0 = $0.addingTimeInterval(seconds) } }

        /// Time passes, and the clock on the wall stands still.
        func pass(_ seconds: Double) { up.withLock { $0 += .seconds(seconds) } }

        /// Whether the file that freezes everything is there.
        func setFreezeFile(_ isThere: Bool) { file.withLock { $0 = isThere } }

        /// Whether the disk is nearly full.
        func setShort(_ isShort: Bool) { short.withLock { $0 = isShort } }

        var shortage: ServiceError? {
            short.withLock { $0 } ? ServiceError(.storeUnavailable, "the disk is nearly full") : nil
        }

        func frozenByFile(_ now: Date) -> Freeze? {
            file.withLock { $0 }
                ? Freeze(
                    id: nil, environment: nil, reason: "a file says so", by: "file", party: "file", setAt: now,
                    endsAt: nil) : nil
        }
    }

    static let installation = Installation(
        origin: "proxmox-agent/test/1", publicURL: "https://agent.example:8443")

    let pve: FakeHypervisor
    let audit: FlakyAuditSink
    let store: FlakyPlanStore
    let clock: Clock
    let settings: EnvironmentSettings
    let limits: Limits
    let rules: Rules
    let service: ControlPlane

    init(
        limits: Limits = Limits(), rules: Rules = Rules(), readOnly: Bool = false,
        change: @escaping FakeHypervisor.Change = { _ in .done(.null) }
    ) throws {
        let pve = FakeHypervisor(change: change)
        pve.put("vm/101", status: "running")
        pve.put("vm/102", status: "stopped")
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home",
            trust: "system", readOnly: readOnly, acceptsDeclaredApprovals: true, allowedCommands: [["uptime"]])
        self.init(pve, FlakyAuditSink(), FlakyPlanStore(), Clock(), settings, limits, rules)
    }

    private init(
        _ pve: FakeHypervisor, _ audit: FlakyAuditSink, _ store: FlakyPlanStore, _ clock: Clock,
        _ settings: EnvironmentSettings, _ limits: Limits, _ rules: Rules
    ) {
        (self.pve, self.audit, self.store, self.clock) = (pve, audit, store, clock)
        (self.settings, self.limits, self.rules) = (settings, limits, rules)
        var log = Logger(label: "test")
        log.logLevel = .critical
        service = ControlPlane(
            managedEnvironments: [ManagedEnvironment(settings: settings, hypervisor: pve)],
            ports: Ports(
                audit: audit, store: store, log: log, now: { clock.now }, uptime: { clock.uptime },
                frozenByFile: { clock.frozenByFile($0) }, shortage: { clock.shortage },
                installation: Self.installation),
            rules: rules, key: .sample, limits: limits)
    }

    /// The same world after the process ended and began anew: only log, store and PVE are what they were.
    func restarted(_ settings: EnvironmentSettings? = nil, rules: Rules? = nil) async throws -> TestService {
        let next = TestService(pve, audit, store, clock, settings ?? self.settings, limits, rules ?? self.rules)
        try await next.service.recover()
        return next
    }

    /// What the store holds at this moment.
    func backup() async throws -> Backup {
        try await store.read { records in
            Backup(
                plans: records.plans(PlanFilter()).reversed(),
                operations: records.operations(OperationFilter()).reversed(), freezes: records.freezes(),
                mark: records.mark)
        }
    }

    /// The same world with an older state beside the log as it is now; `isMarked` where `store backup` made it.
    func restored(_ backup: Backup, isMarked: Bool) async throws -> TestService {
        let store = FlakyPlanStore()
        try await store.write { records in
            for plan in backup.plans { records.put(plan) }
            for operation in backup.operations { records.put(operation) }
            for freeze in backup.freezes { records.put(freeze) }
            if var mark = backup.mark {
                mark.isOfCopy = isMarked
                records.put(mark)
            }
        }
        let next = TestService(pve, audit, store, clock, settings, limits, rules)
        try await next.service.recover()
        return next
    }

    struct Backup: Sendable {
        var plans: [Plan]
        var operations: [AgentModel.Operation]
        var freezes: [Freeze]
        var mark: AuditMark?
    }

    static let alice = Context(caller: .labelled("alice"), principal: .shared, requestID: "req_1")
    static let upid = "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:agent@pve!home:"

    func plan(
        _ action: Action, _ target: String, _ params: JSON = [:], dryRun: Bool? = nil, expiresAt: String? = nil,
        as context: Context = alice
    ) async throws(ServiceError) -> Plan {
        try await service.workflow.plan(.request(action, target, params, dryRun: dryRun, expiresAt: expiresAt), context)
    }

    @discardableResult
    func apply(
        _ plan: Plan, approvedBy: String? = nil, wait: Duration? = .seconds(60), as context: Context = alice
    ) async throws(ServiceError) -> Operation {
        let request = ApplyRequest(planID: plan.id, approvedBy: approvedBy)
        let outcome = try await service.applies.apply(request, context, wait: wait)
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

extension TestService {
    /// Notes in the state that the plan's operation was under way with these steps when the process ended.
    func interrupt(_ plan: Plan, _ id: RecordID, _ steps: [Step]) async throws {
        let now = clock.now
        try await store.write { records in
            guard var plan = records.plan(plan.id) else { return }
            plan.claim(by: id)
            _ = plan.move(to: .applying, at: now)
            var operation = Operation(id: id, plan: plan, approvals: [], createdAt: now)
            _ = operation.move(to: .running, at: now)
            operation.steps = steps
            records.put(plan)
            records.put(operation)
        }
    }
}
