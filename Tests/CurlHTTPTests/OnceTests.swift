import CurlHTTP
import HTTPMessage
import HTTPTypes
import Testing
import WireTestSupport

/// A mutation leaves at most once, whatever the connections do.
@Suite(.timeLimit(.minutes(1))) struct OnceTests {

    /// Answers one request and keeps the connection; all that follows is read, and the connection closed.
    private static let deadly: @Sendable (Int) -> [RawServer.Step] = { connection in
        connection == 0 ? [.request, .answer("200 OK"), .request, .close] : [.request, .close]
    }

    @Test(arguments: [
        // libcurl repeats what it sent on a kept connection that closes without an answer …
        (HTTPRequest.Method.post, false, 2), (.get, false, 2),
        // … and must not do so here.
        (.post, true, 1), (.put, true, 1), (.delete, true, 1), (.get, true, 1),
    ])
    func `after a kept connection, a request marked once is read once`(
        method: HTTPRequest.Method, once: Bool, seen: Int
    ) async throws {
        try await withServer(Self.deadly) { server, transport in
            _ = try await transport.send(.get("/prime"))
            let failure = await transport.failure(OutgoingRequest(method: method, target: "/act", once: once))
            guard case .broken(_, sent: true) = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
            #expect(server.requests.filter { $0.start.contains("/act") }.count == seen)
            #expect(server.requests.count == 1 + seen)
        }
    }

    @Test func `reads share one connection; each mutation has its own, which is not used again`() async throws {
        try await withServer({ _ in [.request, .answer("200 OK"), .again] }) { server, transport in
            for _ in 0..<3 { _ = try await transport.send(.post("/", "x")) }
            #expect(server.connections == 3)
            for _ in 0..<3 { _ = try await transport.send(.get()) }
            #expect(server.connections == 4)
            for _ in 0..<3 { _ = try await transport.send(.post("/", "x")) }
            #expect(server.connections == 7)
            for _ in 0..<3 { _ = try await transport.send(.get()) }
            #expect(server.connections == 7)
            #expect(server.requests.count == 12)
        }
    }

    @Test func `a read survives a kept connection that the server has closed`() async throws {
        try await withServer({ _ in [.request, .answer("200 OK"), .request, .close] }) { server, transport in
            for _ in 0..<4 { #expect(await transport.failure(.get()) == nil) }
            #expect(server.connections == 4)
        }
    }

    @Test func `an answer before the end of the request is not asked for again`() async throws {
        let large = String(repeating: "x", count: 400_000)
        try await withServer({ _ in [.bytes(1000), .send("HTTP/1.1 501 for data too large\\r\\n\\r\\n"), .close] }) {
            server, transport in
            do throws(TransportError) {
                let answer = try await transport.send(.post("/", large))
                #expect(answer.status == 501)
            } catch {
                #expect(error.maybeSent)
            }
            #expect(server.connections == 1)
        }
    }
}
