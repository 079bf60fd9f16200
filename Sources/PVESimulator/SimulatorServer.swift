package import HTTPMessage
package import MicroHTTPD

/// A simulator served over HTTP on a loopback port.
package struct SimulatorServer: Sendable {
    package let simulator: Simulator
    /// Where it listens, with the real port.
    package var address: ListenAddress { server.address }
    private let server: HTTPServer

    /// Starts to listen on `address`; port 0 lets the kernel choose one.
    package init(
        _ simulator: Simulator, on address: ListenAddress = .tcp(host: "127.0.0.1", port: 0),
        serving options: HTTPServer.Options = Self.defaultOptions
    ) throws(ServerError) {
        self.simulator = simulator
        server = try HTTPServer(listening: address, options: options, handler: simulator)
    }

    /// One thread, and patience with faults that keep an answer back.
    package static var defaultOptions: HTTPServer.Options {
        var options = HTTPServer.Options()
        options.threads = 1
        options.exchangeDeadline = .seconds(600)
        return options
    }

    /// `http://127.0.0.1:40123`; empty for a Unix socket.
    package var baseURL: String {
        guard case .tcp(let host, let port) = address else { return "" }
        return "http://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    /// Stops; what still runs after `limit` is cut off.
    package func shutdown(within limit: Duration = .milliseconds(200)) async { await server.shutdown(within: limit) }
}
