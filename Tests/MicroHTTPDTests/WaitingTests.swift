import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    /// Handlers that wait: their connections are suspended until the answer is there.
    @Suite struct Waiting {
        @Test func `answers when the handler is done`() async throws {
            let started = Latch()
            let proceed = Latch()
            let handler = Handler { request in
                started.open()
                await proceed.wait()
                return .text(String(decoding: request.body, as: UTF8.self))
            }
            try await withServer(handler) { server in
                let client = try RawClient(server.address)
                try await client.send(post("/", "kept"))
                #expect(await started.wait())
                #expect(await client.staysSilent(for: .milliseconds(30)))
                proceed.open()
                #expect(try await client.response().text == "kept")
            }
        }

        @Test func `answers many that wait at once, each with its own`() async throws {
            let proceed = Latch()
            let handler = Handler { request in
                await proceed.wait()
                return .text(request.path)
            }
            try await withServer(handler) { server in
                let clients = try (0..<200).map { _ in try RawClient(server.address) }
                for (number, client) in clients.enumerated() { try await client.send(get("/\(number)")) }
                proceed.open()
                for (number, client) in clients.enumerated() {
                    #expect(try await client.response().text == "/\(number)")
                }
            }
        }

        @Test func `survives handlers that are done while they are being suspended`() async throws {
            let handler = Handler { request in
                await Task.yield()
                return .text(request.path)
            }
            try await withServer(handler) { server in
                try await withThrowingTaskGroup { group in
                    for number in 0..<8 {
                        group.addTask {
                            let client = try RawClient(server.address)
                            for round in 0..<250 {
                                let path = "/\(number)/\(round)"
                                #expect(try await client.exchange(get(path)).text == path)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        @Test func `answers in the handler's stead at the deadline and drops the late answer`() async throws {
            let proceed = Latch()
            let cancelled = Latch()
            let ended = Latch()
            let handler = Handler { request in
                guard request.path == "/slow" else { return .text("quick") }
                await withTaskCancellationHandler {
                    _ = await proceed.wait()
                } onCancel: {
                    cancelled.open()
                }
                defer { ended.open() }
                return .text("late")
            }
            try await withServer(handler, { $0.exchangeDeadline = .milliseconds(50) }) { server in
                let client = try RawClient(server.address)
                let answer = try await client.exchange(get("/slow"))
                #expect(answer.status == 504 && answer.text == "too late")
                #expect(await cancelled.wait())
                proceed.open()
                #expect(await ended.wait())
                #expect(try await client.exchange(get("/quick")).text == "quick")
            }
        }

        @Test func `keeps the deadline of each exchange apart`() async throws {
            let never = Latch()
            let handler = Handler { _ in
                await never.wait()
                return .text("late")
            }
            try await withServer(handler, { $0.exchangeDeadline = .milliseconds(80) }) { server in
                let clients = try (0..<20).map { _ in try RawClient(server.address) }
                for client in clients {
                    try await client.send(get("/"))
                    _ = await client.staysSilent(for: .milliseconds(5))
                }
                for client in clients { #expect(try await client.response().status == 504) }
                never.open()
            }
        }

        @Test func `refuses more than may wait at once`() async throws {
            let started = Latch()
            let proceed = Latch()
            let handler = Handler { request in
                started.open()
                await proceed.wait()
                return .text("done")
            }
            try await withServer(handler, { $0.maxExchanges = 1 }) { server in
                let first = try RawClient(server.address)
                try await first.send(get("/"))
                #expect(await started.wait())
                _ = await first.staysSilent(for: .milliseconds(20))
                let second = try RawClient(server.address)
                let answer = try await second.exchange(get("/"))
                #expect(answer.status == 503 && answer.text == "overloaded")
                proceed.open()
                #expect(try await first.response().text == "done")
                #expect(try await second.exchange(get("/")).text == "done")
            }
        }

        @Test func `outlives clients that leave while their handlers wait`() async throws {
            let started = Lock(0)
            let all = Latch()
            let proceed = Latch()
            let handler = Handler { request in
                guard request.path == "/wait" else { return .text("alive") }
                let count = started.withLock { count in
                    count += 1
                    return count
                }
                if count == 50 { all.open() }
                await proceed.wait()
                return Response(status: .ok, body: .init([UInt8](repeating: 7, count: 1 << 20)))
            }
            try await withServer(handler) { server in
                for _ in 0..<50 {
                    let client = try RawClient(server.address)
                    try await client.send(get("/wait"))
                    _ = await client.staysSilent(for: .milliseconds(1))
                    client.leave()
                }
                #expect(await all.wait())
                proceed.open()
                let client = try RawClient(server.address)
                #expect(try await client.exchange(get("/")).text == "alive")
            }
        }
    }
}
