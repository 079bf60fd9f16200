internal import CCurl
internal import Glibc

/// The one thread on which libcurl runs, for all transports of the process.
///
/// Each transport has a pool of connections of its own; no call on the thread waits for one of them.
package final class CurlLoop: Sendable {
    /// The system gave no thread, descriptor or memory.
    package struct Unavailable: Error, Sendable, Hashable {
        package let detail: String
    }

    let inbox: CurlInbox

    /// `curl_global_init` runs once in a process.
    private static let globalResult = ccurl_global_init()

    /// Starts the thread. It runs until ``stop()``, whether or not this object is still held.
    package init() throws(Unavailable) {
        guard Self.globalResult == CURLE_OK else { throw Unavailable(detail: "curl_global_init") }
        guard let inbox = CurlInbox() else { throw Unavailable(detail: "eventfd: errno \(errno)") }
        self.inbox = inbox
        var thread = pthread_t()
        // Released by the thread itself.
        let context = unsafe Unmanaged.passRetained(inbox)
        let code = unsafe pthread_create(&thread, nil, runLoop, context.toOpaque())
        guard code == 0 else {
            unsafe context.release()
            throw Unavailable(detail: "pthread_create: errno \(code)")
        }
        pthread_detach(thread)
    }

    /// Ends every exchange with `TransportError.cancelled`, closes all connections and waits for the thread's end.
    package func stop() async {
        await withCheckedContinuation { continuation in
            if !inbox.put(.stop { continuation.resume() }) { continuation.resume() }
        }
    }
}

/// The thread's body. `context` is its inbox, retained by ``CurlLoop/init()``.
private func runLoop(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    let inbox = unsafe Unmanaged<CurlInbox>.fromOpaque(context).takeRetainedValue()
    unsafe ccurl_name_thread("curl")
    // Signals are for other threads, and a broken connection must not raise SIGPIPE.
    var signals = sigset_t()
    unsafe sigfillset(&signals)
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    CurlReactor(inbox).run()
    return nil
}
