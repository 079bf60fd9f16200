import CGnuTLS
import CMicrohttpd
import Glibc
import HTTPMessage
import Synchronization

/// Owns a `struct MHD_Daemon`, which gets its connections from the acceptor.
// SAFETY: the pointer is used by `adopt`, which the acceptor's end comes before, and then once, by `stop`.
@safe final class Daemon: @unchecked Sendable {
    private let core: ServerCore
    private let handle: OpaquePointer
    private let isStopped = Atomic(false)

    /// `MHD_start_daemon` on threads that epoll, or poll with TLS, without a listening socket.
    init(_ core: ServerCore) throws(ServerError) {
        self.core = core
        // Released in `stop`, after the last thread has ended.
        let context = unsafe Unmanaged.passRetained(core).toOpaque()
        guard let handle = unsafe Self.start(core, context) else {
            unsafe Unmanaged<ServerCore>.fromOpaque(context).release()
            throw .cannotStart(core.lastNote ?? "MHD_start_daemon failed")
        }
        unsafe self.handle = unsafe handle
    }

    /// Bytes of a connection's memory that are reserved for the response.
    private static let roomForAnswer = 8192

    /// `MHD_add_connection`: passes the descriptor to libmicrohttpd, which closes it if it cannot serve it. Returns
    /// whether it is served.
    func adopt(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Bool {
        unsafe MHD_add_connection(handle, descriptor, address, length) == .YES
    }

    /// `MHD_stop_daemon`: closes every connection and joins the threads. Call `ServerCore.stop()` first.
    func stop() {
        guard !isStopped.exchange(true, ordering: .relaxed) else { return }
        unsafe MHD_stop_daemon(handle)
        unsafe Unmanaged.passUnretained(core).release()
    }

    private static func start(_ core: ServerCore, _ context: UnsafeMutableRawPointer) -> OpaquePointer? {
        let options = core.options
        // The logger must come first: it only gets messages about the options after it.
        var items = unsafe [
            item(.EXTERNAL_LOGGER, unsafeBitCast(ServerCore.logged, to: Int.self), context),
            item(.URI_LOG_CALLBACK, unsafeBitCast(ServerCore.requestStarted, to: Int.self), context),
            item(.NOTIFY_COMPLETED, unsafeBitCast(ServerCore.requestCompleted, to: Int.self), context),
            item(
                .NOTIFY_CONNECTION, unsafeBitCast(ServerCore.connectionChanged, to: Int.self), context),
            // The response's head must fit in beside the request's.
            item(.CONNECTION_MEMORY_LIMIT, options.maxHeaderBytes + Self.roomForAnswer),
            // The registry enforces the limit. With `MHD_add_connection`, reaching libmicrohttpd's own limit (0.9.75)
            // leaves one of its mutexes locked for good.
            item(.CONNECTION_LIMIT, Int(Int32.max)),
            item(.CONNECTION_TIMEOUT, Int(clamping: options.idleTimeout.components.seconds)),
        ]
        if options.threads > 1 { unsafe items.append(item(.THREAD_POOL_SIZE, options.threads)) }
        let end = unsafe item(.END, 0)
        let flags = [MHD_USE_SUSPEND_RESUME, MHD_USE_NO_LISTEN_SOCKET, MHD_USE_ERROR_LOG]
        guard options.tls != nil else {
            return unsafe start(flags + [MHD_USE_EPOLL_INTERNALLY], context, items + [end])
        }
        return unsafe Self.priorities.withCString { priorities in
            let tls = unsafe [
                item(.HTTPS_PRIORITIES, 0, UnsafeMutableRawPointer(mutating: priorities)),
                // libmicrohttpd requires a certificate. Each connection gets the real one when it opens.
                item(.HTTPS_CERT_CALLBACK2, 0, cgnutls_no_certificate()),
            ]
            // Not epoll: libmicrohttpd (0.9.75) then spins on a handshake that has stopped halfway.
            return unsafe start(flags + [MHD_USE_POLL_INTERNALLY, MHD_USE_TLS], context, items + tls + [end])
        }
    }

    /// TLS 1.2 and 1.3, only with forward secrecy and authenticated encryption; client certificates of at least 112
    /// bits (RSA 2048).
    private static let priorities =
        "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
        + ":-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:%SERVER_PRECEDENCE:%PROFILE_MEDIUM"

    private static func start(
        _ flags: [MHD_FLAG], _ context: UnsafeMutableRawPointer, _ items: [MHD_OptionItem]
    ) -> OpaquePointer? {
        unsafe cmhd_start_daemon(flags.reduce(0) { $0 | $1.rawValue }, ServerCore.access, context, items)
    }

    private static func item(
        _ option: MHD_OPTION, _ value: Int, _ pointer: UnsafeMutableRawPointer? = nil
    ) -> MHD_OptionItem {
        unsafe MHD_OptionItem(option: option, value: value, ptr_value: pointer)
    }
}
