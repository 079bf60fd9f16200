package import AgentModel
import FoundationEssentials
import Synchronization

extension LeaseService {
    /// What all agents know of each other, as of one look.
    package struct Overview: Sendable {
        package var agents: [AgentRow] = []
        package var leases: [LeaseRow] = []
        /// The hash of what all agents must agree on that counts: that of the agent which has run the longest.
        var agreed: String?
        /// Why this agent decides and carries out nothing, for people; `nil` if it may.
        var unfitness: String?
        /// Why this agent cannot carry out anything now, for people.
        var fault: String?
        /// Whether somebody has asked this agent to carry out nothing.
        var isDraining = false
        /// When that was, by the monotonic clock; `nil` before the first look.
        var at: ContinuousClock.Instant?

        init() {}

        /// A look of the agent `own`, whose clock is so many seconds ahead of the database's.
        init(
            _ agents: [AgentRow], _ leases: [LeaseRow], _ own: AgentRow, clockAhead: Double,
            at instant: ContinuousClock.Instant
        ) {
            (self.agents, self.leases, at) = (agents, leases, instant)
            isDraining = agents.contains { $0.name == own.name && $0.isDraining }
            let eldest = agents.filter { $0.age < LeaseService.silence && !$0.configuration.isEmpty }.min {
                ($0.startedAt, $0.name) < ($1.startedAt, $1.name)
            }
            agreed = eldest?.configuration
            if abs(clockAhead) > LeaseService.clockTolerance {
                let seconds = Int(min(1e9, abs(clockAhead)))
                isUnable = true
                unfitness =
                    "the clock of agent \(own.name) is \(seconds) s \(clockAhead > 0 ? "ahead of" : "behind") the "
                    + "database's; set it right"
            } else if let eldest, eldest.configuration != own.configuration {
                unfitness =
                    "the configuration of agent \(own.name) is not that of \(eldest.name), which has run for longer: "
                    + "environments, principals and policy must be the same"
            }
        }

        /// The same rows as of now.
        init(_ agents: [AgentRow], _ leases: [LeaseRow], _ known: Overview) {
            self = known
            (self.agents, self.leases) = (agents, leases)
        }

        /// Whether this agent could carry out nothing, whatever the others are.
        var isUnable = false

        /// Why this agent carries out nothing, for people; `nil` if it may.
        var idleness: String? { unfitness ?? fault ?? (isDraining ? "this agent is drained" : nil) }

        /// What the agent does, in a word.
        package func standing(of agent: AgentRow) -> String {
            if agent.age >= LeaseService.silence { return "gone" }
            if agent.configuration.isEmpty { return "unable" }
            if agent.configuration != agreed { return "differs" }
            return agent.isDraining ? "draining" : "working"
        }

        /// The agents that may carry out something, by name.
        var able: Set<String> {
            Set(
                agents.filter { $0.age < LeaseService.silence && !$0.isDraining && $0.configuration == agreed }
                    .map(\.name))
        }

        /// How many environments each of them should have at most.
        var share: Int { (leases.count + max(1, able.count) - 1) / max(1, able.count) }
    }

    /// Why this agent carries out nothing although it may decide, as of its last look, for people; `nil` for a lone agent.
    package var hindrance: String? {
        state.withLock { $0.overview.unfitness == nil ? $0.overview.idleness : nil }
    }

    /// Where this agent carries out operations and can prove that it may, and whether it carries out nothing at all;
    /// `nil` for a lone agent.
    package var figures: (leads: Set<EnvironmentName>, isIdle: Bool)? {
        guard ports.leases != nil else { return nil }
        let leads = keeper.leases.filter { keeper.leads($0.environment) == $0 && keeper.proves($0) }
        return (Set(leads.map(\.environment)), state.withLock { $0.overview.idleness != nil })
    }

    /// All agents and who leads where, as of now; `nil` for a lone agent.
    package func overview() async throws(ServiceError) -> Overview? {
        guard let store = ports.leases else { return nil }
        let known = state.withLock { $0.overview }
        do throws(StoreError) {
            return Overview(try await store.agents(), try await store.leases(), known)
        } catch {
            throw ServiceError(.storeUnavailable, error.detail)
        }
    }
}
