/// Bounds of the service; most of them can be configured.
package struct Limits: Sendable, Hashable {
    /// Seconds that a high-risk plan can be applied.
    package var highRiskPlanSeconds = 15 * 60
    /// Seconds that any other plan can be applied.
    package var planSeconds = 60 * 60
    /// Live plans of changes that one caller may have.
    package var livePlans = 100
    /// Ids for new guests that the live plans of one caller may reserve.
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
    /// The most ended plans, and the most ended operations, that are kept.
    package var endedKept = 1000
    /// Days that records stay in the history that several agents share.
    package var historyDays = 90
    /// How often PVE is asked, after a restart, for the task of a call whose answer was lost.
    package var traceLooks = 4
    /// Seconds without news of a task before its outcome counts as unknown.
    package var followSeconds = 24 * 60 * 60
    /// Seconds that the HA manager has to do what was requested before the outcome counts as unknown.
    package var highAvailabilitySeconds = 300
    /// Seconds until a guest must run after the end of the task that starts it.
    package var startSeconds = 120
    /// Seconds that a command in a guest may run before its outcome counts as unknown.
    package var commandSeconds = 600
    /// Bytes of a command's output, and of its errors, that are kept.
    package var commandBytes = 32 << 10
    /// Seconds after an outcome became unknown during which PVE is still asked for what the call may have started.
    package var lateSeconds = 600
    /// Whether identical reads at the same time share one fetch.
    package var shareReads = true

    /// Seconds that a request with an `Idempotency-Key` is remembered.
    package static let idempotencySeconds = 24.0 * 60 * 60

    package init() {}
}
