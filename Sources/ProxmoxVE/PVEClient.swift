internal import AgentService
package import HTTPMessage
internal import HTTPTypes

/// The Proxmox VE API of one environment: calls in, JSON out. Knows nothing of what the calls mean.
package struct PVEClient: Sendable {
    private let transport: any HTTPTransport
    private let token: PVEToken
    private let basePath: String
    private let timeout: Duration
    private let retry: PVERetry

    /// `timeout` bounds a whole call, for reads with all its tries and pauses.
    package init(
        transport: any HTTPTransport, token: PVEToken, basePath: String = "/api2/json",
        timeout: Duration = .seconds(30), retry: PVERetry = PVERetry()
    ) {
        self.transport = transport
        self.token = token
        self.basePath = basePath
        self.timeout = timeout
        self.retry = retry
    }

    /// The largest answer that is made into a tree, which takes some ten times as much memory; larger lists are scanned.
    static let maximumTreeBytes = 8 << 20

    /// Reads, with retries where nothing was reached. `timeout` is for the whole call; the client's own where `nil`.
    package func get(_ call: PVECall, timeout: Duration? = nil) async throws(PVEError) -> PVEReply {
        try PVEReply(try await getRaw(call, timeout: timeout, maximumBytes: Self.maximumTreeBytes))
    }

    /// Reads as ``get(_:timeout:)`` does, and gives the body as it came: large lists are scanned, not parsed whole.
    package func getRaw(
        _ call: PVECall, timeout: Duration? = nil, maximumBytes: Int? = nil
    ) async throws(PVEError) -> [UInt8] {
        precondition(call.method == .get, "a read is a GET")
        let deadline = ContinuousClock.now + (timeout ?? self.timeout)
        var backoff = Backoff(from: retry.base, to: retry.cap)
        var number = 1
        while true {
            do throws(PVEError) {
                return try await exchange(call, once: false, timeout: deadline - .now, maximumBytes: maximumBytes)
            } catch {
                // Less than the whole pause, by chance: callers that failed together do not come back together.
                let pause = backoff.next() * Double.random(in: 0...1)
                guard number < retry.tries, retry.isWorthwhile(after: error), .now + pause < deadline else {
                    throw error
                }
                guard (try? await Task.sleep(for: pause)) != nil else { throw .transport(.cancelled(sent: false)) }
            }
            number += 1
        }
    }

    /// Sends a mutation: exactly one try. After an error, ``PVEError/mayHaveExecuted`` tells what is certain.
    /// `timeout` is as for reads; `gate` is that of ``OutgoingRequest``.
    package func send(
        _ mutation: PVECall, timeout: Duration? = nil, gate: (@Sendable () -> Bool)? = nil
    ) async throws(PVEError) -> PVEReply {
        precondition(mutation.method != .get, "a mutation is no GET")
        return try PVEReply(
            try await exchange(
                mutation, once: true, timeout: timeout ?? self.timeout, maximumBytes: Self.maximumTreeBytes,
                gate: gate))
    }

    /// As ``HTTPTransport/finishWriting()``.
    package func finishWriting() async { await transport.finishWriting() }

    /// One try: the body of a success.
    private func exchange(
        _ call: PVECall, once: Bool, timeout: Duration, maximumBytes: Int?, gate: (@Sendable () -> Bool)? = nil
    ) async throws(PVEError) -> [UInt8] {
        var request = OutgoingRequest(
            method: call.method.http, target: basePath + call.target, body: call.form, once: once, timeout: timeout,
            gate: gate)
        request.maximumBodyBytes = maximumBytes
        request.fields[.authorization] = token.authorization
        request.fields[.accept] = "application/json"
        if request.body != nil { request.fields[.contentType] = "application/x-www-form-urlencoded" }
        let answer: IncomingResponse
        do throws(TransportError) {
            answer = try await transport.send(request)
        } catch {
            throw .transport(error)
        }
        switch answer.status {
        case 200..<300: return answer.body
        case 401: throw .unauthenticated(reason: PVERefusal(answer).words)
        default: throw .refused(PVERefusal(answer))
        }
    }
}

extension PVECall.Method {
    fileprivate var http: HTTPRequest.Method {
        switch self {
        case .get: .get
        case .post: .post
        case .put: .put
        case .delete: .delete
        }
    }
}
