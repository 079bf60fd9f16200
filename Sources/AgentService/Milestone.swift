/// The points of a change at which a crash leaves some of the work done and some not.
package enum Milestone: String, Sendable, Hashable, CaseIterable {
    case intentRecording = "intent.before"
    case intentRecorded = "intent.after"
    case consuming = "consume.before"
    case consumed = "consume.after"
    /// About to store that a call counts as sent.
    case sending = "sent.before"
    /// That is stored; the call itself follows.
    case sent = "sent.after"
    /// The call has passed its gate; nothing of it is written yet. On the thread that writes it.
    case gatePassed = "gate.after"
    /// PVE has answered; nothing of it is stored.
    case answered = "answer.before"
    /// The UPID, or the result of a call that is no task, is stored.
    case answerStored = "answer.after"
    /// PVE's task has ended; nothing of that is recorded or stored.
    case taskEnded = "task-end"
    case outcomeRecording = "outcome.before"
    case outcomeRecorded = "outcome.after"
    case outcomeStored = "outcome.stored"
}
