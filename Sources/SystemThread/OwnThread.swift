internal import Glibc

/// A thread of its own for work that blocks: the pools of Swift's tasks and of Dispatch have too few to lend one.
package enum OwnThread {
    /// The system gave no thread (`pthread_create`).
    package struct Unavailable: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String
    }

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Runs `body` on a new, detached thread, which takes no signals.
    package static func start(_ body: sending @escaping () -> Void) throws(Unavailable) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))

        // Retained for the thread, which releases it as it starts.
        let retained = Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                var signals = sigset_t()
                sigfillset(&signals)
                pthread_sigmask(SIG_BLOCK, &signals, nil)
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, retained.toOpaque())
        guard code == 0 else {
            retained.release()
            throw Unavailable(description: "no thread: \(String(cString: strerror(code)))")
        }
    }
}
