package import FoundationEssentials
package import StrictJSON

/// How a PVE task ended (`exitstatus` of `/nodes/{node}/tasks/{upid}/status`).
package enum TaskExit: Sendable, Hashable {
    case ok
    case warnings(Int)
    case failed(String)

    /// PVE's text for a task whose worker died without reporting a status.
    package static let killed = "unexpected status"

    /// Reads PVE's text: `OK`, `WARNINGS: 3`, or the error itself.
    package init(exitStatus text: String) {
        if text == "OK" {
            self = .ok
        } else if text.hasPrefix("WARNINGS: "), let count = Int(text.dropFirst(10)) {
            self = .warnings(count)
        } else {
            self = .failed(text)
        }
    }
}

/// What PVE reports about a task.
package enum TaskStatus: Sendable, Hashable {
    case running
    case stopped(TaskExit)
}

/// One call of an operation that was sent, or may have been.
package struct Step: Sendable, Hashable {
    /// When the call was about to be sent. This is stored first, and from then on the call counts as sent.
    package let sentAt: Date
    /// PVE's task, where it answered with one.
    package var upid: UPID?
    /// The call's outcome.
    package var state: StepState

    package init(sentAt: Date, upid: UPID? = nil, state: StepState = .unknown) {
        self.sentAt = sentAt
        self.upid = upid
        self.state = state
    }

    /// The step is done: PVE answered a call that starts no task, or the task ended well.
    package var isDone: Bool { state == .done }
}

/// How far a task is, as its log says.
package struct Progress: Sendable, Hashable {
    /// 0 to 100; `nil` if the log does not say how much there is to do.
    package let percent: Int?
    package let text: String

    package init(percent: Int? = nil, text: String) {
        self.percent = percent
        self.text = text
    }
}

/// One attempt to carry out a plan, followed until PVE's task has ended.
package struct Operation: Sendable {
    package let id: RecordID
    package let planID: RecordID
    package let environment: EnvironmentName
    package let action: Action
    package let target: Target
    package let requester: Caller
    package let createdAt: Date

    package private(set) var state: OperationState
    package private(set) var startedAt: Date?
    package private(set) var endedAt: Date?
    /// The plan's calls, in order.
    package var calls: [CallName]
    /// The calls sent so far, in order.
    package var steps: [Step] = []
    /// A step's task ended well, but with warnings.
    package var hasWarnings = false
    /// Tasks that matched the first call before it was sent, and so do not belong to it.
    package var knownTasks: [UPID] = []
    /// A stable code if the operation was refused, or failed before or at the call.
    package var code: String?
    /// Why the operation stopped after a call had been carried out; only with the code ``partiallyApplied``.
    package var partial: PartialOutcome?
    /// What happened, for people. If PVE gave a text, it is that text.
    package var message = ""
    /// PVE's answer to a call that starts no task.
    package var data: JSON?
    package var logTail: [String] = []
    /// The log of the newest task without the secrets that its call carried, as far as it is kept. Only set if the call
    /// carried secrets. After the plan has ended, these secrets are erased and can no longer be removed from PVE's log.
    package var keptLog: [String] = []
    package var moved: [StateDrift] = []
    /// PVE's answer when it refused.
    package var upstream: PVERejection?
    package var approvals: [Approval]
    package var cancelRequestedBy: String?
    /// The trace of the request that it came of.
    package var trace: TraceContext?
    /// What it passes in an emergency.
    package var breakGlass: BreakGlass?
    /// Whether another agent wants the one that carries it out to ask PVE to stop its task.
    package var isStopAsked = false
    /// The agent that carries it out, or did, of several on one state.
    package var executor: String?
    /// How many operations wait ahead of this one; 0 for none.
    package var queuePosition = 0
    /// How far its task is, while this process follows it. Not stored.
    package var progress: Progress?

    /// A new operation, which waits for its turn.
    package init(id: RecordID, plan: Plan, approvals: [Approval], createdAt: Date) {
        self.init(
            id: id, planID: plan.id, environment: plan.request.environment, action: plan.request.action,
            target: plan.request.target, requester: plan.requester, calls: plan.preview.calls.map { CallName($0) },
            approvals: approvals, createdAt: createdAt)
        breakGlass = plan.breakGlass
    }

    /// An operation from a store.
    package init(
        id: RecordID, planID: RecordID, environment: EnvironmentName, action: Action, target: Target,
        requester: Caller, calls: [CallName] = [], approvals: [Approval], createdAt: Date,
        state: OperationState = .queued,
        startedAt: Date? = nil, endedAt: Date? = nil
    ) {
        self.id = id
        self.planID = planID
        self.environment = environment
        self.action = action
        self.target = target
        self.requester = requester
        self.calls = calls
        self.approvals = approvals
        self.createdAt = createdAt
        self.state = state
        self.startedAt = startedAt
        self.endedAt = endedAt
    }

    /// PVE's newest task of this operation.
    package var upid: UPID? { steps.last { $0.upid != nil }?.upid }

    /// Changes the state. Returns false, and changes nothing, if the table does not allow the transition.
    package mutating func move(to next: OperationState, at now: Date) -> Bool {
        guard state.successors.contains(next) else { return false }
        state = next
        if next == .running { startedAt = now }
        if next.isEnded { endedAt = now }
        if next != .queued { queuePosition = 0 }
        return true
    }
}
