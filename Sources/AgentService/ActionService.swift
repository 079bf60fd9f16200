package import AgentAudit
package import AgentModel
package import FoundationEssentials
package import Logging
import StrictJSON
import Synchronization

/// What the service reaches the world through.
package struct Ports: Sendable {
    package var audit: any AuditSink
    package var store: any PlanStore
    package var log: Logger
    package var now: @Sendable () -> Date
    /// Time that passes whatever the clock on the wall says.
    package var uptime: @Sendable () -> ContinuousClock.Instant
    package var newID: @Sendable (RecordID.Kind) -> RecordID
    /// The freeze that a file stands for, at the time given; `nil` while there is none.
    package var frozenByFile: @Sendable (Date) -> Freeze?
    /// What is running out where the audit log or the state is written, as whoever asks for anything new is to hear it.
    package var shortage: @Sendable () -> ServiceError?
    /// Told how much has been written for a principal, in bytes and roughly.
    package var wrote: @Sendable (_ principal: String, _ bytes: Int) -> Void
    /// Told of each point of a change's way as it is passed. Does nothing but where a test stops the process there.
    package var reached: @Sendable (Milestone) -> Void

    package init(
        audit: any AuditSink, store: any PlanStore, log: Logger, now: @escaping @Sendable () -> Date = { Date() },
        uptime: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        frozenByFile: @escaping @Sendable (Date) -> Freeze? = { _ in nil },
        shortage: @escaping @Sendable () -> ServiceError? = { nil },
        wrote: @escaping @Sendable (_ principal: String, _ bytes: Int) -> Void = { _, _ in },
        reached: @escaping @Sendable (Milestone) -> Void = { _ in },
        newID: @escaping @Sendable (RecordID.Kind) -> RecordID = { kind in
            var random = SystemRandomNumberGenerator()
            return RecordID(kind, using: &random)
        }
    ) {
        self.audit = audit
        self.store = store
        self.log = log
        self.now = now
        self.uptime = uptime
        self.frozenByFile = frozenByFile
        self.shortage = shortage
        self.wrote = wrote
        self.reached = reached
        self.newID = newID
    }
}

/// Who asks, what they may do, and under which request id.
package struct Context: Sendable {
    package let caller: Caller
    /// Who that was, and what they might do, when the request came in.
    package let principal: Principal
    package let requestID: String

    package init(caller: Caller, principal: Principal, requestID: String) {
        self.caller = caller
        self.principal = principal
        self.requestID = requestID
    }

    /// The agent itself, for what happens without anybody asking.
    static let agent = Context(
        caller: Caller(principal: "proxmox-agent", label: nil), principal: .nobody, requestID: "")
}

/// Plans, decides, applies, follows and records: the one way to a hypervisor.
package final class ActionService: Sendable {
    package let limits: Limits
    let ports: Ports
    let audited: AuditedStore
    package let access: AccessControl
    package let idempotency: IdempotencyService
    package let freezes: FreezeService
    package let workflow: PlanWorkflow
    let digest: PlanDigest
    /// One mutation per guest or object at a time.
    let targetLocks = TargetLocks()
    let hub = OperationHub()
    package let reads: ReadService
    package let approvals: ApprovalGate
    let texts: TaskTexts
    let runs = Mutex(Runs())

    struct Runs {
        var tasks: [RecordID: Task<Void, Never>] = [:]
        var tickets: [RecordID: TargetLocks.Ticket] = [:]
        /// Who asked PVE to stop the task of an operation that runs.
        var stops: [RecordID: String] = [:]
        /// The stops that overrule shutdowns under way, by those shutdowns.
        var overruled: [RecordID: RecordID] = [:]
        /// Searches for what calls may have started whose outcome is unknown.
        var searches: [RecordID: Task<Void, Never>] = [:]
        var draining = false
        /// Outcomes that cannot be written at present.
        var stuck = 0
    }

    /// `key` is the installation's: hashes and sealed secrets are good under the same one only.
    package init(
        managedEnvironments: [ManagedEnvironment], ports: Ports, rules: Rules = Rules(), key: InstallationKey,
        limits: Limits = Limits()
    ) {
        access = AccessControl(managedEnvironments, rules)
        self.ports = ports
        audited = AuditedStore(ports)
        self.limits = limits
        digest = PlanDigest(key: key)
        freezes = FreezeService(audited, access)
        idempotency = IdempotencyService(audited, access, limits, digest)
        workflow = PlanWorkflow(audited, access, idempotency, limits, digest)
        reads = ReadService(audited, access, workflow, limits)
        approvals = ApprovalGate(audited, access, workflow)
        texts = TaskTexts(audited: audited)
    }

    /// Records that a request was turned away, unless that is recorded already; answers the error to answer with.
    package func refuse(_ error: ServiceError, _ context: Context) async -> ServiceError {
        await audited.refuse(error, context)
    }

    /// How large a page of a list may be.
    package static let pageBytes = 1 << 20

    /// What keeps the agent from its work: each with the code that requests would get.
    package func missing(isAuthConfigured: Bool) async -> [ServiceError] {
        var missing: [ServiceError] = []
        if !isAuthConfigured {
            let detail = "no token is configured: run proxmox-agent init, or list principals"
            missing.append(ServiceError(.authNotConfigured, detail))
        }
        do throws(ServiceError) { try checkOpen() } catch { missing.append(error) }
        do throws(ServiceError) { try await audited.read { _ in } } catch { missing.append(error) }
        do throws(ServiceError) { try audited.checkSpace() } catch { missing.append(error) }
        return missing
    }

    /// Whether mutations can start: the audit log takes records and the service is not stopping.
    package func checkOpen() throws(ServiceError) {
        if runs.withLock({ $0.draining }) {
            throw ServiceError(.shuttingDown, "the agent is stopping; ask again when it is back")
        }
        if let fault = ports.audit.fault {
            throw ServiceError(.auditUnavailable, "the audit log cannot be written: \(fault)")
        }
        if runs.withLock({ $0.stuck }) > 0 {
            throw ServiceError(.storeUnavailable, "the outcome of an operation cannot be written; nothing new starts")
        }
    }
}
