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
package final class NoticeService: EventFollower {
    private struct State {
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
    }

    let audited: AuditedStore
    let access: AccessControl
    private let events: EventFeed
    private let limits: NoticeLimits
    private let state = Mutex(State())
    private let isActive = Atomic(false)
    private let bell = Bell()

    init(_ audited: AuditedStore, _ access: AccessControl, _ events: EventFeed, _ limits: NoticeLimits) {
        (self.audited, self.access, self.events, self.limits) = (audited, access, events, limits)
        events.follow(by: self)
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
        let (newest, now) = (events.newest, ports.now())
        let position = try await audited.write { records -> UInt64 in
            records.giveUpNotices(except: targets, "its destination is no longer in the configuration", at: now)
            guard !targets.isEmpty else {
                records.putNoticePosition(nil)
                return newest
            }
            // Without a stored one this is the first start with destinations. A state may be older than its log.
            let position = min(records.noticePosition ?? newest, newest)
            records.putNoticePosition(position)
            return position
        }
        let ended = state.withLock { state -> [Task<Void, Never>] in
            state.subscriptions = subscriptions
            state.sender = sender
            if state.collector == nil { (state.position, state.storedPosition) = (position, position) }
            let dropped = state.deliveries.filter { !targets.contains($0.key) }
            for name in dropped.keys { state.deliveries[name] = nil }
            for target in targets where state.deliveries[target] == nil { begin(target, &state) }
            guard targets.isEmpty else {
                if state.collector == nil { state.collector = Task { await self.collect() } }
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
        state.deliveries[target] = (delivery, Task { await delivery.run() })
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

    package func recordsSettled() { if isActive.load(ordering: .sequentiallyConsistent) { bell.ring() } }

    /// Environments are watched by ``check(auditFault:)``, which waits whether they come back at once.
    package func happened(_ event: AgentEvent) {}

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
            let page: EventFeed.Page
            do throws(ServiceError) { page = try await events.page(after: position) } catch {
                guard error.code == .eventsGone, let oldest = error.oldestID, oldest > position else { throw error }
                ports.log.warning("the audit log begins with record \(oldest): nothing is told of those before it")
                state.withLock { $0.position = oldest - 1 }
                continue
            }
            let wanted = page.events.filter(NoticeWriter.concerns)
            if !wanted.isEmpty {
                let writer = writer
                try await queue(through: page.last) { records in
                    wanted.flatMap { event in
                        writer.notices(of: event, records).map { ("\(event.id ?? 0):\($0.event.rawValue)", $0) }
                    }
                }
            }
            state.withLock { $0.position = max($0.position, page.last) }
            isEnd = page.isEnd
        }
    }

    private var writer: NoticeWriter {
        let policy = access.currentRules.policy
        return NoticeWriter(
            hiding: Set(access.managedEnvironments.map(\.settings.name).filter { policy.hidesAnything(in: $0) }))
    }

    /// Stores what `make` finds for each destination that wants it, and how far the log was read.
    private func queue(
        through position: UInt64? = nil,
        _ make: @escaping @Sendable (any StoreReader) -> [(key: String, notice: Notice)]
    ) async throws(ServiceError) {
        let (subscriptions, limits, ports) = (state.withLock { $0.subscriptions }, limits, ports)
        let targets = try await audited.write { records -> Set<String> in
            var targets: Set<String> = []
            let now = ports.now()
            for (key, notice) in make(records) {
                for subscription in subscriptions where subscription.wants(notice) {
                    let queued = QueuedNotice(
                        id: ports.newID(.notification), target: subscription.target, key: key, notice: notice,
                        queuedAt: now)
                    guard records.add(queued) else { continue }
                    targets.insert(subscription.target)
                    Self.makeRoom(in: records, subscription.target, limits.waiting, at: now)
                }
            }
            if let position { records.putNoticePosition(position) }
            return targets
        }
        if let position { state.withLock { $0.storedPosition = position } }
        for delivery in deliveries(to: targets) { delivery.ring() }
    }

    private static func makeRoom(in records: any StoreTransaction, _ target: String, _ limit: Int, at now: Date) {
        var count = records.countNotices(NoticeFilter(target: target, state: .waiting))
        while count > limit, var oldest = records.nextNotice(for: target, at: now) {
            oldest.giveUp("more than \(limit) wait for this destination", at: now)
            records.put(oldest)
            count -= 1
        }
    }

    // MARK: What no record tells

    /// Looks for plans that expire soon, and for environments that do not answer; tells of a broken audit log; and
    /// removes old notices. Run it regularly.
    package func check(auditFault: String?) async throws(ServiceError) {
        guard isActive.load(ordering: .sequentiallyConsistent) else { return }
        try await checkPlans()
        try await checkEnvironments()
        if auditFault != state.withLock({ $0.toldFault }) {
            if let auditFault {
                let (now, seq) = (ports.now(), events.head)
                try await queue { _ in [("audit:\(seq)", NoticeWriter.auditFault(auditFault, at: now))] }
            }
            state.withLock { $0.toldFault = auditFault }
        }
        let (position, stored) = state.withLock { ($0.position, $0.storedPosition) }
        let (limits, now) = (limits, ports.now())
        try await audited.write { records in
            if position != stored { records.putNoticePosition(position) }
            records.pruneNotices(limits, at: now)
        }
        state.withLock { $0.storedPosition = max($0.storedPosition, position) }
    }

    /// The longest time before a plan's end at which that is told, in seconds. A plan of an hour: a quarter of it.
    private static let warning = 900.0

    private func checkPlans() async throws(ServiceError) {
        let now = ports.now()
        let due = try await audited.read { records in
            records.summaries(
                PlanFilter(state: .awaitingApproval, dueAt: now.addingTimeInterval(Self.warning)),
                bytes: ControlPlane.pageBytes
            ).rows.map(\.plan)
        }
        let soon = due.filter { plan in
            let left = plan.expiresAt.timeIntervalSince(now)
            return left > 0 && left <= min(Self.warning, plan.expiresAt.timeIntervalSince(plan.createdAt) / 4)
        }.map(\.id)
        let new = state.withLock { state in
            defer { state.expiring = Set(soon) }
            return soon.filter { !state.expiring.contains($0) }
        }
        guard !new.isEmpty else { return }
        let writer = writer
        try await queue { records in
            new.compactMap(records.plan).filter { $0.state == .awaitingApproval }.map { plan in
                ("expiring:\(plan.id)", writer.wanted(.planExpiring, plan, at: now))
            }
        }
    }

    private func checkEnvironments() async throws(ServiceError) {
        for managed in access.managedEnvironments {
            guard let probe = managed.probe else { continue }
            let name = managed.settings.name
            let known = state.withLock { $0.down[name] }
            if probe.error == nil {
                if let known, known.isTold {
                    let notice = NoticeWriter.environment(name, probe, downSince: known.since)
                    try await queue { _ in [("up:\(name):\(known.since.rfc3339)", notice)] }
                }
                state.withLock { $0.down[name] = nil }
                continue
            }
            let since = known?.since ?? probe.at
            var isTold = known?.isTold ?? false
            if !isTold, ports.now().timeIntervalSince(since) >= limits.environmentSeconds {
                let notice = NoticeWriter.environment(name, probe, downSince: since)
                try await queue { _ in [("down:\(name):\(since.rfc3339)", notice)] }
                isTold = true
            }
            state.withLock { $0.down[name] = (since, isTold) }
        }
    }
}
