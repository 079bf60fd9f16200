import CurlHTTP
import Glibc
import HTTPMessage
import HTTPTypes
import Testing
import WireTestSupport

extension HTTPOrigin {
    static func local(_ server: RawServer, scheme: String = "http") throws -> HTTPOrigin {
        try HTTPOrigin(parsing: "\(scheme)://127.0.0.1:\(server.port)")
    }
}

extension OutgoingRequest {
    static func get(_ target: String = "/", timeout: Duration? = nil) -> OutgoingRequest {
        OutgoingRequest(method: .get, target: target, once: false, timeout: timeout)
    }

    static func post(_ target: String = "/", _ body: String, once: Bool = true) -> OutgoingRequest {
        OutgoingRequest(method: .post, target: target, body: Array(body.utf8), once: once)
    }
}

/// Runs `body` with a transport to a server that follows `script`, and stops both.
func withServer<T>(
    _ script: @escaping @Sendable (_ connection: Int) -> [RawServer.Step],
    adjust: (inout CurlConfiguration) -> Void = { _ in },
    _ body: (RawServer, CurlTransport) async throws -> T
) async throws -> T {
    let server = try RawServer(script: script)
    defer { server.stop() }
    var configuration = CurlConfiguration(origin: try .local(server), timeout: .seconds(20))
    adjust(&configuration)
    let loop = try CurlLoop()
    do {
        let result = try await body(server, CurlTransport(configuration, loop: loop))
        await loop.stop()
        return result
    } catch {
        await loop.stop()
        throw error
    }
}

extension CurlTransport {
    /// The error that `request` ends with; `nil` when there is an answer.
    func failure(_ request: OutgoingRequest) async -> TransportError? {
        do throws(TransportError) {
            _ = try await send(request)
            return nil
        } catch {
            return error
        }
    }
}

/// Waits until `condition` holds, 10 s at most.
func eventually(_ condition: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < deadline {
        if condition() { return true }
        try? await Task.sleep(for: .milliseconds(2))
    }
    return condition()
}

func setVariable(_ name: String, _ value: String) { _ = setenv(name, value, 1) }
