import HTTPMessage
import HTTPTypes
import StrictJSON

/// How answers look on the wire.
enum Wire {
    static let json = "application/json;charset=UTF-8"
    private static let headers: [(HTTPField.Name, String)] = [
        (.cacheControl, "max-age=0"), (.contentType, json), (.server, "pve-api-daemon/3.0"),
    ]

    static func success(_ bytes: [UInt8]) -> Response {
        var fields = HTTPFields()
        for (name, value) in headers { fields[name] = value }
        return Response(status: .ok, fields: fields, body: Response.Body(bytes))
    }

    /// Proxmox VE puts its error text into the status line and closes the connection. An HTTP server library cannot do
    /// the first, so the whole answer goes out as it is.
    static func failure(_ failure: Failure) -> Response {
        var body: [UInt8] = []
        switch failure.body {
        case .none: break
        case .text: body = Array(failure.message.utf8)
        case .json:
            let errors = failure.errors.sorted { $0.key < $1.key }
            let object = errors.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) }
            let answer: JSON = [
                "data": .null, "message": .string(failure.message),
                "errors": errors.isEmpty ? .none : .some(.object(object)),
            ]
            body = answer.bytes
        }
        return raw(status: failure.status, reason: failure.reason, type: failure.body == .json ? json : nil, body: body)
    }

    /// A complete answer, after which the connection is closed.
    static func raw(
        status: Int, reason: String, type: String? = nil, body: [UInt8] = [], declared: Int? = nil
    ) -> Response {
        var head = "HTTP/1.1 \(status) \(reason)\r\nCache-Control: max-age=0\r\nConnection: close\r\n"
        head += "Server: pve-api-daemon/3.0\r\n"
        if !body.isEmpty || declared != nil { head += "Content-Length: \(declared ?? body.count)\r\n" }
        if let type { head += "Content-Type: \(type)\r\n" }
        var fields = HTTPFields()
        fields[.contentType] = type
        return Response(
            status: .init(code: status, reasonPhrase: reason), fields: fields, body: Response.Body(body),
            ending: .raw(Array((head + "\r\n").utf8) + body))
    }
}
