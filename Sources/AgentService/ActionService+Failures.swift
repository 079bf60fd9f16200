import AgentModel
import AgentPolicy
import StrictJSON
import Synchronization

/// What a call that failed has left behind: a write that PVE refused may still have written.
extension ActionService {
    /// Ends an operation whose last call did not come to a good end, with what PVE shows of that call.
    func end(
        _ stopped: Operation, _ state: OperationState, of plan: Plan, at managed: ManagedEnvironment, _ context: Context
    ) async {
        var operation = stopped
        let isSettled = operation.partial != nil || operation.code == Operation.commandFailed
        let isOverruled = runs.withLock { $0.overruled[stopped.id] != nil }
        if state == .failed, operation.steps.last?.state == .failed, !isSettled, !isOverruled {
            switch await managed.planning.aftermath(
                of: operation, plan, watching: access.currentRules.policy.namedGuests)
            {
            case .unchanged:
                operation.message += Operation.lookedAgain + "nothing was changed by this call"
            case .left(let left, _, let undo): operation.notePartlyDone(plan, left: left, undo: undo)
            case .unseen(let why):
                operation.message += Operation.lookedAgain + "whether a part of it stayed could not be read: \(why)"
            }
        }
        await finish(operation, state, of: plan, context)
    }

    /// What PVE shows of a call that may have been carried out, in words. It may have been somebody else, and it may be
    /// carried out later: that settles nothing.
    func traces(of operation: Operation, _ plan: Plan, at managed: ManagedEnvironment) async -> String {
        let found: String
        switch await managed.planning.aftermath(of: operation, plan, watching: access.currentRules.policy.namedGuests) {
        case .unchanged: found = "PVE shows nothing of it, though it may still be carried out"
        case .left(let left, let isAll, _):
            let fields = left.map { "\($0.field) is \($0.found.shown)" }.joined(separator: ", ")
            found =
                (isAll ? "all that was wanted is there: " : "of what was wanted this is there: ") + fields
                + "; whose doing that is, PVE does not tell"
        case .unseen(let why): found = "what of it is there could not be read: \(why)"
        }
        return Operation.lookedAgain + found
    }
}

extension Operation {
    /// What stands between PVE's words and what was seen afterwards.
    fileprivate static let lookedAgain = "; looked at again: "

    /// PVE's words for the end of the last task, without what was found out afterwards.
    var exitText: String {
        let text = partial?.detail ?? message
        guard let cut = text.firstRange(of: Self.lookedAgain) else { return text }
        return String(text[..<cut.lowerBound])
    }
}
