private import Glibc

/// State behind a `pthread_mutex_t`; used like `Synchronization.Mutex`.
///
/// For what C libraries' threads touch: the thread sanitizer understands this lock, while it sees nothing of what
/// `Mutex` does inside the runtime once two threads compete, and then reports races where there are none.
@safe package struct Lock<State: ~Copyable>: ~Copyable {
    // SAFETY: both are made in `init` and freed in `deinit`, and nobody else gets them.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let state: UnsafeMutablePointer<State>

    package init(_ initial: consuming sending State) {
        unsafe mutex = .allocate(capacity: 1)
        unsafe mutex.initialize(to: pthread_mutex_t())
        unsafe pthread_mutex_init(mutex, nil)
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: initial)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    /// Runs `body` with the state for itself alone. Never wait, nor take the same lock again, in there.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try unsafe body(&state.pointee)
    }
}

// SAFETY: the state is reached through `withLock` only, one thread at a time, and goes in and out by `sending`.
extension Lock: @unchecked Sendable where State: ~Copyable {}
