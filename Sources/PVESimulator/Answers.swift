import HTTPMessage
import HTTPTypes
import StrictJSON

/// The wire format of answers.
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

    /// Proxmox VE puts its error text into the status line and closes the connection. An HTTP server library cannot
    /// write such a status line, so the simulator sends the whole answer itself.
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

/// An answer of Proxmox VE with status 400 or above; its text travels in the reason phrase and in the body.
struct Failure: Error {
    enum Body {
        /// `{"data":null,"message":…,"errors":…}`, as the API itself answers.
        case json
        /// The message as plain text, as the HTTP server in front of the API answers.
        case text
        case none
    }

    var status: Int
    /// The whole text; the reason phrase is its first line.
    var message: String
    var errors: [String: String]
    var body: Body

    init(status: Int, message: String, errors: [String: String] = [:], body: Body = .json) {
        (self.status, self.message, self.errors, self.body) = (status, message, errors, body)
    }

    /// The text of most refusals.
    init(_ message: String) { self.init(status: 500, message: message + "\n") }

    var reason: String {
        let end = message.unicodeScalars.firstIndex { $0.value < 0x20 } ?? message.endIndex
        return String(message[..<end])
    }

    /// The text with which a task ends when it fails on this error: everything in one line.
    static func taskText(of error: any Error) -> String {
        guard let failure = error as? Failure else { return "\(error)" }
        let details = failure.errors.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
        var text = (failure.status == 500 ? "" : "\(failure.status) ") + failure.message + details
        if text.hasSuffix("\n") { text.removeLast() }
        return text.replacing("\n", with: " ")
    }

    static func parameters(_ errors: [String: String]) -> Failure {
        Failure(status: 400, message: "Parameter verification failed.\n", errors: errors)
    }

    static func denied(_ detail: String? = nil) -> Failure {
        Failure(status: 403, message: "Permission check failed" + (detail.map { " (\($0))" } ?? "") + "\n")
    }

    static func notImplemented(_ method: String, _ path: String) -> Failure {
        Failure(status: 501, message: "Method '\(method) \(path)' not implemented")
    }

    static func unauthenticated(_ reason: String) -> Failure { Failure(status: 401, message: reason, body: .none) }

    static func server(_ status: Int, _ text: String) -> Failure { Failure(status: status, message: text, body: .text) }

    /// The answer of most cluster calls without quorum.
    static let notReady = Failure("cluster not ready - no quorum?")

    static let missing = Failure("no such object")

    static let staleConfig = Failure("detected modified configuration - file changed by other user? Try again.")
}

/// A handler's answer with status 200.
enum Reply {
    case data(JSON)
    /// A list of which `data` is one page; `total` is left out where Proxmox VE leaves it out.
    case page(JSON, total: Int?)
    /// A serialised answer that several requests share.
    case bytes([UInt8])

    static let null = Reply.data(.null)

    /// The lines of a log that a call asks for.
    static func lines(_ lines: [String], _ call: EndpointCall) -> Reply {
        let limit = call.int("limit") ?? 50
        let page = lines.enumerated().dropFirst(call.int("start") ?? 0).prefix(limit == 0 ? lines.count : limit)
        return .page(.array(page.map { ["n": JSON($0.offset + 1), "t": .string($0.element)] }), total: lines.count)
    }

    static let noLog = Reply.page([["n": 1, "t": "unable to open file - No such file or directory"]], total: 1)
    static func object(_ members: JSONObject) -> Reply { .data(.object(members)) }
    static func rows(_ rows: [JSON]) -> Reply { .data(.array(rows)) }
    static func text(_ text: String) -> Reply { .data(.string(text)) }

    var bytes: [UInt8] {
        switch self {
        case .bytes(let bytes): bytes
        case .data(let data): JSON.object(["data": data]).bytes
        case .page(let data, let total): JSON.object(["data": data, "total": total.map { JSON($0) }]).bytes
        }
    }
}
