import AgentAudit
import Synchronization

/// Tracks how far the audit log is settled: the record up to which every transition is stored too.
///
/// The record is written first, its transition second. Between the two the record is open. A crash there leaves a
/// record without its transition; the next start checks all records behind the mark for that.
final class AuditWatermark: Sendable {
    private struct State {
        /// The newest record before each record that is being written.
        var open: [UInt64: UInt64] = [:]
        /// Records whose transitions will not be stored.
        var orphans: [UInt64: AuditEvent] = [:]
        var last: UInt64 = 0
    }

    /// A record that may have been written, without a transition and without a `void` record.
    struct Orphan: Sendable {
        let ticket: UInt64
        let event: AuditEvent
        /// The number of the record before it.
        let behind: UInt64
    }

    private let state = Mutex(State())
    private let told = Mutex<(@Sendable () -> Void)?>(nil)

    /// Calls `body` whenever a record may have been settled.
    func whenSettled(_ body: @escaping @Sendable () -> Void) { told.withLock { $0 = body } }

    /// A record without a transition was written, or the transition of one was stored.
    func settled() { told.withLock { $0 }?() }

    /// Notes that a record is about to be written behind `head`. Pass the result to ``close(_:)``.
    func open(behind head: AuditHead) -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.open[state.last] = head.seq
            return state.last
        }
    }

    /// Notes that the record's transition is stored, or that there is none.
    func close(_ ticket: UInt64) {
        state.withLock { state in
            state.open[ticket] = nil
            state.orphans[ticket] = nil
        }
        settled()
    }

    /// Notes that there will be no transition, and that the record, which may be written, could not be voided.
    func abandon(_ ticket: UInt64, _ event: AuditEvent) { state.withLock { $0.orphans[ticket] = event } }

    /// The abandoned records that are not closed yet, oldest first.
    var orphans: [Orphan] {
        state.withLock { state in
            state.orphans.sorted { $0.key < $1.key }.map { ticket, event in
                Orphan(ticket: ticket, event: event, behind: state.open[ticket] ?? 0)
            }
        }
    }

    /// The mark to store with any write when the log ends there.
    func mark(_ end: AuditEnd) -> AuditMark {
        let settled = state.withLock { $0.open.values.min() } ?? end.head.seq
        return AuditMark(head: end.head, settled: settled, tree: end.tree)
    }
}
