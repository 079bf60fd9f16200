import Synchronization

/// Places for requests that wait for one PVE, shared fairly among parties.
///
/// A single party may take all places. Once all are taken, a party with fewer than its equal share waits, and the next
/// free place goes to the waiting party with the fewest. A party that has its share is refused at once. So a flood from
/// one caller delays another's request by one request's time at most.
final class EnvironmentPlaces: Sendable {
    private struct Waiter {
        let number: UInt64
        let party: String
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var taken: [String: Int] = [:]
        var waiting: [Waiter] = []
        var last: UInt64 = 0

        /// How many places the party would have if it got one more and all that it waits for.
        func wanted(by party: String) -> Int {
            taken[party, default: 0] + waiting.count { $0.party == party } + 1
        }

        /// The equal share of a party, counted among those that have places or wait for one.
        func share(of party: String, in count: Int) -> Int {
            let parties = Set(taken.keys).union(waiting.map(\.party)).union([party])
            return max(1, count / parties.count)
        }

        mutating func free(_ party: String) {
            let left = taken[party, default: 0] - 1
            taken[party] = left > 0 ? left : nil
        }
    }

    /// The total number of places.
    let count: Int
    private let patience: Duration
    private let state = Mutex(State())

    /// `patience` is how long a request waits for a place.
    init(_ count: Int, patience: Duration = .seconds(5)) {
        self.count = count
        self.patience = patience
    }

    /// The number of taken places.
    var taken: Int { state.withLock { $0.taken.values.reduce(0, +) } }

    /// The number of requests that wait for a place.
    var queued: Int { state.withLock { $0.waiting.count } }

    /// Takes a place until ``leave(_:)``, or waits for one. False if the party may not wait, the wait was too long, or
    /// its task was cancelled.
    func enter(_ party: String) async -> Bool {
        let (number, isIn) = state.withLock { state -> (UInt64, Bool) in
            state.last += 1
            let isFree = state.taken.values.reduce(0, +) < count
            if isFree { state.taken[party, default: 0] += 1 }
            return (state.last, isFree)
        }
        if isIn { return true }
        let timer = Task {
            try await Task.sleep(for: patience)
            giveUp(number)
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { wait(for: Waiter(number: number, party: party, continuation: $0)) }
        } onCancel: {
            giveUp(number)
        }
    }

    private func wait(for waiter: Waiter) {
        let answer = state.withLock { state -> Bool? in
            if Task.isCancelled { return false }
            // A place may have become free meanwhile.
            if state.taken.values.reduce(0, +) < count {
                state.taken[waiter.party, default: 0] += 1
                return true
            }
            let isFair =
                state.waiting.count < count
                && state.wanted(by: waiter.party) <= state.share(of: waiter.party, in: count)
            guard isFair else { return false }
            state.waiting.append(waiter)
            return nil
        }
        if let answer { waiter.continuation.resume(returning: answer) }
    }

    private func giveUp(_ number: UInt64) {
        let waiter = state.withLock { state in
            state.waiting.firstIndex { $0.number == number }.map { state.waiting.remove(at: $0) }
        }
        waiter?.continuation.resume(returning: false)
    }

    /// Gives a place back. It goes to the first waiter among the parties with the fewest.
    func leave(_ party: String) {
        let next = state.withLock { state -> Waiter? in
            state.free(party)
            let fewest = state.waiting.indices.min {
                (state.taken[state.waiting[$0].party, default: 0], $0)
                    < (state.taken[state.waiting[$1].party, default: 0], $1)
            }
            guard let fewest else { return nil }
            let waiter = state.waiting.remove(at: fewest)
            state.taken[waiter.party, default: 0] += 1
            return waiter
        }
        next?.continuation.resume(returning: true)
    }
}
