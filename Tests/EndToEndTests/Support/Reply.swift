import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

/// An answer of the agent.
struct Reply: Sendable, CustomStringConvertible {
    let status: Int
    let fields: HTTPFields
    let body: [UInt8]

    init(_ answer: IncomingResponse) {
        status = answer.status
        fields = answer.fields
        body = answer.body
    }

    /// The body; `null` where it is no JSON.
    var json: JSON { (try? JSON.parse(body)) ?? .null }
    var code: String? { json["code"]?.string }
    var text: String { String(decoding: body, as: UTF8.self) }
    var description: String { "\(status) \(text)" }

    subscript(key: String) -> JSON? { json[key] }
}

/// Holds an answer against a problem document (RFC 9457) with this status and code.
func expectProblem(
    _ reply: Reply, _ status: Int, _ code: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(reply.status == status, "\(reply)", sourceLocation: sourceLocation)
    #expect(reply.code == code, "\(reply)", sourceLocation: sourceLocation)
    #expect(reply.fields[.contentType] == "application/problem+json", sourceLocation: sourceLocation)
    #expect(reply["status"] == .integer(Int64(status)), sourceLocation: sourceLocation)
    #expect(reply["type"] == .string("/docs/errors#\(code)"), sourceLocation: sourceLocation)
    for key in ["title", "detail", "request_id"] {
        #expect(reply[key]?.string?.isEmpty == false, "\(key) in \(reply)", sourceLocation: sourceLocation)
    }
    #expect(reply.fields[.requestIDField] == reply["request_id"]?.string, sourceLocation: sourceLocation)
}

extension HTTPField.Name {
    static let preferWait = name("Prefer")
    static let requestIDField = name("X-Request-ID")

    static func name(_ text: String) -> Self { Self(text) ?? .accept }
}
