private import Glibc

/// State behind a `pthread_mutex_t`; used like `Synchronization.Mutex`.
///
/// For state that C libraries' threads use. The thread sanitizer understands this lock. It does not see what `Mutex`
/// does inside the runtime under contention, and then reports false races.
@safe package struct Lock<State: ~Copyable>: ~Copyable {
    // SAFETY: both are created in `init`, freed in `deinit`, and never shared.
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

    /// Runs `body` with exclusive access to the state. Do not wait or take the same lock again in `body`.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try unsafe body(&state.pointee)
    }
}

// SAFETY: the state is only accessed in `withLock`, one thread at a time, and goes in and out by `sending`.
extension Lock: @unchecked Sendable where State: ~Copyable {}
