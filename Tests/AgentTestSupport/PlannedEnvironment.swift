package import AgentModel
package import AgentService
import PVEPlanning

extension ManagedEnvironment {
    /// An environment that is planned for as the program does.
    package convenience init(settings: EnvironmentSettings, hypervisor: any Hypervisor) {
        self.init(
            settings: settings, hypervisor: hypervisor, planning: PVEPlanner(settings: settings, hypervisor: hypervisor)
        )
    }
}
