package import HTTPMessage
import HTTPTypes

/// The names of the agent: which `Host` and `Origin` a browser's request may have.
package struct Surroundings: Sendable {
    private let hosts: Set<String>
    private let origins: Set<String>
    /// The agent listens on every interface, so each of its addresses is its own.
    private let isAnyAddressOurs: Bool

    /// `hosts` and `origins` are allowed beside the loopback names and the address that the agent listens on.
    package init(listening address: ListenAddress, hosts: [String] = [], origins: [String] = []) {
        var own = Set(hosts.map { $0.lowercased() })
        var isAny = false
        if case .tcp(let host, _) = address {
            own.insert(host.lowercased())
            isAny = ["", "0.0.0.0", "::"].contains(host)
        }
        self.hosts = own
        self.origins = Set(origins.map { $0.lowercased() })
        isAnyAddressOurs = isAny
    }

    /// The agent's own name that the request was sent to, in lower case; `nil` if it was sent to another.
    package func host(of request: Request) -> String? {
        let host = request.fields[values: .host]
        return host.count == 1 && isOurs(host[0]) ? host[0].lowercased() : nil
    }

    /// Whether a page of that origin may use the agent: a page of the agent's own, or one that is named.
    package func isAllowed(_ origin: String) -> Bool {
        let origin = origin.lowercased()
        if origins.contains(origin) { return true }
        guard let scheme = ["http://", "https://"].first(where: origin.hasPrefix) else { return false }
        return isOurs(String(origin.dropFirst(scheme.count)))
    }

    /// Whether `host`, or `host:port`, is the agent itself.
    private func isOurs(_ text: String) -> Bool {
        let text = text.lowercased()
        if hosts.contains(text) { return true }
        guard let address = ListenAddress(text.hasSuffix("]") || !text.contains(":") ? text + ":0" : text),
            case .tcp(let host, _) = address, !host.isEmpty
        else { return false }
        return address.isLoopback || hosts.contains(host) || (isAnyAddressOurs && address.isNumeric)
    }
}

extension HTTPField.Name {
    static var host: Self { constant("Host") }
}
