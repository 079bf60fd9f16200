import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    /// What a handler may ask for besides keeping the connection; each with an answer at once and after a wait.
    @Suite struct Endings {
        @Test(arguments: [false, true])
        func `closes after the answer`(waiting: Bool) async throws {
            try await withServer(ending(.close, waiting)) { server in
                let client = try RawClient(server.address)
                let answer = try await client.exchange(get("/"))
                #expect(answer.text == "body" && answer.value(of: "Connection")?.lowercased() == "close")
                #expect(try await client.end() == .closed([]))
            }
        }

        @Test(arguments: [false, true])
        func `sends raw bytes, then closes in good order`(waiting: Bool) async throws {
            let bytes = Array("HTTP/1.1 596 can't reach node 'pve2'\r\nContent-Length: 0\r\n\r\n".utf8)
            try await withServer(ending(.raw(bytes), waiting)) { server in
                for request in [get("/"), post("/", "a body"), get("/") + get("/pipelined")] {
                    let client = try RawClient(server.address)
                    try await client.send(request)
                    #expect(try await client.end() == .closed(bytes))
                }
            }
        }

        @Test(arguments: [false, true])
        func `sends raw bytes that do not fit into the socket's buffer`(waiting: Bool) async throws {
            let bytes = [UInt8](repeating: 0x61, count: 8 << 20)
            try await withServer(ending(.raw(bytes), waiting)) { server in
                let client = try RawClient(server.address)
                try await client.send(get("/"))
                #expect(try await client.end() == .closed(bytes))
            }
        }

        @Test(arguments: [false, true])
        func `resets the connection`(waiting: Bool) async throws {
            try await withServer(ending(.reset, waiting)) { server in
                for request in [get("/"), post("/", "a body")] {
                    let client = try RawClient(server.address)
                    try await client.send(request)
                    #expect(try await client.end() == .reset([]))
                }
            }
        }

        @Test func `serves the next connection after each ending`() async throws {
            let handler = Handler { request in
                switch request.path {
                case "/raw": .text("", .raw(Array("x".utf8)))
                case "/reset": .text("", .reset)
                default: .text("fine")
                }
            }
            try await withServer(handler) { server in
                for path in ["/raw", "/reset", "/raw", "/reset"] {
                    let broken = try RawClient(server.address)
                    try await broken.send(get(path))
                    _ = try await broken.end()
                    let client = try RawClient(server.address)
                    #expect(try await client.exchange(get("/")).text == "fine")
                }
            }
        }

        private func ending(_ ending: Response.Ending, _ waiting: Bool) -> Handler {
            Handler { _ in
                if waiting { await Task.yield() }
                return .text("body", ending)
            }
        }
    }
}
