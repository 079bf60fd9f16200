package import HTTPMessage
import HTTPTypes
import StrictJSON

/// Which `Host` and `Origin` a request may have, so that no web page reaches the agent through a browser.
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

    /// Why the request is refused, as an answer; `nil` if it passes.
    func refusal(of request: Request) -> Response? {
        let host = request.fields[values: Self.host]
        guard host.count == 1, isOurs(host[0]) else {
            return Self.refusal("this Host is not the agent's; mcp.allowed_hosts in its configuration names more")
        }
        let origin = request.fields[values: Self.origin]
        guard origin.allSatisfy(isAllowed) else {
            return Self.refusal("this Origin is not allowed; mcp.allowed_origins in the configuration names more")
        }
        return nil
    }

    private static func refusal(_ why: String) -> Response {
        RPCError(code: 403, message: why, status: .forbidden).response(id: nil)
    }

    private func isAllowed(_ origin: String) -> Bool {
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

    private static let host = name("Host")
    private static let origin = name("Origin")

    private static func name(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is no field name") }
        return name
    }
}
