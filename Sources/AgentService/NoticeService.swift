import AgentModel
import AgentPolicy
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization

/// Tells people: makes notices of what happens, queues them durably, and has them delivered.
///
/// Notices are made from the audit log. How far it was read is stored with the notices that came of it, so that a crash
/// loses none and queues none twice.
package final class NoticeService: Sendable {
    struct State {
        var subscriptions: [NoticeSubscription] = []
        var sender: (any NoticeSender)?
        var deliveries: [String: (delivery: NoticeDelivery, task: Task<Void, Never>)] = [:]
        var collector: Task<Void, Never>?
        /// Up to this record all is queued; and so far that is stored.
        var position: UInt64 = 0
        var storedPosition: UInt64 = 0
        /// Since when an environment does not answer, and whether that was told.
        var down: [EnvironmentName: (since: Date, isTold: Bool)] = [:]
        var toldFault: String?
        /// Plans whose coming end was told.
        var expiring: Set<RecordID> = []
        /// Destinations that are being tested.
        var testing: Set<String> = []
        /// Destinations whose queue is full, and of which that is recorded.
        var dropping: Set<String> = []
    }

    let audited: AuditedStore
    let access: AccessControl
    let feed: LogFeed
    let limits: NoticeLimits
    let state = Mutex(State())
    let isActive = Atomic(false)
    private let bell = Bell()

    init(_ audited: AuditedStore, _ access: AccessControl, _ feed: LogFeed, _ limits: NoticeLimits) {
        (self.audited, self.access, self.feed, self.limits) = (audited, access, feed, limits)
        feed.whenSettled { [weak self] in self?.recordsSettled() }
    }

    var ports: Ports { audited.ports }

    /// The way to a destination, which must be one; `nil` while there is none yet.
    @discardableResult
    func check(target: String) throws(ServiceError) -> (any NoticeSender)? {
        let (sender, targets) = state.withLock { ($0.sender, $0.subscriptions.map(\.target)) }
        guard targets.contains(target) else {
            throw ServiceError(
                .notFound,
                "there is no destination \(JSON.string(target).shown); "
                    + (targets.isEmpty
                        ? "name some in notify of the configuration" : "there are: \(targets.joined(separator: ", "))"))
        }
        return sender
    }

    /// The destinations that are served.
    package var targets: [String] { state.withLock { $0.subscriptions.map(\.target) } }

    /// A destination has something to do.
    func ring(_ target: String) { for delivery in deliveries(to: [target]) { delivery.ring() } }

    // MARK: Begin and end

    /// Serves these destinations from now on, through `sender`, and no others. A destination that is new gets what
    /// happens from now on. Notices of others are given up; they can be tried again once their destination is back.
    package func serve(
        _ subscriptions: [NoticeSubscription], through sender: (any NoticeSender)?
    ) async throws(ServiceError) {
        let targets = Set(subscriptions.map(\.target))
        let (newest, now, isShared) = (feed.newest, ports.now(), ports.leases != nil)
        let stored = try await audited.write { records -> (position: UInt64, dropped: Int) in
            let waiting = records.countNotices(NoticeFilter(state: .waiting))
            // Another agent on the state may have others.
            if !isShared {
                records.giveUpNotices(except: targets, "its destination is no longer in the configuration", at: now)
            }
            let dropped = waiting - records.countNotices(NoticeFilter(state: .waiting))
            guard !targets.isEmpty else {
                records.putNoticePosition(nil)
                return (newest, dropped)
            }
            // Without a stored one this is the first start with destinations. A state may be older than its log.
            let position = min(records.noticePosition ?? newest, newest)
            records.putNoticePosition(position)
            return (position, dropped)
        }
        if stored.dropped > 0 {
            ports.log.warning(
                "\(stored.dropped) notifications given up: their destinations are no longer in the configuration")
        }
        let ended = state.withLock { state -> [Task<Void, Never>] in
            state.subscriptions = subscriptions
            state.sender = sender
            if state.collector == nil { (state.position, state.storedPosition) = (stored.position, stored.position) }
            let dropped = state.deliveries.filter { !targets.contains($0.key) }
            for name in dropped.keys { state.deliveries[name] = nil }
            for target in targets where state.deliveries[target] == nil { begin(target, &state) }
            guard targets.isEmpty else {
                if state.collector == nil {
                    state.collector = TraceContext.$current.withValue(nil) { Task { await self.collect() } }
                }
                return dropped.values.map(\.task)
            }
            defer { state.collector = nil }
            return dropped.values.map(\.task) + [state.collector].compactMap { $0 }
        }
        isActive.store(!targets.isEmpty, ordering: .sequentiallyConsistent)
        for task in ended { task.cancel() }
        for delivery in deliveries(to: nil) { delivery.ring() }
        bell.ring()
    }

    private func begin(_ target: String, _ state: inout State) {
        let delivery = NoticeDelivery(to: target, audited, limits.retries) { [weak self] in
            self?.state.withLock { $0.sender }
        }
        // It goes on when the request that reloaded the configuration is long answered.
        let task = TraceContext.$current.withValue(nil) { Task { await delivery.run() } }
        state.deliveries[target] = (delivery, task)
    }

    /// Ends all work. What is not delivered is found at the next start.
    package func stop() async {
        isActive.store(false, ordering: .sequentiallyConsistent)
        let tasks = state.withLock { state in
            defer { (state.deliveries, state.collector) = ([:], nil) }
            return state.deliveries.values.map(\.task) + [state.collector].compactMap { $0 }
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    private func deliveries(to targets: Set<String>?) -> [NoticeDelivery] {
        state.withLock { state in
            state.deliveries.filter { targets?.contains($0.key) ?? true }.map(\.value.delivery)
        }
    }

    // MARK: From the audit log

    private func recordsSettled() { if isActive.load(ordering: .sequentiallyConsistent) { bell.ring() } }

    private func collect() async {
        var pauses = Backoff(from: .seconds(1), to: .seconds(300))
        while !Task.isCancelled {
            await bell.wait(atMost: .seconds(60))
            do throws(ServiceError) {
                try await catchUp()
                pauses = Backoff(from: .seconds(1), to: .seconds(300))
                _ = try? await Task.sleep(for: .seconds(limits.batchSeconds))
            } catch {
                ports.log.error("notifications cannot be made: \(error.detail)")
                _ = await pauses.wait()
                bell.ring()
            }
        }
    }

    /// Queues what the log tells since it was last read.
    private func catchUp() async throws(ServiceError) {
        var isEnd = false
        while !isEnd, !Task.isCancelled {
            let position = state.withLock { $0.position }
            let page: LogFeed.Page
            do throws(ServiceError) { page = try await feed.page(after: position) } catch {
                guard error.code == .eventsGone, let oldest = error.oldestID, oldest > position else { throw error }
                ports.log.warning("the audit log begins with record \(oldest): nothing is told of those before it")
                state.withLock { $0.position = oldest - 1 }
                continue
            }
            let wanted = page.events.filter(NoticeWriter.concerns)
            if !wanted.isEmpty {
                let (writer, agent) = (writer, ports.agent)
                try await queue(through: page.last) { records in
                    wanted.flatMap { event in
                        writer.notices(of: event, records).map {
                            (NoticeWriter.key(of: $0, from: event, at: agent), $0)
                        }
                    }
                }
            }
            state.withLock { $0.position = max($0.position, page.last) }
            isEnd = page.isEnd
        }
    }

    var writer: NoticeWriter {
        let policy = access.currentRules.policy
        return NoticeWriter(
            hiding: Set(access.managedEnvironments.map(\.settings.name).filter { policy.hidesAnything(in: $0) }))
    }

    /// Stores what `make` finds for each destination that wants it, and how far the log was read.
    func queue(
        through position: UInt64? = nil,
        _ make: @escaping @Sendable (any StoreReader) -> [(key: String, notice: Notice)]
    ) async throws(ServiceError) {
        let (subscriptions, limits, ports) = (state.withLock { $0.subscriptions }, limits, ports)
        let found = try await audited.write { records -> (added: Set<String>, dropped: [QueuedNotice]) in
            var targets: Set<String> = []
            let now = ports.now()
            for (key, notice) in make(records) {
                for subscription in subscriptions where subscription.wants(notice) {
                    let queued = QueuedNotice(
                        id: ports.newID(.notification), target: subscription.target, key: key, notice: notice,
                        queuedAt: now)
                    if records.queue(queued) { targets.insert(subscription.target) }
                }
            }
            if let position { records.putNoticePosition(position) }
            return (targets, targets.sorted().flatMap { records.makeRoom(for: $0, limits.waiting, at: now) })
        }
        if let position { state.withLock { $0.storedPosition = position } }
        for delivery in deliveries(to: found.added) { delivery.ring() }
        await tell(of: found.dropped, among: found.added)
    }

    /// Logs every notice that fell out of a full queue, and records the first of those that do so one after the other.
    private func tell(of dropped: [QueuedNotice], among targets: Set<String>) async {
        for notice in dropped { log(givenUp: notice) }
        let first = Dictionary(dropped.map { ($0.target, $0) }) { first, _ in first }
        let new = state.withLock { state -> [QueuedNotice] in
            state.dropping.subtract(targets.filter { first[$0] == nil })
            return targets.sorted().compactMap { state.dropping.contains($0) ? nil : first[$0] }
        }
        for notice in new {
            do throws(ServiceError) {
                try await audited.record(notice.auditEvent("given_up", by: .agent))
                _ = state.withLock { $0.dropping.insert(notice.target) }
            } catch {
                ports.log.error(
                    "a notification that was given up cannot be recorded: \(error.detail)",
                    metadata: ["target": "\(notice.target)", "id": "\(notice.id)"])
            }
        }
    }

    private func log(givenUp notice: QueuedNotice) {
        ports.log.warning(
            "notification given up",
            metadata: [
                "target": "\(notice.target)", "id": "\(notice.id)", "event": "\(notice.notice.event.rawValue)",
                "error": "\(notice.error ?? "")",
            ])
    }
}
