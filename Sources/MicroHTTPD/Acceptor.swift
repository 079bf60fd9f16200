import CMicrohttpd
import Dispatch
import Glibc
import HTTPMessage
import SystemThread

/// Accepts connections on a separate thread and passes them to libmicrohttpd.
///
/// libmicrohttpd could listen itself, but stopping that takes `MHD_quiesce_daemon`. In 0.9.75 it races with the
/// library's own threads: both remove the socket from an epoll set, and the second removal aborts the process.
final class Acceptor: Sendable {
    private let socket: Lock<ListenSocket?>
    private let ended = DispatchGroup()
    /// Becomes readable to end the thread.
    private let wake: Int32
    private let connections: ConnectionRegistry

    /// Accepts until `stop`; `adopt` takes over each descriptor, and returns whether it will be served.
    init(
        _ socket: consuming ListenSocket, _ connections: ConnectionRegistry,
        adopt: @escaping @Sendable (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool
    ) throws(OwnThread.Unavailable) {
        let descriptor = socket.descriptor
        wake = cmhd_eventfd()
        self.socket = Lock(socket)
        self.connections = connections
        ended.enter()
        do throws(OwnThread.Unavailable) {
            try OwnThread.start { [self] in
                while waitForClient(descriptor) { unsafe accept(descriptor, adopt) }
                ended.leave()
            }
        } catch {
            ended.leave()
            throw error
        }
    }

    deinit { _ = close(wake) }

    /// Stops accepting and closes the listening socket. Returns when the thread has ended.
    func stop() {
        cmhd_eventfd_signal(wake)
        ended.wait()
        socket.withLock { $0 = nil }
    }

    /// Waits for a client to connect. False if the thread is to end.
    private func waitForClient(_ listener: Int32) -> Bool {
        connections.waitForRoom()
        var entries = [
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
        ]
        while unsafe poll(&entries, nfds_t(entries.count), -1) < 0 && errno == EINTR {}
        return entries[1].revents == 0
    }

    /// Accepts one connection, if there is one.
    private func accept(_ listener: Int32, _ adopt: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool) {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                let descriptor = unsafe Glibc.accept(listener, address, &length)
                if descriptor >= 0 {
                    guard connections.admits(Request.source(of: unsafe SocketAddress.text(address))) else {
                        _ = close(descriptor)
                        return
                    }
                    // Announce first: it may be taken up, and closed again, before `adopt` returns.
                    connections.announce(descriptor)
                    if unsafe !adopt(descriptor, address, length) { connections.withdraw(descriptor) }
                    return
                }
                guard [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) else { return }
                // Out of descriptors or memory: close idle connections before accepting more.
                connections.cutIdle()
                usleep(10_000)
            }
        }
    }
}
