import AgentAudit
import Synchronization

/// Knows how far the audit log is settled: up to which record everything that was audited is stored as well.
///
/// A record comes first and its transition second. Between the two the record is open; a crash there leaves a record
/// without its transition, and the next start looks at all records behind the mark for such.
final class AuditWatermark: Sendable {
    private struct State {
        /// For each record under way the newest one before it.
        var open: [UInt64: UInt64] = [:]
        /// Those whose transitions will not come.
        var orphans: [UInt64: AuditEvent] = [:]
        var last: UInt64 = 0
    }

    /// A record, if it was written at all, that has no transition and no `void` record.
    struct Orphan: Sendable {
        let ticket: UInt64
        let event: AuditEvent
        /// It stands behind the record of this number.
        let behind: UInt64
    }

    private let state = Mutex(State())

    /// Says that a record is about to be written behind `head`; the answer closes it.
    func open(behind head: AuditHead) -> UInt64 {
        state.withLock { state in
            state.last += 1
            state.open[state.last] = head.seq
            return state.last
        }
    }

    /// Says that the record's transition is stored, or that there is none.
    func close(_ ticket: UInt64) {
        state.withLock { state in
            state.open[ticket] = nil
            state.orphans[ticket] = nil
        }
    }

    /// Says that there will be no transition, and that the record, which may be written, could not be voided.
    func abandon(_ ticket: UInt64, _ event: AuditEvent) { state.withLock { $0.orphans[ticket] = event } }

    /// Those abandoned and not closed since, oldest first.
    var orphans: [Orphan] {
        state.withLock { state in
            state.orphans.sorted { $0.key < $1.key }.map { ticket, event in
                Orphan(ticket: ticket, event: event, behind: state.open[ticket] ?? 0)
            }
        }
    }

    /// What to store beside whatever is stored when the log ends at `head`.
    func mark(_ head: AuditHead) -> AuditMark {
        state.withLock { AuditMark(head: head, settled: $0.open.values.min() ?? head.seq) }
    }
}
