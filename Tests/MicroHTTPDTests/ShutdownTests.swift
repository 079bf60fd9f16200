import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

extension Serving {
    @Suite struct ShuttingDown {
        @Test func `lets a running exchange finish, refuses new ones and accepts nobody`() async throws {
            let started = Latch()
            let proceed = Latch()
            let handler = Handler { request in
                if request.path == "/idle" { return .text("here") }
                started.open()
                await proceed.wait()
                return .text("finished")
            }
            // A path of its own: a port that is free again may be somebody else's in the next moment.
            let path = "/tmp/proxmox-agent-\(UInt64.random(in: .min ... .max)).sock"
            let server = try HTTPServer(listening: .unix(path: path), handler: handler)
            let client = try RawClient(server.address)
            let idle = try RawClient(server.address)
            // Connected is not yet accepted: what the server has not seen goes with its socket.
            #expect(try await idle.exchange(get("/idle")).text == "here")
            try await client.send(get("/"))
            #expect(await started.wait())
            async let stopped: Void = server.shutdown(within: .seconds(10))
            // The listening socket is closed at once; what is connected is served on.
            while (try? RawClient(server.address)) != nil { _ = await idle.staysSilent(for: .milliseconds(1)) }
            let refused = try await idle.exchange(get("/"))
            #expect(refused.status == 503 && refused.text == "shutting down")
            proceed.open()
            let answer = try await client.response()
            #expect(answer.text == "finished")
            #expect(answer.value(of: "Connection")?.lowercased() == "close")
            await stopped
        }

        @Test func `is bounded by its limit when a handler never ends`() async throws {
            let started = Latch()
            let never = Latch()
            let handler = Handler { request in
                started.open()
                await never.wait(within: .seconds(20))
                return .text("late")
            }
            let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: handler)
            let client = try RawClient(server.address)
            try await client.send(get("/"))
            #expect(await started.wait())
            let begin = ContinuousClock.now
            await server.shutdown(within: .milliseconds(50))
            #expect(begin.duration(to: .now) < .seconds(3))
            let answer = try await client.response()
            #expect(answer.status == 503 && answer.text == "shutting down")
            never.open()
        }

        @Test func `waits for the same end when called again`() async throws {
            let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: echo)
            async let one: Void = server.shutdown(within: .seconds(1))
            async let two: Void = server.shutdown(within: .seconds(1))
            _ = await (one, two)
            await server.shutdown(within: .seconds(1))
            #expect(throws: WireError.self) { try RawClient(server.address) }
        }

        @Test func `does not abort while exchanges are being suspended`() async throws {
            for _ in 0..<10 {
                let busy = Latch()
                let answered = Lock(0)
                let handler = Handler { request in
                    await Task.yield()
                    let count = answered.withLock { count in
                        count += 1
                        return count
                    }
                    if count == 40 { busy.open() }
                    return .text("x")
                }
                let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: handler)
                await withTaskGroup { group in
                    for _ in 0..<4 {
                        group.addTask {
                            guard let client = try? RawClient(server.address) else { return }
                            while (try? await client.exchange(get("/")))?.status == 200 {}
                        }
                    }
                    group.addTask {
                        #expect(await busy.wait())
                        await server.shutdown(within: .zero)
                    }
                }
            }
        }

        @Test func `leaves nothing open behind`() async throws {
            let before = try openDescriptors()
            for _ in 0..<50 {
                try await withServer { server in
                    let client = try RawClient(server.address)
                    #expect(try await client.exchange(get("/")).status == 200)
                }
            }
            // Other tests of the process open and close theirs meanwhile; a leak would be 50 or more.
            #expect(try openDescriptors() - before < 40)
        }

        @Test func `stops by itself when nobody holds it any more`() async throws {
            let address = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), handler: echo).address
            let deadline = ContinuousClock.now + .seconds(5)
            while let client = try? RawClient(address), .now < deadline {
                _ = try? await client.end(within: .seconds(1))
            }
            #expect(.now < deadline)
        }
    }
}
