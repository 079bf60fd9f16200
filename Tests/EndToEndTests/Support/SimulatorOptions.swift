import MicroHTTPD
import PVESimulator

extension HTTPServer.Options {
    /// As a ``SimulatorServer`` serves.
    static var simulator: Self { SimulatorServer.defaultOptions }
}
