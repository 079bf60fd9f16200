internal import Glibc

/// The destination of a transport: scheme, host and port of an `http` or `https` URL.
package struct HTTPOrigin: Sendable, Hashable, CustomStringConvertible {
    package enum Scheme: String, Sendable, Hashable {
        case http, https
    }

    /// Why a text is not an accepted origin. The text itself is not repeated, since it may contain a password.
    package enum Invalid: Error, Sendable, Hashable {
        /// The text does not start with `https://` or `http://`.
        case scheme
        /// The host is not a DNS name, an IPv4 address, or an IPv6 address in brackets.
        case host
        /// The port is not in 1…65535.
        case port
        /// There is more than an origin: a user, path, query or fragment.
        case notOnlyOrigin
        /// `http://` to another machine, which would send the token in clear over the network.
        case plaintextBeyondLoopback
    }

    package let scheme: Scheme
    /// In lower case; an IPv6 address without brackets.
    package let host: String
    package let port: UInt16

    /// Parses `https://host`, `https://host:port` or `https://[v6]:port`, with or without a final slash.
    ///
    /// `http://` is for loopback only: 127.0.0.0/8, `[::1]` and `localhost`. The default port is the scheme's.
    package init(parsing text: String) throws(Invalid) {
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { throw .host }
        let lowered = text.lowercased()
        var rest = Substring(lowered)
        if lowered.hasPrefix("https://") {
            (scheme, rest) = (.https, lowered.dropFirst(8))
        } else if lowered.hasPrefix("http://") {
            (scheme, rest) = (.http, lowered.dropFirst(7))
        } else {
            throw .scheme
        }
        if rest.hasSuffix("/") { rest.removeLast() }
        guard !rest.contains(where: { "@/?#\\".contains($0) }) else { throw .notOnlyOrigin }

        let (host, port) = try Self.split(rest)
        self.host = host
        self.port = try Self.port(port, for: scheme)
        guard scheme == .https || isLoopback else { throw .plaintextBeyondLoopback }
    }

    /// `https://host:port`, always with the port.
    package var description: String {
        "\(scheme.rawValue)://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    /// As browsers write it (RFC 6454): with a port only if it is not the scheme's.
    package var webOrigin: String {
        let isUsual = port == (scheme == .https ? 443 : 80)
        return "\(scheme.rawValue)://\(host.contains(":") ? "[\(host)]" : host)" + (isUsual ? "" : ":\(port)")
    }

    /// Whether the host names this machine, without asking a resolver.
    package var isLoopback: Bool {
        if host == "localhost" { return true }
        if let address = Self.ipv6(host) { return address == Array(repeating: 0, count: 15) + [1] }
        return Self.ipv4(host)?.first == 127
    }

    private static func split(_ text: Substring) throws(Invalid) -> (host: String, port: Substring?) {
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { throw .host }
            let host = String(text[text.index(after: text.startIndex)..<end])
            guard ipv6(host) != nil else { throw .host }
            let tail = text[text.index(after: end)...]
            guard tail.isEmpty || tail.first == ":" else { throw .host }
            return (host, tail.isEmpty ? nil : tail.dropFirst())
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let host = String(parts[0])
        guard isName(host) else { throw .host }
        return (host, parts.count == 2 ? parts[1] : nil)
    }

    private static func port(_ text: Substring?, for scheme: Scheme) throws(Invalid) -> UInt16 {
        guard let text else { return scheme == .https ? 443 : 80 }
        guard text.utf8.allSatisfy(isDigit), let port = UInt16(text), port > 0 else { throw .port }
        return port
    }

    /// A DNS name, or four decimal octets. Resolvers take a last label of digits for an address, so the host must then
    /// be one: `127.1` and `2130706433` are refused.
    private static func isName(_ host: String) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isWellFormed = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { isDigit($0) || (0x61...0x7A).contains($0) || $0 == 0x2D || $0 == 0x5F }
        }
        guard host.utf8.count <= 253, isWellFormed, let last = labels.last else { return false }
        let isNumeric = last.utf8.allSatisfy(isDigit) || last.hasPrefix("0x")
        return !isNumeric || ipv4(host) != nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func ipv4(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let octets = parts.compactMap {
            $0.utf8.allSatisfy(isDigit) && ($0 == "0" || $0.first != "0") ? UInt8($0) : nil
        }
        return parts.count == 4 && octets.count == 4 ? octets : nil
    }

    private static func ipv6(_ text: String) -> [UInt8]? {
        var address = in6_addr()
        guard unsafe inet_pton(AF_INET6, text, &address) == 1 else { return nil }
        return unsafe withUnsafeBytes(of: &address) { unsafe Array($0) }
    }
}
