import AgentAPI
import AgentAudit
import AgentModel
import AgentService
import AgentStorage
import FoundationEssentials
import Metrics
import Synchronization
import TransparencyLog

/// Counts requests, and shows all figures: what was counted, and the state as it is at a scrape.
///
/// A scrape asks no PVE. If the state cannot be read soon, its figures are left out.
final class AgentMeter: Meter {
    private let figures: AgentFigures
    private let service: ControlPlane
    private let store: any StateStore
    private let audit: FileAuditSink
    private let disk: DiskFloor
    private let environments: EnvironmentFigures
    /// Whether an earlier scrape still waits for the state.
    private let isReading = Mutex(false)

    init(
        _ figures: AgentFigures, _ service: ControlPlane, _ store: any StateStore, _ audit: FileAuditSink,
        _ disk: DiskFloor
    ) {
        (self.figures, self.service, self.store, self.audit, self.disk) = (figures, service, store, audit, disk)
        environments = EnvironmentFigures(service.access.managedEnvironments)
    }

    func began() { figures.requests.began() }
    func answered() { figures.requests.answered() }
    func count(_ answer: CountedAnswer) { figures.requests.count(answer) }
    func refused(_ reason: RefusalReason) { figures.count(reason) }
    func unauthenticated(isGuess: Bool) { figures.authFailures.add(at: isGuess ? 1 : 0) }

    func page(accepting header: String?) async -> (contentType: String, body: [UInt8]) {
        let tally = await tally()
        var text = Exposition(Exposition.Format(accepting: header))
        figures.requests.write(to: &text)
        figures.httpRefusals.write(to: &text)
        figures.authFailures.write(to: &text)
        figures.refusals.write(to: &text)
        figures.decisions.write(to: &text)
        write(tally, to: &text)
        figures.operationTime.write(to: &text)
        environments.write(freezes: service.freezes.allFreezes, to: &text)
        text.write(MetricNames.reloadFailed, service.reloads.failure == nil ? 0 : 1)
        figures.callTime.write(to: &text)
        figures.callErrors.write(to: &text)
        environments.write(to: &text)
        writeNotices(tally, to: &text)
        writeAudit(to: &text)
        writeLeases(to: &text)
        writeStore(isUp: tally != nil, to: &text)
        writeProcess(to: &text)
        text.end()
        return (text.format.contentType, text.bytes)
    }

    /// How long a scrape waits for the state.
    private static let patience = Duration.milliseconds(500)

    /// What is stored; `nil` if that cannot be read in time.
    private func tally() async -> StoreTally? {
        let isFirst = isReading.withLock { isReading in
            defer { isReading = true }
            return !isReading
        }
        // The reader answers in order, so there is no point in another question.
        guard isFirst else { return nil }
        let (answers, continuation) = AsyncStream.makeStream(of: StoreTally?.self, bufferingPolicy: .bufferingOldest(1))
        Task { [self] in
            let tally = try? await store.read { $0.tally() }
            isReading.withLock { $0 = false }
            continuation.yield(tally)
        }
        let timer = Task {
            guard (try? await Task.sleep(for: Self.patience)) != nil else { return }
            continuation.yield(nil)
        }
        defer { timer.cancel() }
        for await answer in answers { return answer }
        return nil
    }

    private func write(_ tally: StoreTally?, to text: inout Exposition) {
        guard let tally else { return }
        text.write(MetricNames.plans, PlanState.allCases.map { ([$0.rawValue], tally.plans[$0] ?? 0) })
        let age = tally.oldestAwaiting.map { Date().timeIntervalSince($0) } ?? 0
        text.write(MetricNames.oldestAwaiting, Int(max(0, min(age, 1e9))))
        let reviewAge = tally.oldestReview.map { Date().timeIntervalSince($0) } ?? 0
        text.write(MetricNames.reviewsOpen, tally.openReviews)
        text.write(MetricNames.oldestReview, Int(max(0, min(reviewAge, 1e9))))
        text.write(
            MetricNames.operations, OperationState.allCases.map { ([$0.rawValue], tally.operations[$0] ?? 0) })
    }

    /// Each destination of the configuration has its row from the start.
    private func writeNotices(_ tally: StoreTally?, to text: inout Exposition) {
        figures.noticesSent.write(to: &text)
        figures.noticeFailures.write(to: &text)
        guard let tally else { return }
        let now = Date()
        let rows = Set(service.notices.targets).union(tally.notices.keys).sorted().map { target in
            (target: target, tally: tally.notices[target] ?? NoticeTally())
        }
        guard !rows.isEmpty else { return }
        text.write(MetricNames.noticesWaiting, rows.map { ([$0.target], $0.tally.waiting) })
        text.write(MetricNames.noticesDead, rows.map { ([$0.target], $0.tally.dead) })
        text.write(
            MetricNames.oldestNotice,
            rows.map { row in
                let age = row.tally.oldestWaiting.map { now.timeIntervalSince($0) } ?? 0
                return ([row.target], Int(max(0, min(age, 1e9))))
            })
    }

    private func writeAudit(to text: inout Exposition) {
        figures.auditRecords.write(to: &text)
        figures.auditFailures.write(to: &text)
        figures.auditSync.write(to: &text)
        text.write(MetricNames.auditQueue, audit.counters.waiting)
        text.write(MetricNames.auditHead, Int(clamping: audit.head.seq))
        let cause = audit.faultCause
        text.write(
            MetricNames.auditFault, FileAuditSink.FaultCause.allCases.map { ([$0.rawValue], $0 == cause ? 1 : 0) })
        writeCheckpoints(service.checkpoints.figures, to: &text)
    }

    private func writeCheckpoints(_ figures: CheckpointFigures, to text: inout Exposition) {
        text.write(MetricNames.checkpointSize, Int(clamping: figures.newest?.head.size ?? 0))
        text.write(MetricNames.checkpointAt, figures.newest.map { Int($0.signedAt.timeIntervalSince1970) })
        text.write(
            MetricNames.checkpointWithheld,
            CheckpointService.Withheld.allCases.map { ([$0.rawValue], $0 == figures.withheld ? 1 : 0) })
        let witnesses = figures.witnesses
        text.write(MetricNames.witnessSize, witnesses.map { ([$0.name], Int(clamping: $0.figures.size)) })
        text.write(
            MetricNames.witnessAt,
            witnesses.filter { $0.figures.signedAt > 0 }.map { ([$0.name], Int(clamping: $0.figures.signedAt)) })
        text.write(
            MetricNames.witnessFailures,
            witnesses.flatMap { witness in
                WitnessFailure.allCases.map {
                    ([witness.name, $0.rawValue], witness.figures.failures[$0] ?? 0)
                }
            })
    }

    private func writeLeases(to text: inout Exposition) {
        guard let figures = service.leases.figures else { return }
        let names = service.access.managedEnvironments.map(\.settings.name)
        text.write(MetricNames.leads, names.map { ([$0.description], figures.leads.contains($0) ? 1 : 0) })
        text.write(MetricNames.isIdle, figures.isIdle ? 1 : 0)
    }

    private func writeStore(isUp: Bool, to text: inout Exposition) {
        text.write(MetricNames.storeUp, isUp ? 1 : 0)
        figures.storeCommit.write(to: &text)
        let counters = store.counters
        text.write(MetricNames.storeWrites, counters.bodies)
        text.write(MetricNames.storeQueue, counters.waiting)
    }

    private func writeProcess(to text: inout Exposition) {
        text.write(MetricNames.diskFree, disk.free().map { ([$0.place], $0.bytes) })
        text.write(MetricNames.diskFloor, disk.floorBytes)
        text.write(MetricNames.certificateEnd, figures.certificateEnd.withLock { $0 })
        text.write(MetricNames.build, [([Version.text], 1)])
        ProcessFigures().write(to: &text)
        text.write(
            MetricNames.startedAt, microseconds: Int(figures.startedAt.timeIntervalSince1970 * 1_000_000))
    }
}

/// What is known of each environment without asking its PVE.
struct EnvironmentFigures: Sendable {
    private let managed: [ManagedEnvironment]
    private let isFrozen: GaugeTable
    private let isUp: GaugeTable
    private let probedAt: GaugeTable

    init(_ managed: [ManagedEnvironment]) {
        self.managed = managed
        let names = managed.map { [$0.settings.name.description] }
        isFrozen = GaugeTable(MetricNames.isFrozen, names)
        isUp = GaugeTable(MetricNames.isUp, names)
        probedAt = GaugeTable(MetricNames.probedAt, names)
    }

    func write(freezes: [Freeze], to text: inout Exposition) {
        text.write(MetricNames.freezes, freezes.count)
        isFrozen.write(
            managed.map { managed in freezes.contains { $0.covers(managed.settings.name) } ? 1 : 0 }, to: &text)
    }

    /// As of the last probes. Before its first one, an environment is left out.
    func write(to text: inout Exposition) {
        let probes = managed.map(\.probe)
        isUp.write(probes.map { probe in probe.map { $0.error == nil ? 1 : 0 } }, to: &text)
        probedAt.write(probes.map { probe in probe.map { Int($0.at.timeIntervalSince1970) } }, to: &text)
        text.write(
            MetricNames.environment,
            zip(managed, probes).compactMap { managed, probe in
                guard let probe, let version = probe.version else { return nil }
                return (
                    [managed.settings.name.description, String(version.prefix(64)), "\(probe.isSimulator)"], 1
                )
            })
    }
}
