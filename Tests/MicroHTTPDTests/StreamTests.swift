import Glibc
import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

/// Answers every request with a stream, and keeps them all in order.
private final class Streams: Sendable {
    private let all = Lock<[ResponseStream]>([])
    private let limit: Int

    init(limit: Int = 64 << 10) { self.limit = limit }

    var opened: [ResponseStream] { all.withLock { $0 } }

    /// `/text` is answered as always, by the way of the ordinary lane.
    var handler: Handler {
        Handler { request in
            let party = Admission.Party.principal(String(request.path.split(separator: "/").first ?? ""))
            return Admission(party, request.path.hasSuffix("/text") ? .ordinary : .stream)
        } answer: { [self] request in
            if request.path.hasSuffix("/text") { return .text("text") }
            // Half of them are answered after a suspension, on a connection that was suspended before.
            if request.path.hasSuffix("/later") { await Task.yield() }
            let stream = ResponseStream(limit: limit)
            all.withLock { $0.append(stream) }
            var answer = Response(status: .ok, fields: [.contentType: "text/event-stream"])
            answer.stream = stream
            return answer
        }
    }

    func send(_ text: String) { for stream in opened { stream.send(Array(text.utf8)) } }

    /// Connects a client and waits for the head of its stream.
    func client(_ server: HTTPServer, _ path: String = "/") async throws -> RawClient {
        let client = try RawClient(server.address)
        try await client.send(get(path))
        _ = try await client.read(through: "\r\n\r\n")
        return client
    }
}

/// Whether something comes true before the deadline.
private func comesTrue(_ condition: () -> Bool) async -> Bool {
    for _ in 0..<2000 {
        if condition() { return true }
        await Latch().wait(within: .milliseconds(5))
    }
    return false
}

extension Serving {
    /// Responses that are sent piece by piece.
    @Suite struct Streaming {
        @Test(arguments: ["/now", "/later"])
        func `sends parts as they come, and an orderly end`(path: String) async throws {
            let streams = Streams()
            try await withServer(streams.handler) { server in
                let client = try RawClient(server.address)
                try await client.send(get(path))
                let head = try await client.read(through: "\r\n\r\n").lowercased()
                #expect(head.contains("transfer-encoding: chunked") && head.contains("connection: close"))
                #expect(await client.staysSilent(for: .milliseconds(30)))
                for text in ["one", "two"] {
                    streams.send(text)
                    #expect(try await client.read(through: text + "\r\n") == "3\r\n")
                }
                streams.opened[0].finish()
                #expect(try await client.end() == .closed(Array("0\r\n\r\n".utf8)))
                #expect(!streams.opened[0].send([1]))
                #expect(await comesTrue { server.openStreams == 0 && server.openConnections == 0 })
            }
        }

        @Test func `sends what was given before the response was queued`() async throws {
            let handler = Handler { _ in
                let stream = ResponseStream(limit: 8)
                stream.send(Array("longer than the limit".utf8))
                stream.finish()
                var answer = Response(status: .ok)
                answer.stream = stream
                return answer
            }
            try await withServer(handler) { server in
                let client = try RawClient(server.address)
                #expect(try await client.exchange(get("/")).text == "longer than the limit")
            }
        }

        @Test func `sends plain bytes to clients that know no chunks`() async throws {
            let streams = Streams()
            try await withServer(streams.handler) { server in
                let client = try RawClient(server.address)
                try await client.send("GET / HTTP/1.0\r\n\r\n")
                _ = try await client.read(through: "\r\n\r\n")
                let long = String(repeating: "long", count: 2000)
                streams.send(long)
                #expect(try await client.read(through: long) == "")
                streams.send("end")
                streams.opened[0].finish()
                #expect(try await client.end() == .closed(Array("end".utf8)))
            }
        }

        @Test func `has no deadline while there is nothing to send`() async throws {
            let streams = Streams()
            try await withServer(
                streams.handler,
                { options in
                    options.exchangeDeadline = .milliseconds(20)
                    options.requestTimeout = .milliseconds(100)
                    options.sendTimeout = .milliseconds(100)
                    options.transferTimeout = .seconds(1)
                    options.idleTimeout = .seconds(1)
                }
            ) { server in
                let client = try await streams.client(server)
                #expect(await client.staysSilent(for: .milliseconds(2500)))
                streams.send("still here")
                #expect(try await client.read(through: "still here\r\n") == "A\r\n")
            }
        }

        @Test func `sends no body to HEAD, and ends the stream`() async throws {
            let streams = Streams()
            try await withServer(streams.handler) { server in
                let client = try RawClient(server.address)
                #expect(try await client.exchange("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").status == 200)
                let end = try await client.end()
                #expect(end == .closed([]))
                #expect(await comesTrue { streams.opened[0].isOver })
            }
        }

        @Test func `cuts off who does not read, and serves the others`() async throws {
            let streams = Streams()
            try await withServer(streams.handler) { server in
                let slow = try await streams.client(server, "/slow")
                let good = try await streams.client(server, "/good")
                let stuck = streams.opened[0]
                let part = [UInt8](repeating: 7, count: 16 << 10)
                // The kernels take some megabytes before the server notices.
                var sent = 0
                while stuck.send(part), sent < 1 << 30 {
                    sent += part.count
                    if sent.isMultiple(of: 64 << 10) { await Latch().wait(within: .milliseconds(1)) }
                }
                #expect(stuck.isOver && sent < 1 << 30)
                #expect(await comesTrue { server.openStreams == 1 })
                streams.opened[1].send(Array("still served".utf8))
                #expect(try await good.read(through: "still served\r\n") == "C\r\n")
                let last: [UInt8] =
                    switch try await slow.end() {
                    case .closed(let bytes), .reset(let bytes): bytes.suffix(5)
                    }
                #expect(last != Array("0\r\n\r\n".utf8), "a stream that was cut off must not look complete")
            }
        }

        @Test func `lets a producer wait for a slow client`() async throws {
            let streams = Streams(limit: 1 << 10)
            try await withServer(streams.handler) { server in
                let client = try await streams.client(server)
                let stream = streams.opened[0]
                let producer = Task {
                    for number in 0..<5000 {
                        guard await stream.room() else { return }
                        stream.send(Array("line \(number) of many that a buffer of this size does not hold\n".utf8))
                    }
                    stream.finish()
                }
                guard case .closed(let bytes) = try await client.end(within: .seconds(20)) else {
                    Issue.record("the stream has no orderly end")
                    return
                }
                await producer.value
                let text = String(decoding: bytes, as: UTF8.self)
                #expect(text.contains("line 4999 of many") && text.hasSuffix("0\r\n\r\n"))
            }
        }

        @Test func `frees a producer that waits when the client leaves`() async throws {
            let streams = Streams(limit: 1 << 10)
            try await withServer(streams.handler) { server in
                let client = try await streams.client(server)
                let stream = streams.opened[0]
                let producer = Task {
                    while await stream.room() { stream.send([UInt8](repeating: 7, count: 512)) }
                }
                client.leave()
                await producer.value
                #expect(stream.isOver)
            }
        }

        @Test func `notices clients that leave while there is nothing to send`() async throws {
            let streams = Streams()
            try await withServer(streams.handler) { server in
                var clients: [RawClient] = []
                for _ in 0..<50 { clients.append(try await streams.client(server)) }
                streams.send("x")
                for client in clients { _ = try await client.read(through: "x\r\n") }
                clients.forEach { $0.leave() }
                #expect(await comesTrue { streams.opened.allSatisfy(\.isOver) && server.openConnections == 0 })
            }
        }

        @Test func `has places of its own, and keeps them until streams end`() async throws {
            let streams = Streams()
            try await withServer(
                streams.handler,
                { ($0.maxStreams, $0.maxStreamsOfParty, $0.maxExchanges, $0.threads) = (3, 2, 1, 1) }
            ) { server in
                let first = try await streams.client(server, "/a/now")
                let left = try await streams.client(server, "/a/later")
                let other = try RawClient(server.address)
                #expect(try await other.exchange(get("/a/now")).status == 429)
                let second = try await streams.client(server, "/b/now")
                #expect(try await other.exchange(get("/b/now")).status == 503)
                #expect(try await other.exchange(get("/a/text")).text == "text")
                left.leave()
                #expect(await comesTrue { server.openStreams == 2 })
                let third = try await streams.client(server, "/a/now")
                #expect(server.openStreams == 3)
                withExtendedLifetime((first, second, third)) {}
            }
        }
    }

    /// `MHD_stop_daemon` aborts the process if a connection is suspended.
    @Suite struct EndingStreams {
        @Test func `ends streams at once, with an orderly end`() async throws {
            let streams = Streams()
            let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: streams.handler)
            var clients: [RawClient] = []
            for number in 0..<100 {
                clients.append(try await streams.client(server, number.isMultiple(of: 2) ? "/now" : "/later"))
            }
            streams.opened[0].send(Array("last".utf8))
            let begin = ContinuousClock.now
            await server.shutdown(within: .seconds(10))
            #expect(begin.duration(to: .now) < .seconds(3))
            for (number, client) in clients.enumerated() {
                let end = try await client.end()
                #expect(end == .closed(Array("\(number == 0 ? "4\r\nlast\r\n" : "")0\r\n\r\n".utf8)))
            }
            #expect(streams.opened.allSatisfy { $0.isOver })
        }

        @Test func `is not held up by clients that do not read`() async throws {
            let streams = Streams(limit: 64 << 20)
            let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: streams.handler)
            let client = try await streams.client(server)
            streams.opened[0].send([UInt8](repeating: 7, count: 32 << 20))
            let begin = ContinuousClock.now
            await server.shutdown(within: .seconds(10))
            #expect(begin.duration(to: .now) < .seconds(5))
            #expect(!streams.opened[0].send([1]))
            withExtendedLifetime(client) {}
        }

        @Test func `does not abort while streams begin, wait and are woken`() async throws {
            for round in 0..<10 {
                let streams = Streams()
                let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: streams.handler)
                await withTaskGroup { group in
                    for _ in 0..<4 {
                        group.addTask {
                            while let client = try? await streams.client(
                                server, round.isMultiple(of: 2) ? "/" : "/later")
                            {
                                guard (try? await client.read(through: "ping")) != nil else { return }
                            }
                        }
                    }
                    let producer = Task {
                        while !Task.isCancelled {
                            streams.send("ping")
                            await Task.yield()
                        }
                    }
                    #expect(await comesTrue { streams.opened.count > 30 })
                    await server.shutdown(within: .zero)
                    producer.cancel()
                }
                #expect(server.openStreams == 0)
            }
        }
    }

    /// Many streams at once.
    @Suite struct ManyStreams {
        @Test func `reaches 2,000 clients with one part that all share`() async throws {
            let count = 2000
            let streams = Streams()
            try await withServer(
                streams.handler, { ($0.maxConnections, $0.idleTimeout) = (2 * count, .seconds(60)) }
            ) { server in
                var clients: [RawClient] = []
                for _ in 0..<count {
                    let client = try RawClient(server.address)
                    try await client.send(get("/"))
                    clients.append(client)
                }
                for client in clients { _ = try await client.read(through: "\r\n\r\n") }
                #expect(server.openStreams == count)
                // A request beside them is answered as quickly as ever.
                let other = try RawClient(server.address)
                #expect(try await other.exchange(get("/text")).text == "text")
                for round in 0..<3 {
                    streams.send("event \(round)")
                    for client in clients { #expect(try await client.read(through: "event \(round)\r\n") == "7\r\n") }
                }
                clients.removeLast(count / 2)
                #expect(await comesTrue { server.openStreams == count / 2 })
                streams.send("the rest")
                for client in clients { #expect(try await client.read(through: "the rest\r\n") == "8\r\n") }
            }
        }
    }
}
