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
    /// How long what comes together is gathered.
    private static let gathering = Duration.milliseconds(20)

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
        while !Task.isCancelled {
            do throws(ServiceError) {
                try await copy()
                pauses = Backoff(from: .seconds(1), to: .seconds(60))
                await bell.wait(atMost: .seconds(60))
                _ = try? await Task.sleep(for: Self.gathering)
            } catch {
                audited.ports.log.warning("the audit log cannot be copied for other agents yet: \(error.detail)")
                guard await pauses.wait() else { return }
            }
        }
    }

    /// Copies what this agent's log has and the history has not.
    func copy() async throws(ServiceError) {
        let oldest = limits.oldestHistory(at: audited.ports.now())
        var position = try await audited.read { $0.historyPosition }
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
            position = try await audited.write { records in
                let known = records.historyPosition
                guard page.last > known else { return known }
                records.putHistory(
                    page.records.filter { $0.record.seq > known && $0.record.time.date >= oldest }, through: page.last)
                return page.last
            }
            changed()
        }
    }

    // MARK: Reading

    /// The records behind that number, and the numbers that there are.
    func records(
        after number: UInt64, limit: Int
    ) async throws(ServiceError) -> (records: [HistoryRecord], numbers: ClosedRange<UInt64>?) {
        try await audited.read {
            ($0.history(after: number, limit: limit, bytes: ControlPlane.pageBytes), $0.historyNumbers)
        }
    }
}

extension Limits {
    /// What is older is not kept in the history.
    func oldestHistory(at now: Date) -> Date { now.addingTimeInterval(-Double(historyDays) * 86_400) }
}
