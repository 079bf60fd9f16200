internal import AgentService
package import HTTPMessage
internal import HTTPTypes

/// The Proxmox VE API of one environment: calls in, JSON out. Does not know what the calls mean.
package struct PVEClient: Sendable {
    private let transport: any HTTPTransport
    private let token: PVEToken
    private let basePath: String
    private let timeout: Duration
    private let retry: PVERetry

    /// `timeout` limits a whole call, for reads including all tries and pauses.
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

    /// The largest answer that is parsed into a tree, which takes about ten times the memory. Larger lists are scanned.
    static let maximumTreeBytes = 8 << 20

    /// Reads, with retries if PVE was not reached. `timeout` is for the whole call; `nil` for the client's own.
    package func get(_ call: PVECall, timeout: Duration? = nil) async throws(PVEError) -> PVEReply {
        try PVEReply(try await getRaw(call, timeout: timeout, maximumBytes: Self.maximumTreeBytes))
    }

    /// Reads like ``get(_:timeout:)``, but returns the raw body, since large lists are scanned and not parsed.
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
                // A random part of the pause, so that callers that failed together do not retry together.
                let pause = backoff.next() * Double.random(in: 0...1)
                guard number < retry.tries, retry.isWorthwhile(after: error), .now + pause < deadline else {
                    throw error
                }
                guard (try? await Task.sleep(for: pause)) != nil else { throw .transport(.cancelled(sent: false)) }
            }
            number += 1
        }
    }

    /// Sends a mutation, with exactly one try. After an error, ``PVEError/mayHaveExecuted`` tells whether it may have
    /// been carried out. `timeout` is as for reads; `gate` as in ``OutgoingRequest``.
    package func send(
        _ mutation: PVECall, timeout: Duration? = nil, gate: (@Sendable () -> Bool)? = nil
    ) async throws(PVEError) -> PVEReply {
        precondition(mutation.method != .get, "a mutation is no GET")
        return try PVEReply(
            try await exchange(
                mutation, once: true, timeout: timeout ?? self.timeout, maximumBytes: Self.maximumTreeBytes,
                gate: gate))
    }

    /// See ``HTTPTransport/finishWriting()``.
    package func finishWriting() async { await transport.finishWriting() }

    /// One try; returns the body of a success.
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
