private import Glibc
package import HTTPTypes

/// One HTTP request as it was received, with its complete body.
package struct Request: Sendable {
    package var method: HTTPRequest.Method
    /// The path as received, still percent-encoded: `/v1/plans/pln_1`. Routes match on this form.
    package var path: String
    /// The text after the first `?`, still percent-encoded; `nil` without one.
    package var query: String?
    package var fields: HTTPFields
    package var body: [UInt8]
    /// The peer: `127.0.0.1:40112`, `[::1]:40112` or `unix`.
    package var peer: String
    /// ``peer`` without what a single client can vary; see ``source(of:)``. Limits for each address use this.
    package var source: String
    /// The client's certificate; `nil` without one, or if none was requested.
    package var certificate: ClientCertificate?

    package init(
        method: HTTPRequest.Method, path: String, query: String? = nil, fields: HTTPFields = [:],
        body: [UInt8] = [], peer: String = "unix", source: String? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.body = body
        self.peer = peer
        self.source = source ?? Self.source(of: peer)
    }

    /// The address in `peer`, without the port. All IPv6 addresses of one /64 are one source, since a single host has
    /// them all. All clients of a Unix socket are one source too.
    package static func source(of peer: String) -> String {
        guard let colon = peer.lastIndex(of: ":") else { return peer }
        guard peer.hasPrefix("["), peer[..<colon].hasSuffix("]") else { return String(peer[..<colon]) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let host = String(peer[..<colon].dropFirst().dropLast())
        guard unsafe inet_pton(AF_INET6, host, &bytes) == 1 else { return host }
        let network = stride(from: 0, to: 8, by: 2).map { String(Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]), radix: 16) }
        return network.joined(separator: ":") + "::/64"
    }
}
