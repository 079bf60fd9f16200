import Synchronization

/// Locks by name, several at once, first come first served.
///
/// Whoever waits keeps those behind it from overtaking on any of its names, so nobody starves, and all names are
/// taken in one step, so nobody deadlocks.
final class TargetLocks: Sendable {
    /// A place in the queue. `ahead` is how many stood before it when it was taken; 0 means the locks are held.
    struct Ticket: Sendable {
        fileprivate let number: UInt64
        fileprivate let names: Set<String>
        let ahead: Int
    }

    private struct Waiter {
        let number: UInt64
        let names: Set<String>
        var continuation: CheckedContinuation<Bool, Never>?
    }

    private struct State {
        var held: Set<String> = []
        var waiting: [Waiter] = []
        /// Granted before anybody waited for it.
        var granted: Set<UInt64> = []
        var last: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Takes the locks at once where nobody holds or awaits any of them, else a place in the queue.
    func enter(_ names: Set<String>) -> Ticket {
        state.withLock { state in
            state.last += 1
            let ahead = state.waiting.count { !$0.names.isDisjoint(with: names) }
            guard ahead > 0 || !state.held.isDisjoint(with: names) else {
                state.held.formUnion(names)
                return Ticket(number: state.last, names: names, ahead: 0)
            }
            state.waiting.append(Waiter(number: state.last, names: names))
            return Ticket(number: state.last, names: names, ahead: ahead + 1)
        }
    }

    /// Waits until the ticket's locks are held; false when it was withdrawn meanwhile.
    func wait(for ticket: Ticket) async -> Bool {
        guard ticket.ahead > 0 else { return true }
        return await withCheckedContinuation { continuation in
            let answer: Bool? = state.withLock { state in
                if state.granted.remove(ticket.number) != nil { return true }
                guard let index = state.waiting.firstIndex(where: { $0.number == ticket.number }) else { return false }
                state.waiting[index].continuation = continuation
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// How many wait before the ticket now, itself included; 0 when it holds its locks.
    func position(of ticket: Ticket) -> Int {
        state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.number == ticket.number }) else { return 0 }
            return 1 + state.waiting[..<index].count { !$0.names.isDisjoint(with: ticket.names) }
        }
    }

    /// Gives up a place in the queue. False when the locks are held already.
    func withdraw(_ ticket: Ticket) -> Bool {
        let withdrawn: (Bool, [CheckedContinuation<Bool, Never>]) = state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.number == ticket.number }) else {
                return (false, [])
            }
            let waiter = state.waiting.remove(at: index)
            waiter.continuation?.resume(returning: false)
            return (true, Self.grant(&state))
        }
        for continuation in withdrawn.1 { continuation.resume(returning: true) }
        return withdrawn.0
    }

    /// Frees what a granted ticket holds and lets the next ones in.
    func leave(_ ticket: Ticket) {
        let granted = state.withLock { state in
            state.held.subtract(ticket.names)
            state.granted.remove(ticket.number)
            return Self.grant(&state)
        }
        for continuation in granted { continuation.resume(returning: true) }
    }

    /// Hands free locks to the waiters in their order; returns whom to wake.
    private static func grant(_ state: inout State) -> [CheckedContinuation<Bool, Never>] {
        var wake: [CheckedContinuation<Bool, Never>] = []
        var wanted: Set<String> = []
        var rest: [Waiter] = []
        for waiter in state.waiting {
            guard waiter.names.isDisjoint(with: state.held), waiter.names.isDisjoint(with: wanted) else {
                wanted.formUnion(waiter.names)
                rest.append(waiter)
                continue
            }
            state.held.formUnion(waiter.names)
            if let continuation = waiter.continuation {
                wake.append(continuation)
            } else {
                state.granted.insert(waiter.number)
            }
        }
        state.waiting = rest
        return wake
    }
}
