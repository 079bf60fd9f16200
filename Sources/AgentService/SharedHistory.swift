import AgentAudit
import AgentModel
import FoundationEssentials
import Logging
import Synchronization

/// One history of all agents on a state: each copies its audit log there, record by record, and reads what others have
/// copied.
///
/// The records of one agent are in the order of its log. Those of different agents are in the order in which they got
/// there, some hundredths of a second after they were written, or when an agent that was away comes back. The logs remain
/// what counts: a history in a database proves nothing.
final class SharedHistory: Sendable {
    /// Records that follow each other, but those that only a newer version can read. Also those of a lone agent's log.
    struct Page: Sendable {
        let records: [HistoryRecord]
        /// The last one that was looked at: where to go on.
        let last: UInt64
        /// There was no more when it was made.
        let isEnd: Bool
        /// The numbers of all that there are; `nil` for none.
        let numbers: ClosedRange<UInt64>?
    }

    /// How long what comes together is gathered.
    private static let gathering = Duration.milliseconds(20)
    /// How often it looks for records that have rung no bell, as those of reads, and for old ones.
    private static let interval = Duration.seconds(5)
    /// How many old records one transaction removes: others wait for it.
    private static let pruned = 5000

    private let audited: AuditedStore
    private let log: LogFeed
    private let limits: Limits
    private let bell = Bell()
    private let followers = Mutex<[@Sendable () -> Void]>([])

    init(_ audited: AuditedStore, _ log: LogFeed, _ limits: Limits) {
        (self.audited, self.log, self.limits) = (audited, log, limits)
        log.whenSettled { [bell] in bell.ring() }
    }

    /// From now on calls `body` whenever there may be new records, on any thread.
    func whenChanged(_ body: @escaping @Sendable () -> Void) { followers.withLock { $0.append(body) } }

    /// There may be new records of other agents.
    func changed() { followers.withLock { $0 }.forEach { $0() } }

    // MARK: Writing

    /// Copies until the task is cancelled.
    func run() async {
        var pauses = Backoff(from: .seconds(1), to: .seconds(60))
        var prunedAt = ContinuousClock.now
        while !Task.isCancelled {
            do throws(ServiceError) {
                try await copy()
                if prunedAt + Self.interval <= .now {
                    try await prune()
                    prunedAt = .now
                }
                pauses = Backoff(from: .seconds(1), to: .seconds(60))
                await bell.wait(atMost: Self.interval)
                _ = try? await Task.sleep(for: Self.gathering)
            } catch {
                audited.ports.log.warning("the audit log cannot be copied for other agents yet: \(error.detail)")
                guard await pauses.wait() else { return }
            }
        }
    }

    private var oldest: Date { audited.ports.now().addingTimeInterval(-Double(limits.historyDays) * 86_400) }

    /// Copies what this agent's log has and the history has not. At first leaves out what is too old.
    func copy() async throws(ServiceError) {
        let (oldest, now) = (oldest, audited.ports.now())
        var position = try await audited.read { $0.historyPosition }
        var isBeginning = position == 0
        while position < log.newest {
            let page: LogFeed.Page
            do throws(ServiceError) { page = try await log.page(after: position) } catch {
                guard error.code == .eventsGone, let first = error.oldestID, first > position else { throw error }
                audited.ports.log.warning(
                    "the audit log begins with record \(first): others get nothing from before it")
                position = first - 1
                continue
            }
            guard page.last > position else { return }
            let fresh = isBeginning ? Array(page.records.drop { $0.record.time.date < oldest }) : page.records
            isBeginning = fresh.isEmpty && isBeginning
            position = try await audited.write { records in
                let known = records.historyPosition
                guard page.last > known else { return known }
                records.putHistory(fresh.filter { $0.record.seq > known }, through: page.last, at: now)
                return page.last
            }
            changed()
        }
    }

    private func prune() async throws(ServiceError) {
        guard audited.isFit else { return }
        try await audited.write { [oldest] in $0.pruneHistory(before: oldest, atMost: Self.pruned) }
    }

    // MARK: Reading

    func numbers() async throws(ServiceError) -> ClosedRange<UInt64>? {
        try await audited.read { $0.historyNumbers }
    }

    /// The records behind that number.
    func page(after number: UInt64, limit: Int) async throws(ServiceError) -> Page {
        let (lines, numbers) = try await audited.read {
            ($0.history(after: number, limit: limit, bytes: ControlPlane.pageBytes), $0.historyNumbers)
        }
        var records: [HistoryRecord] = []
        for (index, line) in lines.enumerated() {
            if index % 64 == 63 { await Task.yield() }
            guard let record = try? AuditRecord(copiedLine: line.line) else { continue }
            records.append(HistoryRecord(number: line.number, record: record, isVoid: line.isVoid))
        }
        if records.count < lines.count {
            audited.ports.log.warning(
                "\(lines.count - records.count) records of the history cannot be read; a newer version may have written them"
            )
        }
        let last = lines.last?.number ?? number
        return Page(
            records: records, last: last, isEnd: lines.isEmpty || last >= numbers?.upperBound ?? 0, numbers: numbers)
    }
}
