import CMicrohttpd
import Glibc
import HTTPMessage

/// A listening socket, closed by its owner, which also removes a Unix socket's file.
struct ListenSocket: ~Copyable {
    let descriptor: Int32
    /// Where it listens, with the actual port.
    let address: ListenAddress
    /// Device and inode of a Unix socket's file, so that no other file is removed.
    private let file: (device: dev_t, inode: ino_t)?

    init(_ wanted: ListenAddress) throws(ServerError) {
        let bound = try Self.bound(wanted)
        descriptor = bound.descriptor
        address = bound.address
        file = bound.file
    }

    /// Takes over a socket that another process bound and listens on (systemd). Does not remove its file.
    init(inherited descriptor: Int32) throws(ServerError) {
        var storage = sockaddr_storage()
        var isListening: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &size) == 0, isListening == 1,
            let length = Self.name(of: descriptor, &storage),
            let address = SocketAddress.listening(storage, length: length)
        else {
            throw .cannotStart("descriptor \(descriptor), handed over as a socket, is no listening stream socket")
        }
        // Only `poll` waits; a client that leaves at once must not block the acceptor in `accept`.
        guard fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) == 0,
            fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
        else { throw .cannotListen(address, "fcntl: \(Self.text(errno))") }
        self.descriptor = descriptor
        self.address = address
        file = nil
    }

    deinit {
        _ = Glibc.close(descriptor)
        guard case .unix(let path) = address, let file, let now = Self.identity(path), now == file else { return }
        _ = unsafe unlink(path)
    }

    private typealias Bound = (descriptor: Int32, address: ListenAddress, file: (device: dev_t, inode: ino_t)?)

    private static func bound(_ wanted: ListenAddress) throws(ServerError) -> Bound {
        let bound: Bound
        switch wanted {
        case .unix(let path):
            let descriptor = try bindUnix(path, wanted)
            bound = (descriptor, wanted, identity(path))
        case .tcp(let host, let port):
            let (descriptor, address) = try bindTCP(host, port, wanted)
            bound = (descriptor, address, nil)
        }
        guard Glibc.listen(bound.descriptor, SOMAXCONN) == 0 else {
            let code = errno
            _ = Glibc.close(bound.descriptor)
            if code == EADDRINUSE { throw .addressInUse(wanted) }
            throw .cannotListen(wanted, "listen: \(text(code))")
        }
        return bound
    }

    private static func bindTCP(
        _ host: String, _ port: UInt16, _ wanted: ListenAddress
    ) throws(ServerError) -> (Int32, ListenAddress) {
        var bound: Int32?
        var failure = "no address"
        for family in host.isEmpty ? [AF_INET6, AF_INET] : [AF_UNSPEC] {
            do throws(ServerError) {
                bound = try bindFirst(host.isEmpty ? (family == AF_INET6 ? "::" : "0.0.0.0") : host, port, wanted)
                break
            } catch {
                guard case .cannotListen(_, let reason) = error else { throw error }
                failure = reason
            }
        }
        guard let bound else { throw .cannotListen(wanted, failure) }
        return (bound, .tcp(host: host, port: localPort(bound) ?? port))
    }

    /// Binds to the first address that `host` resolves to.
    private static func bindFirst(
        _ host: String, _ port: UInt16, _ wanted: ListenAddress
    ) throws(ServerError) -> Int32 {
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let found = unsafe getaddrinfo(host, String(port), &hints, &list)
        guard found == 0, let first = unsafe list else {
            throw .cannotListen(wanted, unsafe String(cString: gai_strerror(found)))
        }
        defer { unsafe freeaddrinfo(list) }
        let descriptor = try open(unsafe first.pointee.ai_family, wanted)
        set(descriptor, SOL_SOCKET, SO_REUSEADDR)
        set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)  // inherited by what is accepted
        if unsafe first.pointee.ai_family == AF_INET6 {
            set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, host == "::" ? 0 : 1)
        }
        guard unsafe bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            let code = errno
            _ = Glibc.close(descriptor)
            if code == EADDRINUSE { throw .addressInUse(wanted) }
            throw .cannotListen(wanted, "bind: \(text(code))")
        }
        return descriptor
    }

    /// Binds to `path`. Replaces the socket file of a server that has ended, but nothing else.
    private static func bindUnix(_ path: String, _ wanted: ListenAddress) throws(ServerError) -> Int32 {
        guard path.utf8.count <= ListenAddress.maxUnixPathLength, !path.isEmpty, !path.utf8.contains(0) else {
            throw .cannotListen(wanted, "the path is empty or longer than \(ListenAddress.maxUnixPathLength) bytes")
        }
        let descriptor = try open(AF_UNIX, wanted)
        var result = unsafe withUnixAddress(path) { unsafe bind(descriptor, $0, $1) }
        if result != 0 && errno == EADDRINUSE {
            switch occupant(path) {
            case .nobody:
                _ = unsafe unlink(path)
                result = unsafe withUnixAddress(path) { unsafe bind(descriptor, $0, $1) }
            case .server:
                _ = Glibc.close(descriptor)
                throw .addressInUse(wanted)
            case .otherFile:
                _ = Glibc.close(descriptor)
                throw .cannotListen(wanted, "a file that is not a socket is in the way")
            }
        }
        // No client can connect before `listen`, so the wider mode before `chmod` does no harm.
        guard unsafe result == 0 && chmod(path, 0o660) == 0 else {
            let code = errno
            _ = Glibc.close(descriptor)
            throw .cannotListen(wanted, "bind: \(text(code))")
        }
        return descriptor
    }

    private enum Occupant { case nobody, server, otherFile }

    /// What uses the path of a Unix socket, found out by connecting.
    private static func occupant(_ path: String) -> Occupant {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return .nobody }
        guard status.st_mode & S_IFMT == S_IFSOCK else { return .otherFile }
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        defer { _ = Glibc.close(probe) }
        let result = unsafe withUnixAddress(path) { unsafe connect(probe, $0, $1) }
        // EAGAIN is a server with a full queue. Only a refusal means that no server listens.
        return result != 0 && errno == ECONNREFUSED ? .nobody : .server
    }

    private static func withUnixAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32
    {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func open(_ family: Int32, _ wanted: ListenAddress) throws(ServerError) -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(family, Int32(kind), 0)
        guard descriptor >= 0 else { throw .cannotListen(wanted, "socket: \(text(errno))") }
        return descriptor
    }

    private static func localPort(_ descriptor: Int32) -> UInt16? {
        var storage = sockaddr_storage()
        return name(of: descriptor, &storage) == nil ? nil : SocketAddress.port(of: storage)
    }

    /// The address of a socket (`getsockname`): the length used in `storage`, or `nil` on failure.
    private static func name(of descriptor: Int32, _ storage: inout sockaddr_storage) -> Int? {
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        return result == 0 ? Int(length) : nil
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32 = 1) {
        var value = value
        _ = unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func identity(_ path: String) -> (device: dev_t, inode: ino_t)? {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        return (status.st_dev, status.st_ino)
    }

    private static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
