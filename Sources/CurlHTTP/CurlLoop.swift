internal import CCurl
internal import Glibc
internal import SystemThread

/// The one thread on which libcurl runs, for all transports of the process.
///
/// Each transport has its own pool of connections; no call on the thread blocks on one of them.
package final class CurlLoop: Sendable {
    /// The system has no thread, descriptor or memory left.
    package struct Unavailable: Error, Sendable, Hashable {
        package let detail: String
    }

    let inbox: CurlInbox

    /// `curl_global_init` runs once in a process.
    private static let globalResult = ccurl_global_init()

    /// Starts the thread. It runs until ``stop()``, even if this object is released.
    package init() throws(Unavailable) {
        guard Self.globalResult == CURLE_OK else { throw Unavailable(detail: "curl_global_init") }
        guard let inbox = CurlInbox() else { throw Unavailable(detail: "eventfd: errno \(errno)") }
        self.inbox = inbox
        do throws(OwnThread.Unavailable) {
            try OwnThread.start {
                unsafe ccurl_name_thread("curl")
                CurlReactor(inbox).run()
            }
        } catch {
            throw Unavailable(detail: "\(error)")
        }
    }

    /// Ends every exchange with `TransportError.cancelled`, closes all connections and joins the thread.
    package func stop() async {
        await withCheckedContinuation { continuation in
            if !inbox.put(.stop { continuation.resume() }) { continuation.resume() }
        }
    }
}
