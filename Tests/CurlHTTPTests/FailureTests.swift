import CurlHTTP
import HTTPMessage
import Testing
import WireTestSupport

/// What does not end in an answer, and whether the request may have left.
@Suite(.timeLimit(.minutes(1))) struct FailureTests {
    /// What the server does instead of answering.
    private static let breaks: [String: [RawServer.Step]] = [
        "closed without an answer": [.request, .close],
        "reset without an answer": [.request, .reset],
        "reset in the middle of the request": [.bytes(10), .reset],
        "half a status line": [.request, .send("HTTP/1.1 2"), .close],
        "half a head": [.request, .send("HTTP/1.1 200 OK\r\nContent-Le"), .close],
        "half a body": [.request, .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), .close],
        "half a body and a reset": [.request, .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), .reset],
        "half a chunk": [.request, .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf"), .close],
        "no last chunk":
            [.request, .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"), .close],
        "HTML instead of HTTP": [.request, .send("<html><body>502 Bad Gateway</body></html>"), .close],
        "another protocol": [.send("220 mail.example ESMTP ready\r\n"), .request, .close],
        "a head without end": [.request, .send(Array(repeating: 0x41, count: 400_000)), .close],
        "too many fields": [
            .request,
            .send("HTTP/1.1 200 OK\r\n" + String(repeating: "Field: 0123456789\r\n", count: 20_000) + "\r\n"), .close,
        ],
        "only an interim answer": [.request, .send("HTTP/1.1 100 Continue\r\n\r\n"), .close],
    ]

    @Test(arguments: breaks.keys.sorted())
    func `a broken answer is an error that says the request left`(name: String) async throws {
        let steps = try #require(Self.breaks[name])
        try await withServer({ _ in steps }) { server, transport in
            let failure = try #require(await transport.failure(.post("/secret-target", "secret-body")))
            guard case .broken(let text, sent: true) = failure else {
                Issue.record("\(failure)")
                return
            }
            #expect(!text.isEmpty && !text.contains("secret") && !text.contains { $0.isNewline })
            #expect(server.connections == 1)
        }
    }

    @Test func `a reset on arrival is an error either way`() async throws {
        try await withServer({ _ in [.reset] }) { server, transport in
            switch await transport.failure(.post("/", "x")) {
            case .unreachable, .broken(_, sent: true): #expect(server.requests.isEmpty)
            case let other: Issue.record("\(String(describing: other))")
            }
        }
    }

    @Test func `nobody listens`() async throws {
        let server = try RawServer(.hang)
        let origin = try HTTPOrigin.local(server)
        server.stop()
        let loop = try CurlLoop()
        let gone = CurlTransport(CurlConfiguration(origin: origin), loop: loop)
        #expect(await eventually { (try? RawClient(server.address)) == nil })
        let failure = try #require(await gone.failure(.post("/", "x")))
        guard case .unreachable(let text) = failure else {
            Issue.record("\(failure)")
            return
        }
        #expect(text.contains("127.0.0.1") && !failure.maybeSent)
        await loop.stop()
    }

    @Test func `a name that does not resolve`() async throws {
        let loop = try CurlLoop()
        let transport = CurlTransport(
            CurlConfiguration(origin: try HTTPOrigin(parsing: "https://pve.invalid"), connectTimeout: .seconds(3)),
            loop: loop)
        let failure = try #require(await transport.failure(.get()))
        #expect(!failure.maybeSent)
        await loop.stop()
    }

    @Test func `a handshake that never ends is a connect timeout before anything was sent`() async throws {
        try await withServer({ _ in [.hang] }) { server, _ in
            let loop = try CurlLoop()
            let configuration = CurlConfiguration(
                origin: try .local(server, scheme: "https"), connectTimeout: .milliseconds(200))
            let transport = CurlTransport(configuration, loop: loop)
            #expect(await transport.failure(.post("/", "x")) == .timeout(sent: false))
            await loop.stop()
        }
    }

    @Test func `a connect timeout is not lengthened by a longer total one`() async throws {
        try await withServer({ _ in [.hang] }) { server, _ in
            let loop = try CurlLoop()
            let configuration = CurlConfiguration(
                origin: try .local(server, scheme: "https"), connectTimeout: .seconds(60))
            let transport = CurlTransport(configuration, loop: loop)
            #expect(await transport.failure(.get(timeout: .milliseconds(200))) == .timeout(sent: false))
            await loop.stop()
        }
    }

    @Test(
        arguments: [
            [.request, .hang],
            [.request, .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), .hang],
        ] as [[RawServer.Step]])
    func `silence after the request is a timeout that says it left`(steps: [RawServer.Step]) async throws {
        try await withServer({ _ in steps }) { _, transport in
            let begin = ContinuousClock.now
            #expect(await transport.failure(.get(timeout: .milliseconds(300))) == .timeout(sent: true))
            let took = ContinuousClock.now - begin
            #expect(took >= .milliseconds(300) && took < .seconds(10))
        }
    }

    @Test func `the time of a request runs while it waits for a connection`() async throws {
        try await withServer({ _ in [.request, .hang] }, adjust: { $0.maximumConnections = 1 }) { server, transport in
            let first = Task { await transport.failure(.get("/first", timeout: .seconds(60))) }
            #expect(await eventually { server.requests.count == 1 })
            #expect(await transport.failure(.get("/second", timeout: .milliseconds(200))) == .timeout(sent: false))
            first.cancel()
            #expect(await first.value == .cancelled(sent: true))
            #expect(server.requests.count == 1)
        }
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n", 0),
        ("HTTP/1.1 200 OK\r\n\r\n", 1001),
        ("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n", 1001),
    ])
    func `an answer over the limit is cut off`(head: String, bytes: Int) async throws {
        let steps: [RawServer.Step] = [.request, .send(head), .send(Array(repeating: 0x78, count: bytes)), .hang]
        try await withServer({ _ in steps }, adjust: { $0.maximumBodyBytes = 1000 }) { _, transport in
            #expect(await transport.failure(.get()) == .tooLarge(limit: 1000))
        }
    }

    @Test func `an answer of just the limit is taken`() async throws {
        let body = String(repeating: "x", count: 1000)
        try await withServer({ _ in [.request, .answer("200 OK", body)] }, adjust: { $0.maximumBodyBytes = 1000 }) {
            _, transport in
            let answer = try await transport.send(.get())
            #expect(answer.body.count == 1000)
        }
    }

    @Test func `a decompressed answer over the limit is cut off`() async throws {
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        let steps: [RawServer.Step] = [.request, .send(Array(head.utf8) + compressedBlanks), .close]
        try await withServer({ _ in steps }, adjust: { ($0.maximumBodyBytes, $0.acceptsGzip) = (1000, true) }) {
            _, transport in
            #expect(await transport.failure(.get()) == .tooLarge(limit: 1000))
        }
    }
}

/// 100,000 blanks by gzip.
private let compressedBlanks: [UInt8] = [
    0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xED, 0xC1, 0x31, 0x01, 0x00, 0x00,
    0x00, 0xC2, 0xA0, 0x2A, 0xEB, 0x9F, 0xD2, 0x1A, 0x1E, 0x40, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xAF, 0x06, 0x2D, 0xF0, 0x79,
    0xCA, 0xA0, 0x86, 0x01, 0x00,
]
