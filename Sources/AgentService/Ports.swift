package import AgentAudit
package import AgentModel
package import FoundationEssentials
package import Logging

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
