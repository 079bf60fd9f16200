/// The points on a change's way where a process may die with something done and something not.
package enum Milestone: String, Sendable, Hashable, CaseIterable {
    case intentRecording = "intent.before"
    case intentRecorded = "intent.after"
    case consuming = "consume.before"
    case consumed = "consume.after"
    /// About to store that a call counts as sent.
    case sending = "sent.before"
    /// That is stored; the call itself follows.
    case sent = "sent.after"
    /// PVE has answered; nothing of it is stored.
    case answered = "answer.before"
    /// The UPID, or the result of a call that is no task, is stored.
    case answerStored = "answer.after"
    /// PVE's task has ended; nobody but this process knows.
    case taskEnded = "task-end"
    case outcomeRecording = "outcome.before"
    case outcomeRecorded = "outcome.after"
    case outcomeStored = "outcome.stored"
}
