import AgentModel
import AgentService
import FoundationEssentials

/// The notices of a store in memory, in order of arrival.
struct MemoryNotices {
    private var rows: [QueuedNotice] = []
    var position: UInt64?

    func notice(_ id: RecordID) -> QueuedNotice? { rows.first { $0.id == id } }

    func notices(_ filter: NoticeFilter) -> [QueuedNotice] {
        let start = filter.before.flatMap { id in rows.firstIndex { $0.id == id } } ?? rows.endIndex
        return Array(rows[..<start].reversed().filter(filter.takes).prefix(filter.limit))
    }

    func count(_ filter: NoticeFilter) -> Int { rows.count(where: filter.takes) }

    func next(for target: String, at now: Date) -> QueuedNotice? {
        let waiting = rows.filter { $0.target == target && $0.state == .waiting }
        if let held = waiting.first(where: { $0.holdsOrder }) { return held }
        return waiting.first { $0.nextAt <= now } ?? waiting.min { $0.nextAt < $1.nextAt }
    }

    var tally: [String: NoticeTally] {
        rows.reduce(into: [:]) { tallies, row in
            switch row.state {
            case .waiting:
                tallies[row.target, default: NoticeTally()].waiting += 1
                let oldest = min(tallies[row.target]?.oldestWaiting ?? row.queuedAt, row.queuedAt)
                tallies[row.target]?.oldestWaiting = oldest
            case .dead: tallies[row.target, default: NoticeTally()].dead += 1
            case .delivered: break
            }
        }
    }

    mutating func add(_ notice: QueuedNotice) -> Bool {
        guard !rows.contains(where: { $0.target == notice.target && $0.key == notice.key }) else { return false }
        rows.append(notice)
        return true
    }

    mutating func put(_ notice: QueuedNotice) {
        if let index = rows.firstIndex(where: { $0.id == notice.id }) { rows[index] = notice }
    }

    mutating func removeUntold(like notice: QueuedNotice) {
        rows.removeAll { row in
            row.target == notice.target && row.state == .waiting && row.attempts == 0 && row.id != notice.id
                && row.notice.environment == notice.notice.environment
                && row.key.drop { $0 != ":" } == notice.key.drop { $0 != ":" }
        }
    }

    mutating func giveUp(except targets: Set<String>, _ why: String, at now: Date) {
        for index in rows.indices where rows[index].state == .waiting && !targets.contains(rows[index].target) {
            rows[index].giveUp(why, at: now)
        }
    }

    mutating func prune(_ limits: NoticeLimits, at now: Date) {
        prune(.delivered, before: now.addingTimeInterval(-limits.deliveredSeconds), limits.delivered)
        prune(.dead, before: now.addingTimeInterval(-limits.deadSeconds), limits.dead)
    }

    private mutating func prune(_ state: QueuedNotice.State, before date: Date, _ count: Int) {
        rows.removeAll { $0.state == state && ($0.endedAt ?? date) < date }
        for target in Set(rows.map(\.target)) {
            let surplus = Set(notices(NoticeFilter(target: target, state: state)).dropFirst(count).map(\.id))
            rows.removeAll { surplus.contains($0.id) }
        }
    }
}

extension NoticeFilter {
    fileprivate func takes(_ row: QueuedNotice) -> Bool {
        (target.map { $0 == row.target } ?? true) && (state.map { $0 == row.state } ?? true)
            && (environments.map { names in row.notice.environment.map(names.contains) ?? false } ?? true)
    }
}
