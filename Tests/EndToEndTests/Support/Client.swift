import CurlHTTP
import HTTPMessage

/// Asks one server through libcurl.
struct Client: Sendable {
    private let loop: CurlLoop
    private let transport: CurlTransport

    init(of address: ListenAddress) throws {
        loop = try CurlLoop()
        let origin = try HTTPOrigin(parsing: "http://\(address)")
        transport = CurlTransport(
            CurlConfiguration(origin: origin, timeout: .seconds(30), maximumConnections: 64), loop: loop)
    }

    func send(_ request: OutgoingRequest) async throws -> Reply { Reply(try await transport.send(request)) }

    func stop() async {
        await transport.shutdown()
        await loop.stop()
    }
}
