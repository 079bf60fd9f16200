import AgentModel
import FoundationEssentials

/// How notices get into the queue of a destination, and out of it when it is full.
extension StoreTransaction {
    /// Adds the notice unless its destination has it. News of a freeze takes the place of what the same caller did before
    /// at the same place, if nobody was told of that yet: somebody who sets and lifts all the time fills no queue.
    func queue(_ notice: QueuedNotice) -> Bool {
        guard add(notice) else { return false }
        guard notice.notice.event == .freeze else { return true }
        removeUntold(like: notice)
        return true
    }

    /// Gives up what is more than `limit`, the least important first, and of these the oldest. Returns it.
    func makeRoom(for target: String, _ limit: Int, at now: Date) -> [QueuedNotice] {
        let surplus = countNotices(NoticeFilter(target: target, state: .waiting)) - limit
        guard surplus > 0 else { return [] }
        let rows = notices(NoticeFilter(target: target, state: .waiting)).reversed().enumerated()
        let order = rows.sorted { ($0.element.rank, $0.offset) < ($1.element.rank, $1.offset) }
        return order.prefix(surplus).map { row in
            var dropped = row.element
            dropped.giveUp("more than \(limit) wait for this destination", at: now)
            put(dropped)
            return dropped
        }
    }
}

extension QueuedNotice {
    /// The lowest goes first. What holds the order goes late: without it, the next would be sent into an outage at once.
    fileprivate var rank: Int {
        let importance = notice.importance
        return holdsOrder ? max(importance, 2) * 2 + 1 : importance * 2
    }
}

extension Notice {
    /// What goes first when there is no room: what a caller can make much of, before what somebody has to act on.
    fileprivate var importance: Int {
        switch event {
        case .freeze, .operationEnded, .test: 0
        case .planExpiring: 1
        case .approvalWanted, .environmentDown: 2
        case .unknownOutcome, .breakGlass, .auditChainBroken: 3
        }
    }
}
