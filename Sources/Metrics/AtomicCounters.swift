import Synchronization

/// Numbers that any thread counts up or down, each independent of the others. All begin at 0.
// SAFETY: the memory is initialised in `init`, freed in `deinit`, and only used through atomic operations within bounds.
@safe package final class AtomicCounters: @unchecked Sendable {
    package let count: Int
    private let base: UnsafeMutablePointer<Atomic<Int>>

    package init(_ count: Int) {
        self.count = count
        unsafe base = .allocate(capacity: count)
        for index in 0..<count { unsafe (base + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe base.deinitialize(count: count)
        unsafe base.deallocate()
    }

    /// Adds `amount` to one of them. Wraps around after 2⁶³.
    package func add(_ amount: Int = 1, at index: Int) {
        precondition(index >= 0 && index < count, "there are \(count) counters")
        unsafe base[index].wrappingAdd(amount, ordering: .relaxed)
    }

    package subscript(index: Int) -> Int {
        precondition(index >= 0 && index < count, "there are \(count) counters")
        return unsafe base[index].load(ordering: .relaxed)
    }
}
