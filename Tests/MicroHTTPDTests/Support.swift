import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

/// All tests of the server; one at a time, because some of them use up descriptors.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct Serving {}

/// A handler made of a closure. Refusals are answered with a status of their own and a text that tells the reason.
struct Handler: HTTPHandler {
    var answer: @Sendable (Request) async -> Response
    var admission: @Sendable (Request) -> Admission = { Admission(.source($0.source)) }

    init(
        admission: @escaping @Sendable (Request) -> Admission = { Admission(.source($0.source)) },
        answer: @escaping @Sendable (Request) async -> Response
    ) {
        self.answer = answer
        self.admission = admission
    }

    func admission(of request: Request) -> Admission { admission(request) }

    func respond(to request: Request) async -> Response { await answer(request) }

    func refuse(_ request: Request, because refusal: Refusal) -> Response {
        let (status, reason): (HTTPResponse.Status, String) =
            switch refusal {
            case .bodyTooLarge(let limit): (.contentTooLarge, "more than \(limit) bytes")
            case .headTooLarge: (.requestHeaderFieldsTooLarge, "head too large")
            case .malformed(let what): (.badRequest, what)
            case .deadlineExceeded: (.gatewayTimeout, "too late")
            case .overloaded: (.serviceUnavailable, "overloaded")
            case .shareUsedUp: (.tooManyRequests, "share used up")
            case .clientLeft: (.badRequest, "client left")
            case .shuttingDown: (.serviceUnavailable, "shutting down")
            }
        return Response(status: status, body: .init(Array(reason.utf8)))
    }
}

extension Response {
    static func text(_ text: String, _ ending: Ending = .keep) -> Response {
        Response(status: .ok, fields: [.contentType: "text/plain"], body: .init(Array(text.utf8)), ending: ending)
    }
}

/// Tells method, raw path, query and body of the request.
let echo = Handler { request in
    let body = String(decoding: request.body, as: UTF8.self)
    return .text("\(request.method) \(request.path) \(request.query ?? "-") \(body)")
}

/// Runs `body` with a server on a free port of 127.0.0.1, then shuts it down.
func withServer(
    _ handler: Handler = echo, listening address: ListenAddress = .tcp(host: "127.0.0.1", port: 0),
    _ configure: (inout HTTPServer.Options) -> Void = { _ in },
    _ body: (HTTPServer) async throws -> Void
) async throws {
    var options = HTTPServer.Options()
    options.threads = 2
    configure(&options)
    let server = try HTTPServer(listening: address, options: options, handler: handler)
    do {
        try await body(server)
    } catch {
        await server.shutdown(within: .zero)
        throw error
    }
    await server.shutdown(within: .seconds(1))
}

/// `GET path HTTP/1.1` with a Host and these further field lines.
func get(_ path: String, _ fields: String...) -> String {
    "GET \(path) HTTP/1.1\r\nHost: test\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
}

func post(_ path: String, _ body: String, _ fields: String...) -> String {
    "POST \(path) HTTP/1.1\r\nHost: test\r\nContent-Length: \(body.utf8.count)\r\n"
        + fields.map { $0 + "\r\n" }.joined() + "\r\n" + body
}
