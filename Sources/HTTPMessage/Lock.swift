private import Glibc

/// State behind a `pthread_mutex_t`; used like `Synchronization.Mutex`.
///
/// For what C libraries' threads touch: the thread sanitizer understands this lock, while it sees nothing of what
/// `Mutex` does inside the runtime once two threads compete, and then reports races where there are none.
@safe package struct Lock<State: ~Copyable>: ~Copyable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let state: UnsafeMutablePointer<State>

    package init(_ initial: consuming sending State) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        state = .allocate(capacity: 1)
        state.initialize(to: initial)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Runs `body` with the state for itself alone. Never wait, nor take the same lock again, in there.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state.pointee)
    }
}

// SAFETY: the state is reached through `withLock` only, one thread at a time, and goes in and out by `sending`.
extension Lock: @unchecked Sendable where State: ~Copyable {}
