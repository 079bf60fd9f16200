private import Glibc

/// Where a server listens: a TCP port or a Unix socket.
package enum ListenAddress: Sendable, Hashable {
    /// `host` is a name, an IPv4 or an IPv6 address without brackets; empty means every interface, IPv4 and IPv6.
    /// Port 0 lets the kernel choose.
    case tcp(host: String, port: UInt16)
    case unix(path: String)

    /// The longest path that fits into a `sockaddr_un`, in bytes.
    package static let maxUnixPathLength = 107

    /// Reads `:8080`, `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080` or `unix:/run/agent.sock`.
    package init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst("unix:".count))
            guard !path.isEmpty, path.utf8.count <= Self.maxUnixPathLength, !path.utf8.contains(0) else { return nil }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = Self.port(text[text.index(after: colon)...]) else {
            return nil
        }
        let host = text[..<colon]
        if host.hasPrefix("[") {
            let inner = String(host.dropFirst().dropLast())
            guard host.hasSuffix("]"), Self.isIPv6(inner) else { return nil }
            self = .tcp(host: inner, port: port)
        } else {
            guard host.utf8.allSatisfy(Self.isNameByte) else { return nil }
            self = .tcp(host: String(host), port: port)
        }
    }

    /// Whether only this machine can connect. A name other than `localhost` counts as not loopback.
    package var isLoopback: Bool {
        switch self {
        case .unix: true
        case .tcp(let host, _): Self.isLoopback(host)
        }
    }

    /// Whether the host is an address, IPv4 or IPv6, and no name.
    package var isNumeric: Bool {
        guard case .tcp(let host, _) = self else { return false }
        var four = in_addr()
        return unsafe inet_pton(AF_INET, host, &four) == 1 || Self.isIPv6(host)
    }

    private static func isLoopback(_ host: String) -> Bool {
        var four = in_addr()
        if unsafe inet_pton(AF_INET, host, &four) == 1 { return UInt32(bigEndian: four.s_addr) >> 24 == 127 }
        return host.lowercased() == "localhost" || (isIPv6(host) && sixIsLoopback(host))
    }

    private static func sixIsLoopback(_ host: String) -> Bool {
        var six = in6_addr()
        guard unsafe inet_pton(AF_INET6, host, &six) == 1 else { return false }
        let bytes = unsafe withUnsafeBytes(of: six) { unsafe Array($0) }
        let mapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        return bytes == [UInt8](repeating: 0, count: 15) + [1] || (mapped && bytes[12] == 127)
    }

    private static func isIPv6(_ host: String) -> Bool {
        var six = in6_addr()
        return unsafe inet_pton(AF_INET6, host, &six) == 1
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt16(text)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }
}

extension ListenAddress: CustomStringConvertible {
    /// The form that ``init(_:)`` reads.
    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
