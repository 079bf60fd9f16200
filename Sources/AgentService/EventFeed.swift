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

/// Tells what the audit log says as events, live and from any earlier record on; where several agents share a state, what
/// the logs of all of them say.
///
/// Records that a later one voids are not told.
package final class EventFeed: Sendable {
    /// Events that follow each other.
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

    let log: LogFeed
    /// What all agents tell; `nil` for a lone one, whose log is all there is.
    let history: SharedHistory?
    private let access: AccessControl
    private let followers = Mutex<[Follower]>([])

    init(_ log: LogFeed, _ history: SharedHistory?, _ access: AccessControl) {
        (self.log, self.history, self.access) = (log, history, access)
        let tell: @Sendable () -> Void = { [weak self] in self?.present.forEach { $0.recordsSettled() } }
        if let history { history.whenChanged(tell) } else { log.whenSettled(tell) }
    }

    private var present: [any EventFollower] { followers.withLock { $0.compactMap(\.value) } }

    /// From now on tells `follower` too of new events, as long as it is there.
    package func follow(by follower: any EventFollower) {
        followers.withLock { followers in
            followers.removeAll { $0.value == nil }
            followers.append(Follower(value: follower))
        }
    }

    /// Tells of something of which there is no record.
    package func tell(_ event: AgentEvent) { present.forEach { $0.happened(event) } }

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
    package func newest() async throws(ServiceError) -> UInt64 {
        guard let history else { return log.newest }
        return try await history.numbers()?.upperBound ?? 0
    }

    /// The last record that there is.
    package func head() async throws(ServiceError) -> UInt64 { history == nil ? log.head : try await newest() }

    /// The events behind record number `seq`, a page of them; up to `known`, which was the newest once, even if a record
    /// that is being written makes an earlier one the newest for a moment.
    ///
    /// - Throws: `events_gone` if the record behind `seq` is no longer there.
    package func page(after seq: UInt64, upTo known: UInt64 = 0) async throws(ServiceError) -> Page {
        guard let history else {
            let page = try await log.page(after: seq, upTo: known)
            return Page(events: page.events, last: page.last, isEnd: page.isEnd)
        }
        let page = try await history.page(after: seq, limit: Self.pageRecords)
        if let first = page.numbers?.lowerBound, seq < first - 1 { throw Self.gone(seq, oldest: first) }
        return Page(
            events: page.records.compactMap { $0.isVoid ? nil : AgentEvent($0.record, numbered: $0.number) },
            last: page.last, isEnd: page.isEnd)
    }

    private static let pageRecords = 256

    /// What this agent has recorded last is there for the others, if that can be done now.
    package func finish() async { try? await history?.copy() }

    static func gone(_ seq: UInt64, oldest: UInt64) -> ServiceError {
        var error = ServiceError(
            .eventsGone,
            "the records that are kept begin with \(oldest), so the events behind \(seq) are not all there any more; read "
                + "plans and operations anew, then ask for events after \(oldest - 1)")
        error.oldestID = oldest
        return error
    }
}
