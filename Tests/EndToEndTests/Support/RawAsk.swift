import HTTPMessage
import StrictJSON
import WireTestSupport

/// One question over a socket of its own, to whatever listens there.
enum RawAsk {
    static func get(_ path: String, at address: ListenAddress, authorization: String? = nil) async throws -> Reply {
        let client = try RawClient(address)
        let field = authorization.map { "Authorization: \($0)\r\n" } ?? ""
        let answer = try await client.exchange("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\(field)\r\n")
        return Reply(IncomingResponse(status: answer.status, reason: answer.reason, body: answer.body))
    }
}
