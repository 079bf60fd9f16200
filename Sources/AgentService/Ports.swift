package import AgentAudit
package import AgentModel
package import FoundationEssentials
package import Logging

/// The service's connections to the outside.
package struct Ports: Sendable {
    package var audit: any AuditSink
    package var store: any PlanStore
    package var log: Logger
    package var now: @Sendable () -> Date
    /// The monotonic clock, independent of the wall clock.
    package var uptime: @Sendable () -> ContinuousClock.Instant
    package var newID: @Sendable (RecordID.Kind) -> RecordID
    /// The freeze that the freeze file sets at the given time; `nil` if there is none.
    package var frozenByFile: @Sendable (Date) -> Freeze?
    /// The error for new requests while space for the audit log or the state is running out; else `nil`.
    package var shortage: @Sendable () -> ServiceError?
    /// Reports how much has been written for a principal, in approximate bytes.
    package var wrote: @Sendable (_ principal: String, _ bytes: Int) -> Void
    /// Reports each milestone of a change. Does nothing except in tests that stop the process there.
    package var reached: @Sendable (Milestone) -> Void
    /// Reports what figures are kept about. Called often, on any thread; must not block.
    package var observed: @Sendable (Observation) -> Void
    /// What this installation is called.
    package var installation: Installation
    /// The name of this agent among several on one state; `nil` for a lone one.
    package var agent: String?
    /// What several agents on one state share; `nil` for a lone one.
    package var leases: (any LeaseStore)?
    /// The rate budgets of callers, where several agents share them.
    package var budgets: (any SharedBudgets)?
    /// The version of this program.
    package var version: String
    /// What signs checkpoints of the audit log; `nil` to make none.
    package var checkpoints: CheckpointPorts?

    package init(
        audit: any AuditSink, store: any PlanStore, log: Logger, now: @escaping @Sendable () -> Date = { Date() },
        uptime: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        frozenByFile: @escaping @Sendable (Date) -> Freeze? = { _ in nil },
        shortage: @escaping @Sendable () -> ServiceError? = { nil },
        wrote: @escaping @Sendable (_ principal: String, _ bytes: Int) -> Void = { _, _ in },
        reached: @escaping @Sendable (Milestone) -> Void = { _ in },
        observed: @escaping @Sendable (Observation) -> Void = { _ in },
        installation: Installation = Installation(origin: "proxmox-agent/localhost/0"),
        agent: String? = nil, leases: (any LeaseStore)? = nil, budgets: (any SharedBudgets)? = nil,
        version: String = "",
        checkpoints: CheckpointPorts? = nil,
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
        self.observed = observed
        self.installation = installation
        self.agent = agent
        self.leases = leases
        self.budgets = budgets
        self.version = version
        self.checkpoints = checkpoints
        self.newID = newID
    }
}
