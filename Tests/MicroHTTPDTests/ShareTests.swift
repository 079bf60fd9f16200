import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    /// One caller cannot take what others need.
    @Suite struct Sharing {
        /// Waits for the latch, but for `/quick`; the first segment of the path is who asks, `/urgent…` and `/health` name
        /// lanes.
        /// `/party/0/wait` opens the first of `entered` once it has its place.
        private static func handler(_ proceed: Latch, entered: [Latch] = []) -> Handler {
            Handler { request in
                let party = Admission.Party.principal(String(request.path.split(separator: "/").first ?? ""))
                if request.path.hasSuffix("/urgent") { return Admission(party, .urgent) }
                if request.path.hasSuffix("/health") { return Admission(party, .health) }
                return Admission(party)
            } answer: { request in
                let number = request.path.split(separator: "/").dropFirst().first.flatMap { Int($0) }
                if let number, entered.indices.contains(number) { entered[number].open() }
                if request.path.hasSuffix("/wait") { await proceed.wait() }
                return .text("done")
            }
        }

        /// Asks again until the status is the one that is awaited.
        private static func awaitStatus(_ status: Int, _ path: String, _ server: HTTPServer) async throws -> Bool {
            for _ in 0..<1000 {
                let client = try RawClient(server.address)
                if try await client.exchange(get(path)).status == status { return true }
            }
            return false
        }

        /// Whether something happens before the deadline.
        private static func comesTrue(_ condition: () -> Bool) async -> Bool {
            for _ in 0..<500 {
                if condition() { return true }
                await Latch().wait(within: .milliseconds(10))
            }
            return condition()
        }

        @Test func `who has used up their share is refused, and others are served`() async throws {
            let proceed = Latch()
            let entered = (0..<3).map { _ in Latch() }
            try await withServer(Self.handler(proceed, entered: entered), { $0.maxExchangesOfParty = 3 }) { server in
                let held = try (0..<3).map { _ in try RawClient(server.address) }
                for (number, client) in held.enumerated() {
                    try await client.send(get("/one/\(number)/wait"))
                    await entered[number].wait()
                }
                #expect(try await Self.awaitStatus(429, "/one/more", server))
                let other = try RawClient(server.address)
                #expect(try await other.exchange(get("/two/quick")).status == 200)
                #expect(try await other.exchange(get("/one/urgent")).status == 200)
                #expect(try await other.exchange(get("/one/health")).status == 200)
                proceed.open()
                for client in held { #expect(try await client.response().status == 200) }
                #expect(try await other.exchange(get("/one/quick")).status == 200)
            }
        }

        @Test func `what is urgent has places when all others are taken`() async throws {
            let proceed = Latch()
            let entered = (0..<2).map { _ in Latch() }
            try await withServer(Self.handler(proceed, entered: entered), { $0.maxExchanges = 2 }) { server in
                let held = try (0..<2).map { _ in try RawClient(server.address) }
                for (number, client) in held.enumerated() {
                    try await client.send(get("/party-\(number)/\(number)/wait"))
                    await entered[number].wait()
                }
                #expect(try await Self.awaitStatus(503, "/two/more", server))
                let other = try RawClient(server.address)
                #expect(try await other.exchange(get("/two/urgent")).status == 200)
                #expect(try await other.exchange(get("/two/health")).status == 200)
                proceed.open()
                for client in held { #expect(try await client.response().status == 200) }
            }
        }

        @Test(arguments: [true, false])
        func `a client that leaves frees its place at once`(closes: Bool) async throws {
            let handler = Handler { request in
                if request.path == "/wait" {
                    let cancelled = Latch()
                    await withTaskCancellationHandler {
                        _ = await cancelled.wait(within: .seconds(30))
                    } onCancel: {
                        cancelled.open()
                    }
                }
                return .text("done")
            }
            try await withServer(handler, { $0.maxExchangesOfParty = 2 }) { server in
                // Far more than there are places, one after the other, each given up.
                for _ in 0..<40 {
                    let client = try RawClient(server.address)
                    try await client.send(get("/wait"))
                    _ = await client.staysSilent(for: .milliseconds(2))
                    if closes { client.leave() } else { client.finishWriting() }
                }
                #expect(try await Self.awaitStatus(200, "/wait-no-more", server))
                let holder = try RawClient(server.address)
                try await holder.send(get("/wait"))
                #expect(await holder.staysSilent(for: .milliseconds(30)))
            }
        }

        @Test func `a source has its share of the connections`() async throws {
            try await withServer(echo, { ($0.maxConnections, $0.maxConnectionsOfSource) = (100, 10) }) { server in
                let idle = try (0..<20).map { _ in try RawClient(server.address) }
                // Those that have only just come are let be for a moment.
                var status: Int?
                for _ in 0..<1000 where status == nil {
                    let last = try RawClient(server.address)
                    status = try? await last.exchange(get("/")).status
                    if status == nil { await Latch().wait(within: .milliseconds(5)) }
                }
                #expect(status == 200)
                #expect(server.openConnections <= 11)
                withExtendedLifetime(idle) {}
            }
        }

        @Test func `a client that does not read is cut off`() async throws {
            let large = Handler { _ in Response(status: .ok, body: .init([UInt8](repeating: 7, count: 32 << 20))) }
            try await withServer(large, { $0.sendTimeout = .milliseconds(300) }) { server in
                let client = try RawClient(server.address)
                try await client.send(get("/"))
                #expect(await Self.comesTrue { server.openConnections == 1 })
                #expect(await Self.comesTrue { server.openConnections == 0 })
                // What the kernels have taken is all that comes.
                switch try await client.end() {
                case .closed(let bytes), .reset(let bytes): #expect(bytes.count < 32 << 20)
                }
            }
        }

        @Test func `a client that reads too slowly is cut off`() async throws {
            let part = [UInt8](repeating: 7, count: 1 << 20)
            let large = Handler { _ in Response(status: .ok, body: .init(parts: Array(repeating: part, count: 512))) }
            try await withServer(
                large,
                {
                    $0.sendTimeout = .milliseconds(100)
                    $0.minReadRate = 1 << 40
                }
            ) { server in
                let client = try RawClient(server.address)
                try await client.send(get("/"))
                switch try await client.end(within: .seconds(30)) {
                case .closed(let bytes), .reset(let bytes): #expect(bytes.count < 512 << 20)
                }
            }
        }

        @Test func `answers that nobody reads are bounded for a caller`() async throws {
            let body = Response.Body([UInt8](repeating: 7, count: 16 << 20))
            let large = Handler { _ in Response(status: .ok, body: body) }
            try await withServer(large, { $0.maxAnswerBytesOfParty = 20 << 20 }) { server in
                var idle: [RawClient] = []
                var status = 200
                // One that comes while another answer leaves is refused itself, and holds nothing.
                for _ in 0..<50 where status == 200 {
                    idle.append(try RawClient(server.address))
                    try await idle.last?.send(get("/"))
                    status = try await RawClient(server.address).exchange(get("/")).status
                }
                #expect(status == 429)
            }
        }

        @Test func `bodies of one source are bounded`() async throws {
            try await withServer(
                echo,
                {
                    $0.maxBodyBytes = 40_000
                    $0.maxBufferedBytesOfParty = 100_000
                }
            ) { server in
                func head(_ size: Int) -> String { "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: \(size)\r\n\r\n" }
                let holders = try (0..<2).map { _ in try RawClient(server.address) }
                for holder in holders { try await holder.send(head(40_000) + String(repeating: "x", count: 39_999)) }
                var status = 200
                for _ in 0..<500 where status == 200 {
                    let third = try RawClient(server.address)
                    status = try await third.exchange(head(40_000) + String(repeating: "y", count: 40_000)).status
                }
                #expect(status == 429)
                let small = try RawClient(server.address)
                let freeze = try await small.exchange(head(1000) + String(repeating: "z", count: 1000))
                #expect(freeze.status == 200, "what is small is always taken in")
            }
        }

        @Test(arguments: [
            "GET / HTTP/1.1\r\nX: ", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n",
        ])
        func `a request that does not arrive in time is cut off`(beginning: String) async throws {
            try await withServer(echo, { $0.requestTimeout = .milliseconds(300) }) { server in
                let client = try RawClient(server.address)
                try await client.send(beginning)
                await #expect(throws: WireError.self) {
                    for _ in 0..<1000 {
                        try await client.send("x")
                        if await !client.staysSilent(for: .milliseconds(10)) { throw WireError.endOfStream([]) }
                    }
                }
            }
        }
    }
}
