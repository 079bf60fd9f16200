import Glibc
import HTTPMessage

/// A socket that blocks no longer than it is told; system calls only, no state but the descriptor.
struct Socket: Sendable {
    let descriptor: Int32

    /// Connects to `address` at once (loopback answers immediately or refuses).
    static func connected(to address: ListenAddress) throws(WireError) -> Socket {
        let (family, bytes) = try socketAddress(address)
        let socket = Socket(descriptor: Glibc.socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        guard socket.descriptor >= 0 else { throw .system("socket", errno: errno) }
        let result = bytes.withUnsafeBytes { raw in
            Glibc.connect(
                socket.descriptor, raw.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
        }
        guard result == 0 else {
            let code = errno
            socket.close()
            throw .system("connect", errno: code)
        }
        return socket
    }

    /// Listens on a free port of 127.0.0.1.
    static func listening() throws(WireError) -> (Socket, UInt16) {
        let (family, bytes) = try socketAddress(.tcp(host: "127.0.0.1", port: 0))
        let socket = Socket(descriptor: Glibc.socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        guard socket.descriptor >= 0 else { throw .system("socket", errno: errno) }
        let bound = bytes.withUnsafeBytes { raw in
            bind(socket.descriptor, raw.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
        }
        guard bound == 0, listen(socket.descriptor, 128) == 0 else { throw .system("listen", errno: errno) }
        var actual = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &actual) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(socket.descriptor, $0, &length)
            }
        }
        return (socket, UInt16(bigEndian: actual.sin_port))
    }

    /// The next waiting connection; `nil` once the listener is interrupted.
    func accept() -> Socket? {
        let accepted = Glibc.accept(descriptor, nil, nil)
        guard accepted >= 0 else { return nil }
        _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
        return Socket(descriptor: accepted)
    }

    /// Waits until the socket can be read, or the other side left. False when time ran out.
    func waitReadable(until deadline: ContinuousClock.Instant) -> Bool {
        wait(for: Int16(POLLIN), until: deadline)
    }

    private func wait(for events: Int16, until deadline: ContinuousClock.Instant) -> Bool {
        while true {
            let left = ContinuousClock.now.duration(to: deadline)
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
            var entry = pollfd(fd: descriptor, events: events, revents: 0)
            let ready = poll(&entry, 1, Int32(clamping: max(milliseconds, 0)))
            if ready > 0 { return true }
            if ready == 0 && ContinuousClock.now >= deadline { return false }
            if ready < 0 && errno != EINTR { return false }
        }
    }

    /// The next bytes; empty at the end of the stream. Throws `.system("read", errno: ECONNRESET)` on a reset.
    func read(until deadline: ContinuousClock.Instant) throws(WireError) -> [UInt8] {
        guard waitReadable(until: deadline) else { throw .deadline([]) }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
            let got = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            failure = got < 0 ? errno : 0
            count = max(got, 0)
        }
        guard failure == 0 else { throw .system("read", errno: failure) }
        return bytes
    }

    func write(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) throws(WireError) {
        var sent = 0
        while sent < bytes.count {
            guard wait(for: Int16(POLLOUT), until: deadline) else { throw .deadline([]) }
            let count = bytes.withUnsafeBytes { raw in
                Glibc.send(
                    descriptor, raw.baseAddress?.advanced(by: sent), raw.count - sent,
                    Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            guard count >= 0 || errno == EAGAIN || errno == EINTR else { throw .system("write", errno: errno) }
            sent += max(count, 0)
        }
    }

    func finishWriting() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

    /// Unblocks whoever reads or accepts.
    func interrupt() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Makes the next `close` send RST instead of FIN.
    func resetOnClose() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    func close() { _ = Glibc.close(descriptor) }

    private static func socketAddress(_ address: ListenAddress) throws(WireError) -> (Int32, [UInt8]) {
        switch address {
        case .unix(let path):
            var value = sockaddr_un()
            value.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &value.sun_path) { $0.copyBytes(from: path.utf8) }
            return (AF_UNIX, withUnsafeBytes(of: value) { Array($0) })
        case .tcp(let host, let port) where host.contains(":"):
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = port.bigEndian
            guard inet_pton(AF_INET6, host, &value.sin6_addr) == 1 else { throw .notHTTP("address \(host)") }
            return (AF_INET6, withUnsafeBytes(of: value) { Array($0) })
        case .tcp(let host, let port):
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = port.bigEndian
            let name = host.isEmpty || host == "localhost" ? "127.0.0.1" : host
            guard inet_pton(AF_INET, name, &value.sin_addr) == 1 else { throw .notHTTP("address \(host)") }
            return (AF_INET, withUnsafeBytes(of: value) { Array($0) })
        }
    }
}
