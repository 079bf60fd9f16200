package import HTTPMessage

/// HTTP/1.1 to one origin through libcurl, with its own pool of connections.
///
/// Ignores the process environment: no proxy, no netrc, no cookies. Redirects are returned, not followed.
package final class CurlTransport: HTTPTransport {
    package let configuration: CurlConfiguration
    private let inbox: CurlInbox
    private let pool: UInt64

    /// Opens no connection yet. Stop `loop` after the last use of this transport.
    package init(_ configuration: CurlConfiguration, loop: CurlLoop) {
        self.configuration = configuration
        inbox = loop.inbox
        pool = loop.inbox.newNumber()
    }

    deinit { _ = inbox.put(.close(pool: pool) {}) }

    /// Sends `request`. Framing fields, `Host`, `Connection` and `Expect` in its fields are set by libcurl.
    ///
    /// A request with `once` uses a separate connection and is sent at most once. libcurl may repeat any other if a
    /// reused connection turns out to be closed. Cancelling the calling task ends the exchange.
    package func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse {
        guard CurlHandle.isTarget(request.target) else { throw .unreachable("the request target is malformed") }
        guard !Task.isCancelled else { throw .cancelled(sent: false) }
        let id = inbox.newNumber()
        let deadline = ContinuousClock.now + (request.timeout ?? configuration.timeout)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let job = CurlJob(id: id, request: request, deadline: deadline) { continuation.resume(returning: $0) }
                guard inbox.put(.start(job, pool: pool, configuration)) else {
                    return job.finish(.failure(.cancelled(sent: false)))
                }
                // The handler below may have run before there was anything to cancel.
                if Task.isCancelled { _ = inbox.put(.cancel(job: id, pool: pool)) }
            }
        } onCancel: {
            _ = inbox.put(.cancel(job: id, pool: pool))
        }
        return try result.get()
    }

    /// A request that passed its gate was written by the same call on the loop's thread, except for what the socket did
    /// not take. So one round trip through that thread is enough.
    package func finishWriting() async {
        await withCheckedContinuation { continuation in
            if !inbox.put(.finishWriting(pool: pool) { continuation.resume() }) { continuation.resume() }
        }
    }

    /// Ends the running exchanges with `TransportError.cancelled` and closes all connections.
    package func shutdown() async {
        await withCheckedContinuation { continuation in
            if !inbox.put(.close(pool: pool) { continuation.resume() }) { continuation.resume() }
        }
    }
}
