import AgentModel
import CurlHTTP
import Glibc
import HTTPMessage

extension AgentConfig {
    /// The installation's names, as the configuration gives them or as they follow from it. `id` was made with the
    /// state.
    func installation(id: String) -> Installation {
        Installation(
            // Each of several agents has an audit log of its own.
            origin: auditOrigin ?? Installation.origin(on: agentName ?? Self.hostName, id: id),
            approvalOrigin: agentName.map { _ in Installation.origin(on: "shared", id: id) },
            publicURL: publicURL?.webOrigin ?? listen.webOrigin(isEncrypted: tls != nil, host: Self.hostName))
    }

    /// The name of this machine, by `gethostname`; `localhost` if it has none.
    static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return bytes.isEmpty ? "localhost" : String(decoding: bytes, as: UTF8.self)
    }
}

extension ListenAddress {
    /// The web origin of a server that listens here: by `localhost` on loopback, by the machine's name on every
    /// interface. `nil` for a Unix socket, and for a port that the kernel chooses.
    fileprivate func webOrigin(isEncrypted: Bool, host name: String) -> String? {
        guard case .tcp(let host, let port) = self, port > 0 else { return nil }
        let isAny = ["", "0.0.0.0", "::"].contains(host)
        let shown = isLoopback ? "localhost" : isAny ? name.lowercased() : host.contains(":") ? "[\(host)]" : host
        let scheme = isEncrypted ? "https" : "http"
        return "\(scheme)://\(shown)" + (port == (isEncrypted ? 443 : 80) ? "" : ":\(port)")
    }
}
