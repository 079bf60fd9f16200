import AgentModel
import Synchronization

/// Lets identical concurrent reads share one fetch. Nothing is kept after the fetch.
final class SharedReads: Sendable {
    struct Key: Hashable, Sendable {
        let environment: EnvironmentName
        let runningOnly: Bool
    }

    private typealias Outcome = Result<RenderedRows, HypervisorError>

    private struct Flight {
        let number: UInt64
        var task: Task<Void, Never>?
        /// The reads that wait for it, by number.
        var waiters: [UInt64: CheckedContinuation<Outcome, Never>] = [:]
    }

    private struct State {
        var flights: [Key: Flight] = [:]
        var last: UInt64 = 0

        mutating func next() -> UInt64 {
            last += 1
            return last
        }
    }

    /// How many reads wait for a fetch.
    var waiting: Int { state.withLock { $0.flights.values.reduce(0) { $0 + $1.waiters.count } } }

    private let sharing: Bool
    private let state = Mutex(State())

    init(sharing: Bool) { self.sharing = sharing }

    /// The rows of one environment, fetched now or shared with a read under way. A cancelled read stops waiting, and a
    /// fetch that no read waits for is cancelled.
    func inventory(of managed: ManagedEnvironment, runningOnly: Bool) async throws(HypervisorError) -> RenderedRows {
        guard sharing else { return try await managed.hypervisor.inventory(runningOnly: runningOnly) }
        let key = Key(environment: managed.settings.name, runningOnly: runningOnly)
        let waiter = state.withLock { $0.next() }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { wait($0, waiter, for: key, at: managed) }
        } onCancel: {
            leave(waiter, key)
        }
        return try outcome.get()
    }

    private func wait(
        _ continuation: CheckedContinuation<Outcome, Never>, _ waiter: UInt64, for key: Key,
        at managed: ManagedEnvironment
    ) {
        let isGivenUp = state.withLock { state in
            if Task.isCancelled { return true }
            if state.flights[key] == nil {
                let number = state.next()
                state.flights[key] = Flight(number: number)
                // An unstructured task: it serves all waiters, so it must not end with the one that started it.
                state.flights[key]?.task = Task { await self.fetch(managed, key, number) }
            }
            state.flights[key]?.waiters[waiter] = continuation
            return false
        }
        if isGivenUp { continuation.resume(returning: Self.givenUp) }
    }

    private static let givenUp = Outcome.failure(.invalid("the call was given up", mayHaveExecuted: false))

    private func leave(_ waiter: UInt64, _ key: Key) {
        let (continuation, deserted) = state.withLock {
            state -> (CheckedContinuation<Outcome, Never>?, Task<Void, Never>?) in
            guard let continuation = state.flights[key]?.waiters.removeValue(forKey: waiter) else { return (nil, nil) }
            guard state.flights[key]?.waiters.isEmpty == true else { return (continuation, nil) }
            return (continuation, state.flights.removeValue(forKey: key)?.task)
        }
        deserted?.cancel()
        continuation?.resume(returning: Self.givenUp)
    }

    private func fetch(_ managed: ManagedEnvironment, _ key: Key, _ number: UInt64) async {
        let outcome: Outcome
        do throws(HypervisorError) {
            outcome = .success(try await managed.hypervisor.inventory(runningOnly: key.runningOnly))
        } catch {
            outcome = .failure(error)
        }
        let waiters = state.withLock { state in
            state.flights[key]?.number == number ? state.flights.removeValue(forKey: key)?.waiters : nil
        }
        for continuation in (waiters ?? [:]).values { continuation.resume(returning: outcome) }
    }
}
