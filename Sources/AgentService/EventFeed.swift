import AgentAudit
package import AgentModel
import AgentPolicy
import Synchronization

/// Who wants to know when there are events.
package protocol EventFollower: AnyObject, Sendable {
    /// There may be new records. Called often, and on any thread: must return at once.
    func recordsSettled()

    /// Something happened of which there is no record.
    func happened(_ event: AgentEvent)
}

/// Tells what the audit log says as events: live and from any earlier record on, in the same way.
///
/// An event is told once its record is durable and the transition of that record, and of all before it, is stored. Records
/// that a later one voids are not told.
package final class EventFeed: Sendable {
    /// Events that follow each other in the log.
    package struct Page: Sendable {
        package let events: [AgentEvent]
        /// The last record that was looked at: where to go on.
        package let last: UInt64
        /// There was no more when it was made.
        package let isEnd: Bool
    }

    private struct Follower {
        weak var value: (any EventFollower)?
    }

    private struct State {
        var followers: [Follower] = []
        /// The records that were searched for voided ones: those behind the first number, up to the second.
        var searched: (low: UInt64, high: UInt64)?
        var voided: Set<UInt64> = []
    }

    private let audited: AuditedStore
    private let access: AccessControl
    private let state = Mutex(State())

    init(_ audited: AuditedStore, _ access: AccessControl) {
        (self.audited, self.access) = (audited, access)
        audited.watermark.whenSettled { [weak self] in self?.followers.forEach { $0.recordsSettled() } }
    }

    private var followers: [any EventFollower] { state.withLock { $0.followers.compactMap(\.value) } }

    /// From now on tells `follower` too of new events, as long as it is there.
    package func follow(by follower: any EventFollower) {
        state.withLock { state in
            state.followers.removeAll { $0.value == nil }
            state.followers.append(Follower(value: follower))
        }
    }

    /// Tells of something of which there is no record.
    package func tell(_ event: AgentEvent) { followers.forEach { $0.happened(event) } }

    /// Which events a caller gets who wants those of an environment, of some kinds or of a plan.
    package func filter(
        environment: EnvironmentName? = nil, kinds: Set<AgentEvent.Kind>? = nil, plan: RecordID? = nil,
        _ context: Context
    ) -> EventFilter {
        let policy = access.currentRules.policy
        let hiding = access.managedEnvironments.map(\.settings.name).filter {
            !policy.rulesHidingAnything(in: $0, from: context.caller).isEmpty
        }
        return EventFilter(
            visible: access.environments(.view, context), environment: environment, kinds: kinds, plan: plan,
            hiding: Set(hiding))
    }

    /// The last record whose event can be told.
    package var newest: UInt64 { audited.watermark.mark(audited.ports.audit.end).settled }

    /// The last record in the log.
    package var head: UInt64 { audited.ports.audit.head.seq }

    private static let pageRecords = 256

    /// The events behind record number `seq`, a page of them; up to `known`, which was the newest once, even if a record
    /// that is being written makes an earlier one the newest for a moment.
    ///
    /// - Throws: `events_gone` if the log no longer has the record behind `seq`.
    package func page(after seq: UInt64, upTo known: UInt64 = 0) async throws(ServiceError) -> Page {
        let newest = max(newest, known)
        guard newest > seq else { return Page(events: [], last: seq, isEnd: true) }
        let records = try await records(after: seq)
        guard let first = records.first, let last = records.last else {
            return Page(events: [], last: seq, isEnd: true)
        }
        guard first.seq == seq + 1 else { throw Self.gone(seq, oldest: first.seq) }
        note(records, from: seq, through: last.seq)
        try await search(behind: seq)
        let voided = state.withLock { $0.voided }
        let told = records.prefix { $0.seq <= newest }
        let end = told.last?.seq ?? seq
        return Page(
            events: told.compactMap { voided.contains($0.seq) ? nil : AgentEvent($0) }, last: end, isEnd: end >= newest)
    }

    private static func gone(_ seq: UInt64, oldest: UInt64) -> ServiceError {
        var error = ServiceError(
            .eventsGone,
            "the audit log begins with record \(oldest), so the events behind \(seq) are not all there any more; read "
                + "plans and operations anew, then ask for events after \(oldest - 1)")
        error.oldestID = oldest
        return error
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
    /// before its event can be told, but far behind it in the log if a crash came between.
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
