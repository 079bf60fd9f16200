/// Bounds of the service; most of them can be configured.
package struct Limits: Sendable, Hashable {
    /// Seconds that a plan of high risk can be applied.
    package var highRiskPlanSeconds = 15 * 60
    /// Seconds that any other plan can be applied.
    package var planSeconds = 60 * 60
    /// Live plans of changes that one caller may have.
    package var livePlans = 100
    /// Ids that the live plans of one caller may keep for new guests.
    package var reservedIDs = 100
    /// Requests with an `Idempotency-Key` that are remembered for one principal, and the bytes of their answers.
    package var keys = 20_000
    package var keyBytes = 64 << 20
    /// Operations that may run or wait at the same time.
    package var operations = 256
    /// Operations that may run at the same time in one environment; more wait.
    package var environmentOperations = 8
    /// Seconds that ended plans and operations are kept.
    package var retentionSeconds = 24 * 60 * 60
    /// Ended plans, and ended operations, that are kept at most.
    package var endedKept = 1000
    /// How often PVE is looked at, after a restart, for a task that may belong to a call whose answer was lost.
    package var traceLooks = 4
    /// Seconds without a word about a task before its outcome counts as unknown.
    package var followSeconds = 24 * 60 * 60
    /// Seconds that the HA manager has to do what it was asked for before the outcome counts as unknown.
    package var highAvailabilitySeconds = 300
    /// Seconds that a guest may take to run after the task that was to start it has ended.
    package var startSeconds = 120
    /// Seconds that a command in a guest may run before its outcome counts as unknown.
    package var commandSeconds = 600
    /// Bytes of a command's output, and of its errors, that are kept.
    package var commandBytes = 32 << 10
    /// Seconds after an outcome became unknown during which PVE is looked at again for what the call may have started.
    package var lateSeconds = 600
    /// Whether identical reads at the same time share one fetch.
    package var shareReads = true

    /// Seconds that a request with an `Idempotency-Key` is remembered.
    package static let idempotencySeconds = 24.0 * 60 * 60

    package init() {}
}
