package import AgentModel
package import AgentService
import PVEPlanning

extension Site {
    /// An environment that is planned for as the program does.
    package convenience init(facts: EnvironmentFacts, hypervisor: any Hypervisor) {
        self.init(
            facts: facts, hypervisor: hypervisor, planning: PVEPlanner(facts: facts, hypervisor: hypervisor))
    }
}
