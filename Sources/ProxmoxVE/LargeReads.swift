import Synchronization

/// Limits how many bytes of an environment's lists are in memory at the same time.
///
/// The size of the next list is unknown until it arrives; it is estimated by the last one of its kind.
final class LargeReads: Sendable {
    private struct Waiter {
        let number: UInt64
        let cost: Int
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        /// The size of the last list of each name. The first estimate is high, so that few are read at once.
        var expected: [String: Int] = [:]
        var used = 0
        /// The bytes of lists that arrived and are in use, and their maximum so far.
        var held = 0
        var most = 0
        var last: UInt64 = 0
        var waiters: [Waiter] = []

        func hasRoom(_ cost: Int) -> Bool { used == 0 || used + cost <= LargeReads.budget }

        /// Admits waiters in order while there is room.
        mutating func admit() -> [CheckedContinuation<Bool, Never>] {
            var admitted: [CheckedContinuation<Bool, Never>] = []
            while let first = waiters.first, hasRoom(first.cost) {
                used += first.cost
                admitted.append(first.continuation)
                waiters.removeFirst()
            }
            return admitted
        }
    }

    /// The limit for all lists together, in bytes; a single one may be larger.
    static let budget = 32 << 20
    private static let leastCost = 64 << 10

    private let state = Mutex(State())

    /// Waits for room. Pass the result to ``leave(_:of:found:)``; `nil` if the task was cancelled.
    func enter(_ list: String) async -> Int? {
        let (number, cost) = state.withLock { state in
            state.last += 1
            return (state.last, min(max(state.expected[list] ?? Self.budget / 2, Self.leastCost), Self.budget))
        }
        let isIn = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    guard state.waiters.isEmpty, state.hasRoom(cost) else {
                        state.waiters.append(Waiter(number: number, cost: cost, continuation: continuation))
                        return nil
                    }
                    state.used += cost
                    return true
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let (left, admitted) = state.withLock { state in
                let left = state.waiters.firstIndex { $0.number == number }.map { state.waiters.remove(at: $0) }
                // There may be room for the waiters behind it.
                return (left, state.admit())
            }
            left?.continuation.resume(returning: false)
            for continuation in admitted { continuation.resume(returning: true) }
        }
        return isIn ? cost : nil
    }

    /// Counts an answer of `size` bytes that arrived.
    func hold(_ size: Int) {
        state.withLock { state in
            state.held += size
            state.most = max(state.most, state.held)
        }
    }

    /// How many reads wait for room.
    var waiting: Int { state.withLock { $0.waiters.count } }

    /// The most bytes that were in use at once.
    var most: Int { state.withLock { $0.most } }

    /// `found` is the size of the list; `nil` if none arrived, which keeps the estimate.
    func leave(_ cost: Int, of list: String, found: Int?) {
        let admitted = state.withLock { state in
            state.used -= cost
            state.held -= found ?? 0
            state.expected[list] = found ?? state.expected[list] ?? Self.budget / 4
            return state.admit()
        }
        for continuation in admitted { continuation.resume(returning: true) }
    }
}
