import CMicrohttpd
import Glibc
import HTTPMessage

/// Owns a `struct MHD_Daemon` and the socket it listens on.
// SAFETY: the pointer is used under the lock only; libmicrohttpd's own threads never see this object.
final class Daemon: @unchecked Sendable {
    @safe private struct State: ~Copyable {
        var handle: OpaquePointer?
        var socket: ListenSocket?
    }

    private let core: ServerCore
    private let state: Lock<State>

    /// `MHD_start_daemon` on epoll threads.
    init(_ core: ServerCore, listening socket: consuming ListenSocket) throws(ServerError) {
        self.core = core
        // Released in `stop`, after the last thread is gone.
        let context = unsafe Unmanaged.passRetained(core).toOpaque()
        guard let handle = unsafe Self.start(core, context, socket.descriptor) else {
            unsafe Unmanaged<ServerCore>.fromOpaque(context).release()
            throw .cannotStart(core.lastNote ?? "MHD_start_daemon failed")
        }
        state = unsafe Lock(State(handle: handle, socket: socket))
    }

    /// `MHD_quiesce_daemon`: accepts nothing more and closes the listening socket. Connections go on.
    func quiesce() {
        state.withLock { state in
            guard let handle = unsafe state.handle, state.socket != nil else { return }
            _ = unsafe MHD_quiesce_daemon(handle)
            state.socket = nil
        }
    }

    /// `MHD_stop_daemon`: closes every connection and joins the threads. `ServerCore.stop()` has to come first.
    func stop() {
        quiesce()
        guard let handle = unsafe state.withLock({ state in unsafe state.handle.take() }) else { return }
        unsafe MHD_stop_daemon(handle)
        unsafe Unmanaged.passUnretained(core).release()
    }

    private static func start(
        _ core: ServerCore, _ context: UnsafeMutableRawPointer, _ descriptor: Int32
    ) -> OpaquePointer? {
        let options = core.options
        // The logger comes first: what it is to hear starts with the next option.
        var items = unsafe [
            item(.EXTERNAL_LOGGER, unsafeBitCast(ServerCore.logged, to: Int.self), context),
            item(.LISTEN_SOCKET, Int(descriptor)),
            item(.URI_LOG_CALLBACK, unsafeBitCast(ServerCore.requestStarted, to: Int.self), context),
            item(.NOTIFY_COMPLETED, unsafeBitCast(ServerCore.requestCompleted, to: Int.self), context),
            item(
                .NOTIFY_CONNECTION, unsafeBitCast(ServerCore.connectionChanged, to: Int.self), context),
            item(.CONNECTION_MEMORY_LIMIT, options.maxHeaderBytes),
            // Room for those that the registry has cut off and libmicrohttpd has not closed yet.
            item(.CONNECTION_LIMIT, options.maxConnections + max(options.maxConnections / 8, 32)),
            item(.CONNECTION_TIMEOUT, Int(clamping: options.idleTimeout.components.seconds)),
        ]
        if options.threads > 1 { unsafe items.append(item(.THREAD_POOL_SIZE, options.threads)) }
        let end = unsafe item(.END, 0)
        let flags = [MHD_USE_EPOLL_INTERNALLY, MHD_USE_SUSPEND_RESUME, MHD_USE_ERROR_LOG]
        guard let tls = options.tls else { return unsafe start(flags, context, items + [end]) }
        return unsafe tls.keyPEM.withCString { key in
            unsafe tls.certificatePEM.withCString { certificate in
                let pem = unsafe [
                    item(.HTTPS_MEM_KEY, 0, UnsafeMutableRawPointer(mutating: key)),
                    item(.HTTPS_MEM_CERT, 0, UnsafeMutableRawPointer(mutating: certificate)),
                ]
                return unsafe start(flags + [MHD_USE_TLS], context, items + pem + [end])
            }
        }
    }

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
