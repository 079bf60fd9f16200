import CMicrohttpd
import HTTPMessage
import HTTPTypes

/// Passes responses to libmicrohttpd.
extension ServerCore {
    /// The handler's response for `refusal`. Ends the connection if the rest of the request cannot be read safely.
    func refusal(_ refusal: Refusal, of request: Request) -> Response {
        var bodiless = request
        bodiless.body = []
        var answer = handler.refuse(bodiless, because: refusal)
        switch refusal {
        case .bodyTooLarge, .headTooLarge, .malformed, .shuttingDown:
            if answer.ending == .keep { answer.ending = .close }
        case .deadlineExceeded, .overloaded, .shareUsedUp, .clientLeft: break
        }
        return answer
    }

    /// Queues `answer`; `MHD_NO` makes libmicrohttpd close the connection.
    func send(_ answer: Response, on handle: ConnectionHandle, _ connection: Connection) -> MHD_Result {
        switch answer.ending {
        case .keep: return queue(answer, on: handle, connection, closing: isDraining || connection.lingers)
        case .close: return queue(answer, on: handle, connection, closing: true)
        case .raw(let bytes):
            if options.tls == nil {
                RawEnding.write(bytes, to: connection.descriptor)
                connection.lingers = true
            } else {
                note("raw bytes cannot be sent through TLS: closing the connection")
            }
            return .NO
        case .reset:
            RawEnding.reset(connection.descriptor)
            return .NO
        }
    }

    private func queue(
        _ answer: Response, on handle: ConnectionHandle, _ connection: Connection, closing: Bool
    ) -> MHD_Result {
        guard let response = ResponseHandle(answer.body, to: connection) else { return .NO }
        for field in answer.fields where !Self.ownedByServer.contains(field.name) {
            if !response.add(field.name.rawName, Self.clean(field.value)) {
                note("dropped the field \(field.name) of an answer: empty, or out of memory")
            }
        }
        if closing { _ = response.add("Connection", "close") }
        return handle.queue(response, status: answer.status.code)
    }

    /// The server sets the framing fields.
    private static let ownedByServer: [HTTPField.Name] = [.contentLength, .transferEncoding, .connection]

    /// `value` without control characters, so that no value can add a line.
    private static func clean(_ value: String) -> String {
        guard value.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) else { return value }
        return String(decoding: value.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self)
    }
}
