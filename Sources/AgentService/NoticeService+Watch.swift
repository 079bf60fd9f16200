import AgentModel
import FoundationEssentials
import Logging
import Synchronization

/// What no record tells.
extension NoticeService {
    /// Looks for plans that expire soon, and for environments that do not answer; tells of a broken audit log; and
    /// removes old notices. Run it regularly.
    package func check(auditFault: String?) async throws(ServiceError) {
        guard isActive.load(ordering: .sequentiallyConsistent) else { return }
        try await checkPlans()
        try await checkEnvironments()
        if auditFault != state.withLock({ $0.toldFault }) {
            if let auditFault {
                let (now, seq) = (ports.now(), feed.head)
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
        let told = state.withLock { $0.expiring }
        let new = soon.filter { !told.contains($0) }
        if !new.isEmpty {
            let writer = writer
            try await queue { records in
                new.compactMap(records.plan).filter { $0.state == .awaitingApproval }.map { plan in
                    ("expiring:\(plan.id)", writer.wanted(.planExpiring, plan, at: now))
                }
            }
        }
        state.withLock { $0.expiring = Set(soon) }
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
