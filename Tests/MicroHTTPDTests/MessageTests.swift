import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    @Suite struct Messages {
        @Test func `keeps a connection for several requests`() async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                for number in 1...5 {
                    let answer = try await client.exchange(get("/\(number)"))
                    #expect(answer.status == 200 && answer.text == "GET /\(number) - ")
                }
            }
        }

        @Test func `answers pipelined requests in order`() async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                try await client.send(get("/one") + post("/two", "body") + get("/three"))
                #expect(try await client.response().text == "GET /one - ")
                #expect(try await client.response().text == "POST /two - body")
                #expect(try await client.response().text == "GET /three - ")
            }
        }

        @Test func `answers pipelined requests in order when the handler waits`() async throws {
            let handler = Handler { request in
                await Task.yield()
                return .text(request.path)
            }
            try await withServer(handler) { server in
                let client = try RawClient(server.address)
                try await client.send(get("/one") + get("/two"))
                #expect(try await client.response().text == "/one")
                #expect(try await client.response().text == "/two")
            }
        }

        @Test func `sends the head only in answer to HEAD`() async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                let head = try await client.exchange("HEAD /x HTTP/1.1\r\nHost: test\r\n\r\n")
                #expect(head.status == 200)
                #expect(head.value(of: "Content-Length") == "10")  // "HEAD /x - "
                #expect(try await client.exchange(get("/next")).text == "GET /next - ")
            }
        }

        @Test(arguments: [
            ("/a%00b", "/a%00b -"), ("/a%2Fb/%2e%2e", "/a%2Fb/%2e%2e -"), ("/a+b?x=%41+1&&", "/a+b x=%41+1&&"),
            ("/?", "/ "), ("/a?b?c", "/a b?c"), ("//a//", "//a// -"), ("/../..", "/../.. -"),
        ])
        func `hands over the raw path and query`(target: String, seen: String) async throws {
            try await withServer { server in
                let answer = try await RawClient(server.address).exchange(get(target))
                #expect(answer.text == "GET \(seen) ")
            }
        }

        @Test func `hands over fields as they came and tells who connected`() async throws {
            let handler = Handler { request in
                let values = request.fields[values: .accept].joined(separator: "|")
                return .text("\(values) \(request.fields[.userAgent] ?? "") \(request.peer)")
            }
            try await withServer(handler) { server in
                let client = try RawClient(server.address)
                let answer = try await client.exchange(get("/", "Accept: a", "user-agent: x y", "ACCEPT: b"))
                #expect(answer.text.hasPrefix("a|b x y 127.0.0.1:"))
            }
        }

        @Test func `takes a chunked body`() async throws {
            try await withServer { server in
                let head = "POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                let answer = try await RawClient(server.address).exchange(head + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                #expect(answer.text == "POST /c - abcde")
            }
        }

        @Test func `invites a body that waits for 100 Continue`() async throws {
            try await withServer { server in
                let client = try RawClient(server.address)
                try await client.send(
                    "POST /e HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
                #expect(try await client.response().status == 100)
                #expect(try await client.exchange("ok").text == "POST /e - ok")
            }
        }

        @Test func `lets no field value start another line`() async throws {
            let handler = Handler { _ in
                var fields = HTTPFields()
                if let name = HTTPField.Name("X-Evil") {
                    let value = Array("a\r\nSet-Cookie: b\u{1}\u{7F}\0c".utf8)
                    fields.append(HTTPField(name: name, lenientValue: value))
                }
                fields[.contentLength] = "7000"
                fields[.connection] = "upgrade"
                return Response(status: .ok, fields: fields, body: .init([1, 2, 3]))
            }
            try await withServer(handler) { server in
                let answer = try await RawClient(server.address).exchange(get("/"))
                #expect(answer.values(of: "X-Evil") == ["a  Set-Cookie: b   c"])
                #expect(answer.value(of: "Set-Cookie") == nil)
                #expect(answer.values(of: "Content-Length") == ["3"])
                #expect(answer.body == [1, 2, 3])
            }
        }

        @Test(arguments: [0, 1, 32_768, 32_769, 4_000_000])
        func `sends large bodies in parts without a gap`(size: Int) async throws {
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
            let cut = size / 3
            let parts = [Array(bytes[..<cut]), [], Array(bytes[cut..<(2 * cut)]), Array(bytes[(2 * cut)...])]
            let handler = Handler { _ in Response(status: .ok, body: .init(parts: parts)) }
            try await withServer(handler) { server in
                try await withThrowingTaskGroup { group in
                    for _ in 0..<4 {
                        group.addTask {
                            let client = try RawClient(server.address)
                            for _ in 0..<2 {
                                let answer = try await client.exchange(get("/"))
                                #expect(answer.body == bytes)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        @Test func `answers without a body where the status has none`() async throws {
            let handler = Handler { _ in Response(status: .noContent, body: .init([1])) }
            try await withServer(handler) { server in
                let client = try RawClient(server.address)
                #expect(try await client.exchange(get("/")).status == 204)
                #expect(try await client.exchange(get("/")).status == 204)
            }
        }
    }
}
