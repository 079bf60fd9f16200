import CMicrohttpd
import Glibc
import HTTPMessage

/// Formats the kernel's address of a socket's other end.
enum SocketAddress {
    /// `127.0.0.1:40112`, `[::1]:40112` or `unix`. An IPv4 client of a dual-stack socket is shown as IPv4.
    static func text(_ address: UnsafePointer<sockaddr>?) -> String {
        guard let address = unsafe address else { return "unix" }
        switch Int32(unsafe address.pointee.sa_family) {
        case AF_INET:
            let four = unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
            return dotted(four.sin_addr.s_addr) + ":\(UInt16(bigEndian: four.sin_port))"
        case AF_INET6:
            var six = unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self)
            let port = UInt16(bigEndian: six.sin6_port)
            var name = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            guard unsafe inet_ntop(AF_INET6, &six.sin6_addr, &name, socklen_t(name.count)) != nil else { return "?" }
            let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let mapped = "::ffff:"
            return host.hasPrefix(mapped) && host.contains(".")
                ? "\(host.dropFirst(mapped.count)):\(port)" : "[\(host)]:\(port)"
        default:
            return "unix"
        }
    }

    static func port(of storage: sockaddr_storage) -> UInt16 {
        unsafe withUnsafeBytes(of: storage) { raw in
            Int32(storage.ss_family) == AF_INET6
                ? UInt16(bigEndian: unsafe raw.loadUnaligned(as: sockaddr_in6.self).sin6_port)
                : UInt16(bigEndian: unsafe raw.loadUnaligned(as: sockaddr_in.self).sin_port)
        }
    }

    /// Where a listening socket listens, if its family is supported. An abstract Unix socket is shown with an `@`.
    static func listening(_ storage: sockaddr_storage, length: Int) -> ListenAddress? {
        switch Int32(storage.ss_family) {
        case AF_INET, AF_INET6:
            return unsafe withUnsafeBytes(of: storage) { raw -> ListenAddress? in
                let address = unsafe raw.baseAddress?.assumingMemoryBound(to: sockaddr.self)
                return ListenAddress(unsafe text(address))
            }
        case AF_UNIX:
            let path = unsafe withUnsafeBytes(of: storage) { raw in
                unsafe Array(raw[min(MemoryLayout<sa_family_t>.size, length)..<min(length, raw.count)])
            }
            let isAbstract = path.first == 0 && path.count > 1
            let name = isAbstract ? [UInt8(ascii: "@")] + path.dropFirst() : Array(path.prefix { $0 != 0 })
            return .unix(path: String(decoding: name, as: UTF8.self))
        default:
            return nil
        }
    }

    private static func dotted(_ address: in_addr_t) -> String {
        let value = UInt32(bigEndian: address)
        return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    }
}
