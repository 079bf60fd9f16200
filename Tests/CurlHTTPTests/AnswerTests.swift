import CurlHTTP
import HTTPMessage
import HTTPTypes
import Synchronization
import Testing
import WireTestSupport

/// What comes back, and what goes out, when all is well.
@Suite(.timeLimit(.minutes(1))) struct AnswerTests {
    @Test(arguments: [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.0 500 VM is locked (backup)", 500, "VM is locked (backup)"),
        (
            "HTTP/1.1 403 Permission check failed (/vms/103, VM.Audit)", 403,
            "Permission check failed (/vms/103, VM.Audit)"
        ),
        ("HTTP/1.1 500 two  blanks: kept ", 500, "two  blanks: kept "),
        ("HTTP/1.1 500 ungültig – 無効", 500, "ungültig – 無効"),
        ("HTTP/1.1 595 Connection refused", 595, "Connection refused"),
        ("HTTP/1.1 301 Moved Permanently\r\nLocation: http://127.0.0.1:1/elsewhere", 301, "Moved Permanently"),
        ("HTTP/1.1 308 Permanent Redirect\r\nLocation: /elsewhere", 308, "Permanent Redirect"),
        ("HTTP/1.1 401 No ticket\r\nWWW-Authenticate: Basic realm=x", 401, "No ticket"),
        ("HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 500 after an interim answer", 500, "after an interim answer"),
    ])
    func `every status is an answer, its reason phrase as sent`(head: String, status: Int, reason: String) async throws
    {
        let text = "\(head)\r\nContent-Length: 2\r\n\r\nhi"
        try await withServer({ _ in [.request, .send(text), .close] }) { server, transport in
            let answer = try await transport.send(.get())
            #expect(answer.status == status)
            #expect(answer.reason == reason)
            #expect(answer.body == Array("hi".utf8))
            #expect(server.requests.count == 1)
        }
    }

    @Test func `a reason that is no UTF-8 is mended, not refused`() async throws {
        let bytes = Array("HTTP/1.1 500 caf".utf8) + [0xE9] + Array("\r\nContent-Length: 0\r\n\r\n".utf8)
        try await withServer({ _ in [.request, .send(bytes)] }) { _, transport in
            let answer = try await transport.send(.get())
            #expect(answer.reason == "caf\u{FFFD}")
        }
    }

    @Test func `fields keep their order and their doubles; interim fields and trailers are dropped`() async throws {
        let text = """
            HTTP/1.1 103 Early Hints\r\nInterim: yes\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r
            A: 1\r\na:  2 \r\nEmpty:\r\n\r\n2\r\nhi\r\n0\r\nTrailer: yes\r\n\r\n
            """
        try await withServer({ _ in [.request, .send(text), .hang] }) { _, transport in
            let answer = try await transport.send(.get())
            let name = try #require(HTTPField.Name("A"))
            #expect(answer.fields[values: name] == ["1", "2"])
            #expect(answer.fields.map(\.name.canonicalName) == ["transfer-encoding", "a", "a", "empty"])
            #expect(answer.body == Array("hi".utf8))
        }
    }

    /// What a request took.
    private final class Taken: Sendable {
        private let bytes = Mutex<[UInt8]>([])

        var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }

        func request(goesOn: Bool = true) -> OutgoingRequest {
            var request = OutgoingRequest.get()
            request.take = { part in
                self.bytes.withLock { $0 += part }
                return goesOn
            }
            return request
        }
    }

    @Test func `a body that is taken is not in the answer, and may be larger than one`() async throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        try await withServer({ _ in [.request, .send(text), .close] }, adjust: { $0.maximumBodyBytes = 2 }) {
            _, transport in
            let taken = Taken()
            let answer = try await transport.send(taken.request())
            #expect(answer.body.isEmpty && taken.text == "hello")
        }
    }

    @Test func `parts are taken as they come, until no more are wanted`() async throws {
        let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        try await withServer({ _ in [.request, .send(begin), .hang] }) { _, transport in
            let taken = Taken()
            #expect(await transport.failure(taken.request(goesOn: false)) == .cancelled(sent: true))
            #expect(taken.text == "one")
        }
    }

    @Test func `the body of an error is in the answer`() async throws {
        try await withServer({ _ in [.request, .send("HTTP/1.1 409 No\r\nContent-Length: 2\r\n\r\nhi"), .close] }) {
            _, transport in
            let taken = Taken()
            let answer = try await transport.send(taken.request())
            #expect(answer.status == 409 && answer.body == Array("hi".utf8) && taken.text.isEmpty)
        }
    }

    @Test func `the request goes out as given, with nothing unasked`() async throws {
        try await withServer({ _ in [.request, .answer("200 OK")] }, adjust: { $0.userAgent = "proxmox-agent/1.2" }) {
            server, transport in
            var request = OutgoingRequest.post("/api2/json/a%2Fb/../c;d=1?x=%3B&y='\"<>|", "k=v%20w")
            request.fields[.authorization] = "PVEAPIToken=a@b!c=d"
            request.fields[.contentType] = "application/x-www-form-urlencoded"
            request.fields[.contentLength] = "1"
            request.fields[.expect] = "100-continue"
            _ = try await transport.send(request)
            let seen = try #require(server.requests.first)
            #expect(seen.start == "POST /api2/json/a%2Fb/../c;d=1?x=%3B&y='\"<>| HTTP/1.1")
            #expect(seen.text == "k=v%20w")
            #expect(
                seen.fields.map { "\($0.name): \($0.value)" }.sorted() == [
                    "Accept: */*", "Authorization: PVEAPIToken=a@b!c=d", "Content-Length: 7",
                    "Content-Type: application/x-www-form-urlencoded", "Host: 127.0.0.1:\(server.port)",
                    "User-Agent: proxmox-agent/1.2",
                ])
        }
    }

    @Test(
        arguments: [
            (HTTPRequest.Method.get, nil, nil), (.delete, nil, nil), (.post, nil, "0"), (.put, nil, "0"),
            (.put, "a=1", "3"), (.post, "", "0"), (.patch, "x", "1"),
        ] as [(HTTPRequest.Method, String?, String?)])
    func `each method carries its body and no content type of libcurl's`(
        method: HTTPRequest.Method, body: String?, length: String?
    ) async throws {
        try await withServer({ _ in [.request, .answer("200 OK")] }) { server, transport in
            _ = try await transport.send(
                OutgoingRequest(method: method, target: "/", body: body.map { Array($0.utf8) }, once: true))
            let seen = try #require(server.requests.first)
            #expect(seen.start == "\(method.rawValue) / HTTP/1.1")
            #expect(seen.value(of: "Content-Length") == length)
            #expect(seen.value(of: "Content-Type") == nil)
            #expect(seen.text == body ?? "")
        }
    }

    @Test func `a HEAD answer has no body whatever its length says`() async throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        try await withServer({ _ in [.request, .send(text), .hang] }) { _, transport in
            let answer = try await transport.send(OutgoingRequest(method: .head, target: "/", once: false))
            #expect(answer.status == 200)
            #expect(answer.body.isEmpty)
        }
    }

    @Test(arguments: ["", "x", "http://evil/", "/a b", "/a\r\nX: y", "/ü", "/a#b", "/a\u{7F}"])
    func `a malformed target never leaves`(target: String) async throws {
        try await withServer({ _ in [.request, .answer("200 OK")] }) { server, transport in
            #expect(await transport.failure(.get(target)) == .unreachable("the request target is malformed"))
            #expect(server.connections == 0)
        }
    }

    @Test func `cookies are not kept`() async throws {
        try await withServer({ _ in [.request, .answer("200 OK", fields: ["Set-Cookie: a=b; Path=/"]), .again] }) {
            server, transport in
            _ = try await transport.send(.get())
            _ = try await transport.send(.get())
            #expect(server.requests.map { $0.value(of: "Cookie") } == [nil, nil])
        }
    }

    @Test func `compressed answers are asked for only when configured, and come out plain`() async throws {
        // `hello` by gzip, without a name or a time.
        let gzip: [UInt8] = [
            0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x86, 0xA6, 0x10, 0x36, 5, 0,
            0, 0,
        ]
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(gzip.count)\r\n\r\n"
        for asked in [false, true] {
            let script: @Sendable (Int) -> [RawServer.Step] = { _ in [.request, .send(Array(head.utf8) + gzip)] }
            try await withServer(script, adjust: { $0.acceptsGzip = asked }) { server, transport in
                let answer = try await transport.send(.get())
                #expect(server.requests.first?.value(of: "Accept-Encoding") == (asked ? "gzip" : nil))
                #expect(answer.body == (asked ? Array("hello".utf8) : gzip))
                #expect((answer.fields[.contentEncoding] == nil) == asked)
            }
        }
    }

    @Test func `proxy variables of the environment have no say`() async {
        // In a process of its own: the environment is shared by all tests.
        await #expect(processExitsWith: .success) {
            let proxy = try RawServer(.hang)
            for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
                setVariable(name, "http://127.0.0.1:\(proxy.port)")
            }
            try await withServer({ _ in [.request, .answer("200 OK")] }) { _, transport in
                let answer = try await transport.send(.get(timeout: .seconds(5)))
                #expect(answer.status == 200)
            }
            #expect(proxy.connections == 0)
        }
    }
}
