import AgentModel
import Logging
import Synchronization

/// Which of several agents should have which environment.
extension LeaseService {
    /// What this agent should take now.
    func wanted(among configured: Set<EnvironmentName>) -> [EnvironmentName] {
        let held = Set(keeper.leases.map(\.environment))
        guard !isStuck else { return [] }
        return state.withLock { state in
            let overview = state.overview
            guard !state.isStopping, !registry.isDraining, overview.idleness == nil, let now = overview.at else {
                return []
            }
            let able = overview.able
            let share = overview.share
            var count = held.count
            return overview.leases.filter { row in
                guard row.isToBeHad, configured.contains(row.environment), !held.contains(row.environment) else {
                    return false
                }
                let preferred = access.preferredAgent(of: row.environment)
                let isOverdue = state.free[row.environment].map { $0 + Self.courtesy <= now } ?? false
                let isMine: Bool =
                    if let preferred, able.contains(preferred) { preferred == ports.agent } else { count < share }
                guard isMine || isOverdue else { return false }
                count += 1
                return true
            }.map(\.environment)
        }
    }

    /// Gives back what others should have: all if this agent may carry out nothing, else one at a time. Begins nothing more
    /// there, and waits until nothing is under way.
    ///
    /// Tasks of PVE that are only followed are left to the next holder if this agent may carry out nothing; searches always.
    func giveBack(_ store: any LeaseStore, _ open: [Operation]) async throws(StoreError) {
        let leases = keeper.leases
        let surplus = state.withLock { state -> [Lease] in
            let overview = state.overview
            state.leaving.formIntersection(leases)
            guard let now = overview.at else { return [] }
            if overview.idleness != nil { return leases }
            if !state.leaving.isEmpty { return leases.filter(state.leaving.contains) }
            guard state.givenAt.map({ $0 + .seconds(10) <= now }) ?? true else { return [] }
            let able = overview.able
            let others = leases.filter {
                access.preferredAgent(of: $0.environment).map { $0 != ports.agent && able.contains($0) } ?? false
            }
            let rest = leases.filter { access.preferredAgent(of: $0.environment) != ports.agent }
            // One where only searches go on will do.
            let one = (others.isEmpty && leases.count > overview.share ? rest : others).first {
                !registry.hasOperations(in: $0.environment)
            }
            return one.map { [$0] } ?? []
        }
        for lease in leases { keeper.close(lease, surplus.contains(lease)) }
        let mustGo = state.withLock { $0.overview.idleness != nil }
        let followed = open.filter { $0.upid != nil && $0.steps.count == $0.calls.count && $0.steps.last?.upid != nil }
        state.withLock { $0.leaving.formUnion(surplus) }
        for lease in surplus { registry.leave(under: lease, mustGo ? followed.map(\.id) : []) }
        for lease in surplus where registry.isIdle(in: lease.environment) {
            keeper.drop(lease)
            state.withLock { $0.givenAt = ports.uptime() }
            try await store.release(lease)
            ports.log.notice("gave an environment back", metadata: ["environment": "\(lease.environment)"])
        }
    }
}
