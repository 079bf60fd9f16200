package import AgentModel
package import FoundationEssentials
import Synchronization

/// What the last look at an environment found.
package struct Probe: Sendable, Hashable {
    package let at: Date
    package let version: String?
    package let isSimulator: Bool
    /// Why it did not answer; `nil` when it did.
    package let error: String?

    package init(at: Date, version: String?, isSimulator: Bool, error: String?) {
        self.at = at
        self.version = version
        self.isSimulator = isSimulator
        self.error = error
    }
}

/// One environment at work: what is known of it, the way to it, and how it was when last looked at.
package final class ManagedEnvironment: Sendable {
    package let settings: EnvironmentSettings
    package let hypervisor: any Hypervisor
    package let planning: any PlanningEngine
    private let lastProbe = Mutex<Probe?>(nil)
    private let places: EnvironmentPlaces

    /// `maxWaiting` requests may wait for its PVE at the same time.
    package init(
        settings: EnvironmentSettings, hypervisor: any Hypervisor, planning: any PlanningEngine, maxWaiting: Int = 64
    ) {
        self.settings = settings
        self.hypervisor = hypervisor
        self.planning = planning
        places = EnvironmentPlaces(maxWaiting)
    }

    /// Takes one of the places for requests that wait for PVE, until ``leave(_:)``: one that hangs must not keep the places
    /// of all others. Where all are taken, who has fewer than others waits a moment for the next.
    func enter(_ caller: Caller) async throws(ServiceError) {
        guard await places.enter(caller.party) else {
            throw ServiceError(
                .overloaded,
                "\(settings.name): too many requests are waiting for its PVE, \(places.count); try again later")
        }
    }

    func leave(_ caller: Caller) { places.leave(caller.party) }

    /// How many places are taken.
    var taken: Int { places.taken }

    /// How many requests wait for one of the places.
    var queued: Int { places.queued }

    package var probe: Probe? { lastProbe.withLock { $0 } }

    /// Asks PVE for its version and keeps the answer as the last probe.
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
