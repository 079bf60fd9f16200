import AgentAudit
import Synchronization

/// Knows how far the audit log is settled: up to which record everything that was audited is stored as well.
///
/// A record comes first and its transition second. Between the two the record is open; a crash there leaves a record
/// without its transition, and the next start looks at all records behind the mark for such.
final class AuditFloor: Sendable {
    private struct State {
        /// For each record under way the newest one before it.
        var open: [UInt64: UInt64] = [:]
        var last: UInt64 = 0
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
    func close(_ ticket: UInt64) { state.withLock { $0.open[ticket] = nil } }

    /// What to store beside whatever is stored when the log ends at `head`.
    func mark(_ head: AuditHead) -> AuditMark {
        state.withLock { AuditMark(head: head, settled: $0.open.values.min() ?? head.seq) }
    }
}
