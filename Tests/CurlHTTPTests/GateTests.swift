import CurlHTTP
import HTTPMessage
import HTTPTypes
import Testing
import WireTestSupport

/// A request's gate is asked when the connection stands, and what it holds back is not sent.
@Suite(.timeLimit(.minutes(1))) struct GateTests {
    private func request(_ body: String = "x", _ gate: @escaping @Sendable () -> Bool) -> OutgoingRequest {
        var request = OutgoingRequest.post("/act", body)
        request.gate = gate
        return request
    }

    @Test(arguments: [true, false])
    func `a closed gate lets nothing pass`(isOpen: Bool) async throws {
        try await withServer({ _ in [.request, .answer("200 OK")] }) { server, transport in
            let asked = Lock(0)
            let failure = await transport.failure(
                request {
                    asked.withLock { $0 += 1 }
                    return isOpen
                })
            #expect(failure == (isOpen ? nil : .withheld))
            #expect(asked.withLock { $0 } == 1)
            #expect(server.requests.count == (isOpen ? 1 : 0))
            #expect(await eventually { server.connections == 1 })
        }
    }

    @Test func `a request that has passed its gate is with the kernel after one round trip`() async throws {
        try await withServer({ _ in [.request, .hang] }) { server, transport in
            let passed = Latch()
            let sending = Task {
                await transport.failure(
                    request(String(repeating: "x", count: 20_000)) {
                        passed.open()
                        return true
                    })
            }
            #expect(await passed.wait())
            await transport.finishWriting()
            sending.cancel()
            #expect(await sending.value == .cancelled(sent: true))
            #expect(await eventually { server.requests.count == 1 }, "it was whole by then")
        }
    }

    @Test func `one that is only partly written is broken off`() async throws {
        // The server reads nothing: what the sockets do not take stays behind.
        try await withServer({ _ in [.ignore] }) { server, transport in
            let passed = Latch()
            let sending = Task {
                await transport.failure(
                    request(String(repeating: "x", count: 32 << 20)) {
                        passed.open()
                        return true
                    })
            }
            #expect(await passed.wait())
            await transport.finishWriting()
            guard case .broken(_, sent: true) = await sending.value else {
                Issue.record("it was not broken off")
                return
            }
            #expect(server.requests.isEmpty)
        }
    }
}
