internal import Glibc

/// A separate thread for work that blocks: the pools of Swift's tasks and of Dispatch have too few threads for that.
package enum OwnThread {
    /// The system could not create a thread (`pthread_create`).
    package struct Unavailable: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String
    }

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Runs `body` on a new, detached thread, which blocks all signals.
    package static func start(_ body: sending @escaping () -> Void) throws(Unavailable) {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))

        // Retained for the thread, which releases it when it starts.
        let retained = unsafe Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument = unsafe argument else { return nil }
                var signals = sigset_t()
                unsafe sigfillset(&signals)
                unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
                // SAFETY: this is the retained body from `start`, which passes it only to this thread.
                unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, unsafe retained.toOpaque())
        guard code == 0 else {
            unsafe retained.release()
            throw Unavailable(description: unsafe "no thread: \(String(cString: strerror(code)))")
        }
    }
}
