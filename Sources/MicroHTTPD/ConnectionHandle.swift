import CMicrohttpd
import HTTPMessage

/// A `struct MHD_Connection *`.
// SAFETY: valid from the access handler's call until libmicrohttpd completes the request, and as long as the connection
// is suspended. Only the thread in the access handler uses it or, while suspended, the code that takes it out of its
// exchange under the exchange's lock.
@safe struct ConnectionHandle: @unchecked Sendable {
    private let raw: OpaquePointer

    init?(_ raw: OpaquePointer?) {
        guard let raw = unsafe raw else { return nil }
        unsafe self.raw = unsafe raw
    }

    var descriptor: Int32 { unsafe cmhd_connection_fd(raw) }

    /// The peer, as ``SocketAddress/text(_:)`` formats it.
    var peer: String { unsafe SocketAddress.text(cmhd_client_address(raw)) }

    /// The TLS session; `nil` without TLS.
    var session: TLSSession? { unsafe TLSSession(cmhd_tls_session(raw)) }

    /// What `ServerCore.connectionChanged` stored for this socket.
    var connection: Connection? {
        guard let kept = unsafe cmhd_socket_context(raw) else { return nil }
        return unsafe Unmanaged<Connection>.fromOpaque(kept).takeUnretainedValue()
    }

    /// Calls `visit` with `context` for each field of the request's head; returns their number.
    func visitFields(_ visit: MHD_KeyValueIteratorN, _ context: UnsafeMutableRawPointer) -> Int {
        Int(unsafe MHD_get_connection_values_n(raw, .HEADER_KIND, visit, context))
    }

    /// `MHD_suspend_connection`: only in the access handler, which then returns `MHD_YES`, or while a stream is read,
    /// which then returns 0.
    func suspend() { unsafe MHD_suspend_connection(raw) }

    /// `MHD_resume_connection`: exactly once after each `suspend`; what suspended is then called again.
    func resume() { unsafe MHD_resume_connection(raw) }

    /// `MHD_queue_response`; `MHD_NO` if the connection is in no state to be answered.
    func queue(_ response: borrowing ResponseHandle, status: Int) -> MHD_Result {
        unsafe MHD_queue_response(raw, UInt32((200...999).contains(status) ? status : 500), response.raw)
    }
}

/// Owns one reference to a `struct MHD_Response *`.
@safe struct ResponseHandle: ~Copyable {
    /// Bodies up to this size are copied into one buffer; larger ones are read from the shared parts while sending.
    private static let copiedBodyBytes = 32_768

    fileprivate let raw: OpaquePointer

    /// Fails if memory is short.
    init?(_ body: Response.Body, to connection: Connection) {
        let made = unsafe body.count > Self.copiedBodyBytes ? Self.reading(body, connection) : Self.copying(body.bytes)
        guard let made = unsafe made else { return nil }
        unsafe raw = unsafe made
    }

    /// A body of unknown length; the reply to HEAD has none. Fails if memory is short.
    init?(_ stream: ResponseStream, through reader: StreamReader, toHead: Bool) {
        // Released in `StreamReader.free`, which libmicrohttpd calls after the last use of the response.
        let context = unsafe Unmanaged.passRetained(reader).toOpaque()
        // The block is only used for HTTP/1.0, which knows no chunks.
        let made = unsafe cmhd_create_stream(256, StreamReader.read, context, StreamReader.free)
        guard let made = unsafe made else {
            unsafe StreamReader.free(context)
            return nil
        }
        // libmicrohttpd (0.9.75) sends the end of the chunks even in reply to HEAD.
        if toHead { unsafe cmhd_forbid_chunks(made) }
        stream.begin(on: reader)
        unsafe raw = unsafe made
    }

    deinit { unsafe MHD_destroy_response(raw) }

    /// `MHD_add_response_header`; false for an empty value, or if memory is short.
    borrowing func add(_ name: String, _ value: String) -> Bool {
        // Passing the strings directly would copy them each time.
        unsafe name.withCString { name in
            unsafe value.withCString { value in unsafe MHD_add_response_header(raw, name, value) == .YES }
        }
    }

    private static func copying(_ bytes: [UInt8]) -> OpaquePointer? {
        unsafe bytes.withUnsafeBytes { bytes in
            // MUST_COPY: libmicrohttpd only reads.
            let start = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)
            return unsafe MHD_create_response_from_buffer(bytes.count, start, .RESPMEM_MUST_COPY)
        }
    }

    private static func reading(_ body: Response.Body, _ connection: Connection) -> OpaquePointer? {
        // Released in `BodyReader.free`, which libmicrohttpd calls after the last use of the response.
        let reader = unsafe Unmanaged.passRetained(BodyReader(body, connection)).toOpaque()
        let made = unsafe MHD_create_response_from_callback(
            UInt64(body.count), copiedBodyBytes, BodyReader.read, reader, BodyReader.free)
        if unsafe made == nil { unsafe BodyReader.free(reader) }
        return unsafe made
    }
}
