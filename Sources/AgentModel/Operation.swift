package import FoundationEssentials
package import StrictJSON

/// How a PVE task ended (`exitstatus` of `/nodes/{node}/tasks/{upid}/status`).
package enum TaskExit: Sendable, Hashable {
    case ok
    case warnings(Int)
    case failed(String)

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

/// What PVE says of a task.
package enum TaskStatus: Sendable, Hashable {
    case running
    case stopped(TaskExit)
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

    package private(set) var state: OperationState = .queued
    package var upid: UPID?
    package var startedAt: Date?
    package private(set) var endedAt: Date?
    /// A stable code where the operation was refused or failed before or at the call.
    package var code: String?
    /// What happened, for people; PVE's own text where PVE said it.
    package var message = ""
    /// What PVE answered to a call that is no task.
    package var data: JSON?
    package var logTail: [String] = []
    package var moved: [Moved] = []
    /// What PVE said where it refused.
    package var upstream: Upstream?
    package var approvals: [Approval]
    package var cancelRequestedBy: String?
    /// How many operations stand before this one; 0 when none does.
    package var queuePosition = 0

    package init(id: RecordID, plan: Plan, approvals: [Approval], createdAt: Date) {
        self.id = id
        planID = plan.id
        environment = plan.request.environment
        action = plan.request.action
        target = plan.request.target
        requester = plan.requester
        self.approvals = approvals
        self.createdAt = createdAt
    }

    /// Moves on. Returns false, changing nothing, when the table has no such step.
    package mutating func move(to next: OperationState, at now: Date) -> Bool {
        guard state.successors.contains(next) else { return false }
        state = next
        if next == .running { startedAt = now }
        if next.isEnded { endedAt = now }
        if next != .queued { queuePosition = 0 }
        return true
    }
}
