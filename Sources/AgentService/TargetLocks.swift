import Synchronization

/// Locks by name, several at once, first come first served; and slots with a limited number of holders.
///
/// No later waiter overtakes an earlier one on any of its names or on its slot, so none starves. All locks are taken in
/// one step, so there is no deadlock.
final class TargetLocks: Sendable {
    /// A slot for at most `limit` holders.
    struct Slot: Sendable {
        let name: String
        let limit: Int
    }

    /// A place in the queue. `ahead` is the position when it was taken; 0 means that the locks are held.
    struct Ticket: Sendable {
        fileprivate let number: UInt64
        fileprivate let names: Set<String>
        fileprivate let slot: Slot?
        let ahead: Int
    }

    fileprivate struct Waiter {
        let number: UInt64
        let names: Set<String>
        let slot: Slot?
        var continuation: CheckedContinuation<Bool, Never>?

    }

    fileprivate struct State {
        /// Who holds each name: one holder, and any that were let past it.
        var held: [String: Set<UInt64>] = [:]
        var slots: [String: Int] = [:]
        var waiting: [Waiter] = []
        /// Granted before anything waited for it.
        var granted: Set<UInt64> = []
        var last: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Takes the locks and the slot at once if they are free and not awaited, else a place in the queue.
    ///
    /// If `passed` alone holds the wanted locks, they are shared with it, without a slot and ahead of all waiters.
    func enter(_ names: Set<String>, slot: Slot? = nil, passing passed: Ticket? = nil) -> Ticket {
        state.withLock { state in
            state.last += 1
            if let passed, names.allSatisfy({ state.held[$0, default: []].isSubset(of: [passed.number]) }) {
                state.hold(Waiter(number: state.last, names: names, slot: nil))
                return Ticket(number: state.last, names: names, slot: nil, ahead: 0)
            }
            let waiter = Waiter(number: state.last, names: names, slot: slot)
            let ahead = state.count(ahead: waiter, in: state.waiting[...])
            guard ahead > 0 || !state.isFree(waiter) else {
                state.hold(waiter)
                return Ticket(number: state.last, names: names, slot: slot, ahead: 0)
            }
            state.waiting.append(waiter)
            return Ticket(number: state.last, names: names, slot: slot, ahead: ahead + 1)
        }
    }

    /// Waits until the ticket's locks are held; false if it was withdrawn meanwhile.
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

    /// The ticket's current position in the queue, counted from 1; 0 when it holds its locks.
    func position(of ticket: Ticket) -> Int {
        state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.number == ticket.number }) else { return 0 }
            return 1 + state.count(ahead: state.waiting[index], in: state.waiting[..<index])
        }
    }

    /// Gives up a place in the queue. False if the locks are held already.
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

    /// Runs `body` with all of `names` held.
    func holding<Value: Sendable>(
        _ names: Set<String>, _ body: () async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        let ticket = enter(names)
        _ = await wait(for: ticket)
        defer { leave(ticket) }
        return try await body()
    }

    /// Frees what a granted ticket holds and lets the next ones in.
    func leave(_ ticket: Ticket) {
        let granted = state.withLock { state in
            for name in ticket.names {
                state.held[name]?.remove(ticket.number)
                if state.held[name]?.isEmpty == true { state.held[name] = nil }
            }
            if let slot = ticket.slot { state.slots[slot.name, default: 1] -= 1 }
            state.granted.remove(ticket.number)
            return Self.grant(&state)
        }
        for continuation in granted { continuation.resume(returning: true) }
    }

    /// Grants free locks to the waiters in their order; returns the waiters to wake.
    private static func grant(_ state: inout State) -> [CheckedContinuation<Bool, Never>] {
        var wake: [CheckedContinuation<Bool, Never>] = []
        var rest: [Waiter] = []
        for waiter in state.waiting {
            guard state.isFree(waiter), rest.allSatisfy({ $0.names.isDisjoint(with: waiter.names) }) else {
                rest.append(waiter)
                continue
            }
            state.hold(waiter)
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

extension TargetLocks.State {
    fileprivate func isFree(_ waiter: TargetLocks.Waiter) -> Bool {
        waiter.names.allSatisfy { held[$0] == nil } && !isFull(waiter.slot)
    }

    private func isFull(_ slot: TargetLocks.Slot?) -> Bool {
        slot.map { slots[$0.name, default: 0] >= $0.limit } ?? false
    }

    /// How many of `others` go first: those that want one of its names and, if no slot is left, those that want the
    /// same slot. A waiter that only waits for a name lets others use its slot meanwhile.
    fileprivate func count(ahead waiter: TargetLocks.Waiter, in others: ArraySlice<TargetLocks.Waiter>) -> Int {
        let isFull = isFull(waiter.slot)
        return others.count { other in
            !other.names.isDisjoint(with: waiter.names) || (isFull && other.slot?.name == waiter.slot?.name)
        }
    }

    fileprivate mutating func hold(_ waiter: TargetLocks.Waiter) {
        for name in waiter.names { held[name, default: []].insert(waiter.number) }
        if let slot = waiter.slot { slots[slot.name, default: 0] += 1 }
    }
}
