import CMicrohttpd
import Glibc
import HTTPMessage
import HTTPTypes

/// The callbacks of libmicrohttpd. They do not throw or trap; on failure they return the library's own failure value.
extension ServerCore {
    /// The core from a callback's first argument: retained for the daemon in `Daemon.init`, released in `stop`.
    private static func from(_ context: UnsafeMutableRawPointer?) -> ServerCore? {
        guard let context = unsafe context else { return nil }
        return unsafe Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
    }

    /// A connection was accepted, or is about to be closed.
    static let connectionChanged: MHD_NotifyConnectionCallback = { context, handle, slot, what in
        guard let core = unsafe from(context), let slot = unsafe slot else { return }
        if what == .CONNECTION_NOTIFY_STARTED {
            guard let handle = unsafe ConnectionHandle(handle) else { return }
            let connection = Connection(descriptor: handle.descriptor, peer: handle.peer)
            unsafe slot.pointee = Unmanaged.passRetained(connection).toOpaque()
            // Before the handshake. libmicrohttpd has no certificate itself, so without this there is none.
            if let credentials = core.credentials.withLock({ $0 }), let session = handle.session {
                connection.equip(session, with: credentials)
            }
            core.connections.add(connection)
        } else if let kept = unsafe slot.pointee {
            unsafe slot.pointee = nil
            let connection = unsafe Unmanaged<Connection>.fromOpaque(kept).takeRetainedValue()
            core.connections.remove(connection)
            if connection.lingers { core.lingering.takeOver(connection.descriptor) }
        }
    }

    /// The request line was read. Returns the context of the request.
    static let requestStarted:
        @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, OpaquePointer?) -> UnsafeMutableRawPointer? = {
            context, target, handle in
            guard let core = unsafe from(context), let connection = unsafe ConnectionHandle(handle)?.connection else {
                return nil
            }
            let exchange = unsafe Exchange(core: core, connection: connection, target: RawTarget(target))
            return unsafe Unmanaged.passRetained(exchange).toOpaque()
        }

    /// The access handler. Without the context from `requestStarted`, the connection is closed.
    static let access: MHD_AccessHandlerCallback = { _, handle, _, method, version, data, size, slot in
        guard let handle = unsafe ConnectionHandle(handle), let kept = unsafe slot?.pointee, let size = unsafe size
        else { return .NO }
        let exchange = unsafe Unmanaged<Exchange>.fromOpaque(kept).takeUnretainedValue()
        let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size.pointee)
        // libmicrohttpd offers again what is not taken; all is always taken.
        unsafe size.pointee = 0
        return unsafe exchange.advance(handle, method: text(method), version: text(version), data: bytes)
    }

    /// The request is over. Only this callback releases an exchange.
    static let requestCompleted: MHD_RequestCompletedCallback = { _, _, slot, _ in
        guard let kept = unsafe slot?.pointee else { return }
        unsafe slot?.pointee = nil
        unsafe Unmanaged<Exchange>.fromOpaque(kept).takeRetainedValue().completed()
    }

    /// One line of libmicrohttpd's log.
    static let logged: MHD_LogCallback = { context, format, arguments in
        guard let core = unsafe from(context), let format = unsafe format, let arguments = unsafe arguments else {
            return
        }
        let line = unsafe [CChar](unsafeUninitializedCapacity: 512) { buffer, count in
            let length = unsafe vsnprintf(buffer.baseAddress, buffer.count, format, arguments)
            count = min(max(Int(length), 0), buffer.count - 1)
        }
        let text = String(decoding: line.lazy.map(UInt8.init(bitPattern:)).prefix { $0 != 0x0A }, as: UTF8.self)
        // A client that has left is not worth a line, nor is a stream that was ended for it.
        if text.hasPrefix("Failed to send the response") || text == brokenStream { return }
        core.note(text == failedHandshake ? "a TLS handshake failed" : text)
    }

    /// All that libmicrohttpd (0.9.75) logs when a client does not trust the certificate, or does not speak TLS.
    private static let failedHandshake = "Error: received handshake message out of context."

    /// What libmicrohttpd (0.9.75) logs when the reader of a response ends it with an error.
    private static let brokenStream = "Closing connection (application error generating response)."

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String {
        guard let pointer = unsafe pointer else { return "" }
        return unsafe String(cString: pointer)
    }
}

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

    /// Queues `answer`, whose body is `stream`. The connection is closed afterwards.
    func send(
        _ answer: Response, _ stream: ResponseStream, on handle: ConnectionHandle, _ connection: Connection,
        toHead: Bool
    ) -> MHD_Result {
        let reader = StreamReader(stream, handle, connection, in: connections)
        guard let response = ResponseHandle(stream, through: reader, toHead: toHead) else { return .NO }
        return queue(answer, response, on: handle, closing: true)
    }

    private func queue(
        _ answer: Response, on handle: ConnectionHandle, _ connection: Connection, closing: Bool
    ) -> MHD_Result {
        guard let response = ResponseHandle(answer.body, to: connection) else { return .NO }
        return queue(answer, response, on: handle, closing: closing)
    }

    private func queue(
        _ answer: Response, _ response: borrowing ResponseHandle, on handle: ConnectionHandle, closing: Bool
    ) -> MHD_Result {
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
