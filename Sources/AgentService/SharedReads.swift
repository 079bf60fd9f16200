import AgentModel
import Synchronization

/// Lets identical reads that come at the same time share one fetch. Nothing is kept once the fetch has ended.
final class SharedReads: Sendable {
    struct Key: Hashable, Sendable {
        let environment: EnvironmentName
        let runningOnly: Bool
    }

    private struct State {
        var flights: [Key: (number: UInt64, task: Task<Result<RenderedRows, HypervisorError>, Never>)] = [:]
        var last: UInt64 = 0
    }

    private let sharing: Bool
    private let state = Mutex(State())

    init(sharing: Bool) { self.sharing = sharing }

    /// The rows of one environment, fetched now or by a read that is under way.
    func inventory(of site: Site, runningOnly: Bool) async throws(HypervisorError) -> RenderedRows {
        guard sharing else { return try await site.hypervisor.inventory(runningOnly: runningOnly) }
        let key = Key(environment: site.facts.name, runningOnly: runningOnly)
        let task = state.withLock { state in
            if let flight = state.flights[key] { return flight.task }
            state.last += 1
            let number = state.last
            let task = Task { await self.fetch(site, key, number) }
            state.flights[key] = (number, task)
            return task
        }
        return try await task.value.get()
    }

    private func fetch(_ site: Site, _ key: Key, _ number: UInt64) async -> Result<RenderedRows, HypervisorError> {
        let result: Result<RenderedRows, HypervisorError>
        do throws(HypervisorError) {
            result = .success(try await site.hypervisor.inventory(runningOnly: key.runningOnly))
        } catch {
            result = .failure(error)
        }
        state.withLock { state in
            if state.flights[key]?.number == number { state.flights[key] = nil }
        }
        return result
    }
}
