import Glibc

/// A datagram socket as a service manager has one for what its services tell.
package final class NotifySocket: Sendable {
    /// The value of `NOTIFY_SOCKET`.
    package let variable: String
    private let descriptor: Int32
    private let file: String?

    /// With a file in `/tmp`, or with a name that is none.
    package init(abstract: Bool = false) throws(WireError) {
        let name = "/tmp/proxmox-agent-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        file = abstract ? nil : name
        variable = abstract ? "@" + name.dropFirst() : name
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = abstract ? [0] + Array(name.utf8.dropFirst()) : Array(name.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard result == 0 else { throw .system("bind", errno: errno) }
    }

    deinit {
        close(descriptor)
        if let file { unlink(file) }
    }

    /// The next datagram; `nil` where none came within `seconds`.
    package func next(within seconds: Int = 0) -> String? {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, Int32(seconds) * 1000) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }
}
