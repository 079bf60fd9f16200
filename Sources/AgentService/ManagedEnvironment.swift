package import AgentModel
package import FoundationEssentials
import Synchronization

/// The result of the last probe of an environment.
package struct Probe: Sendable, Hashable {
    package let at: Date
    package let version: String?
    package let isSimulator: Bool
    /// Why PVE did not answer; `nil` if it did.
    package let error: String?

    package init(at: Date, version: String?, isSimulator: Bool, error: String?) {
        self.at = at
        self.version = version
        self.isSimulator = isSimulator
        self.error = error
    }
}

/// One environment at run time: its settings, its connection, and its last probe.
package final class ManagedEnvironment: Sendable {
    package let settings: EnvironmentSettings
    package let hypervisor: any Hypervisor
    package let planning: any PlanningEngine
    private let lastProbe = Mutex<Probe?>(nil)
    private let places: EnvironmentPlaces

    /// At most `maxWaiting` requests wait for its PVE at the same time.
    package init(
        settings: EnvironmentSettings, hypervisor: any Hypervisor, planning: any PlanningEngine, maxWaiting: Int = 64
    ) {
        self.settings = settings
        self.hypervisor = hypervisor
        self.planning = planning
        places = EnvironmentPlaces(maxWaiting)
    }

    /// Takes one of the places for requests that wait for this PVE, until ``leave(_:)``. A PVE that hangs then holds up
    /// no other environment. If all are taken, a party with fewer places than its share waits briefly.
    func enter(_ caller: Caller) async throws(ServiceError) {
        guard await places.enter(caller.party) else {
            throw ServiceError(
                .overloaded,
                "\(settings.name): too many requests are waiting for its PVE, \(places.count); try again later")
        }
    }

    func leave(_ caller: Caller) { places.leave(caller.party) }

    /// The number of taken places.
    var taken: Int { places.taken }

    /// The number of requests that wait for a place.
    var queued: Int { places.queued }

    package var probe: Probe? { lastProbe.withLock { $0 } }

    /// Asks PVE for its version and keeps the result as the last probe.
    package func look(at now: @Sendable () -> Date) async -> Probe {
        let probe: Probe
        do throws(HypervisorError) {
            let found = try await hypervisor.version()
            probe = Probe(at: now(), version: found.version, isSimulator: found.isSimulator, error: nil)
        } catch {
            let failure = ServiceError(error, settings.name, during: "asking for its version")
            probe = Probe(at: now(), version: nil, isSimulator: false, error: failure.detail)
        }
        lastProbe.withLock { $0 = probe }
        return probe
    }
}
