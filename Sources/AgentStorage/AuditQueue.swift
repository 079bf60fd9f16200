import AgentAudit
internal import Dispatch
internal import Synchronization
internal import TransparencyLog

/// Connects those who append with the writer's thread: the waiting jobs, and the last known state of the log.
final class AuditQueue: Sendable {
    typealias Waiter = CheckedContinuation<Result<AuditHead, AuditError>, Never>

    enum Job {
        case append(AuditEvent, AuditDurability, Waiter)
        case reopen(AuditEvent?, Waiter)
        case expect(TreeHead, Waiter)
        /// The file's history was verified and found to be broken.
        case distrust(AuditLogFile.Identity, AuditError)
        case close(Waiter?)
    }

    struct State {
        var jobs: [Job] = []
        var end: AuditEnd
        var fault: AuditError?
        var faultCause: FileAuditSink.FaultCause?
        var counters = FileAuditSink.Counters()
        var isClosed = false
    }

    let state: Mutex<State>
    let anchors = AuditAnchors()
    private let bell = DispatchSemaphore(value: 0)

    init(end: AuditEnd) { state = Mutex(State(end: end)) }

    /// Passes a job to the writer. After a close the waiter gets an error instead.
    func put(_ job: Job) {
        let (isOpen, wasEmpty) = state.withLock { state in
            guard !state.isClosed else { return (false, false) }
            if case .close = job { state.isClosed = true }
            state.jobs.append(job)
            return (true, state.jobs.count == 1)
        }
        guard isOpen else { return Self.refuse(job) }
        if wasEmpty { bell.signal() }
    }

    private static func refuse(_ job: Job) {
        let error = AuditError("audit log: is closed; the agent is stopping")
        switch job {
        case .append(_, _, let waiter), .reopen(_, let waiter), .expect(_, let waiter):
            waiter.resume(returning: .failure(error))
        case .close(let waiter): waiter?.resume(returning: .failure(error))
        case .distrust: break
        }
    }

    /// Waits at most `timeout` for jobs, and takes all of them. Only for the writer's thread.
    func take(within timeout: Duration) -> [Job] {
        let (seconds, attoseconds) = timeout.components
        let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        _ = bell.wait(timeout: .now() + .nanoseconds(max(0, nanoseconds)))
        return state.withLock { state in
            defer { state.jobs = [] }
            return state.jobs
        }
    }
}
