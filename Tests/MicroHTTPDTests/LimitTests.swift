import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    @Suite struct Limits {
        @Test(arguments: ["POST", "PUT", "PATCH", "DELETE", "GET"])
        func `refuses an announced body before reading it`(method: String) async throws {
            try await withServer(echo, { $0.maxBodyBytes = 10 }) { server in
                let client = try RawClient(server.address)
                try await client.send("\(method) / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n")
                let answer = try await client.response()
                #expect(answer.status == 413 && answer.text == "more than 10 bytes")
                #expect(answer.value(of: "Connection")?.lowercased() == "close")
                #expect(try await client.end() == .closed([]))
            }
        }

        @Test func `takes a body of exactly the limit`() async throws {
            try await withServer(echo, { $0.maxBodyBytes = 10 }) { server in
                let client = try RawClient(server.address)
                #expect(try await client.exchange(post("/", "0123456789")).status == 200)
            }
        }

        @Test func `refuses a body that waits for 100 Continue without inviting it`() async throws {
            try await withServer(echo, { $0.maxBodyBytes = 10 }) { server in
                let client = try RawClient(server.address)
                try await client.send(
                    "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
                #expect(try await client.response().status == 413)
                #expect(try await client.end() == .closed([]))
            }
        }

        @Test func `lets a client that sends at full speed read its refusal`() async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                let body = String(repeating: "x", count: 2 << 20)
                try? await client.send(post("/", body))
                #expect(try await client.response().status == 413)
            }
        }

        @Test func `drains a chunked body over the limit and answers at its end`() async throws {
            try await withServer(echo, { $0.maxBodyBytes = 1000 }) { server in
                let client = try RawClient(server.address)
                let chunk = "400\r\n" + String(repeating: "x", count: 1024) + "\r\n"
                try await client.send(
                    "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
                #expect(await client.staysSilent(for: .milliseconds(50)))
                #expect(try await client.exchange("0\r\n\r\n").status == 413)
                #expect(try await client.end() == .closed([]))
            }
        }

        /// The size of a chunk with something behind it that is longer than any buffer.
        @Test(arguments: [
            "5;\(String(repeating: "a", count: 30_000))\r\n", "5;\(String(repeating: "a", count: 100_000))\r\n",
            "5;\(String(repeating: "a", count: 100_000))", "5 \(String(repeating: " ", count: 100_000))\r\n",
            "\(String(repeating: "0", count: 100_000))5\r\n", "5;a=\"\(String(repeating: "\\\"", count: 50_000))\"\r\n",
        ])
        func `refuses a chunk whose head does not end`(head: String) async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                try? await client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + head)
                #expect(try await client.response().status == 400)
                #expect(try await client.end() == .closed([]))
                #expect(try await RawClient(server.address).exchange(get("/x")).status == 200)
            }
        }

        @Test func `takes a chunk with an extension that fits`() async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                let chunk = "5;name=\"\(String(repeating: "a", count: 1000))\"\r\nhello\r\n0\r\n\r\n"
                let head = "POST /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                #expect(try await client.exchange(head + chunk).text == "POST /c - hello")
            }
        }

        @Test func `cuts off a chunked body that does not end`() async throws {
            try await withServer(echo, { $0.maxBodyBytes = 1000 }) { server in
                let client = try RawClient(server.address)
                try await client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
                let chunk = "10000\r\n" + String(repeating: "x", count: 65_536) + "\r\n"
                await #expect(throws: WireError.self) {
                    for _ in 0..<1000 { try await client.send(chunk) }
                }
            }
        }

        @Test func `answers 431 to a head over the limit and lives on`() async throws {
            try await withServer(echo, { $0.maxHeaderBytes = 4096 }) { server in
                let client = try RawClient(server.address)
                try? await client.send(get("/", "X-Big: " + String(repeating: "x", count: 10_000)))
                #expect(try await client.response().status == 431)
                let another = try RawClient(server.address)
                #expect(try await another.exchange(get("/")).status == 200)
            }
        }

        @Test(arguments: [3000, 3900, 4000, 4050, 4095, 4200, 5000, 7000, 9000, 11_000, 12_000, 12_250, 12_300, 14_000])
        func `every head gets an answer, however near it comes to the limit`(size: Int) async throws {
            let big = Handler { _ in
                Response(status: .ok, fields: [.server: String(repeating: "y", count: 1000)], body: .init([65]))
            }
            try await withServer(big, { $0.maxHeaderBytes = 4096 }) { server in
                let client = try RawClient(server.address)
                try? await client.send(get("/", "X-Big: " + String(repeating: "x", count: size - 60)))
                let status = try await client.response().status
                #expect(status == (size < 4000 ? 200 : 431) || (4000...4095).contains(size))
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `bodies share a bounded memory, and the rest is turned away`() async throws {
            try await withServer(
                echo,
                {
                    // Above the size up to which a body is always taken in.
                    $0.maxBodyBytes = 20_000
                    $0.maxBufferedBytes = 50_000
                }
            ) { server in
                let head = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n"
                let holders = try (0..<2).map { _ in try RawClient(server.address) }
                for holder in holders { try await holder.send(head + String(repeating: "x", count: 19_999)) }
                // On a busy machine the server may take what was sent a little later.
                while server.heldBodyBytes < 2 * 19_999 { await server.pulse() }
                let third = try RawClient(server.address)
                #expect(try await third.exchange(head + String(repeating: "y", count: 20_000)).status == 503)
                for holder in holders { #expect(try await holder.exchange("x").status == 200) }
                let fourth = try RawClient(server.address)
                #expect(try await fourth.exchange(head + String(repeating: "z", count: 20_000)).status == 200)
            }
        }

        @Test(
            arguments: [
                "GET / HTTP/1.1\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
                "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /a\u{7F} HTTP/1.1\r\nHost: a\r\n\r\n",
                "G\u{1}T / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\u{1}c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
                "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
                "GET /\r\n\r\n",
                "GET\r\n\r\n",
                " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
            ] as [Head])
        func `turns an untrustworthy head away and closes`(head: Head) async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                // A second request follows: it must not be answered.
                try await client.send(head.text + get("/smuggled"))
                guard case .closed(let bytes) = try await client.end() else {
                    Issue.record("reset")
                    return
                }
                let answer = String(decoding: bytes, as: UTF8.self)
                #expect(!answer.contains("smuggled"), "\(answer)")
                #expect(
                    answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.1 505 ") || answer.isEmpty,
                    "\(answer)")
            }
        }
    }
}

/// Bytes of a request head that show on one line where a test fails.
struct Head: ExpressibleByStringLiteral, CustomTestStringConvertible, Sendable {
    let text: String
    init(stringLiteral text: String) { self.text = text }
    var testDescription: String { text.debugDescription }
}
