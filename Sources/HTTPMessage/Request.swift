package import HTTPTypes

/// One HTTP request as it came off the wire, its body complete.
package struct Request: Sendable {
    package var method: HTTPRequest.Method
    /// The path as received, still percent-encoded: `/v1/plans/pln_1`. Routes match on this form.
    package var path: String
    /// The text after the first `?`, still percent-encoded; `nil` without one.
    package var query: String?
    package var fields: HTTPFields
    package var body: [UInt8]
    /// Who connected: `127.0.0.1:40112`, `[::1]:40112` or `unix`.
    package var peer: String
    /// The certificate that the client showed; `nil` without one, and where none was asked for.
    package var certificate: ClientCertificate?

    package init(
        method: HTTPRequest.Method, path: String, query: String? = nil, fields: HTTPFields = [:],
        body: [UInt8] = [], peer: String = "unix"
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.body = body
        self.peer = peer
    }
}
