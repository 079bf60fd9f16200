import Glibc
import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    @Suite struct Listening {
        @Test func `tells the port that the kernel chose`() async throws {
            try await withServer { server in
                guard case .tcp("127.0.0.1", let port) = server.address else {
                    Issue.record("\(server.address)")
                    return
                }
                #expect(port != 0)
            }
        }

        @Test func `says that a port is taken`() async throws {
            try await withServer { server in
                #expect(throws: ServerError.addressInUse(server.address)) {
                    try HTTPServer(listening: server.address, handler: echo)
                }
            }
        }

        @Test func `says that an address is not this machine's`() {
            // 192.0.2.0/24 is for documentation.
            #expect(throws: ServerError.self) {
                try HTTPServer(listening: .tcp(host: "192.0.2.1", port: 0), handler: echo)
            }
        }

        @Test func `takes the port of a server that has just stopped`() async throws {
            let first = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: echo)
            let client = try RawClient(first.address)
            #expect(try await client.exchange(get("/")).status == 200)
            await first.shutdown(within: .seconds(1))
            let second = try HTTPServer(listening: first.address, handler: echo)
            await second.shutdown(within: .seconds(1))
        }

        @Test func `listens on IPv4 and IPv6 alike without a host`() async throws {
            try await withServer(
                Handler { .text($0.peer) }, listening: .tcp(host: "", port: 0)
            ) { server in
                guard case .tcp(_, let port) = server.address else { return }
                let four = try RawClient(.tcp(host: "127.0.0.1", port: port))
                #expect(try await four.exchange(get("/")).text.hasPrefix("127.0.0.1:"))
                guard hasIPv6Loopback else { return }
                let six = try RawClient(.tcp(host: "::1", port: port))
                #expect(try await six.exchange(get("/")).text.hasPrefix("[::1]:"))
            }
        }

        @Test(.enabled(if: hasIPv6Loopback)) func `listens on an IPv6 address`() async throws {
            try await withServer(Handler { .text($0.peer) }, listening: .tcp(host: "::1", port: 0)) { server in
                let client = try RawClient(server.address)
                #expect(try await client.exchange(get("/")).text.hasPrefix("[::1]:"))
            }
        }

        @Test func `serves a Unix socket, for owner and group, and removes it`() async throws {
            try await withTemporaryDirectory { directory in
                let path = directory + "/agent.sock"
                try await withServer(Handler { .text($0.peer) }, listening: .unix(path: path)) { server in
                    let client = try RawClient(server.address)
                    #expect(try await client.exchange(get("/")).text == "unix")
                    #expect(try mode(of: path) == 0o140660)
                }
                #expect(access(path, F_OK) != 0)
            }
        }

        @Test func `replaces the socket file of a dead server only`() async throws {
            try await withTemporaryDirectory { directory in
                let path = directory + "/agent.sock"
                try abandonSocket(at: path)
                try await withServer(echo, listening: .unix(path: path)) { server in
                    let client = try RawClient(server.address)
                    #expect(try await client.exchange(get("/")).status == 200)
                    #expect(throws: ServerError.addressInUse(server.address)) {
                        try HTTPServer(listening: server.address, handler: echo)
                    }
                    #expect(try await client.exchange(get("/")).status == 200)
                }
                try #require(creat(path, 0o600) >= 0)
                #expect(throws: ServerError.self) { try HTTPServer(listening: .unix(path: path), handler: echo) }
                #expect(access(path, F_OK) == 0)
            }
        }

        @Test func `serves a socket that somebody else listens on`() async throws {
            let server = try HTTPServer(inheriting: listeningSocket(), handler: echo)
            let client = try RawClient(server.address)
            #expect(try await client.exchange(get("/")).status == 200)
            await server.pulse()
            await server.shutdown(within: .seconds(1))
        }

        @Test func `serves somebody else's Unix socket, and leaves its file alone`() async throws {
            try await withTemporaryDirectory { directory in
                let path = directory + "/agent.sock"
                let server = try HTTPServer(inheriting: listeningSocket(at: path), handler: echo)
                #expect(server.address == .unix(path: path))
                let client = try RawClient(server.address)
                #expect(try await client.exchange(get("/")).status == 200)
                await server.shutdown(within: .seconds(1))
                #expect(access(path, F_OK) == 0)
            }
        }

        @Test func `does not serve a descriptor that nobody can connect to`() throws {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            defer { close(descriptor) }
            #expect(throws: ServerError.self) { try HTTPServer(inheriting: descriptor, handler: echo) }
        }

        @Test func `passes on what libmicrohttpd logs`() async throws {
            let lines = Lock<[String]>([])
            try await withServer(
                Handler { _ in .text("", .reset) }, { $0.log = { line in lines.withLock { $0.append(line) } } }
            ) { server in
                let client = try RawClient(server.address)
                try await client.send(get("/"))
                _ = try await client.end()
            }
            #expect(lines.withLock { $0 }.contains { $0.contains("closing connection") })
        }
    }

    @Suite struct Connections {
        @Test func `stays reachable however many idle connections there are`() async throws {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = min(limit.rlim_max, 16_384)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let count = min(3000, Int(limit.rlim_cur) / 3)
            try await withServer(echo, { $0.maxConnections = 200 }) { server in
                let idle = try (0..<count).map { _ in try RawClient(server.address) }
                let last = try RawClient(server.address)
                #expect(try await last.exchange(get("/last")).status == 200)
                // The first ones had to go.
                #expect(try await idle[0].end() == .closed([]))
                #expect(try await last.exchange(get("/again")).status == 200)
            }
        }

        @Test func `closes a connection that is idle for too long`() async throws {
            try await withServer(echo, { $0.idleTimeout = .seconds(1) }) { server in
                let client = try RawClient(server.address)
                #expect(try await client.exchange(get("/")).status == 200)
                #expect(try await client.end() == .closed([]))
            }
        }

        @Test func `cuts off a request that trickles in without end`() async throws {
            try await withServer(echo, { $0.transferTimeout = .seconds(1) }) { server in
                let client = try RawClient(server.address)
                try await client.send("GET / HTTP/1.1\r\nX: ")
                await #expect(throws: WireError.self) {
                    for _ in 0..<500 {
                        try await client.send("x")
                        if await !client.staysSilent(for: .milliseconds(10)) { throw WireError.endOfStream([]) }
                    }
                }
            }
        }

        @Test func `does not cut off a handler that takes long`() async throws {
            let proceed = Latch()
            let handler = Handler { _ in
                await proceed.wait(within: .milliseconds(2500))
                return .text("slow")
            }
            try await withServer(handler, { ($0.transferTimeout, $0.idleTimeout) = (.seconds(1), .seconds(1)) }) {
                let client = try RawClient($0.address)
                #expect(try await client.exchange(get("/")).text == "slow")
            }
        }
    }
}
