import CurlHTTP
import HTTPMessage
import Testing
import WireTestSupport

@Suite(.timeLimit(.minutes(1))) struct ConcurrencyTests {
    @Test func `a hundred exchanges at once, on no more connections than allowed`() async throws {
        try await withServer(
            { _ in [.request, .answer("200 OK", "body"), .again] }, adjust: { $0.maximumConnections = 8 }
        ) {
            server, transport in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<100 {
                    group.addTask { try await transport.send(.get("/\(number)")).body.count }
                }
                for try await count in group { #expect(count == 4) }
            }
            #expect(Set(server.requests.map(\.start)).count == 100)
            #expect(server.connections <= 8)
        }
    }

    @Test func `large answers come whole, side by side`() async throws {
        let size = 4 << 20
        let body = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            for index in 0..<size { buffer[index] = UInt8(truncatingIfNeeded: index &* 31) }
            count = size
        }
        let head = Array("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n".utf8)
        try await withServer({ _ in [.request, .send(head), .send(body), .again] }) { _, transport in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 { group.addTask { try await transport.send(.get()).body == body } }
                for try await isWhole in group { #expect(isWhole) }
            }
        }
    }

    @Test(arguments: ["http", "https"])
    func `an environment that hangs does not delay another`(scheme: String) async throws {
        let silent = try RawServer(.hang)
        defer { silent.stop() }
        let lively = try RawServer(.request, .answer("200 OK"), .again)
        defer { lively.stop() }
        let loop = try CurlLoop()
        let stuck = CurlTransport(
            CurlConfiguration(origin: try .local(silent, scheme: scheme), connectTimeout: .seconds(60)), loop: loop)
        let well = CurlTransport(CurlConfiguration(origin: try .local(lively)), loop: loop)
        await withTaskGroup { group in
            for _ in 0..<40 { group.addTask { #expect(await stuck.failure(.get()) != nil) } }
            #expect(await eventually { silent.connections == 16 })
            for _ in 0..<50 { #expect(await well.failure(.get(timeout: .seconds(20))) == nil) }
            await stuck.shutdown()
        }
        await loop.stop()
    }

    @Test func `cancelling the task ends the exchange and says whether it left`() async throws {
        try await withServer({ _ in [.request, .hang] }, adjust: { $0.maximumConnections = 1 }) { server, transport in
            let running = Task { await transport.failure(.post("/", "x")) }
            #expect(await eventually { server.requests.count == 1 })
            let waiting = Task { await transport.failure(.post("/", "y")) }
            waiting.cancel()
            #expect(await waiting.value == .cancelled(sent: false))
            running.cancel()
            #expect(await running.value == .cancelled(sent: true))
            let late = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return await transport.failure(.post("/", "z"))
            }
            #expect(await late.value == .cancelled(sent: false))
            #expect(server.requests.count == 1)
        }
    }

    @Test func `cancelling at any moment ends every exchange once`() async throws {
        try await withServer({ _ in [.request, .answer("200 OK"), .again] }) { _, transport in
            for round in 0..<200 {
                let task = Task { await transport.failure(.get()) }
                for _ in 0..<(round % 20) { await Task.yield() }
                task.cancel()
                switch await task.value {
                case nil, .cancelled: break
                case let other?: Issue.record("\(other)")
                }
            }
            #expect(await transport.failure(.get()) == nil)
        }
    }

    @Test func `shutting down ends what runs and what waits, and leaves other transports alone`() async throws {
        try await withServer({ _ in [.request, .hang] }) { server, _ in
            let loop = try CurlLoop()
            let configuration = CurlConfiguration(origin: try .local(server), maximumConnections: 1)
            let first = CurlTransport(configuration, loop: loop)
            let second = CurlTransport(configuration, loop: loop)
            async let running = first.failure(.post("/", "x"))
            #expect(await eventually { server.requests.count == 1 })
            let waiting = Task { await first.failure(.get()) }
            async let other = second.failure(.get())
            #expect(await eventually { server.requests.count == 2 })
            await first.shutdown()
            #expect(await running == .cancelled(sent: true))
            #expect(await [.cancelled(sent: false), .cancelled(sent: true)].contains(waiting.value))
            await loop.stop()
            #expect(await other == .cancelled(sent: true))
            #expect(await second.failure(.get()) == .cancelled(sent: false))
            await loop.stop()
            await first.shutdown()
        }
    }
}
