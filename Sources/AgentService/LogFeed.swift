import AgentAudit
import AgentModel
import Synchronization

/// Reads what this agent's audit log says: live and from any earlier record on, in the same way.
///
/// A record is shown once it is durable and its transition, and those of all before it, are stored.
final class LogFeed: Sendable {
    /// Records that follow each other in the log.
    struct Page: Sendable {
        /// With whether a later record voids them.
        let records: [(record: AuditRecord, isVoid: Bool)]
        /// The last record that was looked at: where to go on.
        let last: UInt64
        /// There was no more when it was made.
        let isEnd: Bool

        var events: [AgentEvent] {
            records.compactMap { $0.isVoid ? nil : AgentEvent($0.record, numbered: $0.record.seq) }
        }
    }

    private struct State {
        var followers: [@Sendable () -> Void] = []
        /// The records that were searched for voided ones: those behind the first number, up to the second.
        var searched: (low: UInt64, high: UInt64)?
        var voided: Set<UInt64> = []
    }

    private let audited: AuditedStore
    private let state = Mutex(State())

    init(_ audited: AuditedStore) {
        self.audited = audited
        audited.watermark.whenSettled { [weak self] in self?.state.withLock { $0.followers }.forEach { $0() } }
    }

    /// From now on calls `body` whenever there may be new records. Called often, and on any thread: it must return at
    /// once.
    func whenSettled(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.followers.append(body) } }

    /// The last record that can be shown.
    var newest: UInt64 { audited.watermark.mark(audited.ports.audit.end).settled }

    /// The last record in the log.
    var head: UInt64 { audited.ports.audit.head.seq }

    private static let pageRecords = 256

    /// The records behind number `seq`, a page of them; up to `known`, which was the newest once, even if a record that
    /// is being written makes an earlier one the newest for a moment.
    ///
    /// - Throws: `events_gone` if the log no longer has the record behind `seq`.
    func page(after seq: UInt64, upTo known: UInt64 = 0) async throws(ServiceError) -> Page {
        let newest = max(newest, known)
        guard newest > seq else { return Page(records: [], last: seq, isEnd: true) }
        let records = try await records(after: seq)
        guard let first = records.first, let last = records.last else {
            return Page(records: [], last: seq, isEnd: true)
        }
        guard first.seq == seq + 1 else { throw EventFeed.gone(seq, oldest: first.seq) }
        note(records, from: seq, through: last.seq)
        try await search(behind: seq)
        let voided = state.withLock { $0.voided }
        let shown = records.prefix { $0.seq <= newest }
        let end = shown.last?.seq ?? seq
        return Page(records: shown.map { ($0, voided.contains($0.seq)) }, last: end, isEnd: end >= newest)
    }

    private func records(after seq: UInt64) async throws(ServiceError) -> [AuditRecord] {
        do throws(AuditError) {
            return try await audited.ports.audit.records(
                after: seq, limit: Self.pageRecords, bytes: ControlPlane.pageBytes)
        } catch {
            throw ServiceError(.auditUnavailable, "\(error)")
        }
    }

    // MARK: Voided records

    /// Searches the records behind `seq` for those that void others, unless that was done before. A record is voided
    /// before it can be shown, but far behind it in the log if a crash came between.
    private func search(behind seq: UInt64) async throws(ServiceError) {
        let head = head
        let known = state.withLock { $0.searched } ?? (low: seq, high: seq)
        if seq < known.low { try await search(from: seq, through: known.low) }
        if known.high < head { try await search(from: known.high, through: head) }
    }

    private func search(from start: UInt64, through end: UInt64) async throws(ServiceError) {
        var at = start
        var found: [AuditRecord] = []
        while at < end {
            let page = try await records(after: at)
            guard let last = page.last else { break }
            found += page.filter { $0.event.kind == .void }
            at = last.seq
        }
        note(found, from: start, through: max(at, end))
    }

    private func note(_ records: [AuditRecord], from low: UInt64, through high: UInt64) {
        let voided = records.compactMap { $0.event.voids.map { UInt64(clamping: $0) } }
        state.withLock { state in
            state.voided.formUnion(voided)
            guard let known = state.searched, low <= known.high else {
                state.searched = (low, high)
                return
            }
            if high >= known.low { state.searched = (min(low, known.low), max(high, known.high)) }
        }
    }
}
